//! What people are told, and the one outcome that an execution has.
//!
//! The message is a custom notification as Amazon Q Developer in chat applications takes it, so that a topic
//! subscribed there is read in Slack without any code of ours:
//! <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::name::{Place, ReleaseNumber};
use crate::request::Request;
use crate::step::{NotifyInput, Why};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    Succeeded,
    Superseded,
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
            Self::Superseded => "superseded",
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
        Some("NothingLive" | "ListenerChanged" | "OutOfNumbers") => Kind::Rejected,
        name if name == Some("LockLost") || (name.is_none() && why.status == "superseded") => {
            Kind::Superseded
        }
        Some(_) | None => Kind::RolledBack,
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
}

/// At most this many characters of a reason are told; the rest is in the execution.
const MOST: usize = 1_500;

impl Notice {
    #[allow(clippy::too_many_lines)] // one arm a kind: all that is ever said, in one place
    pub fn new(told: &NotifyInput) -> Self {
        let recovered = told
            .deploy
            .as_ref()
            .and_then(|deploy| deploy.recovers.as_ref());
        let execution = recovered.map_or(&told.execution.arn, |recovered| &recovered.execution);
        let place = told
            .deploy
            .as_ref()
            .map(crate::step::Deploy::place)
            .or_else(|| Request::place_of(&told.input));
        let whom = place
            .as_ref()
            .map_or_else(|| "an execution".to_owned(), ToString::to_string);
        let what = match (&told.version, told.release) {
            (Some(version), Some(release)) => format!("{version} (release {release})"),
            (Some(version), None) => version.to_string(),
            (None, Some(release)) => format!("release {release}"),
            (None, None) => "the deploy".to_owned(),
        };
        let stays = match (&told.live_version, told.live) {
            (Some(version), Some(release)) => {
                format!("{version} (release {release}) has the traffic")
            }
            (None, Some(release)) => format!("Release {release} has the traffic"),
            _ => "Nothing is live".to_owned(),
        };
        // Why an execution was cut off, its cause tells; that a recovery cleans up is no reason.
        let because = match (recovered, &told.why.error) {
            (Some(_), None) => String::new(),
            _ => sentence(&cut(&told.why.text())),
        };
        let cut_off = recovered.map(|recovered| {
            let cause = recovered
                .cause
                .as_deref()
                .map(|cause| format!(" ({})", cut(cause)))
                .unwrap_or_default();
            format!("The execution was cut off: {}{cause}. ", recovered.status)
        });
        let cut_off = cut_off.unwrap_or_default();
        let again = place.as_ref().map(|place| {
            format!("Deploy what is live again with the input {{\"app\":\"{}\",\"environment\":\"{}\"}}", place.app, place.environment)
        });
        let (title, description, next_steps) = match told.kind {
            Kind::Started => (
                format!("{whom}: deploying {what}"),
                format!("Launching a new fleet. {stays} meanwhile."),
                vec![],
            ),
            Kind::Succeeded => (
                format!("{whom}: {what} is live"),
                match (told.healthy, told.live.filter(|live| Some(*live) != told.release)) {
                    (Some(healthy), Some(old)) => format!("{cut_off}All traffic is on {healthy} healthy instances; release {old} is being shed."),
                    (Some(healthy), None) => format!("{cut_off}All traffic is on {healthy} healthy instances."),
                    _ => format!("{cut_off}All traffic is on it."),
                },
                told.live
                    .filter(|live| Some(*live) != told.release)
                    .zip(place.as_ref())
                    .map(|(live, place)| format!("To go back, start an execution with the input {{\"app\":\"{}\",\"environment\":\"{}\",\"release\":{live}}}", place.app, place.environment))
                    .into_iter()
                    .collect(),
            ),
            // Before Plan nobody has looked at what is live.
            Kind::Superseded if told.release.is_none() => (
                format!("{whom}: {what} gave way"),
                because.trim_end().to_owned(),
                vec![],
            ),
            Kind::Superseded => (
                format!("{whom}: {what} gave way"),
                format!("{because}{stays}."),
                vec![],
            ),
            Kind::Rejected => (
                format!("{whom}: refused"),
                format!("{because}Nothing was touched."),
                vec!["Mend what it names, then upload or start it again".to_owned()],
            ),
            Kind::RolledBack => (
                format!("{whom}: {what} was rolled back"),
                format!("{cut_off}{because}{stays}."),
                match (recovered, &told.why.error) {
                    (Some(_), _) => vec![],
                    (None, None) => vec!["Mend it and upload a new version".to_owned()],
                    (None, Some(_)) => {
                        vec!["Look at what it names, then start the execution again".to_owned()]
                    }
                },
            ),
            Kind::NeedsAttention => (
                format!("{whom}: {what} needs attention"),
                format!("{because}Something could not be put in order."),
                again.into_iter().collect(),
            ),
        };
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

/// Without control characters, and no longer than a person reads.
pub(crate) fn cut(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST)
        .collect();
    if text.chars().count() > MOST {
        kept.push('…');
    }
    kept
}

/// As a sentence that another may follow.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    // A name, such as config.env, keeps its case.
    let is_word = text
        .split(' ')
        .next()
        .is_some_and(|word| word.chars().all(char::is_alphabetic));
    match chars.next() {
        None => String::new(),
        Some(first) if !is_word => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{first}{}{stop}", chars.as_str())
        }
        Some(first) => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::step::Execution;

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
            told(Kind::RolledBack, failed.clone()),
            told(Kind::RolledBack, caught),
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
            (why("recover", "x", None), n(2), n(2), Kind::Succeeded),
            (why("recover", "x", None), n(2), n(1), Kind::RolledBack),
            (why("recover", "x", None), None, None, Kind::RolledBack),
        ] {
            assert_eq!(ending(&why, release, live), kind, "{why:?}");
        }
    }

    #[test]
    fn a_hostile_reason_is_cut_and_cleaned() {
        let long = why("failed", &format!("bad\u{7}\n{}", "x".repeat(9_000)), None);
        let notice = Notice::new(&told(Kind::RolledBack, long));
        assert!(notice.description.len() < 1_700 && !notice.description.contains(char::is_control));
    }
}
