//! What is told of a deploy afterwards.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::notice::Kind;
use exuvia_core::report::{Index, Report, data_key, index_key, index_page_key, page_key};
use exuvia_end_to_end::app::App;
use exuvia_end_to_end::execution::Execution;
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::setting;

/// An object of the ledger, with its type.
async fn object(app: &App, key: &str) -> Option<(String, Vec<u8>)> {
    let get = app.s3.get_object().bucket(setting("EXUVIA_LEDGER_BUCKET"));
    let got = get.key(key).send().await.ok()?;
    let kind = got.content_type().unwrap_or_default().to_owned();
    let body = ByteStream::collect(got.body).await.unwrap();
    Some((kind, body.into_bytes().to_vec()))
}

/// The report of an execution that has ended: it comes a little after the end.
async fn report(app: &App, execution: &Execution) -> Report {
    let (key, began) = (data_key(&app.place, execution.name()), Instant::now());
    loop {
        if let Some((_, body)) = object(app, &key).await {
            let report: Report = serde_json::from_slice(&body).unwrap();
            if report.ended.is_some() {
                return report;
            }
        }
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "there is no report of the end of {}",
            execution.name()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_report_tells_what_has_happened() {
    let app = App::with_v1("reported").await;
    let good = app.upload("v2", &Image::hello("v2", &[])).await;
    assert_eq!(good.end().await, "SUCCEEDED");
    let mut serving = app.instances().await;
    let told = report(&app, &good).await;
    assert_eq!(told.outcome, Some(Kind::Succeeded));
    assert_eq!(told.release.map(u32::from), Some(2));
    assert_eq!(
        told.from.as_ref().map(|from| u32::from(from.release)),
        Some(1)
    );
    // The path is that of the execution, without its Choices.
    let path: Vec<String> = good.path().await;
    let path: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .filter(|state| !state.ends_with('?'))
        .collect();
    let stays: Vec<&str> = told.path.iter().map(|stay| stay.state.as_str()).collect();
    assert_eq!(stays, path);
    // Its instances are those that serve now.
    let mut lives: Vec<&str> = told.instances.iter().map(|life| life.id.as_str()).collect();
    lives.sort_unstable();
    serving.sort_unstable();
    assert_eq!(lives, serving);
    for life in &told.instances {
        assert!(
            life.launched.is_some() && life.healthy.is_some(),
            "{life:?}"
        );
    }
    assert_eq!(told.traffic.last().map(|share| share.weight), Some(100));
    assert!(
        told.cleaned.len() == 1 && told.cleaned[0].done.is_some(),
        "{:?}",
        told.cleaned
    );
    let notices = app.notices().await;
    for notice in notices
        .iter()
        .filter(|notice| notice.id.ends_with(good.name()))
    {
        assert!(
            told.notices
                .iter()
                .any(|known| known.id == notice.id && known.at >= told.started),
            "{notice:?}"
        );
    }

    let bad = app
        .upload("v3", &Image::hello("v3", &["HELLO_EXIT_AFTER=0"]))
        .await;
    assert_eq!(bad.end().await, "RolledBack");
    let told = report(&app, &bad).await;
    assert_eq!(told.outcome, Some(Kind::RolledBack));
    assert!(
        told.cause
            .as_ref()
            .is_some_and(|cause| cause.contains("could not run the release")),
        "{:?}",
        told.cause
    );
    assert!(told.traffic.is_empty(), "{:?}", told.traffic);
    assert!(
        told.instances.iter().any(|life| life.boot_report.is_some()),
        "{:?}",
        told.instances
    );
    assert!(
        told.instances.iter().all(|life| life.terminating.is_some()),
        "{:?}",
        told.instances
    );

    let (kind, page) = object(&app, &page_key(&app.place, bad.name()))
        .await
        .unwrap();
    assert_eq!(kind, "text/html; charset=utf-8");
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("v3 was rolled back") && page.contains("could not run the release"));
    let (_, index) = object(&app, &index_key(&app.place)).await.unwrap();
    let index: Index = serde_json::from_slice(&index).unwrap();
    let listed: Vec<_> = index
        .entries
        .iter()
        .map(|entry| (entry.release.map(u32::from), entry.outcome))
        .collect();
    assert_eq!(
        listed,
        [
            (Some(3), Some(Kind::RolledBack)),
            (Some(2), Some(Kind::Succeeded)),
            (Some(1), Some(Kind::Succeeded)),
        ]
    );
    let (kind, _) = object(&app, &index_page_key(&app.place)).await.unwrap();
    assert_eq!(kind, "text/html; charset=utf-8");
    app.is_clean(Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_was_stopped_is_told_with_what_has_put_it_in_order() {
    let app = App::with_v1("halted").await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Bake").await;
    deploy.stop().await;
    let recovery = app.recovery_of(&deploy).await;
    assert_eq!(recovery.end().await, "RolledBack");
    let clean_up = report(&app, &recovery).await;
    assert_eq!(clean_up.recovers.as_deref(), Some(deploy.arn.as_str()));
    let told = report(&app, &deploy).await;
    assert_eq!(told.status, "ABORTED");
    assert_eq!(told.recovered_by.as_deref(), Some(recovery.arn.as_str()));
    assert_eq!(told.outcome, Some(Kind::RolledBack));
    app.is_clean(Some(1)).await;
}
