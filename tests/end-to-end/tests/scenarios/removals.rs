//! An app is taken out of an environment, and put there again.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_app_is_removed_and_an_upload_deploys_it_again() {
    let app = App::new("removes").await;
    let remove = app.input(&json!({"operation": "remove"}));

    // Before there is anything.
    let early = app.start(remove.clone()).await;
    assert_eq!(early.end().await, "SUCCEEDED");
    assert_eq!(early.path().await.last().unwrap(), "Skipped");
    let outcome = app.outcome(&early).await;
    assert_eq!(outcome.kind, "skipped");
    assert!(
        outcome.text.contains("Nothing is deployed in removes/test"),
        "{outcome:?}"
    );

    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED");
    app.serves("v1").await;

    // A deploy that still boots gives way to it.
    let slow = app
        .upload("v2", &Image::hello("v2", &["HELLO_START_AFTER=6"]))
        .await;
    slow.reaches("Check Health").await;
    let removal = app.start(remove.clone()).await;
    assert_eq!(slow.end().await, "SUCCEEDED");
    assert_eq!(slow.path().await.last().unwrap(), "Superseded");
    assert_eq!(removal.end().await, "SUCCEEDED");
    assert_eq!(removal.path().await.last().unwrap(), "Succeeded");
    let (status, body) = client::ask(&app.host).await;
    assert_ne!(status, 200, "{body}");
    app.is_clean(None).await;
    let outcome = app.outcome(&removal).await;
    assert_eq!(outcome.kind, "removed");
    assert!(outcome.text.contains("v1 (release 1)"), "{outcome:?}");
    let started = format!("started-{}", removal.name());
    let notices = app.notices().await;
    assert!(
        notices.iter().any(|notice| notice.id == started),
        "{notices:?}"
    );
    // What was is still known.
    assert_eq!(app.releases().await, 2);
    let removed = app.ledger("removed.json").await;
    assert_eq!(
        (
            removed["release"].as_u64(),
            removed["execution"].as_str(),
            removed["done"].as_bool()
        ),
        (Some(1), Some(removal.arn.as_str()), Some(true))
    );

    // Now it is as before the first deploy.
    let again = app.start(app.input(&json!({}))).await;
    assert_eq!(again.end().await, "Rejected");
    let key = format!("{}/config.env", app.place);
    let settings = app.upload_to(&key, b"GREETING=Good evening\n").await;
    assert_eq!(settings.end().await, "SUCCEEDED");
    assert_eq!(settings.path().await.last().unwrap(), "Skipped");
    let third = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(third.end().await, "SUCCEEDED");
    app.serves("v3").await;
    let manifest = app.ledger("releases/000003.json").await;
    assert!(manifest["previous"].is_null(), "{manifest}");
    app.is_clean(Some(3)).await;

    // A release of before comes back with its settings, which were none.
    let removal = app.start(remove).await;
    assert_eq!(removal.end().await, "SUCCEEDED");
    let back = app.start(app.input(&json!({"release": 1}))).await;
    assert_eq!(back.end().await, "SUCCEEDED");
    let (_, body) = client::ask(&app.host).await;
    assert!(
        body.contains("Hello, world") && body.contains("\"version\":\"v1\""),
        "{body}"
    );
    app.is_clean(Some(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_removal_that_is_stopped_before_it_begins_leaves_everything() {
    let app = App::with_v1("keeps").await;
    let deploy = app
        .upload("v2", &Image::hello("v2", &["HELLO_START_AFTER=6"]))
        .await;
    deploy.reaches("Check Health").await;
    let removal = app.start(app.input(&json!({"operation": "remove"}))).await;
    removal.reaches("Wait For Lock").await;
    removal.stop().await;
    let recovery = app.recovery_of(&removal).await;
    assert_eq!(recovery.end().await, "RolledBack");
    let outcome = app.outcome(&removal).await;
    assert_eq!(outcome.kind, "rolledBack");
    assert!(
        outcome.text.contains("the removal was given up"),
        "{outcome:?}"
    );
    deploy.end().await;
    assert!(app.weights().await.len() == 1, "{:?}", app.weights().await);
    let (status, body) = client::ask(&app.host).await;
    assert_eq!(status, 200, "{body}");
}
