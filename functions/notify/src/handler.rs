//! Tells people. An execution has one final outcome: it is recorded in the ledger before it is published, so that
//! a step that is run again, or a recovery, neither contradicts nor repeats it.

use exuvia_aws::ledger::Ledger;
use exuvia_aws::topic::Topic;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::announcement::Announcement;
use exuvia_core::approval::Asked;
use exuvia_core::build;
use exuvia_core::build::notice::{BuildNotice, Kind};
use exuvia_core::build::step::AnnounceInput;
use exuvia_core::error::StepError;
use exuvia_core::manifest::{BootReport, outcome_key};
use exuvia_core::notice::{self, Beside, Notice};
use exuvia_core::step::{NotifyInput, NotifyOutput};
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub struct Handler {
    ledger: Ledger,
    ledger_bucket: String,
    topic: Topic,
}

/// A notice of a deploy, or of a build, which says so: `"about": "build"`.
#[derive(Debug)]
pub enum Input {
    Deploy(Box<NotifyInput>),
    Build(Box<AnnounceInput>),
}

// By hand: an error of an untagged enum would not name the field.
impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let input = Value::deserialize(deserializer)?;
        let read = match input.get("about").and_then(Value::as_str) {
            Some("build") => serde_json::from_value(input).map(|told| Self::Build(Box::new(told))),
            _ => serde_json::from_value(input).map(|told| Self::Deploy(Box::new(told))),
        };
        read.map_err(D::Error::custom)
    }
}

/// What is kept of an outcome: the whole of it, so that whoever publishes it says the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<N> {
    #[serde(flatten)]
    notice: N,
    at: Timestamp,
    /// SNS's id of the message; absent until it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        let ledger_bucket = settings.get("LEDGER_BUCKET")?;
        Ok(Self {
            ledger: Ledger::new(config, ledger_bucket.clone()),
            ledger_bucket,
            topic: Topic::new(config, settings.get("TOPIC_ARN")?),
        })
    }

    pub async fn handle(&self, input: Input) -> Result<NotifyOutput, StepError> {
        match input {
            Input::Deploy(told) => self.of_deploy(&told).await,
            Input::Build(told) => self.of_build(&told).await,
        }
    }

    async fn of_deploy(&self, told: &NotifyInput) -> Result<NotifyOutput, StepError> {
        let boot = self.boot_report(told).await;
        let beside = Beside {
            ledger: &self.ledger_bucket,
            boot: boot.as_ref(),
        };
        let notice = Notice::new(told, beside);
        let id = notice.id.clone();
        // What needs attention is told beside the outcome: that was told before, or a recovery will tell it.
        if notice.kind.is_outcome() {
            let key = outcome_key(notice.place.as_ref(), notice.execution_name());
            self.tell_once(&key, notice, told.now).await?;
        } else {
            self.note_asked(told).await?;
            self.topic.publish(&notice).await?;
        }
        Ok(NotifyOutput { id })
    }

    /// A newer deploy must find what waits for approval before anybody is asked. Who has lost the lock asks nobody.
    async fn note_asked(&self, told: &NotifyInput) -> Result<(), StepError> {
        let (Some(approval), Some(deploy)) = (&told.approval, &told.deploy) else {
            return Ok(());
        };
        let (place, execution) = (deploy.place(), &told.execution);
        self.ledger
            .check_lock(&place, execution, &approval.token)
            .await?;
        let asked = Asked {
            execution: execution.arn.clone(),
            token: approval.task_token.clone(),
        };
        self.ledger.note_asked(&place, &asked).await
    }

    /// What an instance of a release that was rolled back said of its failed boot. It is told if it can be read, as the
    /// cause names it already.
    async fn boot_report(&self, told: &NotifyInput) -> Option<BootReport> {
        let (deploy, release) = (told.deploy.as_ref()?, told.release?);
        if told.kind != notice::Kind::RolledBack {
            return None;
        }
        let reports = self.ledger.boot_reports(&deploy.place(), release).await;
        reports.ok()?.into_iter().next()
    }

    async fn of_build(&self, told: &AnnounceInput) -> Result<NotifyOutput, StepError> {
        let report = match (told.kind, &told.build) {
            (Kind::BuildFailed, Some(build)) => {
                let report = self.ledger.report(&build.place(), &build.build).await?;
                report.and_then(Result::ok)
            }
            _ => None,
        };
        let notice = BuildNotice::new(told, report.as_ref());
        let id = notice.id.clone();
        if notice.kind.is_outcome() {
            let key = build::outcome_key(notice.place.as_ref(), &notice.build);
            self.tell_once(&key, notice, told.now).await?;
        } else {
            self.topic.publish(&notice).await?;
        }
        Ok(NotifyOutput { id })
    }

    async fn tell_once<N>(&self, key: &str, notice: N, at: Timestamp) -> Result<(), StepError>
    where
        N: Announcement + Serialize + DeserializeOwned,
    {
        let outcome = Outcome {
            notice,
            at,
            message_id: None,
        };
        let mut recorded = self.ledger.record(key, outcome).await?;
        if recorded.message_id.is_none() {
            recorded.message_id = Some(self.topic.publish(&recorded.notice).await?);
            self.ledger.amend(key, &recorded).await?;
        }
        Ok(())
    }
}
