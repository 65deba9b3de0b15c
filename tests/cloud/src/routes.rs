//! What the load balancer needs to know to route: the part of the model that the data plane reads.

use std::collections::HashSet;
use std::net::SocketAddr;

/// Where there are targets, by the ARN of the target group and the address: those that get requests, and those that only
/// drain.
pub type Seated = HashSet<(String, SocketAddr)>;

/// A listener of the load balancer, as it stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The port on loopback that it listens on.
    pub port: u16,
    /// The ARN of the load balancer that it is of.
    pub load_balancer: String,
    /// In order of priority, lowest number first; the first whose conditions match decides.
    pub rules: Vec<Rule>,
    pub default: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Host patterns (`*` and `?`, case-insensitive); empty: any host.
    pub hosts: Vec<String>,
    /// Path patterns (`*` and `?`, case-sensitive); empty: any path.
    pub paths: Vec<String>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Forward(Vec<WeightedGroup>),
    FixedResponse {
        status: u16,
        content_type: String,
        body: String,
    },
}

/// A target group in a forward action, with the targets that may get a request now: the healthy ones, or all
/// registered ones where none is healthy (the load balancer fails open).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedGroup {
    pub target_group_arn: String,
    /// 0 to 999.
    pub weight: u16,
    ///
    /// They take turns. One may be listed more than once: then the others start slowly, and it gets more meanwhile.
    pub targets: Vec<SocketAddr>,
}
