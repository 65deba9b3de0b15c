//! What can go wrong in a boot: the deploy is rolled back, and its notice says why.

use aws_sdk_s3::primitives::ByteStream;
use exuvia_end_to_end::app::App;
use exuvia_end_to_end::execution::Execution;
use exuvia_end_to_end::setting;
use serde_json::{Value, json};

use crate::images::image;
use crate::machines::{app, consoles, nothing_is_left_but};

/// Time to change something between the launch of a machine and its first look at S3.
const LATE: u64 = 12;

/// Asserts that the deploy was rolled back for this reason, and that nothing is left of it.
async fn is_rolled_back(app: &App, deploy: &Execution, says: &[&str]) {
    let ended = deploy.end().await;
    let outcome = app.outcome(deploy).await;
    let told = format!("{outcome:#?}\n{:#?}", consoles(app));
    assert_eq!(ended, "RolledBack", "{told}");
    for says in says {
        assert!(outcome.text.contains(says), "no {says:?} in {told}");
    }
    app.is_clean(None).await;
    nothing_is_left_but(app, &[]).await;
}

/// Deploys an image to machines with these faults.
async fn fails(name: &str, built: &str, faults: Value, says: &[&str]) {
    let app = app(name, faults).await;
    let deploy = app.upload("v1", &image(built).await).await;
    is_rolled_back(&app, &deploy, says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn bytes_that_are_not_what_the_manifest_pins() {
    let says = ["is not what the manifest pins: its SHA-256 is "];
    fails("corrupt", "v1", json!({"s3Corrupts": true}), &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_manifest_that_somebody_has_changed() {
    let app = app("tampered", json!({"networkAfterSeconds": LATE})).await;
    let deploy = app.upload("v1", &image("v1").await).await;
    deploy.reaches("Launch").await;
    let (bucket, key) = (
        setting("EXUVIA_LEDGER_BUCKET"),
        "tampered/test/releases/000001.json",
    );
    let signed = app
        .s3
        .get_object()
        .bucket(&bucket)
        .key(key)
        .send()
        .await
        .unwrap();
    let metadata = signed.metadata.clone();
    let text = signed.body.collect().await.unwrap().into_bytes();
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    manifest["artifact"]["sha256"] = "0".repeat(64).into();
    app.s3
        .put_object()
        .bucket(&bucket)
        .key(key)
        .set_metadata(metadata)
        .body(ByteStream::from(manifest.to_string().into_bytes()))
        .send()
        .await
        .unwrap();
    let says = [
        "the manifest of release 1 is not what",
        "find out who wrote to the ledger",
    ];
    is_rolled_back(&app, &deploy, &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn an_artifact_that_is_deleted_after_it_was_validated() {
    let app = app("deleted", json!({"networkAfterSeconds": LATE})).await;
    let deploy = app.upload("v1", &image("v1").await).await;
    deploy.reaches("Launch").await;
    let manifest = app.ledger("releases/000001.json").await;
    let pinned = |name: &str| manifest["artifact"][name].as_str().unwrap().to_owned();
    app.s3
        .delete_object()
        .bucket(pinned("bucket"))
        .key(pinned("key"))
        .version_id(pinned("versionId"))
        .send()
        .await
        .unwrap();
    let says = ["deleted/test/v1.tar.gz could not be downloaded: it was deleted; upload it again"];
    is_rolled_back(&app, &deploy, &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_key_that_is_disabled() {
    let faults = json!({"s3RefusesWith": "KMS.DisabledException"});
    let says = ["could not be downloaded: the KMS key is disabled"];
    fails("disabled", "v1", faults, &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_disk_that_is_too_small() {
    let says = [
        "docker cannot load",
        "no space left on device",
        "raise DiskGiB",
    ];
    fails("small", "large", json!({"diskMib": 48}), &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_program_for_another_architecture() {
    let says = ["another architecture than this instance's"];
    fails("foreign", "foreign", json!({}), &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn docker_that_does_not_start() {
    let faults = json!({"dockerIsMisconfigured": true});
    fails(
        "dockerless",
        "v1",
        faults,
        &["docker does not start", "driver not supported"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_container_that_crashes_whenever_it_starts() {
    // It says something on standard output and on standard error; which is last, docker does not tell.
    let says = [
        "the container exited with code 1 three times",
        "its last line was \"hello ",
    ];
    fails("loops", "crashes", json!({}), &says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn what_is_not_one_image_with_a_command_is_refused_before() {
    let app = app("refused", json!({})).await;
    for (built, says) in [
        ("no-command", "neither ENTRYPOINT nor CMD"),
        ("several", "2 images"),
        ("relabelled", "the image is for another architecture"),
    ] {
        let deploy = app.upload(built, &image(built).await).await;
        assert_eq!(deploy.end().await, "Rejected", "{built}");
        let outcome = app.outcome(&deploy).await;
        assert!(outcome.text.contains(says), "{outcome:?}");
    }
    app.is_clean(None).await;
    assert!(consoles(&app).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn what_is_only_late_is_waited_for() {
    let late = async |name: &str, faults| {
        let app = app(name, faults).await;
        let deploy = app.upload("v1", &image("v1").await).await;
        assert_eq!(deploy.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
        app.serves("v1").await;
        app.is_clean(Some(1)).await;
        // No second one was needed.
        assert_eq!(consoles(&app).len(), 1);
    };
    tokio::join!(
        late("routeless", json!({"networkAfterSeconds": LATE})),
        late("taciturn", json!({"metadataAfterSeconds": 8})),
    );
}
