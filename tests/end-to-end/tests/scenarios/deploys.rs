//! What deploys do, good ones and bad ones.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn one_version_replaces_another_and_no_request_is_lost() {
    let app = App::with_v1("replaces").await;
    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    assert_eq!(deploy.end().await, "SUCCEEDED");
    let experience = user.experience().await;

    app.serves("v2").await;
    app.is_clean(Some(2)).await;
    assert_eq!(app.outcome(&deploy).await.kind, "succeeded");
    assert!(
        experience.failures.is_empty() && experience.answered > 100,
        "{experience:?}"
    );
    let path = deploy.path().await;
    assert_eq!(
        path[..6],
        [
            "Validate",
            "Acquire Lock",
            "Lock Acquired?",
            "Plan",
            "Planned?",
            "Announce Start"
        ]
    );
    assert_eq!(path.last().unwrap(), "Succeeded");
    let manifest = app.ledger("releases/000002.json").await;
    assert_eq!(
        (manifest["version"].as_str(), manifest["previous"].as_u64()),
        (Some("v2"), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_never_becomes_healthy_is_rolled_back_with_the_reason() {
    let app = App::with_v1("unhealthy").await;
    let user = User::of(&app.host);
    let deploy = app
        .upload("v2", &Image::hello("v2", &["HELLO_HEALTH=500"]))
        .await;
    assert_eq!(deploy.end().await, "RolledBack");
    let experience = user.experience().await;

    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    let outcome = app.outcome(&deploy).await;
    assert_eq!(outcome.kind, "rolledBack");
    assert!(
        outcome.text.contains("0 of 2 instances are healthy") && outcome.text.contains("500"),
        "{outcome:?}"
    );
    assert!(
        experience.failures.is_empty() && experience.answered > 100,
        "{experience:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_crashes_at_start_is_rolled_back_at_once() {
    let app = App::with_v1("crashes").await;
    let deploy = app
        .upload("v2", &Image::hello("v2", &["HELLO_EXIT_AFTER=0"]))
        .await;
    assert_eq!(deploy.end().await, "RolledBack");
    let outcome = app.outcome(&deploy).await;
    assert!(
        outcome.text.contains("could not run the release"),
        "{outcome:?}"
    );
    app.serves("v1").await;
    app.is_clean(Some(1)).await;

    let deploy = app.upload("v3", &Image::without_its_program()).await;
    assert_eq!(deploy.end().await, "RolledBack");
    let outcome = app.outcome(&deploy).await;
    assert!(outcome.text.contains("/missing"), "{outcome:?}");
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_exits_under_traffic_is_rolled_back() {
    let app = App::with_v1("exits").await;
    let deploy = app
        .upload("v2", &Image::hello("v2", &["HELLO_EXIT_AFTER=3"]))
        .await;
    assert_eq!(deploy.end().await, "RolledBack");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    assert_eq!(app.outcome(&deploy).await.kind, "rolledBack");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_starts_slowly_is_waited_for() {
    let app = App::new("slow").await;
    let deploy = app
        .upload("v1", &Image::hello("v1", &["HELLO_START_AFTER=4"]))
        .await;
    assert_eq!(deploy.end().await, "SUCCEEDED");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_first_deploy_that_fails_leaves_nothing() {
    let app = App::new("first").await;
    let deploy = app
        .upload("v1", &Image::hello("v1", &["HELLO_HEALTH=503"]))
        .await;
    assert_eq!(deploy.end().await, "RolledBack");
    app.is_clean(None).await;
    let outcome = app.outcome(&deploy).await;
    assert!(outcome.text.contains("Nothing is live"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn each_way_to_run_again_gives_what_it_says() {
    let app = App::with_v1("again").await;
    // Every layout and compression that docker save and a pipe give.
    let zstd = Image::packed("v2", &[], "docker", "zstd");
    let second = app
        .upload_to(&format!("{}/v2.tar.zst", app.place), &zstd.bytes)
        .await;
    assert_eq!(second.end().await, "SUCCEEDED");
    app.serves("v2").await;

    // Settings: the live version again, with them.
    let config = app
        .upload_to(
            &format!("{}/config.env", app.place),
            b"GREETING=Good evening\n",
        )
        .await;
    assert_eq!(config.end().await, "SUCCEEDED");
    let (_, body) = exuvia_end_to_end::client::ask(&app.host).await;
    assert!(
        body.contains("Good evening") && body.contains("\"version\":\"v2\""),
        "{body}"
    );

    // An earlier release: its artifact and its settings, which were none.
    let first = app.start(app.input(&json!({"release": 1}))).await;
    assert_eq!(first.end().await, "SUCCEEDED");
    let (_, body) = exuvia_end_to_end::client::ask(&app.host).await;
    assert!(
        body.contains("Hello, world") && body.contains("\"version\":\"v1\""),
        "{body}"
    );

    // A version by name, with the newest settings.
    let version = app.start(app.input(&json!({"version": "v2"}))).await;
    assert_eq!(version.end().await, "SUCCEEDED");
    let (_, body) = exuvia_end_to_end::client::ask(&app.host).await;
    assert!(
        body.contains("Good evening") && body.contains("\"version\":\"v2\""),
        "{body}"
    );

    // What is live again, on fresh instances.
    let live = app.start(app.input(&json!({}))).await;
    assert_eq!(live.end().await, "SUCCEEDED");
    app.serves("v2").await;
    app.is_clean(Some(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_new_fleet_is_as_large_as_the_live_one_has_grown() {
    let app = App::with_v1("grows").await;
    app.scale(1, 3).await;
    let deploy = app
        .upload("v2", &Image::hello("v2", &["HELLO_START_AFTER=2"]))
        .await;
    deploy.reaches("Check Health").await;
    assert_eq!(app.desired(2).await, 3);
    // It grows once more while the new fleet boots.
    app.scale(1, 4).await;
    assert_eq!(deploy.end().await, "SUCCEEDED");
    assert_eq!(app.desired(2).await, 4);
    app.is_clean(Some(2)).await;
}
