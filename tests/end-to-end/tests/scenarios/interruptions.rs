//! Executions that are stopped, that meet, and events that come twice.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use serde_json::json;

/// Stops a deploy of v2 as it enters a state, and asserts that all is as it was before.
async fn stopped_in(name: &str, state: &str) {
    let app = App::with_v1(name).await;
    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches(state).await;
    deploy.stop().await;
    let recovery = app.recovery_of(&deploy).await;
    assert_eq!(
        recovery.end().await,
        "RolledBack",
        "{:?}",
        recovery.path().await
    );
    let experience = user.experience().await;

    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    let outcome = app.outcome(&deploy).await;
    assert_eq!(outcome.kind, "rolledBack");
    assert!(outcome.text.contains("ABORTED"), "{outcome:?}");
    assert!(experience.failures.is_empty(), "{experience:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_deploy_stopped_while_it_boots_is_put_in_order() {
    stopped_in("stopboot", "Wait For Boot").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_deploy_stopped_under_traffic_gives_it_back() {
    stopped_in("stopbake", "Bake").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_deploy_stopped_after_its_success_stays_live() {
    let app = App::with_v1("stopretire").await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Wait For Drain").await;
    deploy.stop().await;
    let recovery = app.recovery_of(&deploy).await;
    assert_eq!(
        recovery.end().await,
        "SUCCEEDED",
        "{:?}",
        recovery.path().await
    );
    app.serves("v2").await;
    app.is_clean(Some(2)).await;
    assert_eq!(app.outcome(&deploy).await.kind, "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_newer_deploy_takes_the_place_of_one_that_boots() {
    let app = App::with_v1("newer").await;
    let broken = app
        .upload("v2", &Image::hello("v2", &["HELLO_HEALTH=500"]))
        .await;
    broken.reaches("Check Health").await;
    let fixed = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(broken.end().await, "SUCCEEDED", "{:?}", broken.path().await);
    assert_eq!(broken.path().await.last().unwrap(), "Superseded");
    assert_eq!(fixed.end().await, "SUCCEEDED", "{:?}", fixed.path().await);
    app.serves("v3").await;
    app.is_clean(Some(3)).await;
    assert_eq!(app.outcome(&broken).await.kind, "superseded");
    assert_eq!(app.outcome(&fixed).await.kind, "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn the_same_input_twice_at_once_is_deployed_once() {
    let app = App::with_v1("twice").await;
    let input = app.input(&json!({"version": "v1"}));
    let (one, two) = tokio::join!(app.start(input.clone()), app.start(input));
    assert_eq!(
        [one.end().await, two.end().await],
        ["SUCCEEDED", "SUCCEEDED"]
    );
    let mut kinds = [app.outcome(&one).await.kind, app.outcome(&two).await.kind];
    kinds.sort();
    assert_eq!(kinds, ["succeeded", "superseded"]);
    app.serves("v1").await;
    let live = app.ledger("live.json").await;
    app.is_clean(
        live["release"]
            .as_u64()
            .and_then(|release| u32::try_from(release).ok()),
    )
    .await;
}
