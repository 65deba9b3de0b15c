//! From histories that were recorded in the local AWS (`histories/`: `aws stepfunctions get-execution-history`, without what
//! no report reads, and `aws autoscaling describe-scaling-activities`) to the documents.

use serde_json::Value;

use super::history::{Event, What};
use super::*;
use crate::health::Target;
use crate::manifest::BootReport;

#[path = "histories/read.rs"]
mod read;

use read::{Recorded, recorded, report};

fn replaced() -> Recorded {
    recorded(include_str!("histories/replaced.json"))
}

fn running() -> Recorded {
    recorded(include_str!("histories/running.json"))
}

fn rolled_back() -> Recorded {
    recorded(include_str!("histories/rolled-back.json"))
}

/// What matters of a report, a line each.
fn told(report: &Report) -> String {
    let offset = |at: Timestamp| at.duration_since(report.started).as_secs();
    let at = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| offset(at).to_string());
    let number = |release: Option<ReleaseNumber>| release.map(ReleaseNumber::get);
    let mut lines = vec![
        format!(
            "{:?} {:?} from {:?}; {} {:?} attention={}; asked {:?}",
            number(report.release),
            report.version.as_ref().map(Version::as_str),
            report.from.as_ref().map(|from| from.release.get()),
            report.status,
            report.outcome,
            report.needs_attention,
            report.asked.how,
        ),
        format!("cause: {:?}", report.cause),
        format!(
            "ended {}, healthy at {}",
            at(report.ended),
            at(report.healthy_at)
        ),
    ];
    let mut path: Vec<String> = Vec::new();
    for stay in &report.path {
        path.push(format!("{}@{}", stay.state, offset(stay.entered)));
    }
    lines.push(format!(
        "path of {}: {} ... {}",
        path.len(),
        path[..6.min(path.len())].join(", "),
        path[path.len().saturating_sub(4)..].join(", ")
    ));
    let looks = report.health.iter();
    let looks: Vec<String> = looks
        .map(|look| format!("{}/{}@{}", look.healthy, look.wanted, offset(look.at)))
        .collect();
    lines.push(format!(
        "{} looks: {} ... {}",
        looks.len(),
        looks[..4.min(looks.len())].join(" "),
        looks.last().map_or("", String::as_str)
    ));
    let traffic = report.traffic.iter();
    let traffic: Vec<String> = traffic
        .map(|share| format!("{}%@{}", share.weight, offset(share.at)))
        .collect();
    lines.push(format!("traffic: {}", traffic.join(" ")));
    for life in &report.instances {
        lines.push(format!(
            "{} {:?} last {:?} launched {} in service {} healthy {} terminating {} terminated {}",
            life.id,
            life.zone,
            life.state.as_deref().unwrap_or_default(),
            at(life.launched),
            at(life.in_service),
            at(life.healthy),
            at(life.terminating),
            at(life.terminated)
        ));
    }
    for shed in &report.cleaned {
        let releases: Vec<u32> = shed.releases.iter().map(|release| release.get()).collect();
        lines.push(format!(
            "shed {releases:?} from {} to {} {:?}",
            offset(shed.began),
            at(shed.done),
            shed.left
        ));
    }
    for notice in &report.notices {
        lines.push(format!("notice {} at {}", notice.id, offset(notice.at)));
    }
    lines.join("\n")
}

#[test]
fn what_recorded_histories_tell() {
    let recovery = recorded(include_str!("histories/recovery.json"));
    let stopped = recorded(include_str!("histories/stopped.json"));
    let all = [
        ("replaced", replaced()),
        ("running", running()),
        ("rolled back", rolled_back()),
        ("stopped in bake", stopped),
        ("its recovery", recovery),
    ];
    let all = all.map(|(name, recorded)| format!("# {name}\n{}\n", told(&report(&recorded))));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    for recorded in [replaced(), rolled_back(), running()] {
        let report = report(&recorded).merged(None).unwrap();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}

#[test]
fn the_order_of_the_looks_does_not_matter() {
    let (early, late) = (report(&running()), report(&replaced()));
    let one = early.clone().merged(None).unwrap();
    let one = late.clone().merged(Some(&one)).unwrap();
    let other = late.merged(None).unwrap();
    let other = early.merged(Some(&other));
    // The earlier look has nothing to add to the later one.
    assert_eq!(other, None);
    assert_eq!((one.revision, one.outcome), (2, Some(Kind::Succeeded)));
    assert_eq!(one.path.last().unwrap().state, "Succeeded");
}

#[test]
fn what_is_gone_is_known_from_an_earlier_look() {
    let early = report(&running()).merged(None).unwrap();
    let mut gone = replaced();
    gone.fleet = Fleet::default();
    let late = report(&gone).merged(Some(&early)).unwrap();
    assert_eq!(late.instances.len(), early.instances.len());
    assert!(!late.instances.is_empty());
    assert!(late.instances.iter().all(|life| life.launched.is_some()));
}

#[test]
fn what_is_told_of_instances_that_fail() {
    let mut recorded = rolled_back();
    let id = "i-607bf5349e92a211d".to_owned();
    recorded.fleet.targets = vec![Target {
        id: id.clone(),
        state: "unhealthy".into(),
        reason: Some("Target.ResponseCodeMismatch".into()),
        description: None,
    }];
    recorded.fleet.reports = vec![
        BootReport {
            instance_id: id.clone(),
            step: "run".into(),
            error: "<b>bold</b>\u{202e}\nnext".into(),
            output: vec![],
        },
        BootReport {
            instance_id: "../../etc".into(),
            step: "run".into(),
            error: "no instance of this name".into(),
            output: vec![],
        },
    ];
    recorded.fleet.activities.push(Activity {
        description: "Launching a new EC2 instance.  Status Reason: no capacity".into(),
        cause: "At ... an instance was started".into(),
        status: "Failed".into(),
        message: Some("We currently do not have sufficient capacity".into()),
        zone: None,
        started: recorded.execution.started,
        ended: None,
    });
    let report = report(&recorded);
    assert_eq!(report.instances.len(), 2);
    let life = report.instances.iter().find(|life| life.id == id).unwrap();
    assert_eq!(
        life.state.as_deref(),
        Some("unhealthy (Target.ResponseCodeMismatch)")
    );
    let said = life.boot_report.as_deref().unwrap();
    assert!(said.contains("<b>bold</b> next"), "{said}");
    assert_eq!(life.healthy, None);
    let failure = &report.launch_failures[..];
    assert_eq!(failure.len(), 1);
    assert!(failure[0].reason.contains("sufficient capacity"));
}

#[test]
fn who_is_healthy_is_told_only_where_it_is_known() {
    let looked = |healthy: u32, waiting: Value| {
        let at: Timestamp = "2026-11-26T02:00:30Z".parse().unwrap();
        let output = serde_json::json!({"status": "pending", "healthy": healthy, "wanted": 3, "waiting": waiting});
        let state = "Check Health".to_owned();
        vec![Event {
            id: 9,
            at,
            what: What::Exited { state, output },
        }]
    };
    let launched = |n: u32| Activity {
        description: format!("Launching a new EC2 instance: i-{n}"),
        cause: String::new(),
        status: "Successful".into(),
        message: None,
        zone: None,
        started: "2026-11-26T02:00:00Z".parse().unwrap(),
        ended: None,
    };
    let fleet = Fleet {
        activities: (1..=3).map(launched).collect(),
        ..Fleet::default()
    };
    let waits = |id: &str| serde_json::json!({"instance": id, "state": "initial"});
    for (healthy, waiting, known) in [
        (3, serde_json::json!([]), &["i-1", "i-2", "i-3"][..]),
        (2, serde_json::json!([waits("i-2")]), &["i-1", "i-3"]),
        // One of three is, and which is not said: the list may be cut, or the looks may lag.
        (1, serde_json::json!([]), &[]),
        (
            0,
            serde_json::json!([waits("i-1"), waits("i-2"), waits("i-3")]),
            &[],
        ),
    ] {
        let report =
            Report::new(&running().execution, &[]).with_fleet(&fleet, &looked(healthy, waiting));
        let healthy = report
            .instances
            .iter()
            .filter(|life| life.healthy.is_some());
        let healthy: Vec<&str> = healthy.map(|life| life.id.as_str()).collect();
        assert_eq!(healthy, known);
    }
}

#[test]
fn a_notice_that_is_told_twice_is_one() {
    let recorded = replaced();
    let plain = report(&recorded);
    let id = plain.notices[0].id.clone();
    let sent = plain.notices[0].at;
    let heard = Told {
        id: id.clone(),
        at: "2030-01-01T00:00:00Z".parse().unwrap(),
        kind: Some("started".into()),
        title: Some("hello/qa: deploying v2".into()),
        cause: None,
        by: Some("alice".into()),
    };
    let report = plain
        .with_notice(heard.clone())
        .with_notice(heard)
        .merged(None)
        .unwrap();
    let same: Vec<&Told> = report.notices.iter().filter(|told| told.id == id).collect();
    assert_eq!((same.len(), same[0].at), (1, sent));
    assert_eq!(report.asked.by.as_deref(), Some("alice"));
}

#[test]
fn a_function_that_failed_for_good_is_the_cause() {
    let at: Timestamp = "2026-11-26T02:00:00Z".parse().unwrap();
    let entered = |state: &str| What::Entered {
        state: state.into(),
        is_choice: false,
    };
    let exited = |state: &str| What::Exited {
        state: state.into(),
        output: Value::Null,
    };
    let failed = || What::Failed {
        error: "AwsRefused".into(),
        cause: r#"{"errorType":"AwsRefused","errorMessage":"AWS refused CreateRule: denied"}"#
            .into(),
    };
    let events = |whats: Vec<What>| -> Vec<Event> {
        let numbered = whats.into_iter().zip(1..);
        numbered.map(|(what, id)| Event { id, at, what }).collect()
    };
    let mut execution = rolled_back().execution;
    execution.outcome = Some(Kind::RolledBack);
    let launch = vec![
        entered("Launch"),
        failed(),
        failed(),
        exited("Launch"),
        entered("Roll Back"),
    ];
    let report = Report::new(&execution, &events(launch));
    assert_eq!(
        report.cause.as_deref(),
        Some("AWS refused CreateRule: denied")
    );
    assert_eq!(report.path[0].failures, 2);
    // A try that failed and was followed by one that did not decides nothing, nor does a notice that was not sent.
    let recovered = vec![
        entered("Launch"),
        failed(),
        What::Answered,
        exited("Launch"),
        entered("Announce Rollback"),
        failed(),
        exited("Announce Rollback"),
        entered("Retire New"),
    ];
    let report = Report::new(&execution, &events(recovered));
    assert_eq!(
        report.cause.as_deref(),
        execution
            .cause
            .as_deref()
            .map(|cause| clean(cause, 500))
            .as_deref()
    );
}

#[test]
fn what_is_kept_for_a_while_is_not_told_as_shed_and_takes_no_time() {
    let begin: Timestamp = "2026-11-26T02:00:00Z".parse().unwrap();
    let entered = |state: &str| What::Entered {
        state: state.into(),
        is_choice: false,
    };
    let exited = |state: &str, output: Value| What::Exited {
        state: state.into(),
        output,
    };
    let done = || exited("Retire Old", serde_json::json!({"status": "done"}));
    let events = [
        (
            0,
            exited("Plan", serde_json::json!({"release": 3, "retire": [1, 2]})),
        ),
        (
            60,
            exited(
                "Commit",
                serde_json::json!({"retained": {"release": 2, "until": begin}, "retire": [1]}),
            ),
        ),
        (61, entered("Retire Old")),
        (62, done()),
        (63, entered("Retain")),
        (3_663, exited("Retain", Value::Null)),
        (
            3_664,
            exited(
                "Give Up Retained",
                serde_json::json!({"retained": null, "retire": [2]}),
            ),
        ),
        (3_665, entered("Retire Old")),
        (3_670, done()),
    ];
    let events: Vec<Event> = events
        .into_iter()
        .zip(1..)
        .map(|((second, what), id)| Event {
            id,
            at: begin + jiff::SignedDuration::from_secs(second),
            what,
        })
        .collect();
    let mut execution = replaced().execution;
    execution.started = begin;
    execution.ended = Some(begin + jiff::SignedDuration::from_secs(3_671));
    let report = Report::new(&execution, &events);
    assert_eq!(report.lasted(), 71);
    let shed: Vec<(u32, bool)> = report
        .cleaned
        .iter()
        .map(|shed| (shed.releases[0].get(), shed.done.is_some()))
        .collect();
    assert_eq!(shed, [(1, true), (2, true)]);
}

#[test]
fn the_states_that_tell_something_are_in_the_workflow() {
    let workflow: Value =
        serde_json::from_str(include_str!("../../../../statemachine/deploy.asl.json")).unwrap();
    for state in story::STATES {
        assert!(
            workflow["States"].get(state).is_some(),
            "there is no state {state}"
        );
    }
}

#[test]
fn the_index_lists_the_newest_and_counts_no_earlier_look() {
    let late = report(&replaced()).merged(None).unwrap();
    let index = Index::new(late.place.clone());
    let first = index.with(&late).unwrap();
    assert_eq!((first.revision, first.entries.len()), (1, 1));
    assert_eq!(first.with(&late), None);
    let mut newer = report(&rolled_back()).merged(None).unwrap();
    newer.revision = 7;
    let both = first.with(&newer).unwrap();
    let numbers: Vec<_> = both
        .entries
        .iter()
        .map(|entry| entry.release.unwrap().get())
        .collect();
    assert_eq!(numbers, [3, 2]);
    assert_eq!(both.entries[0].outcome, Some(Kind::RolledBack));
    assert!(both.entries[1].seconds_to_healthy.is_some());

    let mut many = both;
    for n in 0..MOST_ENTRIES {
        let mut one = newer.clone();
        one.execution = format!("{}-{n}", one.execution);
        many = many.with(&one).unwrap();
    }
    assert_eq!(many.entries.len(), MOST_ENTRIES);
    assert!(
        many.entries
            .iter()
            .all(|entry| entry.release == newer.release)
    );
}

#[test]
fn texts_are_cleaned_and_cut() {
    for (text, most, kept) in [
        ("plain", 10, "plain"),
        ("a\u{1b}[31mb\r\nc", 20, "a [31mb  c"),
        ("evil\u{202e}txt\u{200b}", 20, "eviltxt"),
        ("0123456789", 4, "0123…"),
        ("\u{2028}x ", 4, "x"),
    ] {
        assert_eq!(clean(text, most), kept);
    }
}
