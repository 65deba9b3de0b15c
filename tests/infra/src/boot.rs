//! What a boot does, and what it says when it cannot.

use crate::instance::{AMAZON_LINUX, Boot, DEBIAN, Instance};

fn launched() -> Instance {
    Instance::launched(&AMAZON_LINUX)
}

fn run_call(boot: &Boot) -> &str {
    boot.calls
        .lines()
        .find(|call| call.starts_with("docker run"))
        .unwrap_or_default()
}

#[test]
fn an_instance_runs_what_its_release_pins() {
    let boot = launched().boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert!(boot.report.is_none());
    assert!(
        boot.console
            .ends_with("exuvia: release 42 of hello in qa runs\n"),
        "{}",
        boot.console
    );
    assert!(
        boot.calls
            .contains("--key hello/qa/3f2a1c.tar.gz --version-id v1 "),
        "{}",
        boot.calls
    );
    let run = run_call(&boot);
    for part in [
        "--detach",
        "--net host",
        "--restart always",
        "awslogs-region=eu-central-1",
        "awslogs-group=/exuvia/hello/qa",
        "awslogs-stream=000042/i-0abc",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    assert!(run.ends_with(" hello:3f2a1c"), "{run}");
    let environment = ("PORT=8080\nRELEASE=42\nVERSION=3f2a1c\n".to_owned(), 0o600);
    assert_eq!(boot.environment, Some(environment));
}

#[test]
fn settings_reach_the_app_and_nobody_else() {
    let config = "GREETING=hello there\nPASSWORD=secret\nPORT=1\nRELEASE=0\nPORTAL=x";
    let boot = launched()
        .pins("config", "hello/qa/config.env", config)
        .boots();
    assert!(boot.succeeded, "{}", boot.console);
    let expected =
        "GREETING=hello there\nPASSWORD=secret\nPORTAL=x\nPORT=8080\nRELEASE=42\nVERSION=3f2a1c\n";
    assert_eq!(boot.environment, Some((expected.to_owned(), 0o600)));
    assert!(!boot.console.contains("secret") && !boot.calls.contains("secret"));
}

#[test]
fn settings_may_be_empty() {
    for config in ["", "PORT=1\n"] {
        let boot = launched()
            .pins("config", "hello/qa/config.env", config)
            .boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert_eq!(
            boot.environment.unwrap().0,
            "PORT=8080\nRELEASE=42\nVERSION=3f2a1c\n"
        );
    }
}

#[test]
fn what_the_system_lacks_is_installed() {
    let boot = Instance::launched(&DEBIAN).boots();
    assert!(boot.succeeded, "{}", boot.console);
    for call in [
        "--yes install docker.io",
        "--yes install awscli",
        "systemctl enable --now docker",
        "unattended-upgrade",
    ] {
        assert!(boot.calls.contains(call), "{call}: {}", boot.calls);
    }
    let boot = launched().boots();
    assert!(
        boot.calls
            .contains("dnf --assumeyes --quiet --releasever=latest --security upgrade"),
        "{}",
        boot.calls
    );
    assert!(!boot.calls.contains(" install "), "{}", boot.calls);
}

#[test]
fn updates_that_fail_do_not_stop_the_boot() {
    let boot = launched().write("dnf.fails", "").boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert!(
        boot.console.contains("security updates were not finished"),
        "{}",
        boot.console
    );
}

#[test]
fn a_network_that_is_late_is_waited_for() {
    let boot = launched().write("s3-failures", "4").boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert!(boot.report.is_none());
}

#[test]
fn an_instance_that_exuvia_did_not_launch_says_so() {
    let boot = launched()
        .without("metadata/tags/instance/exuvia:release")
        .boots();
    assert!(!boot.succeeded);
    let message = "boot failed at download: the tag exuvia:release is missing: only a group that Exuvia made can run this";
    assert!(boot.console.contains(message), "{}", boot.console);
    assert!(!boot.calls.contains("docker"), "{}", boot.calls);
}

#[test]
fn a_boot_that_fails_says_where_and_why() {
    let other = "s3/artifacts/hello/qa/3f2a1c.tar.gz@v1";
    let config = |instance: Instance| instance.pins("config", "hello/qa/config.env", "A=1");
    for (instance, step, error, last_line) in [
        (
            launched().write("no-manifest", ""),
            "download",
            "the manifest of release 42 could not be read: may the instance's role read the ledger?",
            "An error occurred (AccessDenied) when calling the GetObject operation",
        ),
        (
            launched().without(other),
            "download",
            "the artifact hello/qa/3f2a1c.tar.gz could not be downloaded: may the instance's role read it?",
            "An error occurred (AccessDenied) when calling the GetObject operation",
        ),
        (
            launched().write(other, "other bytes"),
            "verify",
            "the artifact hello/qa/3f2a1c.tar.gz is not what the manifest pins: its SHA-256 is ",
            "",
        ),
        (
            config(launched()).write("s3/artifacts/hello/qa/config.env@v1", "A=2"),
            "verify",
            "the config hello/qa/config.env is not what the manifest pins: its SHA-256 is ",
            "",
        ),
        (
            launched().docker_fails("load", "open manifest.json: no such file or directory"),
            "load",
            "docker cannot load hello/qa/3f2a1c.tar.gz",
            "open manifest.json: no such file or directory",
        ),
        (
            launched().docker("load", ""),
            "load",
            "hello/qa/3f2a1c.tar.gz holds no image: make it with docker save",
            "",
        ),
        (
            launched().docker_fails("run", "exec: \"/hello\": no such file or directory"),
            "run",
            "docker cannot run the image hello:3f2a1c",
            "exec: \"/hello\": no such file or directory",
        ),
        (
            launched()
                .docker("events", "3 100\n3 101\n3 102\n")
                .docker("logs", "thread 'main' panicked\n"),
            "run",
            "the container exited with code 3 three times",
            "thread 'main' panicked",
        ),
        (
            launched()
                .docker("events", "3 9999999999\n")
                .docker("logs", "out of memory\n"),
            "run",
            "the container exited with code 3 after ",
            "out of memory",
        ),
        (
            launched().docker_fails("inspect", ""),
            "run",
            "the container is gone",
            "",
        ),
    ] {
        let boot = instance.boots();
        assert!(!boot.succeeded, "{error}");
        let report = boot
            .report
            .unwrap_or_else(|| panic!("no report of: {error}\n{}", boot.console));
        assert_eq!(
            (report["instanceId"].as_str(), report["step"].as_str()),
            (Some("i-0abc"), Some(step)),
            "{error}"
        );
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|found| found.starts_with(error)),
            "{report}"
        );
        let output = report["output"].as_array().unwrap();
        assert_eq!(
            output
                .last()
                .and_then(|line| line.as_str())
                .unwrap_or_default(),
            last_line,
            "{error}"
        );
        assert!(report["at"].as_str().unwrap().ends_with('Z'), "{report}");
        let ran = boot.calls.contains("docker run");
        assert_eq!(ran, step == "run", "{error}: {}", boot.calls);
    }
}

#[test]
fn a_container_that_takes_a_second_try_has_started() {
    let boot = launched().docker("events", "1 100\n1 101\n").boots();
    assert!(boot.succeeded, "two exits are not a loop: {}", boot.console);
}
