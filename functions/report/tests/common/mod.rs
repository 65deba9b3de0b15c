//! Reports to make pages of: recorded ones, and one in which every text is an attack.

#[path = "../../../core/src/report/histories/read.rs"]
mod read;

use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::report::{Index, LaunchFailure, Report, Told};

const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:exuvia-deploy";

/// The deploy state machine's ARN, for links and commands.
pub(crate) fn state_machine() -> &'static str {
    MACHINE
}

/// A report of a recorded history.
pub(crate) fn recorded(name: &str) -> Report {
    let text = match name {
        "replaced" => include_str!("../../../core/src/report/histories/replaced.json"),
        "running" => include_str!("../../../core/src/report/histories/running.json"),
        "rolled-back" => include_str!("../../../core/src/report/histories/rolled-back.json"),
        "stopped" => include_str!("../../../core/src/report/histories/stopped.json"),
        _ => include_str!("../../../core/src/report/histories/recovery.json"),
    };
    let mut report = read::report(&read::recorded(text));
    let notices = report.notices.clone();
    for (told, kind) in notices.into_iter().zip(["started", "succeeded"]) {
        let title = format!("hello/qa: {kind}");
        report = report.with_notice(Told {
            kind: Some(kind.to_owned()),
            title: Some(title),
            by: Some("deployer@example.com".to_owned()),
            ..told
        });
    }
    report.settings = serde_json::from_value(serde_json::json!({
        "added": {"first": ["GREETING"], "more": 0},
        "changed": {"first": ["DATABASE_URL", "LOG_LEVEL"], "more": 3},
        "removed": {"first": [], "more": 0},
    }))
    .ok();
    report.merged(None).unwrap()
}

/// The index of all recorded deploys.
pub(crate) fn index() -> Index {
    let mut index = Index::new(Place::new("hello", "qa").unwrap());
    for name in ["replaced", "rolled-back", "stopped"] {
        index = index.with(&recorded(name)).unwrap();
    }
    index
}

pub(crate) const ATTACK: &str = "</td></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\" onload=\"x' {{ 7*7 }} <style>body{display:none}</style><a href=javascript:alert(1)>x</a>";

/// Every text that comes from people, instances or AWS says this.
pub(crate) fn attacked(attack: &str) -> Report {
    let mut report = recorded("rolled-back");
    let text = || attack.to_owned();
    report.cause = Some(text());
    report.asked.by = Some(text());
    report.asked.input = text();
    report.status = text();
    report.recovers = None;
    report.recovered_by = Some(text());
    for stay in &mut report.path {
        stay.state = text();
    }
    for life in &mut report.instances {
        life.id = text();
        life.zone = Some(text());
        life.state = Some(text());
        life.boot_report = Some(text());
        life.reason = Some(text());
    }
    for told in &mut report.notices {
        told.id = text();
        told.kind = Some(text());
        told.title = Some(text());
    }
    for shed in &mut report.cleaned {
        shed.left = text();
        shed.done = None;
    }
    report.launch_failures.push(LaunchFailure {
        at: report.started,
        reason: text(),
    });
    report.settings = serde_json::from_value(serde_json::json!({
        "added": {"first": [attack], "more": 0},
        "changed": {"first": [attack], "more": 0},
        "removed": {"first": [attack], "more": 0},
    }))
    .ok();
    report
}

/// A fleet of that many instances.
pub(crate) fn large(instances: usize) -> Report {
    let mut report = recorded("replaced");
    let life = report.instances[0].clone();
    report.instances = (0..instances)
        .map(|n| {
            let mut life = life.clone();
            life.id = format!("i-{n:017x}");
            life
        })
        .collect();
    report.release = ReleaseNumber::try_from(999_999).ok();
    report
}
