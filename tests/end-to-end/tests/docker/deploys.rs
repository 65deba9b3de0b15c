//! Deploys to machines that are in order.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::{User, ask};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::images::image;
use crate::machines::{self, ONE, app, app_with, consoles, files_with, nothing_is_left_but};

/// For what takes seconds, on a busy computer.
const PATIENCE: Duration = Duration::from_mins(3);
const GREETING: &str = r#"it's "$HOME" `id` \ two  words = 1"#;
const SECRET: &str = r#"hunter2 $(id) 'x' "y" #z"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_version_replaces_another_and_settings_arrive_as_they_are_written_and_stay_secret() {
    let app = app_with("replaced", &["BakeSeconds=60"]).await;
    let first = app.upload("v1", &image("v1").await).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    app.serves("v1").await;

    let user = User::of(&app.host);
    let config = format!("GREETING={GREETING}\n# SECRET=no\nSECRET={SECRET}\n");
    let key = format!("{}/config.env", app.place);
    let second = app.upload_to(&key, config.as_bytes()).await;
    assert_eq!(second.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    let experience = user.experience().await;
    assert!(
        experience.failures.is_empty() && experience.answered > 100,
        "{experience:?}"
    );
    let (_, body) = ask(&app.host).await;
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["greeting"], GREETING);
    let live = app.instances().await;
    assert_eq!(live.len(), 2);
    app.is_clean(Some(2)).await;
    nothing_is_left_but(&app, &live).await;

    for id in &live {
        is_kept_from_others(id);
        assert!(
            logged(&app, id, 2)
                .await
                .contains("hello v1 listens on port 8080")
        );
    }
    for (id, said) in consoles(&app) {
        assert!(!said.contains("hunter2"), "{id} said {said}");
    }
    for notice in app.notices().await {
        assert!(!notice.text.contains("hunter2"), "{notice:?}");
    }
    let history = Value::from(app.history(&second.arn).await).to_string();
    assert!(history.contains("000002") && !history.contains("hunter2"));
}

/// The settings reach the container, and nobody else: on the machine only root reads them, and what is written to the
/// disk is docker's own.
fn is_kept_from_others(id: &str) {
    let root = machines::process(id).unwrap().join("root");
    let environments = std::fs::read_dir(machines::process(id).unwrap().join("root/proc"))
        .unwrap()
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("environ")).ok());
    let wanted = format!("\0SECRET={SECRET}\0");
    let reached = environments
        .filter(|environment| String::from_utf8_lossy(environment).contains(&wanted))
        .count();
    assert!(reached >= 1, "no process of {id} has the setting");

    let env = root.join("run/exuvia/env");
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&env), 0o600);
    assert_eq!(mode(env.parent().unwrap()), 0o700);
    let disk = machines::work(id).join("disk");
    assert_eq!(files_with("hunter2", &disk.join("changes")), []);
    let docker = files_with("hunter2", &disk.join("docker"));
    assert!(
        !docker.is_empty(),
        "docker has no settings: where are they?"
    );
    for (path, open) in docker {
        assert!(!open, "{} is for everybody to read", path.display());
    }
}

/// What the container said, where awslogs wrote it.
async fn logged(app: &App, id: &str, release: u32) -> String {
    let output = Command::new("aws")
        .args([
            "logs",
            "get-log-events",
            "--output",
            "text",
            "--query",
            "events[].message",
        ])
        .args(["--log-group-name", &format!("/exuvia/{}", app.place)])
        .args(["--log-stream-name", &format!("{release:06}/{id}")])
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn what_exits_once_it_has_the_traffic_is_rolled_back() {
    let app = app_with("exits-later", &[&ONE[..], &["BakeSeconds=300"]].concat()).await;
    let first = app.upload("v1", &image("v1").await).await;
    first.reaches("Bake").await;
    // It takes the place of nothing: v1 has moved the traffic, and finishes first.
    let second = app.upload("v2", &image("exits").await).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    assert_eq!(second.end().await, "RolledBack", "{:#?}", consoles(&app));
    let outcome = app.outcome(&second).await;
    assert!(
        outcome
            .text
            .contains("the container exited with code 1 after 1"),
        "{outcome:?}"
    );
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    nothing_is_left_but(&app, &app.instances().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_machine_that_is_rebooted_runs_its_release_again() {
    // Its load balancer is patient: it is not to be replaced meanwhile.
    let patient = ["UnhealthyThreshold=10", "HealthCheckInterval=60"];
    let app = app_with("reboots", &[&ONE[..], &patient].concat()).await;
    let deploy = app.upload("v1", &image("v1").await).await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    let live = app.instances().await;
    let [id] = &live[..] else { panic!("{live:?}") };
    let before = machines::process(id).unwrap();
    let reboot = Command::new("aws")
        .args(["ec2", "reboot-instances", "--instance-ids", id])
        .status();
    assert!(reboot.await.unwrap().success());
    until("another boot", || {
        machines::process(id).is_some_and(|now| now != before)
    })
    .await;

    let began = Instant::now();
    while ask(&app.host).await.0 != 200 {
        assert!(began.elapsed() < PATIENCE, "{:#?}", consoles(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.serves("v1").await;
    assert_eq!(app.instances().await, live);
    let (_, said) = &consoles(&app)[0];
    // By docker alone, and nobody was told of a boot that failed.
    assert_eq!(said.matches("exuvia: run\n").count(), 1, "{said}");
    assert!(!said.contains("boot failed"), "{said}");
    app.is_clean(Some(1)).await;
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "no {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_machine_that_is_not_asked_for_any_more_is_gone() {
    let app = app("shrinks", json!({})).await;
    let deploy = app.upload("v1", &image("v1").await).await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    app.scale(1, 2).await;
    let began = Instant::now();
    while consoles(&app)
        .iter()
        .filter(|(_, said)| said.contains("exuvia: run\n"))
        .count()
        < 2
    {
        assert!(began.elapsed() < PATIENCE, "{:#?}", consoles(&app));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    app.scale(1, 1).await;
    let began = Instant::now();
    while app.instances().await.len() > 1 {
        assert!(began.elapsed() < PATIENCE, "it is not terminated");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    nothing_is_left_but(&app, &app.instances().await).await;
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

/// It is ready when its boot has answered the launch lifecycle hook; nothing else could tell.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test --docker"]
async fn a_worker_is_ready_when_its_boot_says_so() {
    let listener = ["ListenerArn=", "LoadBalancerSecurityGroup="];
    let app = app_with(
        "working",
        &[&ONE[..], &listener, &["Worker=stopFirst"]].concat(),
    )
    .await;
    let first = app.upload("v1", &image("v1").await).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    let second = app.upload("v2", &image("v1").await).await;
    assert_eq!(second.end().await, "SUCCEEDED", "{:#?}", consoles(&app));
    let live = app.instances().await;
    assert_eq!(live.len(), 1);
    // It has a network of its own, and has been told no port.
    assert!(
        logged(&app, &live[0], 2)
            .await
            .contains("hello v2 listens on port 8080")
    );
    app.is_clean(Some(2)).await;
    nothing_is_left_but(&app, &live).await;
}
