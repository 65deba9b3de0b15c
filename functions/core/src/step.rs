//! What each step is given and what it answers: the contract between the functions and `deploy.asl.json`.
//!
//! Times come in from the execution's context object, so that no handler reads a clock. Nothing that grows with
//! the fleet is passed: a state holds 262,144 bytes at the most.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::TaskToken;
use crate::artifact::Pinned;
use crate::config::Changes;
use crate::expected::Expected;
use crate::health::Waiting;
use crate::lock::{Claim, Purpose};
use crate::manifest::Live;
use crate::name::{AppName, Environment, Place, ReleaseNumber, Version};
use crate::notice::Kind;
use crate::request::Renew;
use crate::retain::Kept;
use crate::target::Target;

/// The execution that a step belongs to, from `$states.context.Execution`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    pub arn: String,
    pub name: String,
    pub start_time: Timestamp,
    /// [`Deploy::since`], for the steps that compare it with another deploy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Execution {
    pub fn claim(&self) -> Claim {
        Claim {
            execution: self.arn.clone(),
            since: self.since.unwrap_or(self.start_time),
            started: self.start_time,
        }
    }
}

/// A lock that was acquired: its `ETag` fences every step that touches the pointer or the live fleet.
pub type LockToken = String;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateInput {
    /// The execution's input, as it was given.
    pub input: Value,
    pub execution: Execution,
}

/// A request that has passed validation, with all that it names found and pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deploy {
    pub app: AppName,
    pub environment: Environment,
    pub purpose: Purpose,
    /// Whether the app is to be taken out of the environment; of a recovery, whether that is what it puts in order.
    #[serde(default)]
    pub removal: bool,
    /// Absent for a refresh (what is live when the lock is had), a removal and a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Pinned>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Pinned>,
    /// Whether an upload started this, not a person: then a later upload that is live already wins.
    pub automatic: bool,
    /// Since when this is wanted: the time of the upload that started it, else the execution's start. Of two deploys
    /// the later wanted goes first, whichever's event was delivered first.
    pub since: Timestamp,
    /// Who uploaded it, as the upload says: nobody has checked that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Absent for a removal and a recovery: what has to be put in order is told by what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// For how long approval is waited for before it gets traffic, in seconds; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_seconds: Option<u32>,
    /// For how long the old fleet is kept after it has succeeded, in minutes.
    #[serde(default, skip_serializing_if = "crate::retain::is_off")]
    pub retain_minutes: u32,
    /// The earlier release that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<ReleaseNumber>,
    /// Of a renewal: how old what is live must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<Renew>,
    /// The execution that a recovery cleans up after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers: Option<Recovered>,
}

impl Deploy {
    pub fn place(&self) -> Place {
        Place {
            app: self.app.clone(),
            environment: self.environment.clone(),
        }
    }
}

/// An execution that was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovered {
    pub execution: String,
    /// How it ended, in Step Functions' word: `ABORTED`, `TIMED_OUT` or `FAILED`.
    pub status: String,
    /// What it said of it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Recovered {
    /// The execution's name: the end of its ARN.
    pub fn name(&self) -> &str {
        self.execution.rsplit(':').next().unwrap_or(&self.execution)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockInput {
    #[serde(flatten)]
    pub place: Place,
    pub purpose: Purpose,
    pub execution: Execution,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum LockOutput {
    Acquired {
        token: LockToken,
    },
    Busy {
        /// The execution that holds it.
        holder: String,
        wait_seconds: u32,
        reason: String,
    },
    Superseded {
        reason: String,
    },
    /// It is not the time for a renewal.
    Skipped {
        reason: String,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanInput {
    pub deploy: Deploy,
    pub token: LockToken,
    pub execution: Execution,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanOutput {
    pub status: PlanStatus,
    /// The new release, or the one that is returned to; for a recovery the one that was cut off, if it got that far.
    pub release: Option<ReleaseNumber>,
    pub version: Option<Version>,
    /// The release that has the traffic.
    pub live: Option<ReleaseNumber>,
    pub live_version: Option<Version>,
    /// Fleets to shed when the new one is live, or none is any more: the live one, and what earlier executions left.
    pub retire: Vec<ReleaseNumber>,
    /// How many instances the new fleet starts with.
    pub capacity: u32,
    /// How long it is likely to take to be healthy, if earlier releases tell.
    pub expected: Option<Expected>,
    /// What the release replaces, if there is something.
    pub replaces: Option<Replaces>,
    pub reason: String,
}

/// The release that another is to replace, as far as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaces {
    pub release: ReleaseNumber,
    /// When it was planned: none of its instances is older.
    pub since: Timestamp,
    /// How the new release's settings differ, where they are another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Changes>,
}

impl Replaces {
    pub fn age_seconds(&self, now: Timestamp) -> i64 {
        now.duration_since(self.since).as_secs().max(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlanStatus {
    Planned,
    /// The fleet of the release that is asked for was kept: it gets the traffic back, without a launch.
    Return,
    /// A later upload is live already; there is nothing to do.
    Superseded,
    /// There is nothing to deploy again, or it is not the time for it.
    Skipped,
    /// Not a deploy: take the app out of the environment.
    Remove,
    /// Not a deploy: put things in order.
    Recover,
}

/// What every step on a planned release is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    #[serde(flatten)]
    pub place: Place,
    pub release: ReleaseNumber,
    pub live: Option<ReleaseNumber>,
    /// Whether it is returned to: its fleet stands already. Absent in a deploy that began under an older workflow.
    #[serde(default)]
    pub returns: bool,
    pub token: LockToken,
    pub execution: Execution,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchInput {
    #[serde(flatten)]
    pub context: Context,
    pub capacity: u32,
    /// As [`PlanOutput::expected`]; absent in a deploy that began under an older workflow.
    #[serde(default)]
    pub expected: Option<Expected>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchOutput {
    /// How long to wait before the first look.
    pub wait_seconds: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "phase",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum CheckHealthInput {
    /// Before the traffic moves.
    Boot {
        #[serde(flatten)]
        context: Context,
        launched_at: Timestamp,
        /// When it was looked at before.
        #[serde(default)]
        looked_at: Option<Timestamp>,
        healthy_since: Option<Timestamp>,
        /// As of [`LaunchInput`].
        #[serde(default)]
        expected: Option<Expected>,
    },
    /// While the new fleet has traffic.
    Bake {
        #[serde(flatten)]
        context: Context,
        /// The traffic step that is held.
        step: usize,
        shifted_at: Timestamp,
        /// When the first of the steps began; absent in a deploy that began under an older workflow.
        #[serde(default)]
        traffic_since: Option<Timestamp>,
        /// How many instances were proved healthy before the traffic moved.
        proved: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckHealthOutput {
    pub status: CheckStatus,
    pub healthy: u32,
    pub wanted: u32,
    pub healthy_since: Option<Timestamp>,
    /// How long it took to be healthy, once it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_seconds: Option<u32>,
    /// Whether the fleet was made larger, as the live one has grown: what is new of it has the time to boot that all had.
    pub grown: bool,
    pub wait_seconds: u32,
    pub reason: String,
    /// Instances that are not healthy yet: some of them, as this is in the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckStatus {
    /// Boot: not yet healthy.
    Pending,
    /// Boot: healthy, and was for the hold time.
    Healthy,
    /// Bake: this step is held on.
    Hold,
    /// Bake: this step was held long enough; there is another.
    Next,
    /// Bake: the last step was held long enough.
    Done,
    Failed,
    /// Boot: a newer deploy waits.
    Superseded,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ShiftTrafficInput {
    /// Give the new fleet the share of this step, if it is healthy at this moment.
    Shift {
        #[serde(flatten)]
        context: Context,
        step: usize,
    },
    /// The new release is the live one from now on.
    Commit {
        #[serde(flatten)]
        context: Context,
        /// How long it took to be healthy; absent in a deploy that began under an older workflow.
        #[serde(default)]
        boot_seconds: Option<u32>,
        #[serde(flatten)]
        old: OldFleets,
    },
    /// What was kept is kept no longer.
    GiveUp(GiveUpInput),
    /// No release is live any more.
    Remove(RemoveInput),
    /// The traffic stays with, or goes back to, the release that had it.
    RollBack(RollBackInput),
}

/// What Commit is told of the fleets that the new release replaces. Absent in a deploy that began under an older workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldFleets {
    /// As of [`Deploy::retain_minutes`].
    #[serde(default)]
    pub retain_minutes: u32,
    /// As of [`PlanOutput::retire`].
    #[serde(default)]
    pub retire: Vec<ReleaseNumber>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GiveUpInput {
    #[serde(flatten)]
    pub place: Place,
    /// The release that was kept.
    pub release: ReleaseNumber,
    pub execution: Execution,
    pub now: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveInput {
    #[serde(flatten)]
    pub place: Place,
    /// The release that has the traffic.
    pub live: Option<ReleaseNumber>,
    pub token: LockToken,
    pub execution: Execution,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollBackInput {
    #[serde(flatten)]
    pub place: Place,
    /// The release that is given up, if there is one.
    pub release: Option<ReleaseNumber>,
    pub execution: Execution,
    /// The ARN of the execution that is put in order, if this is a recovery.
    #[serde(default)]
    pub recovers: Option<String>,
    /// Whether it is a removal that is given up or put in order.
    #[serde(default)]
    pub removal: bool,
    /// As of [`Context::returns`].
    #[serde(default)]
    pub returns: bool,
    pub now: Timestamp,
    /// What led there.
    pub why: Why,
}

impl RollBackInput {
    /// The ARN of the execution that the outcome is about.
    pub fn whose(&self) -> &str {
        self.recovers.as_ref().unwrap_or(&self.execution.arn)
    }

    /// The release that the outcome is about: of a removal none. A recovery that failed in Plan was not told it; but what has been made
    /// live by the execution that it puts in order is that one's.
    pub fn subject(&self, live: Option<&Live>) -> Option<ReleaseNumber> {
        let made_live = live.filter(|live| live.execution == self.whose() && !self.removal);
        self.release.or(made_live.map(|live| live.release))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "status",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ShiftTrafficOutput {
    Shifted {
        /// Percent of the traffic that the new fleet has now.
        weight: u32,
        step: usize,
        wait_seconds: u32,
        /// Instances that were healthy at that moment.
        healthy: u32,
        reason: String,
    },
    /// Not healthy at this moment, or not large enough: wait on.
    NotReady {
        /// As for Check Health.
        grown: bool,
        wait_seconds: u32,
        reason: String,
    },
    /// A newer deploy waits.
    Superseded {
        reason: String,
    },
    Committed {
        /// What is kept for a while of what it replaces.
        retained: Option<Kept>,
        /// The rest of it.
        retire: Vec<ReleaseNumber>,
    },
    GivenUp {
        /// What is still kept, as another holds the lock.
        retained: Option<Kept>,
        /// What is to be shed.
        retire: Vec<ReleaseNumber>,
    },
    Removed,
    RolledBack {
        /// The release that the outcome is about, if there is one.
        release: Option<ReleaseNumber>,
        /// The release that has the traffic, if any has.
        live: Option<ReleaseNumber>,
        /// Fleets that nothing points to.
        retire: Vec<ReleaseNumber>,
        /// What the execution's outcome is.
        ending: Kind,
        /// Percent of the traffic that the release had when it was given up.
        had: u32,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetireInput {
    #[serde(flatten)]
    pub place: Place,
    /// The fleets to shed.
    pub releases: Vec<ReleaseNumber>,
    /// When shedding them began.
    pub since: Timestamp,
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetireOutput {
    pub status: RetireStatus,
    pub wait_seconds: u32,
    /// What is still there.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RetireStatus {
    Draining,
    Done,
}

/// What went before a notice: the last step's `status` and `reason`, or the error that was caught.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub reason: String,
    /// The error's name, where one was caught.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyInput {
    pub kind: Kind,
    /// The execution's input as it was given: all there is to go by when it was refused.
    pub input: Value,
    #[serde(default)]
    pub deploy: Option<Deploy>,
    #[serde(default)]
    pub release: Option<ReleaseNumber>,
    #[serde(default)]
    pub version: Option<Version>,
    #[serde(default)]
    pub live: Option<ReleaseNumber>,
    #[serde(default)]
    pub live_version: Option<Version>,
    #[serde(default)]
    pub healthy: Option<u32>,
    #[serde(default)]
    pub wanted: Option<u32>,
    /// Percent of the traffic that the release had at most.
    #[serde(default)]
    pub traffic: Option<u32>,
    /// Since when it had any.
    #[serde(default)]
    pub traffic_since: Option<Timestamp>,
    #[serde(default)]
    pub replaces: Option<Replaces>,
    /// As of [`Context::returns`].
    #[serde(default)]
    pub returns: bool,
    /// What is kept of what it has replaced.
    #[serde(default)]
    pub retained: Option<Kept>,
    /// Of a deploy that waits for approval: how it is given.
    #[serde(default)]
    pub approval: Option<ApprovalInput>,
    #[serde(default)]
    pub why: Why,
    pub execution: Execution,
    pub now: Timestamp,
}

/// What is needed to ask for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalInput {
    /// What the Task goes on by.
    pub task_token: TaskToken,
    /// The lock's: nobody is asked for what another deploy has taken over.
    pub token: LockToken,
    /// For so long it waits.
    pub seconds: u32,
}

impl NotifyInput {
    /// Percent of the traffic that the release has by now: what was given up has none, nor has a worker.
    pub fn traffic_now(&self) -> Option<u32> {
        let target = self
            .deploy
            .as_ref()
            .and_then(|deploy| deploy.target.as_ref());
        if target.is_some_and(Target::is_worker) {
            return None;
        }
        let is_live = self.release.is_some() && self.release == self.live;
        match self.kind {
            Kind::RolledBack | Kind::Superseded if !is_live => self.release.map(|_| 0),
            Kind::Succeeded => Some(100),
            Kind::Started | Kind::WaitingForApproval => Some(0),
            Kind::Progressing => self.traffic.or(Some(0)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyOutput {
    /// The notice's id; a repeat has the same.
    pub id: String,
}
