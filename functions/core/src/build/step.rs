//! What each step of a build is given and what it answers: the contract between the functions and `build.asl.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BuildId;
use super::builder::Builder;
use super::notice::Kind;
use super::verdict::Status;
use crate::artifact::Pinned;
use crate::name::{AppName, Environment, Place, Version};
use crate::step::{Execution, Why};

/// A request that was found to be good, with all that it names found and pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    pub app: AppName,
    pub environment: Environment,
    /// For a recovery, that of the execution that was cut off.
    pub build: BuildId,
    /// Absent for a recovery after an execution that had not got so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Absent for a recovery, as is the builder: what there is to put in order is told by what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Pinned>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// The execution that a recovery cleans up after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers: Option<CutOff>,
}

impl Build {
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
pub struct CutOff {
    pub execution: String,
    /// How it ended, in Step Functions' word: `ABORTED`, `TIMED_OUT` or `FAILED`.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// A function that it had invoked may be at work for a while from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum BuildInput {
    /// Touches nothing.
    Prepare {
        /// The execution's input, as it was given.
        input: Value,
        execution: Execution,
    },
    /// Pins what is to be built and launches the builder.
    Launch {
        build: Build,
        execution: Execution,
        now: Timestamp,
    },
    /// Looks how the build is getting on.
    Look {
        build: Build,
        launched_at: Timestamp,
        now: Timestamp,
    },
    /// Goes on with deleting the builder, until it is gone; then says what has come of the build.
    Terminate {
        build: Build,
        /// `None` if this execution has launched nothing.
        launched_at: Option<Timestamp>,
        /// When deleting it began.
        since: Timestamp,
        execution: Execution,
        now: Timestamp,
        /// What led there.
        why: Why,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum BuildOutput {
    Prepared(Box<Build>),
    Launched {
        /// How long to wait before the first look.
        wait_seconds: u32,
    },
    Looked {
        status: Status,
        wait_seconds: u32,
        reason: String,
    },
    /// Deleting it goes on.
    Terminating {
        wait_seconds: u32,
        reason: String,
    },
    Gone {
        ending: Kind,
        /// What led to it, as a sentence; empty if it was built.
        reason: String,
    },
}

/// What the notice of a build is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnounceInput {
    pub kind: Kind,
    /// The execution's input as it was given: all there is to go by when it was refused.
    pub input: Value,
    #[serde(default)]
    pub build: Option<Build>,
    #[serde(default)]
    pub why: Why,
    pub execution: Execution,
    pub now: Timestamp,
}
