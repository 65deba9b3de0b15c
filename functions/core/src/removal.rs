//! An app is taken out of an environment: how far that has come, and what it means for uploads of before.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::manifest::Live;
use crate::name::ReleaseNumber;
use crate::step::Deploy;

/// `<app>/<environment>/removed.json`: the last removal. It is written before `live.json` is deleted, which is when the
/// app is removed, so that whoever finds none can tell by whom; and once more when the rule is gone as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// The release that was live.
    pub release: ReleaseNumber,
    /// The ARN of the execution that removes it.
    pub execution: String,
    /// Since when that was wanted: the execution's start.
    pub since: Timestamp,
    /// Whether the rule is deleted as well. Only what is shed then is left.
    pub done: bool,
}

/// How far a removal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What was live stays live.
    NotBegun,
    /// No release is live any more; the rule may still be there. The only way is forward.
    Begun,
    /// Whatever is live now was deployed afterwards.
    Done,
}

/// How far an execution's removal has come, by the last removal's record and what is live.
///
/// Of one that was cut off after it had deleted `live.json`, another deploy may have found the rule, and kept or replaced
/// the release that it still named: then something is live, and that removal has come to nothing.
pub fn progress(removed: Option<&Removed>, execution: &str, live: Option<&Live>) -> Progress {
    match removed.filter(|removed| removed.execution == execution) {
        Some(removed) if removed.done => Progress::Done,
        Some(_) if live.is_none() => Progress::Begun,
        _ => Progress::NotBegun,
    }
}

/// Why an upload's deploy is pointless: its event came late, and the app was removed since, whatever is live by now. (S3
/// tells the time of an upload in whole seconds: one of the same second counts as later.)
pub fn overtakes(removed: &Removed, deploy: &Deploy) -> Option<String> {
    let is_upload = deploy.automatic && deploy.artifact.is_some();
    let is_later = removed.since >= deploy.since + SignedDuration::from_secs(1);
    (removed.done && is_upload && is_later).then(|| {
        let place = deploy.place();
        format!("{place} was removed after this was uploaded. To deploy it all the same, upload it again")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn removed(done: bool) -> Removed {
        Removed {
            release: ReleaseNumber::try_from(3).unwrap(),
            execution: "me".to_owned(),
            since: at(10_500),
            done,
        }
    }

    #[test]
    fn how_far_a_removal_has_come() {
        let live: Live = serde_json::from_value(
            json!({"release": 3, "version": "v3", "execution": "d", "since": at(0)}),
        )
        .unwrap();
        let (begun, done) = (removed(false), removed(true));
        for (removed, execution, live, progress, why) in [
            (
                None,
                "me",
                Some(&live),
                Progress::NotBegun,
                "nothing written",
            ),
            (None, "me", None, Progress::NotBegun, "nothing was live"),
            (
                Some(&begun),
                "me",
                Some(&live),
                Progress::NotBegun,
                "written, and still live",
            ),
            (Some(&begun), "me", None, Progress::Begun, "no longer live"),
            (
                Some(&begun),
                "another",
                None,
                Progress::NotBegun,
                "another's",
            ),
            (Some(&done), "me", None, Progress::Done, "all done"),
            (
                Some(&done),
                "me",
                Some(&live),
                Progress::Done,
                "deployed again since",
            ),
            (
                Some(&done),
                "another",
                None,
                Progress::NotBegun,
                "removed by another",
            ),
        ] {
            assert_eq!(super::progress(removed, execution, live), progress, "{why}");
        }
    }

    #[test]
    fn an_upload_of_before_a_removal_is_not_deployed_after_it() {
        let pinned = json!({"bucket": "b", "key": "hello/qa/v1.tar", "versionId": "v", "size": 1, "sha256": "0",
                            "uploadedAt": at(0)});
        let deploy = |automatic: bool, since: i64, artifact: bool| -> Deploy {
            serde_json::from_value(json!({
                "app": "hello", "environment": "qa", "purpose": "deploy", "automatic": automatic, "since": at(since),
                "artifact": artifact.then_some(&pinned), "removal": false,
            }))
            .unwrap()
        };
        for (done, automatic, since, artifact, overtaken, why) in [
            (true, true, 9_000, true, true, "uploaded before"),
            (
                true,
                true,
                10_000,
                true,
                false,
                "uploaded in the same second",
            ),
            (true, true, 11_000, true, false, "uploaded after"),
            (true, false, 9_000, true, false, "a person means it"),
            (
                true,
                true,
                9_000,
                false,
                false,
                "settings are skipped by themselves",
            ),
            (
                false,
                true,
                9_000,
                true,
                false,
                "the removal may come to nothing",
            ),
        ] {
            let reason = overtakes(&removed(done), &deploy(automatic, since, artifact));
            assert_eq!(reason.is_some(), overtaken, "{why}");
        }
    }
}
