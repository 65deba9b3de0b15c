//! Who or what asked for a deploy.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clean;
use crate::request::is_recovery;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub how: How,
    /// The execution's input, as it was given; cut, if it is long.
    pub input: String,
    /// Who, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// An object that came into the artifacts bucket.
    Upload,
    /// A person, or a program of theirs, started the execution.
    Hand,
    /// The app's renewal schedule.
    Schedule,
    /// The end of an execution that was cut off.
    Recovery,
}

/// What the names of executions begin with that an upload has started.
const UPLOAD: &str = "upload-";

impl Asked {
    /// Told by the execution's name and input.
    pub fn of(name: &str, input: &str) -> Self {
        let parsed: Value = serde_json::from_str(input).unwrap_or_default();
        let how = if is_recovery(name) {
            How::Recovery
        } else if name.starts_with(UPLOAD) {
            How::Upload
        } else if parsed.get("renew").is_some() {
            How::Schedule
        } else {
            How::Hand
        };
        Self {
            how,
            input: clean(input, 1_000),
            by: None,
        }
    }
}
