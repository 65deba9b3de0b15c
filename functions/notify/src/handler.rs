//! Tells people. An execution has one final outcome: it is recorded in the ledger before it is published, so that
//! a step that is run again, or a recovery, neither contradicts nor repeats it.

use exuvia_aws::ledger::Ledger;
use exuvia_aws::topic::Topic;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::manifest::outcome_key;
use exuvia_core::notice::Notice;
use exuvia_core::step::{NotifyInput, NotifyOutput};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub struct Handler {
    ledger: Ledger,
    topic: Topic,
}

/// What is kept of an outcome: the whole of it, so that whoever publishes it says the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(flatten)]
    notice: Notice,
    at: Timestamp,
    /// SNS's id of the message; absent until it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            topic: Topic::new(config, settings.get("TOPIC_ARN")?),
        })
    }

    pub async fn handle(&self, input: NotifyInput) -> Result<NotifyOutput, StepError> {
        let notice = Notice::new(&input);
        // What needs attention is told beside the outcome: that was told before, or a recovery will tell it.
        if !notice.kind.is_outcome() {
            self.topic.publish(&notice).await?;
            return Ok(NotifyOutput { id: notice.id });
        }
        let id = notice.id.clone();
        let key = outcome_key(notice.place.as_ref(), notice.execution_name());
        let outcome = Outcome {
            notice,
            at: input.now,
            message_id: None,
        };
        let mut recorded = self.ledger.record(&key, outcome).await?;
        if recorded.message_id.is_none() {
            recorded.message_id = Some(self.topic.publish(&recorded.notice).await?);
            self.ledger.amend(&key, &recorded).await?;
        }
        Ok(NotifyOutput { id })
    }
}
