//! The old fleet is kept for a while, and its release gets the traffic back without a launch.

use std::collections::BTreeMap;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_is_kept_gets_the_traffic_back_without_a_launch() {
    let parameters = ["RenewalSchedule=", "RetainMinutes=30"];
    let app = App::with_parameters("kept", &parameters).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    // There is nothing to keep yet.
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);

    let second = app.upload("v2", &Image::hello("v2", &[])).await;
    second.reaches("Retain").await;
    app.serves("v2").await;
    assert_eq!(app.weights().await, BTreeMap::from([(1, 0), (2, 100)]));
    let outcome = app.outcome(&second).await;
    assert!(
        outcome.text.contains("release 1 is kept until"),
        "{outcome:?}"
    );

    let input = app.input(&json!({"release": 1, "retainMinutes": 1}));
    let back = app.start(input).await;
    back.reaches("Retain").await;
    app.serves("v1").await;
    assert_eq!(app.weights().await, BTreeMap::from([(1, 100), (2, 0)]));
    assert_eq!(app.releases().await, 2);
    let outcome = app.outcome(&back).await;
    assert!(
        outcome
            .text
            .contains("returned to v1 (release 1), without a launch"),
        "{outcome:?}"
    );

    // What it kept is live again: of it nothing is left to do, and its own release is not live any more.
    second.stop().await;
    let recovery = app.recovery_of(&second).await;
    assert_eq!(recovery.end().await, "RolledBack");
    assert_eq!(back.end().await, "SUCCEEDED", "{:?}", back.path().await);
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}
