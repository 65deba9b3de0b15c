//! What a step can end with instead of a result. The name of the variant is the error name that Step Functions
//! sees, so that the state machines can retry and catch by it.

use crate::approval::{REFUSED, SUPERSEDED};
use crate::archive::NotAnImage;
use crate::build::builder::InvalidBuilder;
use crate::build::request::InvalidBuild;
use crate::build::{BuildId, group_name};
use crate::config::InvalidConfig;
use crate::name::{InvalidName, Place, ReleaseNumber};
use crate::request::InvalidRequest;
use crate::target::InvalidTarget;

#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Mend the execution's input (or the key that was uploaded to).
    #[error("{0}")]
    InvalidRequest(#[from] InvalidRequest),
    /// Create the target: deploy `infra/app.yaml` for this app and environment.
    #[error(
        "there is no target {parameter}: {place} is not set up here. Check the app's and the environment's names, or deploy infra/app.yaml for them"
    )]
    TargetNotFound { place: Place, parameter: String },
    /// Mend the target.
    #[error("{0}")]
    InvalidTarget(#[from] InvalidTarget),
    /// Upload it, or name one that exists.
    #[error("there is no artifact {0}. Upload it, or name one that exists")]
    ArtifactNotFound(String),
    /// Upload what `docker save` writes.
    #[error("the artifact {key} cannot be deployed: {problem}")]
    InvalidArtifact { key: String, problem: NotAnImage },
    /// Upload it again without naming another key: the bucket's default encryption is the right one.
    #[error(
        "{key} is not encrypted with the pipeline's key {expected}, but with {found}. Upload it again with the bucket's default encryption"
    )]
    WrongEncryption {
        key: String,
        expected: String,
        found: String,
    },
    /// Enable the KMS key.
    #[error(
        "the pipeline's key {key} is {state}, so no instance could read the artifact. Enable it, then deploy again"
    )]
    KeyUnavailable { key: String, state: String },
    /// Mend the app's settings.
    #[error("{0}")]
    InvalidConfig(#[from] InvalidConfig),
    /// Name a release that exists.
    #[error(
        "{place} has no release {release}. Its releases are in the ledger under {place}/releases/"
    )]
    ReleaseNotFound {
        place: Place,
        release: ReleaseNumber,
    },
    /// Look at who wrote over the manifest.
    #[error("the manifest of release {release} of {place} {problem}")]
    ManifestNotTrusted {
        place: Place,
        release: ReleaseNumber,
        problem: String,
    },
    /// Deploy a version first.
    #[error(
        "nothing is live in {0} yet, so there is nothing to deploy again. Upload a version first; it will use the newest settings"
    )]
    NothingLive(Place),
    /// Look at what holds the lock.
    #[error(
        "{place} is still being deployed by {holder} after {waited_seconds} s of waiting. Look at that execution, then start this one again"
    )]
    LockTimeout {
        place: Place,
        holder: String,
        waited_seconds: i64,
    },
    /// Nothing: another execution has taken over.
    #[error(
        "this execution no longer holds the lock of {place}; {holder} does. It leaves the traffic and the live fleet alone"
    )]
    LockLost { place: Place, holder: String },
    /// Start a new execution.
    #[error(
        "this execution was cut off, and {by} has put {place} in order after it: it cannot go on. Start a new execution with the same input"
    )]
    AlreadyRecovered { place: Place, by: String },
    /// Change the priority, or remove the other rule.
    #[error(
        "the listener's rule at priority {priority} forwards elsewhere ({rule}). Give the target a priority of its own, or remove that rule"
    )]
    PriorityTaken { priority: u32, rule: String },
    /// Put the listener back, or remove the app first.
    #[error(
        "{place} has its traffic on another listener ({live}) than the target names ({target}). Put the target back, or remove the app first"
    )]
    ListenerChanged {
        place: Place,
        live: String,
        target: String,
    },
    /// Put the target back, or remove the app first.
    #[error(
        "{place} is live as {live}, and the target has it as {target}. Put the target back, or remove the app first"
    )]
    KindChanged {
        place: Place,
        live: &'static str,
        target: &'static str,
    },
    /// Remove or rename what has the name.
    #[error(
        "{what} {name} exists already and is not tagged as {place} release {release}. Remove or rename it"
    )]
    NameTaken {
        what: &'static str,
        name: String,
        place: Place,
        release: ReleaseNumber,
    },
    /// Look at the listener's rule.
    #[error(
        "the fleet of release {release} of {place} still gets traffic (weight {weight}), so it is not shed. Look at the listener's rule, of a worker at live.json, then deploy {place} again: that sheds what is not live"
    )]
    FleetServing {
        place: Place,
        release: ReleaseNumber,
        weight: u32,
    },
    /// Look at the group's instances: something holds them.
    #[error(
        "the fleet of release {release} of {place} is not gone after {waited_seconds} s: {state}. Look at its group and its target group, then deploy {place} again: that sheds what is not live"
    )]
    StillDraining {
        place: Place,
        release: ReleaseNumber,
        waited_seconds: i64,
        state: String,
    },
    /// Wait: of a worker that stops first, the next release begins when the last has ended. Step Functions tries again by
    /// itself, for half an hour.
    #[error(
        "release {release} of {place} has not ended, and only one may work at a time: {problem}"
    )]
    StillRunning {
        place: Place,
        release: ReleaseNumber,
        problem: String,
    },
    /// Wait: AWS is asked for too much at once, by this deploy and others. Step Functions tries again by itself, for half an
    /// hour.
    #[error("AWS throttled {action}: {problem}")]
    AwsThrottled { action: String, problem: String },
    /// Wait: AWS failed or could not be reached. Step Functions tries again by itself.
    #[error("{action} failed: {problem}")]
    AwsUnavailable { action: String, problem: String },
    /// Look at the permission, quota or parameter that AWS names.
    #[error("AWS refused {action}: {problem}")]
    AwsRefused { action: String, problem: String },
    /// Look at the object: something else wrote it.
    #[error("{what} cannot be read: {problem}")]
    Unreadable { what: String, problem: String },
    /// Mend the input of the build (or the key that was uploaded to).
    #[error("{0}")]
    InvalidBuild(#[from] InvalidBuild),
    /// Create the builder: deploy `infra/builder.yaml` for this app and environment.
    #[error(
        "no builder is set up for {place}: deploy infra/builder.yaml (there is no parameter {parameter}), or upload an image to {place}/<version>.tar.gz"
    )]
    BuilderNotFound { place: Place, parameter: String },
    /// Mend the builder.
    #[error("{0}")]
    InvalidBuilder(#[from] InvalidBuilder),
    /// Upload it, or name one that exists.
    #[error("there is no source {0}. Upload it, or name one that exists")]
    SourceNotFound(String),
    /// Leave out of the build context what the image does not need.
    #[error(
        "the source {key} has {size} bytes; at most {most} are built. Leave out of it what the image does not need"
    )]
    SourceTooLarge { key: String, size: u64, most: u64 },
    /// Remove or rename what has the name.
    #[error(
        "an Auto Scaling group {name} exists already and is not tagged as the builder of {place}'s build {build}. Remove or rename it"
    )]
    BuilderNameTaken {
        name: String,
        place: Place,
        build: BuildId,
    },
    /// Look at the builder: something holds it.
    #[error(
        "the builder of {place}'s build {build} is not gone after {waited_seconds} s: {state}. Look at the Auto Scaling group {group} and delete it",
        group = group_name(place, build)
    )]
    StillTerminating {
        place: Place,
        build: BuildId,
        waited_seconds: i64,
        state: String,
    },
    /// Start a new place: six digits are used up.
    #[error("{0} has used its last release number, 999999")]
    OutOfNumbers(Place),
}

impl StepError {
    /// The error name in Step Functions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::TargetNotFound { .. } => "TargetNotFound",
            Self::InvalidTarget(_) => "InvalidTarget",
            Self::ArtifactNotFound(_) => "ArtifactNotFound",
            Self::InvalidArtifact { .. } => "InvalidArtifact",
            Self::WrongEncryption { .. } => "WrongEncryption",
            Self::KeyUnavailable { .. } => "KeyUnavailable",
            Self::InvalidConfig(_) => "InvalidConfig",
            Self::ReleaseNotFound { .. } => "ReleaseNotFound",
            Self::ManifestNotTrusted { .. } => "ManifestNotTrusted",
            Self::NothingLive(_) => "NothingLive",
            Self::LockTimeout { .. } => "LockTimeout",
            Self::LockLost { .. } => "LockLost",
            Self::AlreadyRecovered { .. } => "AlreadyRecovered",
            Self::PriorityTaken { .. } => "PriorityTaken",
            Self::ListenerChanged { .. } => "ListenerChanged",
            Self::KindChanged { .. } => "KindChanged",
            Self::NameTaken { .. } => "NameTaken",
            Self::FleetServing { .. } => "FleetServing",
            Self::StillDraining { .. } => "StillDraining",
            Self::StillRunning { .. } => "StillRunning",
            Self::AwsThrottled { .. } => "AwsThrottled",
            Self::AwsUnavailable { .. } => "AwsUnavailable",
            Self::AwsRefused { .. } => "AwsRefused",
            Self::Unreadable { .. } => "Unreadable",
            Self::InvalidBuild(_) => "InvalidBuild",
            Self::BuilderNotFound { .. } => "BuilderNotFound",
            Self::InvalidBuilder(_) => "InvalidBuilder",
            Self::SourceNotFound(_) => "SourceNotFound",
            Self::SourceTooLarge { .. } => "SourceTooLarge",
            Self::BuilderNameTaken { .. } => "BuilderNameTaken",
            Self::StillTerminating { .. } => "StillTerminating",
            Self::OutOfNumbers(_) => "OutOfNumbers",
        }
    }
}

/// All that [`StepError::name`] returns.
pub const NAMES: [&str; 33] = [
    "InvalidRequest",
    "TargetNotFound",
    "InvalidTarget",
    "ArtifactNotFound",
    "InvalidArtifact",
    "WrongEncryption",
    "KeyUnavailable",
    "InvalidConfig",
    "ReleaseNotFound",
    "ManifestNotTrusted",
    "NothingLive",
    "LockTimeout",
    "LockLost",
    "AlreadyRecovered",
    "PriorityTaken",
    "ListenerChanged",
    "KindChanged",
    "NameTaken",
    "FleetServing",
    "StillDraining",
    "StillRunning",
    "AwsThrottled",
    "AwsUnavailable",
    "AwsRefused",
    "Unreadable",
    "InvalidBuild",
    "BuilderNotFound",
    "InvalidBuilder",
    "SourceNotFound",
    "SourceTooLarge",
    "BuilderNameTaken",
    "StillTerminating",
    "OutOfNumbers",
];

/// What a task that waits for approval may be failed with.
pub const ANSWERS: [&str; 2] = [REFUSED, SUPERSEDED];

/// The errors that the state machines' own endings carry: `recover` has nothing to do for them.
pub const ENDINGS: [&str; 4] = ["Rejected", "RolledBack", "NeedsAttention", "BuildFailed"];

/// The error of an ending that left the pointer as it was: `recover` tries once more.
pub const ROLL_BACK_FAILED: &str = "RollBackFailed";

/// The same of a build: the builder may still be there.
pub const TERMINATE_FAILED: &str = "TerminateFailed";

impl From<InvalidName> for StepError {
    fn from(error: InvalidName) -> Self {
        Self::InvalidRequest(InvalidRequest(error.to_string()))
    }
}
