//! What somebody does who can write to the ledger, and so to the manifests.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::setting;
use serde_json::{Value, json};

/// The bytes of a release's manifest, and its signature.
async fn manifest(app: &App, release: u32) -> (Vec<u8>, Option<String>) {
    let object = app
        .s3
        .get_object()
        .bucket(setting("EXUVIA_LEDGER_BUCKET"))
        .key(format!("{}/releases/{release:06}.json", app.place));
    let object = object.send().await.unwrap();
    let metadata = object.metadata().cloned().unwrap_or_default();
    let bytes = object.body.collect().await.unwrap().to_vec();
    (bytes, metadata.get("signature").cloned())
}

/// Writes over the manifest of a release.
async fn write(app: &App, release: u32, bytes: &[u8], signature: Option<&str>) {
    let put = app
        .s3
        .put_object()
        .bucket(setting("EXUVIA_LEDGER_BUCKET"))
        .key(format!("{}/releases/{release:06}.json", app.place))
        .body(ByteStream::from(bytes.to_vec()));
    let put = match signature {
        Some(signature) => put.metadata("signature", signature),
        None => put,
    };
    put.send().await.unwrap();
}

/// What the first instance to report says of its failed boot.
async fn boot_report(app: &App, release: u32) -> Value {
    let began = Instant::now();
    loop {
        let listed = app
            .s3
            .list_objects_v2()
            .bucket(setting("EXUVIA_LEDGER_BUCKET"))
            .prefix(format!("{}/boot/{release:06}/", app.place));
        if let Some(object) = listed.send().await.unwrap().contents().first() {
            let prefix = format!("{}/", app.place);
            return app
                .ledger(object.key().unwrap().strip_prefix(&prefix).unwrap())
                .await;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "no boot report");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_instance_runs_no_manifest_but_the_one_that_was_signed_for_its_release() {
    let app = App::with_v1("forgery").await;
    let (first, signature) = manifest(&app, 1).await;
    let signature = signature.unwrap();

    // Another release's manifest with its own good signature, before the fleet's last instance boots.
    let slow = Image::hello("v2", &["HELLO_START_AFTER=4"]);
    let deploy = app.upload("v2", &slow).await;
    deploy.reaches("Check Health").await;
    write(&app, 2, &first, Some(&signature)).await;
    app.scale(1, 3).await;
    assert_eq!(deploy.end().await, "RolledBack");
    let outcome = app.outcome(&deploy).await;
    for says in [
        "could not verify the release",
        "is that of release 1 of forgery/test, put in its place",
    ] {
        assert!(outcome.text.contains(says), "{outcome:?}");
    }
    app.serves("v1").await;

    // Other bytes under the live release's signature: what is launched then does not run, and nothing is signed that
    // pins what they pin.
    let mut other: Value = serde_json::from_slice(&first).unwrap();
    other["artifact"]["sha256"] = json!("0".repeat(64));
    write(&app, 1, other.to_string().as_bytes(), Some(&signature)).await;
    app.scale(1, 4).await;
    let report = boot_report(&app, 1).await;
    let error = report["error"].as_str().unwrap();
    assert_eq!(report["step"], "verify", "{error}");
    assert!(error.contains("is not what the pipeline signed"), "{error}");
    for more in [
        json!({}),
        json!({"release": 1}),
        json!({"renew": {"olderThanHours": 0}}),
    ] {
        let again = app.start(app.input(&more)).await;
        assert_eq!(again.end().await, "Rejected", "{more}");
        let outcome = app.outcome(&again).await;
        let says = "is not what the pipeline signed";
        assert!(outcome.text.contains(says), "{more}: {outcome:?}");
    }

    // One without a signature, as those are that were made before there were any: only by its number.
    write(&app, 1, &first, None).await;
    let again = app.start(app.input(&json!({}))).await;
    assert_eq!(again.end().await, "Rejected");
    let outcome = app.outcome(&again).await;
    assert!(outcome.text.contains("bears no signature"), "{outcome:?}");
    let named = app.start(app.input(&json!({"release": 1}))).await;
    assert_eq!(named.end().await, "SUCCEEDED", "{:?}", named.path().await);
    assert!(manifest(&app, 3).await.1.is_some());
    app.serves("v1").await;
    app.is_clean(Some(3)).await;
}
