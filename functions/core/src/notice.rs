//! What people are told, and the one outcome that an execution has.
//!
//! The message is a custom notification as Amazon Q Developer in chat applications takes it, so that a topic
//! subscribed there is read in Slack without any code of ours:
//! <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>.

pub mod links;
pub mod mrkdwn;
mod wording;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fleet::hex;
use crate::lock::Purpose;
use crate::manifest::BootReport;
use crate::name::{Place, ReleaseNumber};
use crate::removal::Progress;
use crate::step::{Deploy, NotifyInput, Why};

use self::links::Console;
use self::wording::because;
use self::wording::{Wording, place, recovered};
pub(crate) use self::wording::{cut, lasted, sentence};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    /// Another execution deploys there.
    Waiting,
    /// The first instances are healthy, or the release has more of the traffic.
    Progressing,
    /// Its fleet is healthy, and somebody has to say whether it may have traffic.
    WaitingForApproval,
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
            Self::Waiting => "waiting",
            Self::Progressing => "progressing",
            Self::WaitingForApproval => "waitingForApproval",
            Self::Succeeded => "succeeded",
            Self::Removed => "removed",
            Self::Superseded => "superseded",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolledBack",
            Self::NeedsAttention => "needsAttention",
        }
    }

    /// Whether there is a reason to tell.
    fn tells_why(self) -> bool {
        !matches!(
            self,
            Self::Started
                | Self::Progressing
                | Self::WaitingForApproval
                | Self::Succeeded
                | Self::Removed
        )
    }

    /// Whether an execution ends with it. An execution has one outcome, whatever is told besides.
    pub fn is_outcome(self) -> bool {
        !matches!(
            self,
            Self::Started
                | Self::Waiting
                | Self::Progressing
                | Self::WaitingForApproval
                | Self::NeedsAttention
        )
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

/// A title is no longer: a custom notification's may be of 250 characters.
const MOST_OF_TITLE: usize = 250;

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
    /// The same for programs, as plain text: what `additionalContext` holds (docs/notice.schema.json).
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

/// What a notice tells besides what the workflow knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The ledger's bucket, where the report is.
    pub ledger: &'a str,
    /// What an instance of the release said of its failed boot.
    pub boot: Option<&'a BootReport>,
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
    pub fn new(told: &NotifyInput, beside: Beside<'_>) -> Self {
        let recovered = recovered(told);
        let execution = recovered.map_or(&told.execution.arn, |recovered| &recovered.execution);
        let place = place(told);
        let facts = facts(told, place.as_ref(), execution, beside);
        let Wording {
            title,
            description,
            next_steps,
        } = Wording::of(told, execution, beside);
        let name = execution.rsplit(':').next().unwrap_or(execution);
        let id = match told.kind {
            Kind::Started => format!("started-{name}"),
            Kind::Waiting => format!("waiting-{name}"),
            Kind::Progressing => match told.traffic {
                Some(percent) => format!("traffic-{percent}-{name}"),
                None => format!("healthy-{name}"),
            },
            // Each try has a token of its own, and only the newest is good.
            Kind::WaitingForApproval => format!("approval-{}-{name}", which_token(told)),
            Kind::NeedsAttention => format!("attention-{name}"),
            _ => format!("outcome-{name}"),
        };
        Self {
            kind: told.kind,
            id,
            title: title.chars().take(MOST_OF_TITLE).collect(),
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
            facts,
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
                "additionalContext": self.facts,
            },
        })
    }
}

/// What tells the tokens of an execution apart, and does not tell them.
fn which_token(told: &NotifyInput) -> String {
    let token = told.approval.as_ref().map(|asked| &asked.task_token.0);
    let digest = Sha256::digest(token.map_or("", String::as_str));
    hex(&digest)[..8].to_owned()
}

/// Until when approval is waited for.
fn until(told: &NotifyInput) -> Option<Timestamp> {
    let seconds = told.approval.as_ref()?.seconds;
    let until = told.now + SignedDuration::from_secs(seconds.into());
    until.round(Unit::Second).ok()
}

/// What is told, for programs: plain text, not escaped for anybody. What is not known is left out.
fn facts(
    told: &NotifyInput,
    place: Option<&Place>,
    execution: &str,
    beside: Beside<'_>,
) -> BTreeMap<String, String> {
    let cause = told.kind.tells_why().then(|| because(told));
    let console = Console::of(execution);
    let all = [
        ("about", Some("deploy".to_owned())),
        ("kind", Some(told.kind.as_str().to_owned())),
        ("execution", Some(execution.to_owned())),
        ("at", Some(told.now.to_string())),
        ("since", Some(told.execution.start_time.to_string())),
        ("app", place.map(|place| place.app.to_string())),
        (
            "environment",
            place.map(|place| place.environment.to_string()),
        ),
        ("release", told.release.map(|release| release.to_string())),
        ("version", told.version.as_ref().map(ToString::to_string)),
        ("live", told.live.map(|live| live.to_string())),
        (
            "liveVersion",
            told.live_version.as_ref().map(ToString::to_string),
        ),
        ("healthy", told.healthy.map(|healthy| healthy.to_string())),
        ("wanted", told.wanted.map(|wanted| wanted.to_string())),
        (
            "traffic",
            told.traffic_now().map(|percent| percent.to_string()),
        ),
        ("until", until(told).map(|until| until.to_string())),
        (
            "taskToken",
            told.approval
                .as_ref()
                .map(|asked| asked.task_token.0.clone()),
        ),
        ("returned", told.returns.then(|| told.returns.to_string())),
        (
            "retained",
            told.retained.as_ref().map(|kept| kept.release.to_string()),
        ),
        (
            "retainedUntil",
            told.retained.as_ref().map(|kept| kept.until.to_string()),
        ),
        ("cause", cause.filter(|cause| !cause.is_empty())),
        ("by", told.deploy.as_ref().map(asked_by)),
        ("executionLink", console.as_ref().map(Console::execution)),
        (
            "reportLink",
            place
                .zip(console)
                .map(|(place, console)| console.report(beside.ledger, place)),
        ),
    ];
    all.into_iter()
        .filter_map(|(name, fact)| Some((name.to_owned(), fact?)))
        .collect()
}

/// Who or what asked for a deploy, as far as that is known.
fn asked_by(deploy: &Deploy) -> String {
    match &deploy.by {
        Some(by) => by.clone(),
        None if deploy.purpose == Purpose::Renewal => "the renewal schedule".to_owned(),
        None if deploy.automatic => "an upload".to_owned(),
        None => "a person, or a program, that started the execution".to_owned(),
    }
}

#[cfg(test)]
mod tests;
