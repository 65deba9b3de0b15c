//! What the model wants done in the world, and what it hears back.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    LaunchInstance(Launch),
    TerminateInstance { id: String },
    CheckTarget(Check),
}

/// Answer with [`super::Cloud::instance_started`] or [`super::Cloud::launch_failed`], later perhaps with
/// [`super::Cloud::instance_died`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub id: String,
    /// The group's tags that propagate at launch, and `aws:autoscaling:groupName`.
    pub tags: BTreeMap<String, String>,
    pub group: String,
    pub availability_zone: String,
    pub subnet: Option<String>,
    /// Id or name, as the group has it.
    pub launch_template: String,
    /// A number, `$Latest` or `$Default`.
    pub launch_template_version: String,
    /// Of the first of the group's target groups, if it has any.
    pub port: Option<u16>,
}

/// Answer with [`super::Cloud::target_checked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub id: u64,
    pub target_group_arn: String,
    /// The target's id: an instance id or an IP address.
    pub target: String,
    /// The port that the target is registered with. A local instance listens elsewhere: at `address`.
    pub port: u16,
    pub address: SocketAddr,
    pub path: String,
    /// In cloud time.
    pub timeout: Duration,
    /// HTTP codes as in the target group: `200`, `200,202`, `200-299`.
    pub matcher: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckOutcome {
    Passed,
    WrongCode(u16),
    TimedOut,
    /// No connection, or no HTTP in the answer.
    Failed,
}
