//! The reports of an app in an environment, as a list.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{How, Report, SCHEMA};
use crate::name::{Place, ReleaseNumber, Version};
use crate::notice::Kind;

/// How many are listed; the reports of those before stay.
pub const MOST_ENTRIES: usize = 200;

/// `<app>/<environment>/reports/index.json`: newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema: u32,
    /// Counts how often it was written.
    pub revision: u64,
    #[serde(flatten)]
    pub place: Place,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The execution's ARN.
    pub execution: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Absent until it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Kind>,
    #[serde(default)]
    pub needs_attention: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub started: Timestamp,
    /// How long it took; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
    /// From the launch of the fleet until all of it was healthy, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_healthy: Option<i64>,
    pub how: How,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// [`Report::revision`] of what this was made of.
    pub report: u64,
}

impl Entry {
    pub fn of(report: &Report) -> Self {
        Self {
            execution: report.execution.clone(),
            release: report.release,
            version: report.version.clone(),
            outcome: report.outcome,
            needs_attention: report.needs_attention,
            cause: report.cause.clone(),
            started: report.started,
            seconds: report.ended.map(|_| report.lasted()),
            seconds_to_healthy: report.seconds_to_healthy(),
            how: report.asked.how,
            by: report.asked.by.clone(),
            report: report.revision,
        }
    }
}

impl Index {
    pub fn new(place: Place) -> Self {
        Self {
            schema: SCHEMA,
            revision: 0,
            place,
            entries: Vec::new(),
        }
    }

    /// The index with this report in it; `None` if it is so already, or knows a later one of it.
    #[must_use]
    pub fn with(&self, report: &Report) -> Option<Self> {
        let entry = Entry::of(report);
        let same = |known: &&Entry| known.execution == entry.execution;
        let known = self.entries.iter().find(same);
        if known.is_some_and(|known| known.report >= entry.report) {
            return None;
        }
        let others = self.entries.iter().filter(|known| !same(known));
        let mut entries: Vec<Entry> = others.cloned().collect();
        entries.push(entry);
        entries.sort_by(|one, other| {
            let by_start = other.started.cmp(&one.started);
            by_start.then_with(|| other.execution.cmp(&one.execution))
        });
        entries.truncate(MOST_ENTRIES);
        (entries != self.entries).then(|| Self {
            schema: SCHEMA,
            revision: self.revision + 1,
            place: self.place.clone(),
            entries,
        })
    }
}
