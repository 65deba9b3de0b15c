//! What comes from the topic: a notice, as `core::notice` and `core::build::notice` write it, or one of the alarms that go to
//! the same topic.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::Place;

/// A message of the topic that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Notice(Box<Notice>),
    Alarm(Alarm),
}

/// Why a message of the topic was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this message of the topic is no notice: {0}")]
pub struct InvalidNotice(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    Deploy,
    Build,
}

/// In the order in which an execution tells them, should two be of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    Waiting,
    Progressing,
    WaitingForApproval,
    Succeeded,
    Removed,
    Superseded,
    Skipped,
    Rejected,
    RolledBack,
    Built,
    BuildFailed,
    BuildTimedOut,
    BuilderLost,
    NeedsAttention,
}

impl Kind {
    /// How far an execution is that tells this: on its way, ended, and what may be found after that.
    pub fn stage(self) -> u8 {
        match self {
            Self::Started | Self::Waiting | Self::Progressing | Self::WaitingForApproval => 0,
            Self::NeedsAttention => 2,
            _ => 1,
        }
    }

    /// Whether people are to be told by a message of its own: how it ended, and what waits for one of them.
    pub fn is_for_people(self) -> bool {
        self.stage() > 0 || self == Self::WaitingForApproval
    }

    /// Whether somebody has to do something about it.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::WaitingForApproval
                | Self::Rejected
                | Self::RolledBack
                | Self::BuildFailed
                | Self::BuildTimedOut
                | Self::BuilderLost
                | Self::NeedsAttention
        )
    }
}

/// What is told of an execution. Texts are as they came: [`super::render`] makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub id: String,
    pub kind: Kind,
    pub about: About,
    /// The execution's ARN.
    pub execution: String,
    pub place: Option<Place>,
    /// When it was told.
    pub at: Timestamp,
    /// Plain text.
    pub title: String,
    /// Slack's mrkdwn, as the next steps.
    pub description: String,
    pub next_steps: Vec<String>,
    #[serde(flatten)]
    pub facts: Facts,
}

/// What a notice may say besides: plain texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The execution's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Percent of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u32>,
    /// The release that has the rest of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_link: Option<String>,
}

/// An alarm whose state has changed:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html>.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    pub alarm_name: String,
    #[serde(default)]
    pub alarm_description: Option<String>,
    pub new_state_value: String,
    #[serde(default)]
    pub new_state_reason: Option<String>,
}

impl Received {
    pub fn parse(message: &str) -> Result<Self, InvalidNotice> {
        let json: Value = serde_json::from_str(message).map_err(|_| {
            InvalidNotice("it is not JSON. Who else publishes to the topic?".to_owned())
        })?;
        if json.get("AlarmName").is_some() {
            let alarm = Alarm::deserialize(json);
            return alarm.map(Self::Alarm).map_err(|error| {
                InvalidNotice(format!("it is an alarm that lacks something: {error}"))
            });
        }
        if json.get("Type").is_some_and(|kind| kind == "Notification") {
            return Err(InvalidNotice(
                "it is in SNS's own envelope. Give the subscription RawMessageDelivery".to_owned(),
            ));
        }
        Notice::read(&json).map(|notice| Self::Notice(Box::new(notice)))
    }
}

impl Notice {
    fn read(json: &Value) -> Result<Self, InvalidNotice> {
        const CONTEXT: &str = "/metadata/additionalContext";
        let optional = |path: &str| {
            json.pointer(path)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let required = |path: &str| {
            optional(path).ok_or_else(|| {
                let field = path.trim_start_matches('/').replace('/', ".");
                InvalidNotice(format!("{field} must be there, and a text"))
            })
        };
        let of_context = |name: &str| optional(&format!("{CONTEXT}/{name}"));
        let in_context = |name: &str| required(&format!("{CONTEXT}/{name}"));
        let wrong = |name: &str, rule: &str| {
            InvalidNotice(format!("metadata.additionalContext.{name} {rule}"))
        };
        let owned = |name: &str| of_context(name).map(str::to_owned);

        let known = |name: &str, rule: &str| Ok((in_context(name)?.to_owned(), wrong(name, rule)));
        let (kind, unknown) = known(
            "kind",
            "is of a kind that this function does not know. Deploy infra/pipeline.yaml again",
        )?;
        let kind = serde_json::from_value(Value::String(kind)).map_err(|_| unknown)?;
        let (about, unknown) = known("about", "must be deploy or build")?;
        let about = serde_json::from_value(Value::String(about)).map_err(|_| unknown)?;
        let (at, unknown) = known("at", "must be a time as in RFC 3339")?;
        let at = at.parse().map_err(|_| unknown)?;
        let (execution, unknown) = known("execution", "must be the ARN of an execution")?;
        if !is_execution(&execution) {
            return Err(unknown);
        }
        let place = match (of_context("app"), of_context("environment")) {
            (Some(app), Some(environment)) => {
                let place = Place::new(app, environment);
                Some(place.map_err(|error| {
                    InvalidNotice(format!("metadata.additionalContext: {error}"))
                })?)
            }
            // Of an input that named neither.
            _ => None,
        };
        let steps = json.pointer("/content/nextSteps").and_then(Value::as_array);
        let steps = steps.into_iter().flatten().filter_map(Value::as_str);
        // A notice is worth more than one of these: what cannot be read is left out.
        let number = |name: &str| of_context(name)?.parse().ok();
        Ok(Self {
            id: required("/id")?.to_owned(),
            kind,
            about,
            execution,
            place,
            at,
            title: required("/content/title")?.to_owned(),
            description: optional("/content/description")
                .unwrap_or_default()
                .to_owned(),
            next_steps: steps.map(str::to_owned).collect(),
            facts: Facts {
                release: owned("release"),
                version: owned("version"),
                since: of_context("since").and_then(|since| since.parse().ok()),
                healthy: number("healthy"),
                wanted: number("wanted"),
                traffic: number("traffic").filter(|percent| *percent <= 100),
                live: owned("live"),
                live_version: owned("liveVersion"),
                cause: owned("cause"),
                by: owned("by"),
                execution_link: owned("executionLink"),
                report_link: owned("reportLink"),
            },
        })
    }

    /// The execution's name: what its conversation is kept under.
    pub fn execution_name(&self) -> &str {
        self.execution.rsplit(':').next().unwrap_or_default()
    }
}

/// Names of executions: <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>; here
/// those that are one part of a key in S3.
fn is_execution(arn: &str) -> bool {
    let name = arn.rsplit(':').next().unwrap_or_default();
    let is_of_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    arn.starts_with("arn:")
        && arn.contains(":execution:")
        && (1..=80).contains(&name.chars().count())
        && name.chars().all(is_of_name)
}

#[cfg(test)]
pub(crate) mod fixtures {
    use serde_json::json;

    use super::*;

    pub(crate) const EXECUTION: &str =
        "arn:aws:states:us-east-1:111122223333:execution:exuvia-deploy:upload-hello_qa-1";

    /// A notice of a deploy of hello to qa, so many seconds after its start.
    pub(crate) fn message(kind: &str, seconds: i64) -> Value {
        json!({
            "version": "1.0", "source": "custom", "id": format!("{kind}-{seconds}"),
            "content": {
                "textType": "client-markdown", "title": format!("hello/qa: {kind} v2 (release 43)"),
                "description": format!("It is {kind}."), "nextSteps": [], "keywords": [kind],
            },
            "metadata": {
                "threadId": "hello-qa-000043", "summary": "x", "eventType": format!("exuvia.{kind}"),
                "relatedResources": [EXECUTION],
                "additionalContext": {
                    "kind": kind, "about": "deploy", "execution": EXECUTION, "app": "hello", "environment": "qa",
                    "release": "43", "version": "v2", "live": "42", "liveVersion": "v1",
                    "since": "2026-11-21T10:00:00Z", "by": "ci",
                    "at": Timestamp::from_second(1_795_255_200 + seconds).unwrap().to_string(),
                    "executionLink": "https://console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/x",
                },
            },
        })
    }

    pub(crate) fn notice(message: &Value) -> Notice {
        match Received::parse(&message.to_string()).unwrap() {
            Received::Notice(notice) => *notice,
            Received::Alarm(alarm) => panic!("{alarm:?}"),
        }
    }

    /// As above, with other values in its context; null takes one away.
    pub(crate) fn with(mut message: Value, changes: &Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            let context = message["metadata"]["additionalContext"]
                .as_object_mut()
                .unwrap();
            if value.is_null() {
                context.remove(name);
            } else {
                context.insert(name.clone(), value.clone());
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fixtures::{message, notice, with};
    use super::*;

    #[test]
    fn a_notice_is_read_with_what_it_says_besides() {
        let told = with(
            message("progressing", 90),
            &json!({"healthy": "1", "wanted": "2", "traffic": "20", "reportLink": "https://x"}),
        );
        let read = notice(&told);
        assert_eq!(read.kind, Kind::Progressing);
        assert_eq!(read.about, About::Deploy);
        assert_eq!(read.place, Some(Place::new("hello", "qa").unwrap()));
        assert_eq!(read.execution_name(), "upload-hello_qa-1");
        assert_eq!(read.at.to_string(), "2026-11-21T10:01:30Z");
        let facts = &read.facts;
        assert_eq!(
            (facts.healthy, facts.wanted, facts.traffic),
            (Some(1), Some(2), Some(20))
        );
        // As it is kept.
        let kept = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Notice>(kept).unwrap(), read);
    }

    #[test]
    fn what_cannot_be_read_of_the_rest_is_left_out() {
        let told = with(
            message("succeeded", 90),
            &json!({"healthy": "two", "wanted": "-1", "traffic": "101", "since": "yesterday", "by": ""}),
        );
        let facts = notice(&told).facts;
        assert_eq!(
            (facts.healthy, facts.wanted, facts.traffic),
            (None, None, None)
        );
        assert_eq!((facts.since, facts.by), (None, None));
    }

    #[test]
    fn a_refusal_names_the_field() {
        let without = |pointer: &str| {
            let mut message = message("succeeded", 1);
            *message.pointer_mut(pointer).unwrap() = Value::Null;
            message
        };
        let of = |name: &str, value: &str| with(message("succeeded", 1), &json!({ name: value }));
        for (message, named) in [
            (json!("hello"), "id"),
            (json!({}), "metadata.additionalContext.kind"),
            (without("/id"), "id must be there"),
            (without("/content/title"), "content.title must be there"),
            (
                of("kind", "exploded"),
                "metadata.additionalContext.kind is of a kind",
            ),
            (of("about", "x"), "metadata.additionalContext.about"),
            (
                of("at", "noon"),
                "metadata.additionalContext.at must be a time",
            ),
            (
                of("execution", "arn:aws:states:x:1:execution:m:../../live"),
                "metadata.additionalContext.execution",
            ),
            (
                of("execution", "e1"),
                "metadata.additionalContext.execution",
            ),
            (of("app", "../x"), "app \"../x\" is not valid"),
            (
                json!({"Type": "Notification", "Message": "{}"}),
                "RawMessageDelivery",
            ),
            (json!({"AlarmName": "a"}), "NewStateValue"),
        ] {
            let error = Received::parse(&message.to_string())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(named) || (named == "id" && error.contains("kind")),
                "{error}"
            );
        }
        assert!(
            Received::parse("not JSON")
                .unwrap_err()
                .to_string()
                .contains("not JSON")
        );
    }

    #[test]
    fn an_alarm_is_read() {
        let alarm = json!({
            "AlarmName": "exuvia-DeadLettersAlarm", "AlarmDescription": "Look.", "AWSAccountId": "1",
            "NewStateValue": "ALARM", "NewStateReason": "Threshold Crossed", "Trigger": {},
        });
        let read = Received::parse(&alarm.to_string()).unwrap();
        assert!(
            matches!(read, Received::Alarm(Alarm { new_state_value, .. }) if new_state_value == "ALARM")
        );
    }
}
