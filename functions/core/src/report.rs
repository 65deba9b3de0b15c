//! What a deploy was like: the document that its page is made of, and that a program may read.
//!
//! It is derived from what is there (the execution's history, the ledger, the fleet), any number of times and in any
//! order. What is gone at the end, such as instances, is kept from an earlier look ([`Report::merged`]). What is not
//! known is absent, never guessed. `docs/reports.md` describes the document.

mod asked;
pub mod history;
mod index;
mod lives;
mod merge;
mod notices;
mod story;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Changes;
use crate::name::{Place, ReleaseNumber, Version};
use crate::notice::Kind;

pub use asked::{Asked, How};
pub use index::{Entry, Index, MOST_ENTRIES};
pub use lives::{Activity, Fleet, Life};
pub use notices::Told;
pub use story::Execution;

/// The layout of the document that this code writes.
pub const SCHEMA: u32 = 1;

/// How many of each are kept; how many there were more is told.
pub const MOST_STAYS: usize = 2_000;
pub const MOST_SAMPLES: usize = 2_000;
pub const MOST_LIVES: usize = 1_000;
pub const MOST_NOTICES: usize = 100;

/// `<app>/<environment>/reports/<execution's name>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub schema: u32,
    /// Counts how often it was written.
    pub revision: u64,
    /// The id of the last event of the execution's history that this has seen.
    pub last_event: i64,
    /// As of when this is.
    pub looked_at: Timestamp,
    /// The execution's ARN.
    pub execution: String,
    #[serde(flatten)]
    pub place: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What was live before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Released>,
    pub asked: Asked,
    /// Step Functions' word, such as `RUNNING`.
    pub status: String,
    /// What came of it; absent until that is known. The execution may still clean up then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Kind>,
    /// Whether something could not be put in order.
    #[serde(default)]
    pub needs_attention: bool,
    /// Why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The execution that this one cleans up after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers: Option<String>,
    /// The execution that has cleaned up after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_by: Option<String>,
    /// The states that it was in, in order; Choices take no time and are left out.
    pub path: Vec<Stay>,
    #[serde(default)]
    pub path_left_out: usize,
    /// Milliseconds in each state, all stays together.
    pub milliseconds: BTreeMap<String, i64>,
    /// How healthy the new fleet was, whenever it was looked at.
    pub health: Vec<Sample>,
    /// The new release's share of the traffic, from each of these moments on.
    pub traffic: Vec<Share>,
    /// When all instances that were wanted were first found healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// The new fleet's instances, in the order of their launches.
    pub instances: Vec<Life>,
    #[serde(default)]
    pub instances_left_out: usize,
    /// Launches that Auto Scaling could not make.
    #[serde(default)]
    pub launch_failures: Vec<LaunchFailure>,
    pub notices: Vec<Told>,
    /// Fleets that were shed.
    pub cleaned: Vec<Shed>,
    /// How the settings differ from those before: names, never values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Changes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    pub release: ReleaseNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// One stay in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    pub state: String,
    pub entered: Timestamp,
    /// Absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited: Option<Timestamp>,
    /// How often its function failed meanwhile, and was mostly tried again.
    #[serde(default)]
    pub failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub at: Timestamp,
    pub healthy: u32,
    pub wanted: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    pub at: Timestamp,
    /// Percent.
    pub weight: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchFailure {
    pub at: Timestamp,
    pub reason: String,
}

/// Fleets that were drained and deleted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shed {
    pub releases: Vec<ReleaseNumber>,
    pub began: Timestamp,
    /// When nothing was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
    /// What was left at the last look, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
}

impl Report {
    /// The execution's name: what the document is stored under.
    pub fn name(&self) -> &str {
        name_of(&self.execution)
    }

    pub fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Whole seconds from the start to the end, or to the look. The time in which it only kept the old fleet is none of the deploy's.
    pub fn lasted(&self) -> i64 {
        let until = self.ended.unwrap_or(self.looked_at);
        let kept = self.milliseconds.get(story::RETAIN);
        let kept = kept.map_or(0, |millis| millis / 1_000);
        (until.duration_since(self.started).as_secs() - kept).max(0)
    }

    /// Whole seconds from the launch of the new fleet until all of it was healthy.
    pub fn seconds_to_healthy(&self) -> Option<i64> {
        let launched = self.path.iter().find(|stay| stay.state == story::LAUNCH)?;
        let healthy = self.healthy_at?;
        Some(healthy.duration_since(launched.entered).as_secs())
    }
}

/// The name at the end of an execution's ARN.
pub fn name_of(execution: &str) -> &str {
    execution.rsplit(':').next().unwrap_or(execution)
}

/// What the keys of a place's reports begin with.
pub fn prefix(place: &Place) -> String {
    format!("{place}/reports/")
}

pub fn data_key(place: &Place, execution_name: &str) -> String {
    format!("{place}/reports/{execution_name}.json")
}

pub fn page_key(place: &Place, execution_name: &str) -> String {
    format!("{place}/reports/{execution_name}.html")
}

pub fn index_key(place: &Place) -> String {
    format!("{place}/reports/index.json")
}

pub fn index_page_key(place: &Place) -> String {
    format!("{place}/reports/index.html")
}

/// A text of people, instances or AWS, as it may be kept and shown: no control characters, nothing that changes the
/// direction of writing or is not to be seen, and so many characters at the most.
pub fn clean(text: &str, most: usize) -> String {
    let unseen = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}');
    let mut seen = text.chars().filter(|c| !unseen(*c)).map(|c| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            c
        }
    });
    let mut kept: String = seen.by_ref().take(most).collect();
    if seen.next().is_some() {
        kept.push('…');
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests;
