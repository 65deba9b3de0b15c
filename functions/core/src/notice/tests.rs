use std::collections::BTreeMap;

use super::*;
use crate::approval::TaskToken;
use crate::retain::Kept;
use crate::slack::notice::Received;
use crate::step::{ApprovalInput, Deploy, Execution, Replaces};
use crate::{artifact, config};

fn told(kind: Kind, why: Why) -> NotifyInput {
    NotifyInput {
        kind,
        input: json!({"app": "hello", "environment": "qa", "version": "v2"}),
        deploy: None,
        release: Some(ReleaseNumber::try_from(43).unwrap()),
        version: Some("v2".parse().unwrap()),
        live: Some(ReleaseNumber::try_from(42).unwrap()),
        live_version: Some("v1".parse().unwrap()),
        healthy: Some(2),
        wanted: Some(3),
        traffic: None,
        traffic_since: None,
        replaces: None,
        returns: false,
        retained: None,
        approval: None,
        why,
        execution: Execution {
            arn: "arn:aws:states:us-east-1:1:execution:deploy:e1".into(),
            name: "e1".into(),
            start_time: jiff::Timestamp::UNIX_EPOCH,
            since: None,
        },
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

const BESIDE: Beside = Beside {
    ledger: "ledger",
    boot: None,
};

/// Published messages are checked against the contract's schema, and by whoever takes them to Slack.
fn violations(message: &Value) -> Vec<String> {
    if let Err(problem) = Received::parse(&message.to_string()) {
        return vec![problem.to_string()];
    }
    let schema = serde_json::from_str(include_str!("../../../../docs/notice.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let errors = schema.iter_errors(message);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// A release that was planned six days before.
fn replaces() -> Replaces {
    Replaces {
        release: ReleaseNumber::try_from(42).unwrap(),
        since: jiff::Timestamp::from_second(-6 * 86_400).unwrap(),
        settings: Some(config::changes(b"A=1\nB=1\n", b"B=2\nC=1\n")),
    }
}

#[test]
fn the_outcome_records_how_old_what_was_replaced_had_become() {
    let of = |kind| {
        let told = NotifyInput {
            replaces: Some(replaces()),
            ..told(kind, Why::default())
        };
        Notice::new(&told, BESIDE)
    };
    let recorded = serde_json::to_value(of(Kind::Succeeded)).unwrap();
    let wanted = json!({ "release": 42, "ageSeconds": 518_400 });
    assert_eq!(recorded["replaced"], wanted);
    assert_eq!(of(Kind::RolledBack).replaced, None);
}

/// Whether `serde_json` keeps the order of fields depends on what else is built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            fields.collect::<BTreeMap<_, _>>().into_iter().collect()
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn why(status: &str, reason: &str, error: Option<&str>) -> Why {
    Why {
        status: status.into(),
        reason: reason.into(),
        error: error.map(Into::into),
    }
}

fn asks(token: &str) -> NotifyInput {
    NotifyInput {
        healthy: Some(3),
        approval: Some(ApprovalInput {
            task_token: TaskToken(token.to_owned()),
            token: "etag".to_owned(),
            seconds: 3_600,
        }),
        ..told(Kind::WaitingForApproval, Why::default())
    }
}

fn returning(kind: Kind, why: Why) -> NotifyInput {
    NotifyInput {
        returns: true,
        ..told(kind, why)
    }
}

fn kept() -> Kept {
    Kept {
        release: ReleaseNumber::try_from(42).unwrap(),
        until: jiff::Timestamp::from_millisecond(3_600_123).unwrap(),
    }
}

#[test]
fn what_is_kept_is_told_to_programs_as_well() {
    let of = |told: &NotifyInput| Notice::new(told, BESIDE).facts;
    let facts = of(&NotifyInput {
        retained: Some(kept()),
        ..returning(Kind::Succeeded, Why::default())
    });
    assert_eq!(facts["returned"], "true");
    assert_eq!(facts["retained"], "42");
    assert_eq!(facts["retainedUntil"], "1970-01-01T01:00:00.123Z");
    let without = of(&told(Kind::Succeeded, Why::default()));
    assert!(!without.keys().any(|name| name.starts_with("ret")));
}

#[test]
fn who_is_asked_is_told_how_to_answer() {
    // The longest that there may be.
    let notice = Notice::new(&asks(&"A".repeat(2_048)), BESIDE);
    let message = notice.to_message();
    assert_eq!(violations(&message), Vec::<String>::new());
    assert_eq!(notice.facts["taskToken"].len(), 2_048);
    assert_eq!(notice.facts["until"], "1970-01-01T01:00:00Z");
    // Another try has another token, and is told as well.
    let again = Notice::new(&asks("B"), BESIDE);
    assert_ne!(notice.id, again.id);
    assert!(!again.id.contains("-B-"));
    assert!(!notice.kind.is_outcome());
}

/// The same of a worker.
fn of_worker(order: &str, told: NotifyInput) -> NotifyInput {
    let target = crate::target::example_of_worker(order);
    let deploy = json!({
        "app": "hello", "environment": "qa", "purpose": "deploy", "automatic": true,
        "since": "1970-01-01T00:00:00Z", "target": target,
    });
    NotifyInput {
        deploy: Some(serde_json::from_value(deploy).unwrap()),
        ..told
    }
}

#[test]
fn what_the_notices_of_a_worker_say() {
    let mut all = Vec::new();
    for order in ["overlap", "stopFirst"] {
        let failed = why(
            "failed",
            "after 600 s only 1 of 2 instances are healthy",
            None,
        );
        for told in [
            told(Kind::Started, Why::default()),
            told(Kind::Progressing, why("pending", "1 of 3", None)),
            NotifyInput {
                traffic: Some(100),
                ..told(Kind::Progressing, Why::default())
            },
            told(Kind::Succeeded, Why::default()),
            told(Kind::RolledBack, failed),
        ] {
            let told = of_worker(order, told);
            assert_eq!(told.traffic_now(), None);
            let notice = Notice::new(&told, BESIDE);
            assert_eq!(violations(&notice.to_message()), Vec::<String>::new());
            all.push(format!("{}\n  {}\n", notice.title, notice.description));
        }
    }
    insta::assert_snapshot!(all.concat());
}

#[test]
fn what_each_notice_says() {
    let failed = why(
        "failed",
        "after 600 s only 1 of 2 instances are healthy",
        None,
    );
    let caught = why(
        "error",
        r#"{"errorType":"AwsRefused","errorMessage":"AWS refused CreateRule: denied"}"#,
        Some("AwsRefused"),
    );
    let all: Vec<String> = vec![
        told(Kind::Started, Why::default()),
        told(Kind::Succeeded, Why::default()),
        NotifyInput {
            replaces: Some(replaces()),
            ..told(Kind::Started, Why::default())
        },
        NotifyInput {
            replaces: Some(replaces()),
            ..told(Kind::Succeeded, Why::default())
        },
        NotifyInput {
            retained: Some(kept()),
            ..told(Kind::Succeeded, Why::default())
        },
        returning(Kind::Started, Why::default()),
        returning(Kind::Progressing, why("pending", "2 of 3", None)),
        NotifyInput {
            retained: Some(kept()),
            ..returning(Kind::Succeeded, Why::default())
        },
        returning(Kind::RolledBack, failed.clone()),
        NotifyInput {
            traffic: Some(100),
            traffic_since: Some(jiff::Timestamp::from_second(-32).unwrap()),
            ..returning(Kind::RolledBack, failed.clone())
        },
        told(Kind::Waiting, why("busy", "e1 is deploying hello/qa", None)),
        told(Kind::Progressing, why("pending", "1 of 3", None)),
        NotifyInput {
            traffic: Some(10),
            ..told(Kind::Progressing, Why::default())
        },
        NotifyInput {
            traffic: Some(100),
            live: None,
            live_version: None,
            ..told(Kind::Progressing, Why::default())
        },
        asks("AQC+/1=="),
        NotifyInput {
            traffic: Some(10),
            traffic_since: Some(jiff::Timestamp::from_second(-32).unwrap()),
            ..told(Kind::RolledBack, failed.clone())
        },
        NotifyInput {
            traffic: Some(100),
            ..told(Kind::RolledBack, failed.clone())
        },
        NotifyInput {
            traffic_since: Some(jiff::Timestamp::from_second(-2).unwrap()),
            ..told(Kind::RolledBack, failed.clone())
        },
        told(Kind::RolledBack, failed.clone()),
        told(Kind::RolledBack, caught),
        told(
            Kind::Skipped,
            why("skipped", "nothing is live in hello/qa yet", None),
        ),
        told(
            Kind::Superseded,
            why("superseded", "a newer deploy waits (e2)", None),
        ),
        told(
            Kind::Rejected,
            why("", "config.env is not UTF-8 text", Some("InvalidConfig")),
        ),
        told(
            Kind::NeedsAttention,
            why(
                "",
                "the fleet of release 41 is not gone",
                Some("StillDraining"),
            ),
        ),
    ]
    .iter()
    .map(|told| {
        let notice = Notice::new(told, BESIDE);
        assert_eq!(violations(&notice.to_message()), Vec::<String>::new());
        format!(
            "{}\n  {}\n  {:?}\n",
            notice.title, notice.description, notice.next_steps
        )
    })
    .collect();
    insta::assert_snapshot!(all.concat());
}

#[test]
fn the_message_is_a_custom_notification() {
    let message = Notice::new(&told(Kind::Succeeded, Why::default()), BESIDE).to_message();
    insta::assert_snapshot!(serde_json::to_string_pretty(&sorted(message)).unwrap());
}

#[test]
fn how_it_ends() {
    let n = |number| ReleaseNumber::try_from(number).ok();
    for (why, release, live, kind) in [
        (why("failed", "x", None), n(2), n(1), Kind::RolledBack),
        (why("superseded", "x", None), n(2), n(1), Kind::Superseded),
        (
            why("error", "x", Some("States.Timeout")),
            n(2),
            n(1),
            Kind::RolledBack,
        ),
        (
            why("error", "x", Some("LockLost")),
            n(2),
            n(1),
            Kind::Superseded,
        ),
        (
            why("error", "x", Some("NothingLive")),
            None,
            None,
            Kind::Rejected,
        ),
        (why("skipped", "x", None), None, n(1), Kind::Skipped),
        (why("skipped", "x", None), None, None, Kind::Skipped),
        (why("recover", "x", None), n(2), n(2), Kind::Succeeded),
        (why("recover", "x", None), n(2), n(1), Kind::RolledBack),
        (why("recover", "x", None), None, None, Kind::RolledBack),
    ] {
        assert_eq!(ending(&why, release, live), kind, "{why:?}");
    }
}

#[test]
fn how_a_removal_ends() {
    use Progress::{Begun, Done, NotBegun};
    let one = ReleaseNumber::try_from(1).ok();
    for (why, progress, live, kind) in [
        (why("recover", "x", None), NotBegun, one, Kind::RolledBack),
        (why("recover", "x", None), Begun, None, Kind::Removed),
        (why("recover", "x", None), Done, None, Kind::Removed),
        (why("recover", "x", None), Done, one, Kind::Removed),
        (why("skipped", "x", None), NotBegun, None, Kind::Skipped),
        (
            why("error", "x", Some("AwsRefused")),
            NotBegun,
            one,
            Kind::RolledBack,
        ),
        (
            why("error", "x", Some("AwsRefused")),
            Begun,
            None,
            Kind::Removed,
        ),
        (
            why("error", "x", Some("LockLost")),
            NotBegun,
            one,
            Kind::Superseded,
        ),
    ] {
        let ends = ending_of_removal(&why, progress, live);
        assert_eq!(ends, kind, "{why:?} {progress:?}");
    }
}

#[test]
fn what_the_notices_of_a_removal_say() {
    let deploy = |more: Value| -> Deploy {
        let mut deploy = json!({
            "app": "hello", "environment": "qa", "purpose": "deploy", "removal": true, "automatic": false,
            "since": jiff::Timestamp::UNIX_EPOCH,
        });
        deploy["recovers"] = more;
        serde_json::from_value(deploy).unwrap()
    };
    let asked = deploy(Value::Null);
    let cut_off = deploy(
        json!({"execution": "arn:aws:states:us-east-1:1:execution:deploy:e0", "status": "ABORTED"}),
    );
    let refused = || {
        why(
            "error",
            "AWS refused DeleteRule: denied",
            Some("AwsRefused"),
        )
    };
    let recover = || why("recover", "", None);
    let all: Vec<String> = [
        (Kind::Started, &asked, Why::default(), true),
        (Kind::Removed, &asked, Why::default(), true),
        (Kind::Removed, &cut_off, recover(), false),
        (Kind::RolledBack, &asked, refused(), true),
        (Kind::RolledBack, &cut_off, recover(), true),
        (
            Kind::Superseded,
            &asked,
            why("superseded", "A newer deploy goes first: e2", None),
            false,
        ),
        (
            Kind::Skipped,
            &asked,
            why("skipped", "Nothing is deployed in hello/qa", None),
            false,
        ),
        (Kind::NeedsAttention, &asked, refused(), true),
    ]
    .into_iter()
    .map(|(kind, deploy, why, is_live)| {
        let told = told(kind, why);
        let told = NotifyInput {
            deploy: Some(deploy.clone()),
            release: None,
            version: None,
            live: told.live.filter(|_| is_live),
            live_version: told.live_version.clone().filter(|_| is_live),
            ..told
        };
        let notice = Notice::new(&told, BESIDE);
        assert_eq!(violations(&notice.to_message()), Vec::<String>::new());
        format!(
            "{}\n  {}\n  {:?}\n",
            notice.title, notice.description, notice.next_steps
        )
    })
    .collect();
    insta::assert_snapshot!(all.concat());
}

#[test]
fn a_hostile_reason_is_cut_and_cleaned() {
    let long = why("failed", &format!("bad\u{7}\n{}", "x".repeat(9_000)), None);
    let notice = Notice::new(&told(Kind::RolledBack, long), BESIDE);
    let lines: Vec<&str> = notice.description.lines().collect();
    assert!(
        notice.description.len() < 2_200 && lines.len() == 2,
        "{lines:?}"
    );
    assert!(!lines.concat().contains(char::is_control));
}

#[test]
fn the_last_lines_of_a_failed_boot_are_told() {
    let boot = BootReport {
        instance_id: "i-1".to_owned(),
        step: "run".to_owned(),
        error: "the container exited with code 1 three times".to_owned(),
        output: vec![
            "starting".to_owned(),
            "Error: <DATABASE_URL> & `x` is not set".to_owned(),
        ],
    };
    let beside = Beside {
        boot: Some(&boot),
        ..BESIDE
    };
    let failed = why("failed", &boot.summary(), None);
    let notice = Notice::new(&told(Kind::RolledBack, failed), beside);
    assert_eq!(violations(&notice.to_message()), Vec::<String>::new());
    insta::assert_snapshot!(notice.description);
    let live = Notice::new(&told(Kind::Succeeded, Why::default()), beside);
    assert!(!live.description.contains("DATABASE_URL"));
}

/// What is in a message besides its own links and its block: as Slack would read it.
fn markup(description: &str) -> String {
    let mut rest = description.to_owned();
    if let (Some(first), Some(last)) = (rest.find("\n```\n"), rest.rfind("\n```")) {
        rest.replace_range(first..last + "\n```".len(), "");
    }
    for name in ["|Execution>", "|Report>"] {
        if let Some(end) = rest.find(name) {
            let begin = rest[..end].rfind("<https://").unwrap();
            rest.replace_range(begin..end + name.len(), "");
        }
    }
    rest
}

proptest::proptest! {
    #[test]
    fn a_hostile_text_stays_a_text(
        hostile in "(\\PC|[<>&*_~`|!@#\n\u{1b}\u{0}]|```|<!channel>|<https://evil\\.example\\|Execution>){0,60}",
        times in 1_usize..200,
        kind in proptest::sample::select(vec![
            Kind::Started, Kind::Waiting, Kind::Progressing, Kind::Succeeded, Kind::Removed, Kind::Superseded,
            Kind::Skipped, Kind::Rejected, Kind::RolledBack, Kind::NeedsAttention,
        ]),
        recovers: bool,
    ) {
        let hostile = hostile.repeat(times);
        let mut deploy = json!({
            "app": "hello", "environment": "qa", "purpose": "deploy", "automatic": true,
            "since": jiff::Timestamp::UNIX_EPOCH,
            "by": artifact::uploaded_by(|_| Some(&hostile)),
        });
        if recovers {
            deploy["recovers"] = json!({"execution": "arn:aws:states:r:1:execution:m:e0", "status": "FAILED", "cause": hostile});
        }
        let boot = BootReport {
            instance_id: hostile.clone(),
            step: hostile.clone(),
            error: hostile.clone(),
            output: hostile.lines().map(ToOwned::to_owned).collect(),
        };
        let told = NotifyInput {
            deploy: serde_json::from_value(deploy).unwrap(),
            replaces: Some(replaces()),
            version: "9".repeat(128).parse().ok(),
            live_version: "9".repeat(128).parse().ok(),
            ..told(kind, why("failed", &hostile, None))
        };
        let beside = Beside { boot: Some(&boot), ..BESIDE };
        let notice = Notice::new(&told, beside);
        let message = notice.to_message();
        proptest::prop_assert_eq!(violations(&message), Vec::<String>::new());
        let read = markup(&notice.description);
        proptest::prop_assert!(!read.contains(['<', '>', '*', '~', '`']), "{}", read);
        proptest::prop_assert!(!read.contains(" _") && !read.contains("_ "), "{}", read);
        let blocks = notice.description.matches("```").count();
        proptest::prop_assert!(blocks == 0 || blocks == 2, "{}", notice.description);
    }
}
