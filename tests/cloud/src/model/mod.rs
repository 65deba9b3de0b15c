//! Auto Scaling and Elastic Load Balancing of one account and region, as a state machine over timestamps.
//!
//! No IO, no clock, no randomness. [`Cloud::at`] moves the model to a moment, doing on the way everything that
//! falls due, in order and each at its own time. Then one method per AWS action may be called. [`Cloud::advance`]
//! does the same and hands over the effects that the world is to perform; the world answers through
//! [`Cloud::instance_started`] and its siblings. [`Cloud::next_due`], asked after `advance`, is when to come back.
//!
//! Requests and answers are AWS's own shapes, as generated structs: [`asg`] and [`elb`].

mod balancing;
mod cron;
mod effect;
mod error;
mod feedback;
mod ids;
mod limits;
mod paging;
mod scaling;
#[cfg(test)]
mod scenarios;
mod settings;
mod summary;
mod survey;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use jiff::Timestamp;

pub use effect::{Check, CheckOutcome, Effect, Launch};
pub use error::{Error, Result};
pub use settings::{Quotas, Settings};
pub use survey::{GroupState, RuleState, Survey, TargetGroupState};
pub use winterbaume_autoscaling::model as asg;
pub use winterbaume_elasticloadbalancingv2::model as elb;

use balancing::{Listener, LoadBalancer, Rule, TargetGroup, TargetKey};
use ids::Ids;
use scaling::{Activity, Group, Instance};

/// The whole model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Cloud {
    settings: Settings,
    ids: Ids,
    now: Timestamp,
    subnets: BTreeMap<String, Subnet>,
    groups: BTreeMap<String, Group>,
    instances: BTreeMap<String, Instance>,
    /// In order of their start.
    activities: Vec<Activity>,
    load_balancers: BTreeMap<String, LoadBalancer>,
    listeners: BTreeMap<String, Listener>,
    rules: BTreeMap<String, Rule>,
    target_groups: BTreeMap<String, TargetGroup>,
    /// What is gone, and still listed for as long as describes lag.
    departed: Departed,
    /// Health checks that the world has not answered yet.
    checks: BTreeMap<u64, (String, TargetKey)>,
    effects: Vec<Effect>,
    /// Whether nothing was changed since everything was settled.
    is_settled: bool,
    /// When something happens by itself next, `Timestamp::MAX` if nothing does; `None` where something has been changed or has
    /// happened since that was known.
    due: Option<Timestamp>,
}

/// Each with the moment at which it went.
#[derive(Clone, Debug, Default)]
struct Departed {
    groups: Vec<(Timestamp, Group)>,
    target_groups: Vec<(Timestamp, TargetGroup)>,
}

/// What the model knows of a subnet, which is EC2's thing and not its own.
#[derive(Clone, Debug)]
struct Subnet {
    zone: String,
    /// Where it was told, by [`Cloud::learn_subnet`].
    vpc: Option<String>,
}

impl Cloud {
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            settings,
            ids: Ids::new(seed),
            now: Timestamp::UNIX_EPOCH,
            subnets: BTreeMap::new(),
            groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            activities: Vec::new(),
            load_balancers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            rules: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            departed: Departed::default(),
            checks: BTreeMap::new(),
            effects: Vec::new(),
            is_settled: false,
            due: None,
        }
    }

    /// Moves to `now`, doing what falls due until then. A `now` before the last one counts as the last one. After it something may
    /// be changed, and after none of the others that move it.
    pub fn at(&mut self, now: Timestamp) -> &mut Self {
        self.look_at(now);
        self.is_settled = false;
        self
    }

    /// As [`Cloud::at`], for one who only looks and changes nothing: so the next who comes need not settle everything again.
    pub fn look_at(&mut self, now: Timestamp) -> &mut Self {
        loop {
            self.settle();
            let due = self.next_due().unwrap_or(Timestamp::MAX);
            self.due = Some(due);
            if due > now {
                break;
            }
            self.now = self.now.max(due);
            self.due = None;
            self.step_groups();
            self.step_instances();
            self.step_targets();
        }
        self.now = self.now.max(now);
        self
    }

    /// Moves to `now` and takes the effects that have piled up.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Effect> {
        self.look_at(now);
        std::mem::take(&mut self.effects)
    }

    /// When something happens by itself next. Good until the next call of anything but this.
    pub fn next_due(&self) -> Option<Timestamp> {
        if let Some(due) = self.due.filter(|_| self.is_settled) {
            return Some(due).filter(|due| *due < Timestamp::MAX);
        }
        let groups = self.groups.values().filter_map(Group::due);
        let instances = self.instances.values().filter_map(Instance::due);
        let targets = self.target_groups.values().filter_map(TargetGroup::due);
        groups.chain(instances).chain(targets).min()
    }

    /// Tells in which zone and VPC a subnet is. One that was not told gets a zone of its own choosing.
    pub fn learn_subnet(&mut self, id: &str, zone: &str, vpc: &str) {
        let subnet = Subnet {
            zone: zone.to_owned(),
            vpc: Some(vpc.to_owned()),
        };
        self.subnets.insert(id.to_owned(), subnet);
    }

    /// From now on describes know what is created or deleted only so much later.
    pub fn set_describe_lag(&mut self, lag: Duration) {
        self.settings.describe_lag = lag;
    }

    pub fn describe_lag(&self) -> Duration {
        self.settings.describe_lag
    }

    /// Of groups or target groups those that describes list: what stands and is known already, and what is gone and not
    /// missed yet. What goes by the name of something that is gone hides it.
    fn listed<'a, T: 'a>(
        &self,
        standing: impl Iterator<Item = &'a T>,
        departed: &'a [(Timestamp, T)],
        of: impl Fn(&T) -> (&str, Timestamp),
    ) -> Vec<&'a T> {
        let lag = self.settings.describe_lag;
        let mut listed: Vec<&T> = standing.filter(|one| of(one).1 + lag <= self.now).collect();
        for (at, one) in departed {
            if self.now < *at + lag && !listed.iter().any(|other| of(other).0 == of(one).0) {
                listed.push(one);
            }
        }
        listed.sort_by(|one, other| of(one).0.cmp(of(other).0));
        listed
    }

    /// From now on EC2 has no capacity for another instance.
    pub fn allow_no_more_instances(&mut self) {
        self.settings.quotas.instances = self.instances.len();
    }

    fn zone_of(&mut self, subnet: &str) -> String {
        let letters = ["a", "b", "c"];
        let letter = letters[self.subnets.len() % letters.len()];
        let zone = format!("{}{letter}", self.settings.region);
        self.subnets
            .entry(subnet.to_owned())
            .or_insert(Subnet { zone, vpc: None })
            .zone
            .clone()
    }

    /// What follows from everything else at this moment, without waiting: which targets are used, and who is ill.
    fn settle(&mut self) {
        if self.is_settled {
            return;
        }
        self.is_settled = true;
        self.due = None;
        self.settle_targets();
        self.settle_attachments();
        self.settle_suspicions();
    }

    fn address_of(&self, target: &str) -> Option<SocketAddr> {
        let instance = self.instances.get(target)?;
        instance.address.filter(|_| !instance.dead)
    }
}

/// `2026-11-21T12:00:00.250Z`, as AWS writes timestamps in its answers.
fn timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// `2026-11-21T12:00:00Z`, as it writes them in sentences.
fn spoken(at: Timestamp) -> String {
    format!("{at:.0}")
}
