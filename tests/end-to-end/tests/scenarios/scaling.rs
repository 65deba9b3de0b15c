//! Fleets that change their size by themselves, or are made to.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;

/// The action comes due in every deploy.
const SCALING: &str = r#"Scaling={"policies":[{"type":"targetTracking","metric":"averageCpu","value":50},{"type":"step","metric":"requestsPerTarget","minutes":3,"steps":[{"above":900,"change":2},{"below":100,"change":-1}]}],"scheduledActions":[{"name":"always","recurrence":"* * * * *","min":3}]}"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn policies_and_scheduled_actions_are_on_what_is_live() {
    let app = App::with_parameters("scaled", &["RenewalSchedule=", SCALING]).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
    assert_eq!(app.desired(1).await, 3);
    let expected = [
        "averageCpu",
        "requestsPerTarget-above",
        "requestsPerTarget-below",
    ];
    assert_eq!(app.policies(1).await, expected);
    assert_eq!(app.alarms().await, expected[1..]);

    // The live fleet grows while the new one boots.
    let second = app
        .upload("v2", &Image::hello("v2", &["HELLO_START_AFTER=4"]))
        .await;
    second.reaches("Wait For Boot").await;
    app.scale(1, 4).await;
    assert_eq!(second.end().await, "SUCCEEDED", "{:?}", second.path().await);
    assert_eq!(app.desired(2).await, 4);
    assert_eq!(app.policies(2).await, expected);
    // Those of the old fleet went with it.
    assert_eq!(app.alarms().await, expected[1..]);
    app.serves("v2").await;
    app.is_clean(Some(2)).await;
}
