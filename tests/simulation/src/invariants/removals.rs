//! What must hold of removals: what was told of them is true, and what was removed stays so.

use exuvia_core::manifest::{Live, live_key, removed_key};
use exuvia_core::removal::Removed;
use exuvia_core::request::UploadName;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Check, Told, says_nothing};
use crate::executions::Execution;
use crate::world::LEDGER;

impl Check<'_> {
    /// An upload of before a removal is not put live after it, however late its event comes.
    pub(super) fn what_is_removed_stays_removed(&mut self) {
        let removals: Vec<(Timestamp, Removed)> = self
            .records::<Removed>(&removed_key(&self.place))
            .filter_map(|(at, removed)| Some((at, removed.filter(|removed| removed.done)?)))
            .collect();
        let uploaded = |execution: &str| {
            let mut executions = self.executions().iter();
            // What a person starts by hand goes first, of before or not.
            let is_automatic = |one: &&Execution| UploadName::is_one(&one.name);
            let execution = executions
                .find(|one| one.arn == execution)
                .filter(is_automatic)?;
            let input: Value = serde_json::from_str(&execution.input).ok()?;
            let id = input["artifact"]["versionId"].as_str()?;
            let mut uploads = self.after.uploads.iter();
            Some(uploads.find(|upload| upload.version_id == id)?.at)
        };
        let is_wrong = self
            .records::<Live>(&live_key(&self.place))
            .filter_map(|(at, live)| Some((at, uploaded(&live?.execution)?)))
            .any(|(at, uploaded)| {
                // To the second, as S3 tells it.
                let was_before =
                    |removed: &Removed| uploaded.as_second() < removed.since.as_second();
                let mut removals = removals.iter();
                removals.any(|(done, removed)| *done < at && was_before(removed))
            });
        if is_wrong {
            let what = "an upload of before a removal was put live after it".to_owned();
            self.violated("I5", what);
        }
    }

    /// What was ever written under a key of the ledger and when; `None` where it was deleted.
    fn records<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> impl Iterator<Item = (Timestamp, Option<T>)> + use<'_, T> {
        let versions = self.after.services.s3.versions(LEDGER, key).iter();
        versions.map(|version| {
            let content = version.content.as_ref();
            let record = content.and_then(|content| serde_json::from_slice(&content.body).ok());
            (version.written_at, record)
        })
    }

    /// What is not true of what was told of an execution that was to remove the app.
    pub(super) fn lie_of_a_removal(&self, told: &Told, execution: &Execution) -> Option<String> {
        let done = self.records::<Removed>(&removed_key(&self.place));
        let done = done.filter_map(|(at, removed)| Some((at, removed.filter(|one| one.done)?)));
        let (by_it, by_others): (Vec<_>, Vec<_>) =
            done.partition(|(_, removed)| removed.execution == execution.arn);
        let records = self.records::<Live>(&live_key(&self.place));
        let records: Vec<_> = records.filter(|(at, _)| *at <= told.at).collect();
        let live_now = records.last().and_then(|(_, live)| live.as_ref());
        let before = records.iter().rfind(|(at, _)| *at < execution.started);
        let was_live = before.is_some_and(|(_, live)| live.is_some());
        let went =
            |(at, live): &(Timestamp, Option<Live>)| *at >= execution.started && live.is_none();
        let stayed = was_live && !records.iter().any(went);
        let is_back = live_now.is_some_and(|live| {
            let mut removals = by_it.iter();
            removals.any(|(_, removed)| removed.release == live.release)
        });
        let by_another = by_others.iter().any(|(at, _)| *at >= execution.started);
        let is_gone = was_live && live_now.is_none() && !by_another;
        let kind = told.kind.as_str();
        let is_told = kind == "removed";
        let may_end_so = ["removed", "rolledBack", "superseded", "skipped", "rejected"];
        let all = [
            (!may_end_so.contains(&kind), "no removal ends so"),
            (is_told && stayed, "what was live stayed live"),
            (is_told && is_back, "what was live is live"),
            (is_told && by_it.is_empty(), "it has not removed the app"),
            (!is_told && !by_it.is_empty(), "it has removed the app"),
            (!is_told && is_gone, "what was live is no more"),
            (kind == "skipped" && stayed, "there was something to remove"),
        ];
        let mut wrong = all.into_iter().filter(|(is_so, _)| *is_so);
        let wrong = wrong.next().map(|(_, what)| what.to_owned());
        wrong.or_else(|| says_nothing(told))
    }
}
