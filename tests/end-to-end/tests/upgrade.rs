//! An upgrade of the pipeline while a deploy runs. It concerns every app, so it has a program of its own, which runs when
//! all other scenarios have ended.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use aws_sdk_s3::primitives::ByteStream;
use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::setting;
use serde_json::json;
use tokio::process::Command;
use zip::write::SimpleFileOptions;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_deploy_keeps_its_code_while_the_pipeline_is_upgraded() {
    let app = App::with_v1("upgrade").await;
    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Wait For Boot").await;

    let sound = PathBuf::from(setting("EXUVIA_PIPELINE_TEMPLATE"));
    let broken = Box::pin(with_functions_that_only_fail(&app, &sound)).await;
    update(&broken).await;
    // The upgrade is in force: what starts now runs the new code.
    let new = app.start(app.input(&json!({"version": "v1"}))).await;
    new.fails_at("Validate").await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.serves("v2").await;

    update(&sound).await;
    // Unless it has used up its tries by now, and has ended without having touched anything.
    if new.status().await == "RUNNING" {
        new.stop().await;
        app.recovery_of(&new).await.end().await;
    }
    let next = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(next.end().await, "SUCCEEDED", "{:?}", next.path().await);
    let experience = user.experience().await;
    assert!(experience.failures.is_empty(), "{experience:?}");
    app.serves("v3").await;
    app.is_clean(Some(3)).await;
}

/// A copy of the packaged template in which the code of every function is one that ends at once.
async fn with_functions_that_only_fail(app: &App, template: &Path) -> PathBuf {
    let mut code = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    code.start_file("bootstrap", options).unwrap();
    code.write_all(b"#!/bin/sh\nexit 1\n").unwrap();
    let code = code.finish().unwrap().into_inner();

    let text = fs::read_to_string(template).unwrap();
    let bucket = code_bucket(&text);
    let key = "only-fails.zip";
    let put = app.s3.put_object().bucket(bucket).key(key);
    put.body(ByteStream::from(code)).send().await.unwrap();
    let broken: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("CodeUri: s3://") {
            Some((indent, _)) => format!("{indent}CodeUri: s3://{bucket}/{key}"),
            None => line.to_owned(),
        })
        .collect();
    let path = template.with_file_name("only-fails.yaml");
    fs::write(&path, broken.join("\n")).unwrap();
    path
}

/// The bucket that the functions' code is in.
fn code_bucket(template: &str) -> &str {
    let mut uris = template
        .lines()
        .filter_map(|line| line.trim().strip_prefix("CodeUri: s3://"));
    let uri = uris.next().expect("functions, with code in S3");
    uri.split_once('/').unwrap().0
}

async fn update(template: &Path) {
    let text = fs::read_to_string(template).unwrap();
    let output = Command::new("aws")
        .args([
            "cloudformation",
            "deploy",
            "--stack-name",
            "exuvia",
            "--template-file",
        ])
        .arg(template)
        // The template is too long to be sent with the call.
        .args(["--s3-bucket", code_bucket(&text)])
        .args(["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"])
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
