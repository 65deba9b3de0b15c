//! What people change by hand in the middle of things.

use aws_sdk_s3::primitives::ByteStream;
use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::setting;
use serde_json::json;

const UNHEALTHY: &[&str] = &["HELLO_HEALTH=500"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_rule_deleted_by_hand_comes_back_with_the_next_deploy_even_a_bad_one() {
    let app = App::with_v1("norule").await;
    app.delete_rule().await;
    let deploy = app.upload("v2", &Image::hello("v2", UNHEALTHY)).await;
    assert_eq!(deploy.end().await, "RolledBack");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_rule_deleted_in_the_middle_comes_back_with_the_rollback() {
    let app = App::with_v1("lostrule").await;
    let deploy = app.upload("v2", &Image::hello("v2", UNHEALTHY)).await;
    deploy.reaches("Check Health").await;
    app.delete_rule().await;
    assert_eq!(deploy.end().await, "RolledBack");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_live_group_deleted_in_the_middle_keeps_nothing_from_being_put_in_order() {
    let app = App::with_v1("lostgroup").await;
    let deploy = app.upload("v2", &Image::hello("v2", UNHEALTHY)).await;
    deploy.reaches("Check Health").await;
    app.delete_group(1).await;
    assert_eq!(deploy.end().await, "RolledBack");
    let deploy = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.serves("v3").await;
    app.is_clean(Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_priority_that_another_rule_has_is_refused_before_the_traffic_moves() {
    let (app, other) = tokio::join!(App::with_v1("priority"), App::with_v1("occupied"));
    let taken = other.target().await["priority"].clone();
    app.change_target("/priority", taken.clone()).await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    assert_eq!(deploy.end().await, "RolledBack");
    let outcome = app.outcome(&deploy).await;
    assert!(
        outcome.text.contains(&format!("priority {taken}")),
        "{outcome:?}"
    );
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_lock_deleted_by_hand_is_taken_again_to_go_back() {
    let app = App::with_v1("nolock").await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Bake").await;
    let (bucket, key) = (
        setting("EXUVIA_LEDGER_BUCKET"),
        format!("{}/lock.json", app.place),
    );
    app.s3
        .delete_object()
        .bucket(bucket)
        .key(key)
        .send()
        .await
        .unwrap();
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    assert_eq!(
        deploy.path().await.last().map(String::as_str),
        Some("Superseded")
    );
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_lock_whose_holder_is_no_more_is_taken_over() {
    let app = App::with_v1("deadlock").await;
    let machine = setting("EXUVIA_STATE_MACHINE_ARN").replace(":stateMachine:", ":execution:");
    let holder = json!({"execution": format!("{machine}:gone"), "since": "2026-01-01T00:00:00Z", "started": "2026-01-01T00:00:00Z", "purpose": "deploy"});
    app.s3
        .put_object()
        .bucket(setting("EXUVIA_LEDGER_BUCKET"))
        .key(format!("{}/lock.json", app.place))
        .body(ByteStream::from(holder.to_string().into_bytes()))
        .send()
        .await
        .unwrap();
    let deploy = app.start(app.input(&json!({}))).await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.is_clean(Some(2)).await;
}
