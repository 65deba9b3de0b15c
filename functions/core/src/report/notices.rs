//! Notices that were published of an execution.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clean;

/// A notice, as its message told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The same when it was told again.
    pub id: String,
    pub at: Timestamp,
    /// Such as `started`; absent if only its id is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Told {
    /// Of a message that was published at that time: the execution that it is about, and the notice. `None` for what is
    /// no notice.
    pub fn read(message: &Value, at: Timestamp) -> Option<(String, Self)> {
        let context = message.get("metadata")?.get("additionalContext")?;
        let text = |name: &str, most| {
            let text = context.get(name)?.as_str()?;
            Some(clean(text, most)).filter(|text| !text.is_empty())
        };
        let execution = context.get("execution")?.as_str()?.to_owned();
        let title = message["content"]["title"].as_str();
        let told = context.get("at").and_then(Value::as_str);
        let notice = Self {
            id: clean(message.get("id")?.as_str()?, 120),
            at: told.and_then(|told| told.parse().ok()).unwrap_or(at),
            kind: text("kind", 32),
            title: title.map(|title| clean(title, 250)),
            cause: text("cause", 500),
            by: text("by", 200),
        };
        Some((execution, notice))
    }

    /// Of the record of an outcome.
    pub fn of_record(record: &Value) -> Option<Self> {
        let text = |name: &str, most| {
            let text = record.get(name)?.as_str()?;
            Some(clean(text, most)).filter(|text| !text.is_empty())
        };
        Some(Self {
            id: text("id", 120)?,
            at: record.get("at")?.as_str()?.parse().ok()?,
            kind: text("kind", 32),
            title: text("title", 250),
            cause: text("cause", 500),
            by: text("by", 200),
        })
    }
}
