//! Apps that no requests reach.

use std::collections::BTreeMap;
use std::time::Duration;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::execution::Execution;
use exuvia_end_to_end::image::Image;

async fn worker(name: &str, order: &str) -> App {
    let order = format!("Worker={order}");
    let parameters = [
        "RenewalSchedule=",
        "ListenerArn=",
        "LoadBalancerSecurityGroup=",
        &order,
    ];
    let app = App::with_parameters(name, &parameters).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
    app.is_clean(Some(1)).await;
    app
}

/// The releases that had instances together, at any moment until an execution has ended.
async fn worked_together(app: &App, execution: &Execution) -> Vec<Vec<u32>> {
    let mut seen = Vec::new();
    loop {
        let has_ended = execution.status().await != "RUNNING";
        let with_instances = |(release, instances): (u32, BTreeMap<String, String>)| {
            (!instances.is_empty()).then_some(release)
        };
        let together: Vec<u32> = app
            .lifecycles()
            .await
            .into_iter()
            .filter_map(with_instances)
            .collect();
        if seen.last() != Some(&together) {
            seen.push(together);
        }
        if has_ended {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_worker_is_replaced_once_its_successor_is_in_service() {
    let app = worker("overlapping", "overlap").await;
    // It is up for a moment, three times.
    let broken = app
        .upload("v2", &Image::hello("v2", &["HELLO_EXIT_AFTER=0"]))
        .await;
    assert_eq!(broken.end().await, "RolledBack");
    let outcome = app.outcome(&broken).await;
    assert!(
        outcome.text.contains("the container exited with code 1")
            && outcome.text.contains("v1 (release 1) is live."),
        "{outcome:?}"
    );
    app.is_clean(Some(1)).await;

    let deploy = app.upload("v3", &Image::hello("v3", &[])).await;
    let together = worked_together(&app, &deploy).await;
    assert_eq!(deploy.status().await, "SUCCEEDED");
    assert!(together.contains(&vec![1, 3]), "{together:?}");
    let outcome = app.outcome(&deploy).await;
    assert!(
        outcome.text.contains("It works on 2 healthy instances"),
        "{outcome:?}"
    );
    app.is_clean(Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn of_a_worker_that_stops_first_one_release_works_at_a_time() {
    let app = worker("alone", "stopFirst").await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    let together = worked_together(&app, &deploy).await;
    assert_eq!(
        deploy.status().await,
        "SUCCEEDED",
        "{:?}",
        deploy.path().await
    );
    assert!(
        together.iter().all(|releases| releases.len() <= 1),
        "{together:?}"
    );
    app.is_clean(Some(2)).await;

    // The old one is launched again, when no instance of the new one is left.
    let broken = app
        .upload("v3", &Image::hello("v3", &["HELLO_EXIT_AFTER=0"]))
        .await;
    let together = worked_together(&app, &broken).await;
    assert_eq!(broken.end().await, "RolledBack");
    assert!(
        together.iter().all(|releases| releases.len() <= 1) && together.contains(&vec![3]),
        "{together:?}"
    );
    assert_eq!(app.desired(2).await, 2);
    app.is_clean(Some(2)).await;
}
