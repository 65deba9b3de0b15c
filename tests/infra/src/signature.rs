//! Only what the pipeline signed is run, and only as the release that it was signed for. `aws kms verify` is `openssl`.

use serde_json::json;

use crate::instance::{AMAZON_LINUX, Boot, Instance, SIGNING_KEY};

fn launched() -> Instance {
    Instance::launched(&AMAZON_LINUX)
}

/// Nothing of it was even fetched.
fn is_refused(boot: &Boot, says: &str) {
    assert!(!boot.succeeded, "{says}");
    let report = boot.report.as_ref();
    let report = report.unwrap_or_else(|| panic!("no report of: {says}\n{}", boot.console));
    assert_eq!(report["step"], "verify", "{report}");
    assert_eq!(report["error"], says);
    assert_eq!(boot.count("docker"), 0, "{}", boot.calls);
    assert_eq!(boot.count("dnf"), 0, "{}", boot.calls);
    assert!(!boot.calls.contains("--version-id"), "{}", boot.calls);
}

#[test]
fn a_manifest_that_was_changed_runs_nothing() {
    let forged = format!(
        "the manifest of release 42 is not what {SIGNING_KEY} signed: find out who wrote to the ledger"
    );
    for (was, is) in [
        ("3f2a1c.tar.gz", "evil.tar.gz"),
        ("8080", "8081"),
        ("{", "{ "),
    ] {
        let boot = launched().boots_after(|manifest| *manifest = manifest.replacen(was, is, 1));
        is_refused(&boot, &forged);
    }
    let boot = launched().key("other").signed_with(Some("other")).boots();
    is_refused(&boot, &forged);
}

#[test]
fn a_signed_manifest_of_another_release_runs_nothing() {
    for (field, value, is) in [
        ("/release", json!(41), "release 41 of hello in qa"),
        ("/app", json!("shop"), "release 42 of shop in qa"),
        ("/environment", json!("prod"), "release 42 of hello in prod"),
    ] {
        let boot = launched().manifest(field, value).boots();
        let says =
            format!("the manifest of release 42 is that of {is}: find out who wrote to the ledger");
        is_refused(&boot, &says);
    }
}

#[test]
fn without_signature_or_key_nothing_runs() {
    let unsigned = "the manifest of release 42 is not signed: deploy the version again";
    is_refused(&launched().signed_with(None).boots(), unsigned);
    for signature in ["", "no base64!"] {
        let metadata = json!({"signature": signature}).to_string();
        let boot = launched()
            .signed_with(None)
            .write(
                "s3/the-ledger/hello/qa/releases/000042.json.metadata",
                metadata,
            )
            .boots();
        is_refused(&boot, unsigned);
    }
    let boot = launched().untagged("exuvia:signing-key").boots();
    is_refused(
        &boot,
        "the tag exuvia:signing-key is missing: only a group that Exuvia made can run this",
    );
}

#[test]
fn a_key_that_does_not_answer_runs_nothing() {
    for (error, says) in [
        (
            "AccessDeniedException",
            "access denied; it was deleted, or the InstanceRole or the KMS key's policy does not allow it",
        ),
        (
            "DisabledException",
            "the KMS key is disabled or to be deleted; enable it, then deploy again",
        ),
    ] {
        let boot = launched().write("aws/verify", error).boots();
        let says =
            format!("the manifest's signature could not be verified with {SIGNING_KEY}: {says}");
        is_refused(&boot, &says);
    }
}
