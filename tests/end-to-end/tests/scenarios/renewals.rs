//! What has run for long is put on fresh instances, and gives way to whatever else is wanted.

use std::time::Duration;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_renewal_puts_what_is_live_on_fresh_instances_and_gives_way() {
    let schedule = ["RenewalSchedule=rate(1 minute)", "RenewalAgeHours=1"];
    let app = App::with_parameters("renews", &schedule).await;
    let slow: &[&str] = &["HELLO_START_AFTER=4"];
    let first = app.upload("v1", &Image::hello("v1", slow)).await;
    assert_eq!(first.end().await, "SUCCEEDED");

    // As the scheduler starts it, too soon.
    let input = app.input(&json!({"renew": {"olderThanHours": 1}}));
    let early = app.started_with(&input, Duration::from_mins(3)).await;
    app.update_stack(&["RenewalSchedule="]).await;
    assert_eq!(early.end().await, "SUCCEEDED");
    assert_eq!(early.path().await.last().unwrap(), "Skipped");
    let outcome = app.outcome(&early).await;
    assert_eq!(outcome.kind, "skipped");
    assert!(outcome.text.contains("not renewed yet"), "{outcome:?}");

    // In time.
    let now = app.input(&json!({"renew": {"olderThanHours": 0}}));
    let user = User::of(&app.host);
    let renewal = app.start(now.clone()).await;
    assert_eq!(renewal.end().await, "SUCCEEDED");
    let experience = user.experience().await;
    assert!(
        experience.failures.is_empty() && experience.answered > 100,
        "{experience:?}"
    );
    assert_eq!(renewal.path().await.last().unwrap(), "Succeeded");
    let outcome = app.outcome(&renewal).await;
    assert!(
        outcome.text.contains("Release 1 had run for "),
        "{outcome:?}"
    );
    let recorded = app
        .ledger(&format!("outcomes/{}.json", renewal.name()))
        .await;
    assert_eq!(recorded["replaced"]["release"], 1);
    assert!(recorded["replaced"]["ageSeconds"].as_i64().unwrap() > 10);
    app.serves("v1").await;

    // A deploy comes: the renewal gives way; and another does not wait for the deploy.
    let renewal = app.start(now.clone()).await;
    renewal.reaches("Check Health").await;
    let deploy = app.upload("v2", &Image::hello("v2", slow)).await;
    assert_eq!(renewal.end().await, "SUCCEEDED");
    assert_eq!(renewal.path().await.last().unwrap(), "Superseded");
    deploy.reaches("Check Health").await;
    let late = app.start(now).await;
    assert_eq!(late.end().await, "SUCCEEDED");
    assert_eq!(late.path().await.last().unwrap(), "Skipped");
    let outcome = app.outcome(&late).await;
    assert!(
        outcome.text.contains("is deploying renews/test"),
        "{outcome:?}"
    );
    assert_eq!(deploy.end().await, "SUCCEEDED");
    app.serves("v2").await;
    app.is_clean(Some(4)).await;
}
