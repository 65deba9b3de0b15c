//! What is fixed where it is measured how long a deploy takes and what it costs, and what is noted only then.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::calls::Call;
use crate::world::Estate;

/// How a world is measured in.
#[derive(Clone, Debug)]
pub struct Measure {
    pub pace: Pace,
    pub throttle: Throttle,
    /// Whether milestones are noted, and what users get is watched: it takes a look at everything in every moment, and is for
    /// one app.
    pub is_watched: bool,
}

/// How long things take that are random where faults are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A call to AWS, there and back.
    pub call: Duration,
    /// From state to state of an execution.
    pub transition: Duration,
    /// From the invocation of a function until it runs.
    pub start: Duration,
    /// From what has happened, an upload or the end of an execution, until the function is invoked that waits for it.
    pub event: Duration,
}

/// How many requests AWS takes: a token bucket for each limit.
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html> says how such buckets work.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Vec<Bucket>);

/// A limit of some operations of a service together.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// As in the credential scope of a signature.
    pub service: &'static str,
    /// All of the service's, if there are none.
    pub operations: &'static [&'static str],
    /// How many at once.
    pub size: f64,
    /// And so many more each second.
    pub refill: f64,
}

#[derive(Clone, Debug)]
struct Bucket {
    limit: Limit,
    tokens: f64,
    at: Duration,
}

impl Limit {
    pub fn is_of(&self, service: &str, operation: &str) -> bool {
        self.service == service
            && (self.operations.is_empty() || self.operations.contains(&operation))
    }
}

impl Throttle {
    pub fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let full = |limit: Limit| Bucket {
            limit,
            tokens: limit.size,
            at: Duration::ZERO,
        };
        Self(limits.into_iter().map(full).collect())
    }

    /// Takes a token of each limit that a call falls under, if all have one.
    pub(crate) fn admits(&mut self, call: &Call, now: Duration) -> bool {
        let concerned = |bucket: &&mut Bucket| bucket.limit.is_of(&call.service, &call.operation);
        let mut admits = true;
        for bucket in self.0.iter_mut().filter(concerned) {
            // Another world begins at zero again.
            let passed = now.saturating_sub(bucket.at).as_secs_f64();
            let Limit { size, refill, .. } = bucket.limit;
            bucket.tokens = (bucket.tokens + passed * refill).min(size);
            bucket.at = now;
            admits &= bucket.tokens >= 1.0;
        }
        if admits {
            for bucket in self.0.iter_mut().filter(concerned) {
                bucket.tokens -= 1.0;
            }
        }
        admits
    }
}

/// When what became visible.
#[derive(Clone, Debug, Default)]
pub struct Milestones {
    /// By the names of the groups.
    pub fleets: BTreeMap<String, Fleet>,
    /// What the rule gives to whom, from when on.
    pub traffic: Vec<(Timestamp, Vec<(String, u16)>)>,
    /// The first boot report.
    pub reported: Option<Timestamp>,
    /// The first time that a target with a share of the traffic was unhealthy.
    pub unhealthy: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub created: Timestamp,
    /// Since when all that are wanted are in service and healthy.
    pub healthy: Option<Timestamp>,
}

impl Milestones {
    /// Notes what there is to see now.
    pub(crate) fn look(&mut self, estate: &Estate) {
        let survey = estate.cloud.survey();
        let states = |name: &str| {
            let mut groups = survey.target_groups.iter();
            let group = groups.find(|group| group.name == name);
            group.map_or(&[][..], |group| group.targets.as_slice())
        };
        for group in &survey.groups {
            let targets = states(&group.name);
            let is_healthy = |id: &str| {
                let mut targets = targets.iter();
                targets.any(|(target, state)| target == id && state == "healthy")
            };
            let instances = group.instances.iter();
            let serving = instances.filter(|(id, state)| *state == "InService" && is_healthy(id));
            let wanted = usize::try_from(group.desired).unwrap_or(0);
            let all = wanted > 0 && serving.count() >= wanted;
            let fleet = self.fleets.entry(group.name.clone());
            let fleet = fleet.or_insert(Fleet {
                created: estate.now,
                healthy: None,
            });
            fleet.healthy = all.then(|| fleet.healthy.unwrap_or(estate.now));
        }
        let weights = survey.rules.iter().flat_map(|rule| rule.weights.clone());
        let weights: Vec<(String, u16)> = weights.collect();
        let mut served = weights.iter().filter(|(_, weight)| *weight > 0);
        let is_ill = served.any(|(name, _)| {
            let mut targets = states(name).iter();
            targets.any(|(_, state)| state == "unhealthy")
        });
        if is_ill {
            self.unhealthy.get_or_insert(estate.now);
        }
        if self.traffic.last().is_none_or(|(_, last)| *last != weights) {
            self.traffic.push((estate.now, weights));
        }
    }
}
