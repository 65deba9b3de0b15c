//! How a build is getting on, and what has come of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::notice::Kind;
use super::step::CutOff;
use super::{Report, Reported};
use crate::health::{Activity, SETTLE_SECONDS};
use crate::step::Why;

/// For so long after an execution has ended, the function that it had invoked may still be at work: longer than the
/// time-out of the build function (`infra/pipeline.yaml`).
pub const LAST_WORDS: SignedDuration = SignedDuration::from_secs(130);

/// How long a builder may take to be gone, in seconds.
pub const MOST_TERMINATING: i64 = 1_800;

/// What was seen of a build at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What the builder reported, or why that cannot be read.
    pub report: Option<Result<Report, String>>,
    /// Whether the builder's group is listed, and is not being deleted.
    pub stands: bool,
    /// Scaling activities of the group, in any order.
    pub activities: Vec<Activity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Building,
    Built,
    Failed,
    TimedOut,
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: Status,
    /// What is waited for, or what is wrong.
    pub reason: String,
    pub wait_seconds: u32,
}

/// Judges a build that was launched then and may take so long.
pub fn judge(
    seen: &Observation,
    launched_at: Timestamp,
    timeout_seconds: u32,
    now: Timestamp,
) -> Verdict {
    let elapsed = now.duration_since(launched_at).as_secs();
    let verdict = |status, reason: String| Verdict {
        status,
        reason,
        // Rarely at first, when the instance boots; never so rarely that a build waits long for its deploy.
        wait_seconds: u32::try_from((elapsed / 20).clamp(5, 20)).unwrap_or(20),
    };
    match &seen.report {
        Some(Ok(report)) => {
            return match report.status {
                Reported::Built => verdict(Status::Built, "the image is uploaded".to_owned()),
                Reported::Failed => verdict(Status::Failed, failure(report)),
            };
        }
        Some(Err(problem)) => {
            let reason = format!("the builder's report cannot be read: {problem}");
            return verdict(Status::Failed, reason);
        }
        None => {}
    }
    if let Some(failed) = seen
        .activities
        .iter()
        .find(|activity| activity.status == "Failed")
    {
        let message = failed.message.as_deref().unwrap_or("AWS gives no reason");
        let reason = format!(
            "no builder could be launched: {}: {message}",
            failed.description
        );
        return verdict(Status::Failed, reason);
    }
    // The group replaces an instance that is gone. The build could begin again on that, but what was lost once would as
    // likely be lost again: an instance too small for its build, a Spot instance, a person.
    let is_launch = |activity: &&Activity| activity.description.starts_with("Launching");
    if seen.activities.iter().filter(is_launch).count() > 1 {
        let reason = "the builder was terminated, or failed its checks, before it had reported";
        return verdict(Status::Lost, reason.to_owned());
    }
    if elapsed >= i64::from(timeout_seconds) {
        let reason = format!("the build had not ended after {timeout_seconds} s");
        return verdict(Status::TimedOut, reason);
    }
    // One empty describe right after its creation proves nothing.
    if !seen.stands && elapsed >= SETTLE_SECONDS {
        let reason = "the builder's Auto Scaling group is gone: something else deleted it";
        return verdict(Status::Lost, reason.to_owned());
    }
    verdict(Status::Building, format!("building since {elapsed} s"))
}

/// Until when a builder that is not there may yet appear: what was created may not be listed yet, and what an execution
/// that was cut off had set in motion may yet create it.
pub fn quiet_after(launched_at: Option<Timestamp>, recovers: Option<&CutOff>) -> Option<Timestamp> {
    let listed = launched_at.map(|at| at + SignedDuration::from_secs(SETTLE_SECONDS));
    let silent = recovers.and_then(|cut_off| Some(cut_off.ended? + LAST_WORDS));
    listed.max(silent)
}

/// What has come of a build whose builder is gone: its outcome and what led to it. What the builder has said last counts
/// first; `uploaded`: it has uploaded the image, whether or not it came to report that.
pub fn ending(
    report: Option<&Result<Report, String>>,
    uploaded: bool,
    why: &Why,
    recovers: Option<&CutOff>,
) -> (Kind, String) {
    match report {
        Some(Ok(report)) if report.status == Reported::Built => {
            return (Kind::Built, String::new());
        }
        _ if uploaded => return (Kind::Built, String::new()),
        Some(Ok(report)) => return (Kind::BuildFailed, failure(report)),
        Some(Err(problem)) => {
            let reason = format!("the builder's report cannot be read: {problem}");
            return (Kind::BuildFailed, reason);
        }
        None => {}
    }
    if let Some(CutOff { status, cause, .. }) = recovers {
        let cause = cause.as_ref().map(|cause| format!(" ({cause})"));
        let reason = format!(
            "the execution was cut off: {status}{}",
            cause.unwrap_or_default()
        );
        return (Kind::BuildFailed, reason);
    }
    let kind = match (why.error.as_deref(), why.status.as_str()) {
        (None, "timedOut") => Kind::BuildTimedOut,
        (None, "lost") => Kind::BuilderLost,
        _ => Kind::BuildFailed,
    };
    (kind, why.text())
}

/// What a builder says of its failure, as a sentence.
fn failure(report: &Report) -> String {
    let error = report.error.as_deref().unwrap_or("it gives no reason");
    match &report.step {
        Some(step) => format!("{step}: {error}"),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: Reported) -> Report {
        Report {
            status,
            step: Some("build".into()),
            error: Some("docker cannot build it".into()),
            output: vec![],
            artifact: None,
        }
    }

    fn activity(description: &str, status: &str) -> Activity {
        Activity {
            status: status.into(),
            description: description.into(),
            message: Some("there is no capacity".into()),
        }
    }

    fn launch(status: &str) -> Activity {
        activity("Launching a new EC2 instance: i-1", status)
    }

    fn seen(activities: Vec<Activity>) -> Observation {
        Observation {
            report: None,
            stands: true,
            activities,
        }
    }

    #[test]
    fn how_a_build_is_getting_on() {
        let gone = Observation::default();
        let with_report = |report| Observation {
            report: Some(report),
            ..gone.clone()
        };
        for (seen, elapsed, status, says) in [
            (
                seen(vec![launch("InProgress")]),
                0,
                Status::Building,
                "since 0 s",
            ),
            (
                seen(vec![launch("Successful")]),
                1_799,
                Status::Building,
                "since 1799 s",
            ),
            (
                seen(vec![launch("Successful")]),
                1_800,
                Status::TimedOut,
                "after 1800 s",
            ),
            (
                seen(vec![launch("Failed")]),
                20,
                Status::Failed,
                "no builder could be launched: Launching a new EC2 instance: i-1: there is no capacity",
            ),
            (
                seen(vec![
                    launch("Successful"),
                    activity("Terminating EC2 instance: i-1", "Successful"),
                    launch("InProgress"),
                ]),
                90,
                Status::Lost,
                "the builder was terminated",
            ),
            (gone.clone(), 59, Status::Building, "since 59 s"),
            (gone.clone(), 60, Status::Lost, "something else deleted it"),
            (
                with_report(Ok(report(Reported::Built))),
                5_000,
                Status::Built,
                "uploaded",
            ),
            (
                with_report(Ok(report(Reported::Failed))),
                50,
                Status::Failed,
                "build: docker cannot build it",
            ),
            (
                with_report(Err("it is no JSON".into())),
                50,
                Status::Failed,
                "cannot be read: it is no JSON",
            ),
        ] {
            let launched = Timestamp::UNIX_EPOCH;
            let now = launched + SignedDuration::from_secs(elapsed);
            let verdict = judge(&seen, launched, 1_800, now);
            assert_eq!(
                verdict.status, status,
                "{seen:?} after {elapsed} s: {verdict:?}"
            );
            assert!(verdict.reason.contains(says), "{verdict:?}");
            assert!((5..=20).contains(&verdict.wait_seconds), "{verdict:?}");
        }
    }

    #[test]
    fn what_has_come_of_it() {
        let cut_off = CutOff {
            execution: "e1".into(),
            status: "ABORTED".into(),
            cause: Some("I stopped it".into()),
            ended: Some(Timestamp::UNIX_EPOCH),
        };
        let why = |status: &str, error: Option<&str>| Why {
            status: status.into(),
            reason: "so it was".into(),
            error: error.map(Into::into),
        };
        let (built, failed) = (Ok(report(Reported::Built)), Ok(report(Reported::Failed)));
        let unreadable = Err("no JSON".to_owned());
        for (report, uploaded, why, recovers, kind, says) in [
            (
                Some(&built),
                true,
                why("built", None),
                None,
                Kind::Built,
                "",
            ),
            // What the builder did counts, not what the execution made of it.
            (
                Some(&built),
                false,
                why("timedOut", None),
                Some(&cut_off),
                Kind::Built,
                "",
            ),
            (None, true, why("timedOut", None), None, Kind::Built, ""),
            (
                Some(&unreadable),
                true,
                why("failed", None),
                None,
                Kind::Built,
                "",
            ),
            (
                Some(&failed),
                false,
                why("", None),
                Some(&cut_off),
                Kind::BuildFailed,
                "docker cannot",
            ),
            (
                Some(&unreadable),
                false,
                why("", None),
                None,
                Kind::BuildFailed,
                "no JSON",
            ),
            (
                None,
                false,
                why("timedOut", None),
                None,
                Kind::BuildTimedOut,
                "so it was",
            ),
            (
                None,
                false,
                why("lost", None),
                None,
                Kind::BuilderLost,
                "so it was",
            ),
            (
                None,
                false,
                why("failed", None),
                None,
                Kind::BuildFailed,
                "so it was",
            ),
            (
                None,
                false,
                why("lost", Some("AwsRefused")),
                None,
                Kind::BuildFailed,
                "so it was",
            ),
            (
                None,
                false,
                why("", None),
                Some(&cut_off),
                Kind::BuildFailed,
                "ABORTED (I stopped it)",
            ),
        ] {
            let (ending, reason) = ending(report, uploaded, &why, recovers);
            assert_eq!(ending, kind, "{report:?} {uploaded} {why:?}");
            assert!(reason.contains(says), "{reason}");
        }
    }

    #[test]
    fn a_builder_that_is_not_there_may_yet_appear() {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let cut_off = CutOff {
            execution: "e1".into(),
            status: "ABORTED".into(),
            cause: None,
            ended: Some(at(100)),
        };
        assert_eq!(quiet_after(None, None), None);
        assert_eq!(quiet_after(Some(at(0)), None), Some(at(60)));
        assert_eq!(quiet_after(None, Some(&cut_off)), Some(at(230)));
        assert_eq!(quiet_after(Some(at(500)), Some(&cut_off)), Some(at(560)));
    }
}
