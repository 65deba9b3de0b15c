//! Bad input: refused with a notice that names what and why, and nothing touched.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_is_no_image_is_refused() {
    let app = App::new("noimage").await;
    let good = Image::hello("v1", &[]).bytes;
    for (version, bytes, says) in [
        ("empty", vec![], "is empty"),
        (
            "text",
            b"this is not an image\n".to_vec(),
            "not an image archive",
        ),
        ("cut", good[..good.len() / 2].to_vec(), "ends too early"),
        (
            "tar",
            Image::of_files(&[("readme.txt", b"hello")]).bytes,
            "holds no image",
        ),
        (
            "nocommand",
            Image::without_command().bytes,
            "neither ENTRYPOINT nor CMD",
        ),
        (
            "machine",
            Image::for_another_machine().bytes,
            "for another architecture: it is for s390x",
        ),
    ] {
        let deploy = app.upload(version, &Image::of_bytes(&bytes)).await;
        assert_eq!(deploy.end().await, "Rejected", "{version}");
        let outcome = app.outcome(&deploy).await;
        assert_eq!(outcome.kind, "rejected");
        assert!(outcome.text.contains(says), "{version}: {outcome:?}");
    }
    app.is_clean(None).await;
    assert_eq!(app.releases().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn keys_outside_the_grammar_are_refused() {
    let app = App::new("keys").await;
    let place = &app.place;
    for (key, says) in [
        (format!("{place}/v1.zip"), "ends in neither"),
        (format!("{place}/more/v1.tar.gz"), "4 parts"),
        (format!("{place}/v 1.tar.gz"), "version \"v 1\""),
        (
            format!("{place}/{}.tar.gz", "v".repeat(200)),
            "1 to 128 letters",
        ),
    ] {
        let deploy = app.upload_to(&key, b"anything").await;
        assert_eq!(deploy.end().await, "Rejected", "{key}");
        let outcome = app.outcome(&deploy).await;
        assert!(outcome.text.contains(says), "{key}: {outcome:?}");
    }
    app.is_clean(None).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn mistaken_inputs_are_refused_by_the_fields_name() {
    let app = App::new("inputs").await;
    for (more, says) in [
        (json!({"realese": 1}), "unknown field 'realese'"),
        (json!({"release": "1"}), "release: invalid type"),
        (json!({"release": 7}), "no release 7"),
        (json!({"version": "none"}), "no artifact of version none"),
        (
            json!({"artifact": {"key": "inputs/test/none.tar.gz"}}),
            "no artifact inputs/test/none.tar.gz",
        ),
        (json!({"app": 7}), "app: invalid type"),
        (json!({}), "Nothing is live in inputs/test yet"),
    ] {
        let input = app.input(&more);
        let deploy = app.start(input.clone()).await;
        assert_eq!(deploy.end().await, "Rejected", "{input}");
        if input["app"].is_string() {
            let outcome = app.outcome(&deploy).await;
            assert!(outcome.text.contains(says), "{input}: {outcome:?}");
        }
    }
    let unknown = json!({"app": app.place.app, "environment": "nowhere"});
    let deploy = app.start(unknown).await;
    assert_eq!(deploy.end().await, "Rejected");
    let outcome = app.outcome(&deploy).await;
    assert!(
        outcome.text.contains("/exuvia/inputs/nowhere"),
        "{outcome:?}"
    );
    app.is_clean(None).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_target_that_aws_would_refuse_is_refused_before() {
    let app = App::new("target").await;
    let good = Image::hello("v1", &[]);
    let broken: [(&str, Value, Value, &str); 3] = [
        ("/capacity/min", json!(9), json!(2), "capacity.min is 9"),
        (
            "/subnets",
            json!([]),
            json!(["subnet-1"]),
            "subnets is empty",
        ),
        (
            "/healthCheck/path",
            json!("health"),
            json!("/health"),
            "healthCheck.path is \"health\"",
        ),
    ];
    for (n, (pointer, bad, mended, says)) in broken.into_iter().enumerate() {
        app.change_target(pointer, bad).await;
        let deploy = app.upload(&format!("v{n}"), &good).await;
        assert_eq!(deploy.end().await, "Rejected", "{pointer}");
        let outcome = app.outcome(&deploy).await;
        assert!(outcome.text.contains(says), "{outcome:?}");
        app.change_target(pointer, mended).await;
    }
    app.is_clean(None).await;
}
