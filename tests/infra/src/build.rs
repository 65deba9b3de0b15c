//! What a builder does, and what it says when it cannot.

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::instance::{AMAZON_LINUX, Boot, DEBIAN, Instance};

const CONTEXT: [(&str, &str); 2] = [("Dockerfile", "FROM scratch\n"), ("src/main.rs", "")];

fn builder() -> Instance {
    Instance::builder(&AMAZON_LINUX, &CONTEXT)
}

fn unpacked(archive: &[u8]) -> String {
    let mut gzip = Command::new("gzip")
        .args(["--decompress", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut gzip.stdin.take().unwrap(), archive).unwrap();
    let mut text = String::new();
    gzip.stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(gzip.wait().unwrap().success());
    text
}

#[test]
fn a_builder_builds_what_its_order_pins() {
    for system in [&AMAZON_LINUX, &DEBIAN] {
        let built = Instance::builder(system, &CONTEXT).boots();
        assert!(built.succeeded, "{}", built.console);
        assert!(
            built.console.ends_with("exuvia: hello 3f2a1c is built\n"),
            "{}",
            built.console
        );
        let download = built.call("aws s3api get-object --bucket artifacts");
        assert!(
            download.contains("--key hello/qa/3f2a1c.src.tar.gz --version-id v1 "),
            "{download}"
        );
        let command = built.call("docker build");
        assert!(command.contains("--tag hello:3f2a1c "), "{command}");
        assert_eq!(built.context, ["Dockerfile", "src"]);
        let upload = built.call("aws s3 cp");
        assert!(
            upload.contains("--metadata exuvia-build=0123456789ab "),
            "{upload}"
        );
        let uploaded = built.uploaded.unwrap();
        let report = built.report.unwrap();
        assert_eq!(report["status"], "built");
        assert_eq!(report["artifact"]["key"], "hello/qa/3f2a1c.tar.gz");
        assert_eq!(report["artifact"]["size"], uploaded.len());
        assert_eq!(unpacked(&uploaded), "the image");
    }
}

#[test]
fn a_context_may_sit_in_a_directory() {
    let files = [
        ("hello-1.0/Dockerfile", "FROM scratch\n"),
        ("hello-1.0/a", ""),
    ];
    let built = Instance::builder(&AMAZON_LINUX, &files).boots();
    assert!(built.succeeded, "{}", built.console);
    assert_eq!(built.context, ["Dockerfile", "a"]);
}

#[test]
fn a_network_that_is_late_is_waited_for() {
    let built = builder()
        .write("unreachable", "3")
        .write("breaks", "1")
        .boots();
    assert!(built.succeeded, "{}", built.console);
}

#[test]
fn the_end_of_what_docker_said_is_reported() {
    let lines: Vec<String> = (1..=200).map(|number| format!("line {number}")).collect();
    let failed = builder().docker_fails("build", &lines.join("\n")).boots();
    let report = failed.report.unwrap();
    let output = report["output"].as_array().unwrap();
    assert_eq!(output.len(), 50);
    assert_eq!(
        (&output[0], &output[49]),
        (&json!("line 151"), &json!("line 200"))
    );
}

fn fails(instance: &Instance, step: &str, error: &str) -> Boot {
    let failed = instance.boots();
    assert!(!failed.succeeded, "{error}");
    let report = failed
        .report
        .clone()
        .unwrap_or_else(|| panic!("no report of: {error}\n{}", failed.console));
    assert_eq!(report["status"], "failed", "{report}");
    assert_eq!(report["step"], step, "{report}");
    let found = report["error"].as_str().unwrap();
    assert!(found.starts_with(error), "{error}: {found}");
    assert_eq!(failed.uploaded, None, "{error}");
    failed
}

#[test]
fn a_build_that_fails_says_where_and_why() {
    let source = "s3/artifacts/hello/qa/3f2a1c.src.tar.gz@v1";
    let no_dockerfile = Instance::builder(&AMAZON_LINUX, &[("dockerfile", ""), ("a", "")]);
    for (instance, step, error) in [
        (
            builder().write(source, "other bytes"),
            "verify",
            "the source hello/qa/3f2a1c.src.tar.gz is not what the order pins: its SHA-256 is ",
        ),
        (
            builder().without(source),
            "download",
            "the source hello/qa/3f2a1c.src.tar.gz could not be downloaded: access denied",
        ),
        (
            builder().pins("source", "hello/qa/3f2a1c.src.tar.gz", "no archive"),
            "unpack",
            "the source hello/qa/3f2a1c.src.tar.gz cannot be unpacked: is it a tar archive that gzip has packed?",
        ),
        (
            no_dockerfile,
            "unpack",
            "the source hello/qa/3f2a1c.src.tar.gz has no Dockerfile at its top",
        ),
        (
            builder().docker_fails("build", "ERROR: process \"make\" did not complete"),
            "build",
            "docker cannot build it: see the last lines of its output",
        ),
        (
            builder().docker_fails("build", "write /a: no space left on device"),
            "build",
            "docker cannot build it: no space left on device",
        ),
        (
            builder().docker_fails("save", "unexpected EOF"),
            "save",
            "docker cannot save the image",
        ),
        (
            builder().write("aws/cp", "AccessDenied"),
            "upload",
            "the image could not be uploaded to hello/qa/3f2a1c.tar.gz: access denied",
        ),
    ] {
        let failed = fails(&instance, step, error);
        let ran = failed.calls.contains("docker build");
        assert_eq!(ran, ["build", "save", "upload"].contains(&step), "{error}");
    }
}

#[test]
fn nothing_is_built_that_is_not_signed_for_this_build() {
    let signed = builder().signed_with(None).boots();
    assert!(!signed.succeeded);
    let error = signed.report.unwrap()["error"].to_string();
    assert!(
        error.contains("the order of build 0123456789ab is not signed"),
        "{error}"
    );
    let forged = builder().boots_after(|order| *order = order.replace("3f2a1c", "4a3b2c"));
    assert!(!forged.succeeded && !forged.calls.contains("docker build"));
    let error = forged.report.unwrap()["error"].to_string();
    assert!(error.contains("is not what "), "{error}");
    fails(
        &builder().manifest("/build", json!("ffffffffffff")),
        "verify",
        "the order of build 0123456789ab is that of build ffffffffffff of hello in qa",
    );
    // A release's manifest is signed as well.
    fails(
        &builder().manifest("/build", json!(null)),
        "verify",
        "the order of build 0123456789ab is that of build  of hello in qa",
    );
}
