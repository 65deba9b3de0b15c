//! What invokes this: a notice that the topic has delivered, or the event of an execution's end.

use exuvia_core::report::Told;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>
    Notices {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>
    Ended {
        time: Timestamp,
        detail: StatusChange,
    },
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Record {
    #[serde(rename = "Sns")]
    sns: Message,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message: String,
    timestamp: Timestamp,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    execution_arn: String,
}

/// An execution that something was heard of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) execution: String,
    pub(crate) notice: Option<Told>,
    pub(crate) at: Timestamp,
}

impl Event {
    /// Alarms go to the same topic, and whatever else somebody publishes there: what is no notice is passed over.
    pub(crate) fn heard(self) -> Vec<Heard> {
        match self {
            Self::Notices { records } => records
                .iter()
                .filter_map(|Record { sns }| {
                    let message: Value = serde_json::from_str(&sns.message).ok()?;
                    let (execution, notice) = Told::read(&message, sns.timestamp)?;
                    Some(Heard {
                        execution,
                        notice: Some(notice),
                        at: sns.timestamp,
                    })
                })
                .collect(),
            Self::Ended { time, detail } => vec![Heard {
                execution: detail.execution_arn,
                notice: None,
                at: time,
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(event: Value) -> Vec<Heard> {
        serde_json::from_value::<Event>(event).unwrap().heard()
    }

    fn record(message: &str) -> Value {
        json!({"EventSource": "aws:sns", "Sns": {"Message": message, "Timestamp": "2026-11-26T02:00:00.000Z"}})
    }

    #[test]
    fn notices_and_endings_name_their_executions() {
        let arn = "arn:aws:states:us-east-1:1:execution:exuvia-deploy:e1";
        let notice = json!({
            "version": "1.0", "source": "custom", "id": "started-e1",
            "content": {"title": "hello/qa: deploying v2"},
            "metadata": {"additionalContext": {"kind": "started", "execution": arn, "by": "alice\u{1b}[1m", "at": "2026-11-26T01:59:58Z"}},
        });
        let records =
            json!({"Records": [record("ALARM: \"x\""), record(&notice.to_string()), record("{}")]});
        let heard_of = heard(records);
        assert_eq!(heard_of.len(), 1);
        assert_eq!(heard_of[0].execution, arn);
        let told = heard_of[0].notice.as_ref().unwrap();
        assert_eq!(told.by.as_deref(), Some("alice [1m"));
        assert_eq!(told.at.to_string(), "2026-11-26T01:59:58Z");

        let ended = json!({"source": "aws.states", "time": "2026-11-26T02:00:00Z", "detail": {"executionArn": arn, "status": "ABORTED"}});
        let heard_of = heard(ended);
        assert_eq!((heard_of.len(), heard_of[0].execution.as_str()), (1, arn));
        assert_eq!(heard_of[0].notice, None);
    }
}
