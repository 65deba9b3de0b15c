//! Sources that a builder with docker makes an image of, or cannot.

use std::path::Path;
use std::process::Stdio;

use exuvia_end_to_end::image::static_hello;
use tokio::process::Command;

use crate::machines::{ONE, app_with, consoles, nothing_is_left_but};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_source_is_built_and_what_was_built_is_deployed() {
    let app = app_with("sourced", &ONE).await;
    app.set_up_builder().await;
    let dockerfile =
        "FROM scratch\nCOPY bin/hello /hello\nENV GREETING=built\nENTRYPOINT [\"/hello\"]\n";
    let build = app.upload_source("v1", &context(dockerfile).await).await;
    assert_eq!(build.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    assert_eq!(app.outcome_of_build(&build).await.kind, "built");
    let deploy = app.deploy_of("v1").await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    nothing_is_left_but(&app, &app.instances().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_source_that_docker_cannot_build_says_why_and_leaves_nothing() {
    let app = app_with("unsourced", &ONE).await;
    app.set_up_builder().await;
    for (version, source, says) in [
        (
            "v1",
            context("FROM scratch\nCOPY missing /hello\n").await,
            ["docker cannot build it", "COPY failed"],
        ),
        (
            "v2",
            b"no archive".to_vec(),
            ["cannot be unpacked", "not in gzip format"],
        ),
    ] {
        let build = app.upload_source(version, &source).await;
        assert_eq!(build.end().await, "BuildFailed", "{:#?}", consoles(&app));
        let outcome = app.outcome_of_build(&build).await;
        assert_eq!(outcome.kind, "buildFailed");
        for part in says {
            assert!(outcome.text.contains(part), "{part}: {outcome:?}");
        }
    }
    assert_eq!(app.groups().await, [""; 0]);
    nothing_is_left_but(&app, &[]).await;
}

/// A build context, packed as `git archive` does, with hello in a directory of its own.
async fn context(dockerfile: &str) -> Vec<u8> {
    let directory = std::env::temp_dir().join(format!(
        "exuvia-context-{}-{}",
        std::process::id(),
        dockerfile.len()
    ));
    std::fs::create_dir_all(directory.join("bin")).unwrap();
    std::fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    std::fs::copy(static_hello(), directory.join("bin/hello")).unwrap();
    let packed = pack(&directory).await;
    std::fs::remove_dir_all(&directory).unwrap();
    packed
}

async fn pack(directory: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--gzip", "--file", "-", "--directory"])
        .arg(directory)
        .arg(".")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    output.stdout
}
