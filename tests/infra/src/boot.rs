//! What a boot does, in which order, and what it makes of a system that lacks something.

use serde_json::json;

use crate::instance::{AMAZON_LINUX, DEBIAN, Instance, SIGNING_KEY};

const HOOKS: &str = "warm-up\tregister\n";

fn launched() -> Instance {
    Instance::launched(&AMAZON_LINUX)
}

fn with_config(config: &str) -> Instance {
    launched().pins("config", "hello/qa/config.env", config)
}

#[test]
fn an_instance_runs_what_its_release_pins() {
    for system in [AMAZON_LINUX, DEBIAN] {
        let boot = Instance::launched(&system).boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert!(boot.report.is_none());
        let last = "exuvia: release 42 of hello in qa runs\n";
        assert!(boot.console.ends_with(last), "{}", boot.console);
        assert_eq!(boot.loaded.as_deref(), Some(&b"the image"[..]));
        // What is not yet verified decides nothing, and nothing runs before all of it is.
        let order = [
            "releases/000042.json",
            "kms verify --key-id arn:aws:kms:eu-central-1:1:key/pipeline --message fileb://",
            "upgrade",
            "systemctl enable --now docker",
            "--key hello/qa/3f2a1c.tar.gz --version-id v1 ",
            "docker load",
            "docker image inspect",
            "docker rm --force hello",
            "docker run",
            "describe-lifecycle-hooks --auto-scaling-group-name hello-qa-000042 ",
            "docker container inspect c0ffee",
        ];
        let found: Vec<usize> = order.iter().map(|part| boot.position(part)).collect();
        assert!(found.is_sorted(), "{found:?}: {}", boot.calls);
        let expected = ("PORT=8080\nRELEASE=42\nVERSION=3f2a1c\n".to_owned(), 0o600);
        assert_eq!(boot.environment, Some(expected));
    }
}

#[test]
fn the_container_logs_where_the_target_says() {
    let usual =
        "docker run --detach --name hello --net host --restart always --pull never --env-file ";
    let awslogs = "--log-driver awslogs --log-opt tag=hello/qa/000042/i-0abc --log-opt mode=non-blocking \
        --log-opt awslogs-region=eu-central-1 --log-opt awslogs-group=/exuvia/hello/qa \
        --log-opt awslogs-stream=000042/i-0abc hello:3f2a1c";
    let syslog = "--log-driver syslog --log-opt tag=hello/qa/000042/i-0abc --log-opt mode=non-blocking hello:3f2a1c";
    for (instance, log) in [
        (launched(), awslogs),
        (
            launched().manifest("/target/logDriver", json!("awslogs")),
            awslogs,
        ),
        (
            launched().manifest("/target/logDriver", json!("syslog")),
            syslog,
        ),
    ] {
        let boot = instance.boots();
        assert!(boot.succeeded, "{}", boot.console);
        let run = boot.call("docker run");
        assert!(run.starts_with(usual), "{run}");
        assert!(run.ends_with(&format!("/work/env {log}")), "{run}");
    }
}

#[test]
fn settings_reach_the_app_and_nobody_else() {
    // Docker takes each line as it is, so they must come through as they are.
    let kept = "GREETING=hello there\nPASSWORD=secret-word\nQUOTED=\"a 'b' $HOME `id` \\n\"\nUMLAUT=gr\u{fc}n\nPORTAL=x\n";
    let boot = with_config(&format!("PORT=1\n{kept}RELEASE=0\nVERSION=x")).boots();
    assert!(boot.succeeded, "{}", boot.console);
    let expected = format!("{kept}PORT=8080\nRELEASE=42\nVERSION=3f2a1c\n");
    assert_eq!(boot.environment, Some((expected, 0o600)));
    assert!(!boot.console.contains("secret") && !boot.calls.contains("secret"));
}

#[test]
fn settings_may_be_empty() {
    for config in ["", "PORT=1\n"] {
        let boot = with_config(config).boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert_eq!(
            boot.environment.unwrap().0,
            "PORT=8080\nRELEASE=42\nVERSION=3f2a1c\n"
        );
    }
}

#[test]
fn settings_never_get_into_a_report() {
    let secrets =
        "PASSWORD=hunter22\nLONGER=hunter22-and-more\nQUOTED=\"in \\quotes\"\nSHORT=abc\n";
    let said = "login hunter22 failed\n{\"key\":\"hunter22-and-more\"}\nin \\quotes, in \\\\quotes\nabc 3f2a1c\n";
    let boot = with_config(secrets)
        .docker("events", "3 100\n3 101\n3 102\n")
        .docker("logs", said)
        .boots();
    let masked = [
        "login *** failed",
        "{\"key\":\"***\"}",
        "***, in \\\\quotes",
        "abc 3f2a1c",
    ];
    let report = boot.report.unwrap();
    assert_eq!(report["output"], json!(masked));
    assert!(
        boot.console.contains(&masked.join("\n")),
        "{}",
        boot.console
    );
    assert!(!boot.console.contains("hunter22"), "{}", boot.console);
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
    let upgrade = "dnf --assumeyes --quiet --releasever=latest --security upgrade";
    assert!(boot.calls.contains(upgrade), "{}", boot.calls);
    assert!(!boot.calls.contains(" install "), "{}", boot.calls);

    let boot = Instance::launched(&["aws", "curl", "dnf"]).boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert_eq!(boot.count("dnf --assumeyes --quiet install docker"), 1);
}

#[test]
fn where_the_aws_cli_is_no_package_its_installer_is_run() {
    let boot = Instance::launched(&DEBIAN)
        .write("apt-get.fails", "awscli")
        .boots();
    assert!(boot.succeeded, "{}", boot.console);
    for call in [
        "--yes install unzip",
        "https://awscli.amazonaws.com/awscli-exe-linux-aarch64.zip",
        "unzip -q -o",
    ] {
        assert!(boot.calls.contains(call), "{call}: {}", boot.calls);
    }
}

#[test]
fn security_updates_are_left_out_only_if_the_target_says_so() {
    for (value, updates) in [
        (json!(null), true),
        (json!(true), true),
        (json!(false), false),
    ] {
        for (system, update) in [(AMAZON_LINUX, "dnf"), (DEBIAN, "unattended-upgrade")] {
            let instance = Instance::launched(&system);
            let boot = instance
                .manifest("/target/securityUpdates", value.clone())
                .boots();
            assert!(boot.succeeded, "{}", boot.console);
            assert_eq!(boot.count(update) > 0, updates, "{value}: {}", boot.calls);
        }
    }
}

#[test]
fn updates_that_fail_do_not_stop_the_boot() {
    for (system, fails) in [(AMAZON_LINUX, "dnf"), (DEBIAN, "unattended-upgrade")] {
        let boot = Instance::launched(&system)
            .write(&format!("{fails}.fails"), "")
            .boots();
        assert!(boot.succeeded, "{}", boot.console);
        let says = "security updates were not finished";
        assert!(boot.console.contains(says), "{}", boot.console);
        // A half-configured package would keep the next from being installed.
        assert_eq!(
            boot.count("dpkg --configure -a"),
            usize::from(system == DEBIAN)
        );
    }
}

#[test]
fn what_is_late_is_waited_for() {
    for instance in [
        launched().write("unreachable", "9"),
        launched().write("breaks", "9"),
        launched().write("imds-failures", "10"),
    ] {
        let boot = instance.boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert!(boot.report.is_none());
        assert_eq!(boot.loaded.as_deref(), Some(&b"the image"[..]));
    }
    let boot = launched().write("unreachable", "9").boots();
    let waited: u32 = boot
        .calls
        .lines()
        .filter_map(|call| call.strip_prefix("sleep "))
        .map(|s| s.parse::<u32>().unwrap())
        .sum();
    assert!(waited >= 60, "it waited {waited} s");
}

#[test]
fn a_launch_hook_is_told_as_soon_as_the_container_has_started() {
    let boot = launched().write("hooks", HOOKS).boots();
    assert!(boot.succeeded, "{}", boot.console);
    for hook in ["warm-up", "register"] {
        let told = format!(
            "complete-lifecycle-action --auto-scaling-group-name hello-qa-000042 --lifecycle-hook-name {hook} \
             --lifecycle-action-result CONTINUE --instance-id i-0abc"
        );
        assert!(boot.position("docker run") < boot.position(&told));
        assert!(boot.position(&told) < boot.position("docker container inspect"));
    }
    assert_eq!(boot.count("aws autoscaling complete-lifecycle-action"), 2);
}

#[test]
fn without_a_launch_hook_one_call_is_made_and_without_a_group_none() {
    let boot = launched().boots();
    assert_eq!(boot.count("aws autoscaling"), 1, "{}", boot.calls);
    let boot = launched().untagged("aws:autoscaling:groupName").boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert_eq!(boot.count("aws autoscaling"), 0, "{}", boot.calls);
}

#[test]
fn a_launch_hook_that_cannot_be_told_is_said_on_the_console() {
    for (operation, says) in [
        (
            "describe-lifecycle-hooks",
            "the lifecycle hooks of hello-qa-000042 cannot be listed: access denied",
        ),
        (
            "complete-lifecycle-action",
            "the lifecycle hook warm-up could not be told CONTINUE: An error occurred (AccessDenied)",
        ),
    ] {
        let boot = launched()
            .write("hooks", HOOKS)
            .write(&format!("aws/{operation}"), "AccessDenied")
            .boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert!(boot.console.contains(says), "{}", boot.console);
    }
}

#[test]
fn a_second_run_ends_as_the_first() {
    // The first was cut off somewhere: all that it had made is still there.
    let instance = with_config("A=1\n").write("hooks", HOOKS);
    let (first, second) = (instance.boots(), instance.boots());
    assert!(first.succeeded && second.succeeded, "{}", second.console);
    assert_eq!(first.environment, second.environment);
    assert_eq!(first.loaded, second.loaded);
    assert!(second.position("docker rm --force hello") < second.position("docker run"));
}

#[test]
fn the_key_is_that_of_the_tag() {
    let other = "arn:aws:kms:eu-central-1:1:key/other";
    for key in [SIGNING_KEY, other] {
        let name = if key == other { "other" } else { "pipeline" };
        let boot = launched()
            .key("other")
            .signed_with(Some(name))
            .tagged("exuvia:signing-key", key)
            .boots();
        assert!(boot.succeeded, "{}", boot.console);
        assert!(boot.calls.contains(&format!("kms verify --key-id {key} ")));
    }
}
