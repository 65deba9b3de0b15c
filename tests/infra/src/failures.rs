//! A boot that fails says at once where and why, in the ledger and on the console, and what to do about it.

use crate::instance::{AMAZON_LINUX, DEBIAN, Instance};

const ARTIFACT: &str = "s3/artifacts/hello/qa/3f2a1c.tar.gz@v1";
const DENIED: &str = "An error occurred (AccessDenied) when calling the get-object operation";

fn launched() -> Instance {
    Instance::launched(&AMAZON_LINUX)
}

fn with_config(instance: Instance) -> Instance {
    instance.pins("config", "hello/qa/config.env", "A=1")
}

fn loops(instance: Instance, says: &str) -> Instance {
    instance
        .docker("events", "3 100\n3 101\n3 102\n")
        .docker("logs", says)
}

/// The instance, the step, what the sentence begins with and what it ends with, the last line of output.
type Case = (
    Instance,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

#[test]
fn a_boot_that_cannot_get_its_release_says_why() {
    let refused = |error: &str| launched().write(&format!("{ARTIFACT}.refused"), error);
    check(vec![
        (
            launched().without(ARTIFACT),
            "download",
            "the artifact hello/qa/3f2a1c.tar.gz could not be downloaded: ",
            "access denied; it was deleted, or the InstanceRole or the KMS key's policy does not allow it",
            DENIED,
        ),
        (
            refused("NoSuchVersion"),
            "download",
            "the artifact hello/qa/3f2a1c.tar.gz could not be downloaded: ",
            "it was deleted; upload it again, or deploy another release",
            "An error occurred (NoSuchVersion) when calling the get-object operation",
        ),
        (
            refused("KMS.DisabledException"),
            "download",
            "the artifact hello/qa/3f2a1c.tar.gz could not be downloaded: ",
            "the KMS key is disabled or to be deleted; enable it, then deploy again",
            "An error occurred (KMS.DisabledException) when calling the get-object operation",
        ),
        (
            launched().write("breaks", "10"),
            "download",
            "the artifact hello/qa/3f2a1c.tar.gz could not be downloaded: ",
            "see the output",
            "Connection broken: IncompleteRead",
        ),
        (
            launched().write(ARTIFACT, "other bytes"),
            "verify",
            "the artifact hello/qa/3f2a1c.tar.gz is not what the manifest pins: its SHA-256 is ",
            "",
            "",
        ),
        (
            with_config(launched()).write("s3/artifacts/hello/qa/config.env@v1", "A=2"),
            "verify",
            "the config hello/qa/config.env is not what the manifest pins: its SHA-256 is ",
            "",
            "",
        ),
    ]);
}

#[test]
fn a_boot_that_cannot_prepare_its_system_says_why() {
    check(vec![
        (
            Instance::launched(&["aws", "curl", "dnf"]).write("dnf.fails", ""),
            "prepare",
            "docker could not be installed: ",
            "see the output",
            "E: Unable to locate package ",
        ),
        (
            launched().write("systemctl.fails", "").write(
                "journalctl.prints",
                "dockerd: failed to start: bad config\n",
            ),
            "prepare",
            "docker does not start: ",
            "see the last lines of its journal",
            "dockerd: failed to start: bad config",
        ),
        (
            launched().write("systemctl.fails", "").write(
                "journalctl.prints",
                "mkdir /var/lib/docker: no space left on device\n",
            ),
            "prepare",
            "docker does not start: no space left on device ",
            "; raise DiskGiB",
            "mkdir /var/lib/docker: no space left on device",
        ),
    ]);
}

#[test]
fn a_boot_that_cannot_load_its_image_says_why() {
    check(vec![
        (
            launched().docker_fails("load", "open manifest.json: no such file or directory"),
            "load",
            "docker cannot load hello/qa/3f2a1c.tar.gz: ",
            "is it what docker save writes?",
            "open manifest.json: no such file or directory",
        ),
        (
            launched().docker_fails("load", "write /layer.tar: no space left on device"),
            "load",
            "docker cannot load hello/qa/3f2a1c.tar.gz: no space left on device ",
            "; raise DiskGiB",
            "write /layer.tar: no space left on device",
        ),
        (
            launched().docker("load", ""),
            "load",
            "hello/qa/3f2a1c.tar.gz holds no image: make it with docker save",
            "",
            "",
        ),
    ]);
}

#[test]
fn a_container_that_does_not_stay_says_why() {
    check(vec![
        (
            launched().docker_fails("run", "exec: \"/hello\": no such file or directory"),
            "run",
            "docker cannot run the image hello:3f2a1c: ",
            "see the output",
            "exec: \"/hello\": no such file or directory",
        ),
        (
            launched().docker_fails(
                "run",
                "docker: Error response from daemon: No command specified.\n\nRun 'docker run --help' for more information\n",
            ),
            "run",
            "docker cannot run the image hello:3f2a1c: ",
            "the image has neither ENTRYPOINT nor CMD; add one to the Dockerfile",
            "docker: Error response from daemon: No command specified.",
        ),
        (
            launched().docker_fails(
                "run",
                "failed to initialize logging driver: AccessDeniedException",
            ),
            "run",
            "docker cannot run the image hello:3f2a1c: ",
            "the log driver does not start; see what it lacks, or change LogDriver",
            "failed to initialize logging driver: AccessDeniedException",
        ),
        (
            loops(launched(), "thread 'main' panicked\n"),
            "run",
            "the container exited with code 3 three times",
            "",
            "thread 'main' panicked",
        ),
        (
            // What the app says is its own affair, and no AWS error.
            loops(launched(), "AccessDenied: NoSuchKey\n"),
            "run",
            "the container exited with code 3 three times",
            "",
            "AccessDenied: NoSuchKey",
        ),
        (
            loops(launched(), "exec /hello: exec format error\n"),
            "run",
            "the container exited with code 3 three times: ",
            "a program in it is for another architecture than this instance's aarch64",
            "exec /hello: exec format error",
        ),
        (
            launched()
                .docker("events", "3 9999999999\n")
                .docker("logs", "out of memory\n"),
            "run",
            "the container exited with code 3 after ",
            " s",
            "out of memory",
        ),
        (
            launched().docker_fails("container-inspect", ""),
            "run",
            "the container is gone: something removed it",
            "",
            "",
        ),
    ]);
}

fn check(cases: Vec<Case>) {
    for (instance, step, starts, ends, last_line) in cases {
        let boot = instance.write("hooks", "warm-up\n").boots();
        assert!(!boot.succeeded, "{starts}");
        let report = boot.report.as_ref();
        let report = report.unwrap_or_else(|| panic!("no report of: {starts}\n{}", boot.console));
        assert_eq!(report["instanceId"], "i-0abc");
        assert_eq!(report["step"], step, "{report}");
        let error = report["error"].as_str().unwrap();
        assert!(error.starts_with(starts), "{report}");
        // Whatever has nothing to end with, ends there; but for a digest.
        let ends = if ends.is_empty() && !starts.ends_with(' ') {
            starts
        } else {
            ends
        };
        assert!(error.ends_with(ends), "{report}");
        let said = format!("exuvia: boot failed at {step}: {error}");
        assert!(boot.console.contains(&said), "{}", boot.console);
        let output = report["output"].as_array().unwrap();
        let last = output.last().and_then(|line| line.as_str());
        assert_eq!(last.unwrap_or_default(), last_line, "{report}");
        assert!(
            boot.console.ends_with(&format!("{last_line}\n")),
            "{}",
            boot.console
        );
        assert!(report["at"].as_str().unwrap().ends_with('Z'), "{report}");
        assert_eq!(
            boot.count("docker run") > 0,
            step == "run",
            "{}",
            boot.calls
        );
        // The hook hears of it once: as soon as the container runs it is too late for that.
        let answer = if step == "run" && !starts.starts_with("docker cannot run") {
            "CONTINUE"
        } else {
            "ABANDON"
        };
        let told = boot.call("aws autoscaling complete-lifecycle-action");
        assert!(
            told.contains(&format!("--lifecycle-action-result {answer} ")),
            "{told}"
        );
        assert_eq!(boot.count("aws autoscaling complete-lifecycle-action"), 1);
    }
}

#[test]
fn a_report_has_the_last_twenty_lines() {
    let lines: Vec<String> = (1..=30)
        .map(|n| format!("line {n} {}", "x".repeat(600)))
        .collect();
    let boot = loops(launched(), &lines.join("\n")).boots();
    let report = boot.report.unwrap();
    let output = report["output"].as_array().unwrap();
    assert_eq!(output.len(), 20);
    assert!(output[0].as_str().unwrap().starts_with("line 11 "));
    assert!(
        output
            .iter()
            .all(|line| line.as_str().unwrap().len() == 500)
    );
}

#[test]
fn without_a_ledger_the_console_says_it() {
    for tag in [
        "exuvia:app",
        "exuvia:environment",
        "exuvia:release",
        "exuvia:ledger",
    ] {
        let boot = launched().untagged(tag).boots();
        assert!(!boot.succeeded);
        let says = format!(
            "boot failed at identify: the tag {tag} is missing: only a group that Exuvia made can run this"
        );
        assert!(boot.console.contains(&says), "{}", boot.console);
        assert!(!boot.calls.contains("docker"), "{}", boot.calls);
    }
    let boot = launched().write("imds-failures", "11").boots();
    let says = "boot failed at identify: the instance metadata service does not answer: the launch template must leave it on";
    assert!(boot.console.contains(says), "{}", boot.console);
}

#[test]
fn without_the_aws_cli_the_console_says_it() {
    let boot = Instance::launched(&DEBIAN)
        .write("apt-get.fails", "")
        .boots();
    assert!(!boot.succeeded);
    for says in [
        "boot failed at download: the AWS CLI could not be installed: see the output\nE: Unable to locate package",
        "exuvia: the boot report could not be written: ",
    ] {
        assert!(boot.console.contains(says), "{}", boot.console);
    }
    assert_eq!(boot.count("docker"), 0, "{}", boot.calls);
}

#[test]
fn what_waiting_does_not_mend_is_not_waited_for() {
    let refused = |error: &str| {
        launched()
            .write(&format!("{ARTIFACT}.refused"), error)
            .boots()
    };
    assert_eq!(refused("NoSuchKey").count("docker load"), 1);
    assert_eq!(refused("KMS.DisabledException").count("docker load"), 1);
    assert_eq!(refused("AccessDenied").count("docker load"), 5);
    assert_eq!(refused("SlowDown").count("docker load"), 10);
}

#[test]
fn a_manifest_that_cannot_be_read_says_why() {
    let boot = launched().boots_after(String::clear);
    let report = boot.report.unwrap();
    assert_eq!(report["step"], "download");
    let says = "the manifest of release 42 could not be read: access denied";
    assert!(
        report["error"].as_str().unwrap().starts_with(says),
        "{report}"
    );
}
