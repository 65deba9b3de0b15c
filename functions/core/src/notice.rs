//! What people are told, and the one outcome that an execution has.
//!
//! The message is a custom notification as Amazon Q Developer in chat applications takes it, so that a topic
//! subscribed there is read in Slack without any code of ours:
//! <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>.

mod wording;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::name::{Place, ReleaseNumber};
use crate::removal::Progress;
use crate::step::{NotifyInput, Why};

use self::wording::{Wording, place, recovered};
pub(crate) use self::wording::{cut, lasted, sentence};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    Succeeded,
    /// The app is no longer deployed.
    Removed,
    Superseded,
    /// There was nothing to do, or it was not the time for it.
    Skipped,
    Rejected,
    RolledBack,
    /// The traffic is on a healthy fleet, but something could not be cleaned up.
    NeedsAttention,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolledBack",
            Self::NeedsAttention => "needsAttention",
        }
    }

    /// Whether an execution ends with it. An execution has one outcome, whatever is told besides.
    pub fn is_outcome(self) -> bool {
        !matches!(self, Self::Started | Self::NeedsAttention)
    }
}

/// How an execution ends that went to Roll Back, from what led there. If what it released is live all the same
/// (it was cut off, or failed, after it had committed), it succeeded. A recovery tells this of the execution that
/// was cut off.
pub fn ending(why: &Why, release: Option<ReleaseNumber>, live: Option<ReleaseNumber>) -> Kind {
    match why.error.as_deref() {
        _ if release.is_some() && release == live => Kind::Succeeded,
        // Plan refused before anything was made.
        Some("NothingLive" | "ListenerChanged" | "ManifestNotTrusted" | "OutOfNumbers") => {
            Kind::Rejected
        }
        name if name == Some("LockLost") || (name.is_none() && why.status == "superseded") => {
            Kind::Superseded
        }
        None if why.status == "skipped" => Kind::Skipped,
        Some(_) | None => Kind::RolledBack,
    }
}

/// How a removal ends that went to Roll Back, by how far it had come.
pub fn ending_of_removal(why: &Why, progress: Progress, live: Option<ReleaseNumber>) -> Kind {
    match progress {
        Progress::Begun | Progress::Done => Kind::Removed,
        Progress::NotBegun => ending(why, None, live),
    }
}

impl Why {
    /// The reason as a sentence. What Lambda reports is JSON with the message inside.
    pub fn text(&self) -> String {
        let message = serde_json::from_str::<Value>(&self.reason)
            .ok()
            .and_then(|cause| Some(cause.get("errorMessage")?.as_str()?.to_owned()))
            .unwrap_or_else(|| self.reason.clone());
        match self.error.as_deref() {
            Some("States.Timeout") => format!("a step did not answer in time. {message}"),
            Some(name) if name.starts_with("States.") || name.starts_with("Lambda.") => {
                format!("{name}: {message}")
            }
            _ => message,
        }
    }
}

/// A notice, before it is put into anybody's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub kind: Kind,
    /// The same whenever this is told again.
    pub id: String,
    pub place: Option<Place>,
    pub title: String,
    pub description: String,
    pub next_steps: Vec<String>,
    pub release: Option<ReleaseNumber>,
    /// The execution that it is about.
    pub execution: String,
    /// What it has replaced, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
}

/// A release that another has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    pub release: ReleaseNumber,
    /// Since it was planned: none of its instances was older.
    pub age_seconds: i64,
}

impl Notice {
    pub fn new(told: &NotifyInput) -> Self {
        let recovered = recovered(told);
        let execution = recovered.map_or(&told.execution.arn, |recovered| &recovered.execution);
        let place = place(told);
        let Wording {
            title,
            description,
            next_steps,
        } = Wording::of(told);
        let name = execution.rsplit(':').next().unwrap_or(execution);
        let id = match told.kind {
            Kind::Started => format!("started-{name}"),
            Kind::NeedsAttention => format!("attention-{name}"),
            _ => format!("outcome-{name}"),
        };
        Self {
            kind: told.kind,
            id,
            title: title.chars().take(250).collect(),
            description,
            next_steps,
            release: told.release,
            execution: execution.clone(),
            replaced: told
                .replaces
                .as_ref()
                .filter(|_| told.kind == Kind::Succeeded)
                .map(|replaces| Replaced {
                    release: replaces.release,
                    age_seconds: replaces.age_seconds(told.now),
                }),
            place,
        }
    }

    /// The execution's name: what its outcome is recorded under.
    pub fn execution_name(&self) -> &str {
        self.execution.rsplit(':').next().unwrap_or(&self.execution)
    }

    /// The message's body.
    pub fn to_message(&self) -> Value {
        let thread = match (&self.place, self.release) {
            (Some(place), Some(release)) => {
                format!("{}-{}-{}", place.app, place.environment, release.padded())
            }
            _ => self.execution_name().to_owned(),
        };
        let mut context = json!({ "kind": self.kind.as_str(), "execution": self.execution });
        if let Some(place) = &self.place {
            context["app"] = place.app.as_str().into();
            context["environment"] = place.environment.as_str().into();
        }
        if let Some(release) = self.release {
            context["release"] = release.to_string().into();
        }
        json!({
            "version": "1.0",
            "source": "custom",
            "id": self.id,
            "content": {
                "textType": "client-markdown",
                "title": self.title,
                "description": self.description,
                "nextSteps": self.next_steps,
                "keywords": [self.kind.as_str()],
            },
            "metadata": {
                "threadId": thread,
                "summary": self.title,
                "eventType": format!("exuvia.{}", self.kind.as_str()),
                "relatedResources": [self.execution],
                "additionalContext": context,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config;
    use crate::step::{Deploy, Execution, Replaces};

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
            replaces: None,
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
            Notice::new(&NotifyInput {
                replaces: Some(replaces()),
                ..told(kind, Why::default())
            })
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
        let all: Vec<String> = [
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
            let notice = Notice::new(told);
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
        let message = Notice::new(&told(Kind::Succeeded, Why::default())).to_message();
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
        let cut_off = deploy(json!({"execution": "arn:e0", "status": "ABORTED"}));
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
            let notice = Notice::new(&NotifyInput {
                deploy: Some(deploy.clone()),
                release: None,
                version: None,
                live: told.live.filter(|_| is_live),
                live_version: told.live_version.clone().filter(|_| is_live),
                ..told
            });
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
        let notice = Notice::new(&told(Kind::RolledBack, long));
        assert!(notice.description.len() < 1_700 && !notice.description.contains(char::is_control));
    }
}
