//! The target: what a platform engineer has set up for one app in one environment, and how it is to be deployed
//! to. Written by `infra/app.yaml` as the SSM parameter `/exuvia/<app>/<environment>`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarm;
use crate::approval::Approval;
use crate::compare::Comparison;
use crate::name::Place;
use crate::retain;
use crate::scaling::{Metric, Policy, Scaling};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// What is told of an app that no requests reach; absent for one that has a listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,
    /// The load balancer's listener whose rule is this place's pointer. A worker has neither this nor the others that
    /// [`Front`] has; what has a listener has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener_arn: Option<String>,
    /// The rule's priority, 1 to 50000; lower is matched first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Conditions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// The subnets that instances are launched into; their zones must be enabled on the load balancer.
    pub subnets: Vec<String>,
    pub launch_template: LaunchTemplate,
    /// Other instance types than the launch template's, and Spot instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed_instances: Option<MixedInstances>,
    /// The port that the app listens on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The instances' processor; an image for another is refused. Targets from before it was told have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Whether an instance installs its system's security updates before it runs the app.
    #[serde(default = "yes")]
    pub security_updates: bool,
    #[serde(default)]
    pub log_driver: LogDriver,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    pub capacity: CapacityLimits,
    /// How the live fleet changes its size by itself.
    #[serde(default, skip_serializing_if = "Scaling::is_empty")]
    pub scaling: Scaling,
    pub strategy: Strategy,
    /// Whether somebody must approve before a new release gets traffic.
    #[serde(default, skip_serializing_if = "Approval::is_off")]
    pub approval: Approval,
    /// For how long the old fleet is kept after a deploy has succeeded, to return to it without a launch, in minutes.
    #[serde(default, skip_serializing_if = "retain::is_off")]
    pub retain_minutes: u32,
    pub timeouts: Timeouts,
    /// Names of `CloudWatch` alarms, of the pipeline's account and region: one that goes into ALARM while the traffic moves
    /// and bakes takes it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// How the new release is compared with the live one meanwhile.
    #[serde(default)]
    pub comparison: Comparison,
}

fn yes() -> bool {
    true
}

/// An app without a listener: it takes its work from a queue, a schedule or the like. What is live is what `live.json` names,
/// and an instance is ready when it is in service, its launch lifecycle hook completed by `infra/boot.sh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Worker {
    pub order: Order,
}

/// Whether two releases of a worker may work at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// The old one works until the new one is ready and has baked.
    Overlap,
    /// The old one has ended before the new one begins, and the new one before the old one begins again: for what must be
    /// there once at the most.
    StopFirst,
}

/// How an app's requests reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front<'a> {
    pub listener_arn: &'a str,
    pub priority: u32,
    pub conditions: &'a Conditions,
    pub vpc_id: &'a str,
    pub port: u16,
    pub health_check: &'a HealthCheck,
}

impl Front<'_> {
    /// The first thing that is wrong, as for [`Target`].
    fn problem(&self) -> Option<(&'static str, String)> {
        let Self {
            conditions,
            health_check: check,
            ..
        } = self;
        None.or_else(|| starts("listenerArn", self.listener_arn, "arn:"))
            .or_else(|| bounded("priority", self.priority, 1, 50_000, ""))
            .or_else(|| conditions.problem())
            .or_else(|| starts("vpcId", self.vpc_id, "vpc-"))
            .or_else(|| bounded("port", self.port.into(), 1, 65_535, ""))
            .or_else(|| check.problem())
    }
}

/// How long the instances of a worker must have been in service, in seconds: until then `infra/boot.sh` has seen whether the
/// container exits at once (`PROVEN_SECONDS`), and has said so.
const WORKER_HOLD_SECONDS: u32 = 15;

/// A processor, in the words of EC2 and Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    #[serde(rename = "arm64")]
    Arm64,
    #[serde(rename = "x86_64")]
    X86_64,
}

impl Architecture {
    /// Whether it runs an image that says it is for `image`, which is in Go's words (`amd64`) or, from some tools, in
    /// those of `uname`. An image that does not say may be for any.
    ///
    /// As docker sees it, but for 32-bit ARM, which only some of EC2's ARM processors run:
    /// <https://github.com/containerd/platforms/blob/main/compare.go>.
    pub fn runs(self, image: &str) -> bool {
        let runs: &[&str] = match self {
            Self::Arm64 => &["arm64", "aarch64"],
            Self::X86_64 => &["amd64", "x86_64", "x86-64", "386", "i386"],
        };
        image.is_empty() || runs.contains(&image.to_ascii_lowercase().as_str())
    }

    /// What `docker build --platform` takes.
    pub fn platform(self) -> &'static str {
        match self {
            Self::Arm64 => "linux/arm64",
            Self::X86_64 => "linux/amd64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        })
    }
}

/// Where docker writes what the app prints, by docker's name for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogDriver {
    /// The log group `/exuvia/<app>/<environment>`.
    #[default]
    AwsLogs,
    /// The instance's own.
    Syslog,
}

/// What a request must look like to be the app's: any of the hosts (if there are any) and any of the paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conditions {
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub paths: Vec<String>,
}

impl Conditions {
    fn problem(&self) -> Option<(&'static str, String)> {
        None.or_else(|| {
            (self.hosts.is_empty() && self.paths.is_empty()).then(|| {
                (
                    "conditions",
                    "names neither hosts nor paths; use {\"paths\":[\"/*\"]} for every request"
                        .to_owned(),
                )
            })
        })
        .or_else(|| {
            // Elastic Load Balancing: five condition values a rule.
            let values = self.hosts.len() + self.paths.len();
            (values > 5).then(|| {
                (
                    "conditions",
                    format!("has {values} values; a listener rule takes 5"),
                )
            })
        })
        .or_else(|| {
            let empty = |value: &String| value.is_empty() || value.len() > 128;
            (self.hosts.iter().chain(&self.paths).any(empty)).then(|| {
                (
                    "conditions",
                    "has a value that is empty or longer than 128 characters".to_owned(),
                )
            })
        })
    }
}

/// A version is a number, never `$Latest`: what is launched weeks later is what was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LaunchTemplate {
    pub id: String,
    pub version: u32,
}

/// A mixed instances policy: the group takes whichever of the types is to be had, and Spot instances for a part:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups.html>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MixedInstances {
    /// In order of preference for On-Demand instances; 1 to 40 types of one size and of the image's processor.
    pub instance_types: Vec<String>,
    /// Percent of the instances that are Spot instances, which EC2 may take back at two minutes' notice; 0 to 100.
    pub spot_percent: u32,
}

impl MixedInstances {
    fn problem(&self) -> Option<(&'static str, String)> {
        let Self {
            instance_types: types,
            spot_percent: spot,
        } = self;
        let is_type = |name: &String| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            name.split('.').count() == 2 && name.chars().all(known)
        };
        if !(1..=40).contains(&types.len()) {
            let problem = format!("has {} types; use 1 to 40", types.len());
            return Some(("mixedInstances.instanceTypes", problem));
        }
        if let Some(wrong) = types.iter().find(|name| !is_type(name)) {
            let problem = format!("has {wrong:?}; use types such as \"t4g.small\"");
            return Some(("mixedInstances.instanceTypes", problem));
        }
        (*spot > 100).then(|| {
            (
                "mixedInstances.spotPercent",
                format!("is {spot}; use 0 to 100 percent"),
            )
        })
    }
}

/// The bounds are those of elasticloadbalancing `CreateTargetGroup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    pub path: String,
    /// 5 to 300 seconds.
    pub interval_seconds: u32,
    /// 2 to 120 seconds, and less than the interval.
    pub timeout_seconds: u32,
    /// 2 to 10 passed checks.
    pub healthy_threshold: u32,
    /// 2 to 10 failed checks.
    pub unhealthy_threshold: u32,
    /// Such as `200`, `200-299` or `200,204`.
    pub success_codes: String,
}

impl HealthCheck {
    fn problem(&self) -> Option<(&'static str, String)> {
        None
            .or_else(|| starts("healthCheck.path", &self.path, "/"))
            .or_else(|| bounded("healthCheck.intervalSeconds", self.interval_seconds, 5, 300, " seconds"))
            .or_else(|| bounded("healthCheck.timeoutSeconds", self.timeout_seconds, 2, 120, " seconds"))
            .or_else(|| {
                (self.timeout_seconds >= self.interval_seconds).then(|| {
                    (
                        "healthCheck.timeoutSeconds",
                        format!("is {}; it must be less than intervalSeconds, which is {}", self.timeout_seconds, self.interval_seconds),
                    )
                })
            })
            .or_else(|| bounded("healthCheck.healthyThreshold", self.healthy_threshold, 2, 10, " checks"))
            .or_else(|| bounded("healthCheck.unhealthyThreshold", self.unhealthy_threshold, 2, 10, " checks"))
            .or_else(|| {
                (!are_success_codes(&self.success_codes)).then(|| {
                    (
                        "healthCheck.successCodes",
                        format!("is {:?}; use codes from 200 to 499, as in \"200\", \"200-299\" or \"200,204\"", self.success_codes),
                    )
                })
            })
    }

    /// How long a fleet must have been healthy before it may have traffic, in seconds: the load balancer takes a new
    /// target for healthy after one passed check, and this is the time that the rest of the threshold takes.
    pub fn hold_seconds(&self) -> u32 {
        self.interval_seconds * (self.healthy_threshold.saturating_sub(1))
    }
}

/// A number that must be between two others, or what is wrong with it.
fn bounded(
    field: &'static str,
    value: u32,
    low: u32,
    high: u32,
    unit: &str,
) -> Option<(&'static str, String)> {
    (!(low..=high).contains(&value))
        .then(|| (field, format!("is {value}; use {low} to {high}{unit}")))
}

fn starts(field: &'static str, value: &str, prefix: &str) -> Option<(&'static str, String)> {
    (!value.starts_with(prefix)).then(|| {
        (
            field,
            format!("is {value:?}; it must begin with {prefix:?}"),
        )
    })
}

/// Numbers of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapacityLimits {
    pub min: u32,
    pub max: u32,
    /// How many the first release starts with.
    pub initial: u32,
}

/// How the traffic moves. The new fleet is at full size before the first step; when it has everything, it is watched for
/// `bake_seconds` before the old one is shed. A first release has nothing to share with, and gets everything at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Strategy {
    /// One rule change.
    AllAtOnce { bake_seconds: u32 },
    /// `percent` of the traffic for `hold_seconds`, then the rest.
    Canary {
        percent: u32,
        hold_seconds: u32,
        bake_seconds: u32,
    },
    /// `percent` more every `every_seconds`, until it is everything.
    Linear {
        percent: u32,
        every_seconds: u32,
        bake_seconds: u32,
    },
    /// As written; the last step gives everything, and its hold is the bake.
    Steps { steps: Vec<Step> },
}

/// One rule change and how long it is held before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Percent of the traffic that the new fleet gets, 1 to 100.
    pub weight: u32,
    pub hold_seconds: u32,
}

/// All holds of a strategy together, with the wait for approval and the time for which the old fleet is kept: an execution may take a day, and must boot, wait for its turn
/// and drain as well.
const MOST_HOLD_SECONDS: u32 = 72_000;

/// Rule changes of one deploy.
const MOST_STEPS: usize = 100;

impl Strategy {
    /// The first thing that is wrong: the field below `strategy` and the problem with what would be right.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let wrong = match self {
            Self::AllAtOnce { .. } => None,
            Self::Canary { percent, .. } | Self::Linear { percent, .. } => {
                (!(1..=99).contains(percent)).then(|| {
                    (
                        "strategy.percent",
                        format!("is {percent}; use 1 to 99 percent"),
                    )
                })
            }
            Self::Steps { steps } => problem_of(steps),
        };
        wrong.or_else(|| {
            let total = self.hold_seconds();
            let (field, told) = match self {
                Self::AllAtOnce { .. } => ("strategy.bakeSeconds", format!("is {total}")),
                _ => ("strategy", format!("holds the traffic for {total} seconds in all")),
            };
            (total > MOST_HOLD_SECONDS.into()).then(|| {
                (field, format!("{told}; use 0 to {MOST_HOLD_SECONDS} seconds, as an execution ends within a day"))
            })
        })
    }

    fn hold_seconds(&self) -> u64 {
        let steps = crate::traffic::steps(self);
        steps.iter().map(|step| u64::from(step.hold_seconds)).sum()
    }
}

fn problem_of(steps: &[Step]) -> Option<(&'static str, String)> {
    let problem = if steps.is_empty() {
        "is empty; use for instance [{\"weight\":10,\"holdSeconds\":300},{\"weight\":100,\"holdSeconds\":60}]".to_owned()
    } else if steps.len() > MOST_STEPS {
        format!("has {} steps; use at most {MOST_STEPS}", steps.len())
    } else if let Some(step) = steps.iter().find(|step| !(1..=100).contains(&step.weight)) {
        format!("has a weight of {}; use 1 to 100 percent", step.weight)
    } else if let Some(pair) = steps
        .windows(2)
        .find(|pair| pair[0].weight >= pair[1].weight)
    {
        format!(
            "goes from a weight of {} to {}; each step must give the new fleet more",
            pair[0].weight, pair[1].weight
        )
    } else if let Some(last) = steps.last().filter(|last| last.weight != 100) {
        format!(
            "ends at a weight of {}; the last step must be 100",
            last.weight
        )
    } else {
        return None;
    };
    Some(("strategy.steps", problem))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From launch to all instances healthy, at the most.
    pub boot_seconds: u32,
    /// The target group's deregistration delay: how long a request in flight may take to finish.
    pub drain_seconds: u32,
}

/// What is wrong with a target: the field, what it is, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target {parameter}: {field} {problem}")]
pub struct InvalidTarget {
    pub parameter: String,
    /// Dotted, as in the JSON; `(document)` for the whole.
    pub field: String,
    pub problem: String,
}

/// The name of the SSM parameter that holds a place's target.
pub fn parameter_name(place: &Place) -> String {
    format!("/exuvia/{place}")
}

impl Target {
    /// Reads a target and refuses one that AWS would refuse later, half-way through a deploy.
    pub fn parse(place: &Place, json: &str) -> Result<Self, InvalidTarget> {
        let wrong = |field: &str, problem: String| InvalidTarget {
            parameter: parameter_name(place),
            field: field.to_owned(),
            problem,
        };
        let target: Self =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
                .map_err(|error| {
                    let path = error.path().to_string();
                    let field = if [".", "?"].contains(&path.as_str()) {
                        "(document)"
                    } else {
                        &path
                    };
                    wrong(field, format!("cannot be read: {}", error.into_inner()))
                })?;
        if let Some((field, problem)) = target.problem() {
            return Err(wrong(field, problem));
        }
        match target
            .scaling
            .problem()
            .or_else(|| alarm::problem(&target.alarms))
        {
            Some((field, problem)) => Err(wrong(&field, problem)),
            None => Ok(target),
        }
    }

    /// As an execution's input has it, where that says so.
    pub fn overridden(
        mut self,
        place: &Place,
        strategy: Option<Strategy>,
        approval: Option<Approval>,
        retain_minutes: Option<u32>,
    ) -> Result<Self, InvalidTarget> {
        if let Some(strategy) = strategy {
            self.strategy = strategy;
        }
        if let Some(approval) = approval {
            self.approval = approval;
        }
        if let Some(minutes) = retain_minutes {
            self.retain_minutes = minutes;
        }
        let of_worker = self.worker.and_then(|_| self.problem_of_worker());
        match of_worker.or_else(|| self.problem_of_time()) {
            Some((field, problem)) => Err(InvalidTarget {
                parameter: parameter_name(place),
                field: field.to_owned(),
                problem,
            }),
            None => Ok(self),
        }
    }

    fn problem_of_time(&self) -> Option<(&'static str, String)> {
        if self.retain_minutes > 0 {
            return self.problem_of_retaining();
        }
        let (approval, hold) = (self.approval.seconds()?, self.strategy.hold_seconds());
        (u64::from(approval) + hold > MOST_HOLD_SECONDS.into()).then(|| {
            (
                "approval",
                format!("waits for {approval} seconds and strategy holds the traffic for {hold}; use at most {MOST_HOLD_SECONDS} seconds together, as an execution ends within a day"),
            )
        })
    }

    fn problem_of_retaining(&self) -> Option<(&'static str, String)> {
        let (minutes, hold) = (self.retain_minutes, self.strategy.hold_seconds());
        let approval = self.approval.seconds().unwrap_or(0);
        (u64::from(minutes) * 60 + u64::from(approval) + hold > MOST_HOLD_SECONDS.into()).then(|| {
            (
                "retainMinutes",
                format!("keeps the old fleet for {minutes} minutes, approval waits for {approval} seconds and strategy holds the traffic for {hold}; use at most {MOST_HOLD_SECONDS} seconds together, as an execution ends within a day"),
            )
        })
    }

    /// Between how many instances a group of this target is to be by now.
    pub fn limits(&self, now: Timestamp) -> CapacityLimits {
        self.scaling.limits(self.capacity, now)
    }

    /// Refuses a target whose alarms are not all among those that were found.
    pub fn check_alarms(&self, place: &Place, found: &[alarm::Alarm]) -> Result<(), InvalidTarget> {
        match alarm::missing(&self.alarms, found) {
            Some((field, problem)) => Err(InvalidTarget {
                parameter: parameter_name(place),
                field,
                problem,
            }),
            None => Ok(()),
        }
    }

    /// How requests reach it; `None` for a worker.
    pub fn front(&self) -> Option<Front<'_>> {
        if self.worker.is_some() {
            return None;
        }
        Some(Front {
            listener_arn: self.listener_arn.as_deref()?,
            priority: self.priority?,
            conditions: self.conditions.as_ref()?,
            vpc_id: self.vpc_id.as_deref()?,
            port: self.port?,
            health_check: self.health_check.as_ref()?,
        })
    }

    pub fn is_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// Whether the old release must have ended before the new one begins.
    pub fn stops_first(&self) -> bool {
        self.worker
            .is_some_and(|worker| worker.order == Order::StopFirst)
    }

    /// How long a new fleet must be well at a stretch before it is taken to be ready, in seconds.
    pub fn hold_seconds(&self) -> u32 {
        self.front().map_or(WORKER_HOLD_SECONDS, |front| {
            front.health_check.hold_seconds()
        })
    }

    /// What has a listener has all of a [`Front`], and a worker nothing that only requests could decide.
    fn problem_of_kind(&self) -> Option<(&'static str, String)> {
        let given = [
            ("listenerArn", self.listener_arn.is_some()),
            ("priority", self.priority.is_some()),
            ("conditions", self.conditions.is_some()),
            ("vpcId", self.vpc_id.is_some()),
            ("port", self.port.is_some()),
            ("healthCheck", self.health_check.is_some()),
        ];
        if !self.is_worker() {
            let missing = given.into_iter().find(|(_, is_given)| !is_given);
            let missing = missing.map(|(field, _)| {
                let problem = "is missing; only a worker, which says {\"worker\":{\"order\":\"overlap\"}}, does without it";
                (field, problem.to_owned())
            });
            return missing.or_else(|| self.front()?.problem());
        }
        let needless = given.into_iter().find(|(_, is_given)| *is_given);
        let needless = needless.map(|(field, _)| {
            let problem =
                "is given, and so is worker; no requests reach a worker: leave out one of the two";
            (field, problem.to_owned())
        });
        needless.or_else(|| self.problem_of_worker()).or_else(|| {
            let by_requests = |policy: &Policy| policy.metric() == Metric::RequestsPerTarget;
            self.scaling.policies.iter().any(by_requests).then(|| {
                (
                    "scaling.policies",
                    "has requestsPerTarget; no requests reach a worker: use averageCpu".to_owned(),
                )
            })
        })
    }

    /// What an execution may say otherwise, and a worker cannot have.
    fn problem_of_worker(&self) -> Option<(&'static str, String)> {
        let is_shared = !matches!(self.strategy, Strategy::AllAtOnce { .. });
        if is_shared {
            let problem = "shares out the traffic, and a worker has none; use {\"type\":\"allAtOnce\",\"bakeSeconds\":60}";
            return Some(("strategy.type", problem.to_owned()));
        }
        if self.retain_minutes > 0 {
            let problem = "keeps the old fleet without traffic, and that of a worker would go on working; use 0";
            return Some(("retainMinutes", problem.to_owned()));
        }
        self.approval.seconds().map(|_| {
            let problem = "asks before a release gets traffic, and a worker works from its launch on; use false";
            ("approval", problem.to_owned())
        })
    }

    /// The first thing that is wrong: the field's path and the problem with what would be right.
    fn problem(&self) -> Option<(&'static str, String)> {
        let capacity = self.capacity;
        self.problem_of_kind()
            .or_else(|| {
                self.subnets.is_empty().then(|| {
                    (
                        "subnets",
                        "is empty; name at least one subnet, better one in each zone".to_owned(),
                    )
                })
            })
            .or_else(|| {
                self.subnets
                    .iter()
                    .find_map(|subnet| starts("subnets", subnet, "subnet-"))
            })
            .or_else(|| starts("launchTemplate.id", &self.launch_template.id, "lt-"))
            .or_else(|| {
                bounded(
                    "launchTemplate.version",
                    self.launch_template.version,
                    1,
                    u32::MAX,
                    "",
                )
            })
            .or_else(|| {
                self.mixed_instances
                    .as_ref()
                    .and_then(MixedInstances::problem)
            })
            .or_else(|| bounded("capacity.max", capacity.max, 1, 10_000, " instances"))
            .or_else(|| {
                (capacity.min > capacity.max).then(|| {
                    (
                        "capacity.min",
                        format!(
                            "is {}, more than capacity.max, which is {}",
                            capacity.min, capacity.max
                        ),
                    )
                })
            })
            .or_else(|| {
                bounded(
                    "capacity.initial",
                    capacity.initial,
                    capacity.min.max(1),
                    capacity.max,
                    " instances (capacity.min to capacity.max, at least 1)",
                )
            })
            .or_else(|| self.strategy.problem())
            .or_else(|| self.approval.problem())
            .or_else(|| retain::problem(self.retain_minutes))
            .or_else(|| self.problem_of_time())
            .or_else(|| {
                bounded(
                    "timeouts.bootSeconds",
                    self.timeouts.boot_seconds,
                    30,
                    7_200,
                    " seconds",
                )
            })
            .or_else(|| {
                bounded(
                    "timeouts.drainSeconds",
                    self.timeouts.drain_seconds,
                    0,
                    3_600,
                    " seconds",
                )
            })
            .or_else(|| self.comparison.problem())
    }
}

/// An Application Load Balancer's matcher: codes from 200 to 499, listed and in ranges.
fn are_success_codes(text: &str) -> bool {
    let code = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|code| (200..=499).contains(code))
    };
    text.split(',').all(|part| match part.split_once('-') {
        Some((low, high)) => {
            matches!((code(low), code(high)), (Some(low), Some(high)) if low <= high)
        }
        None => code(part).is_some(),
    })
}

/// A target as tests and examples use it.
#[cfg(test)]
pub(crate) fn example() -> serde_json::Value {
    serde_json::json!({
        "listenerArn": "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/lb/1/2",
        "priority": 100,
        "conditions": {"paths": ["/*"]},
        "vpcId": "vpc-1",
        "subnets": ["subnet-a", "subnet-b"],
        "launchTemplate": {"id": "lt-1", "version": 3},
        "port": 8080,
        "healthCheck": {"path": "/health", "intervalSeconds": 10, "timeoutSeconds": 5,
                        "healthyThreshold": 2, "unhealthyThreshold": 2, "successCodes": "200"},
        "capacity": {"min": 2, "max": 6, "initial": 2},
        "strategy": {"type": "allAtOnce", "bakeSeconds": 60},
        "timeouts": {"bootSeconds": 600, "drainSeconds": 300}
    })
}

/// The same of a worker.
#[cfg(test)]
pub(crate) fn example_of_worker(order: &str) -> serde_json::Value {
    let of_front = [
        "listenerArn",
        "priority",
        "conditions",
        "vpcId",
        "port",
        "healthCheck",
    ];
    let mut target = example();
    if let Some(fields) = target.as_object_mut() {
        fields.retain(|field, _| !of_front.contains(&field.as_str()));
    }
    target["worker"] = serde_json::json!({ "order": order });
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn place() -> Place {
        Place::new("hello", "qa").unwrap()
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut target = example();
        *target.pointer_mut(pointer).unwrap() = value;
        target.to_string()
    }

    #[test]
    fn a_good_target_is_read_and_written_alike() {
        let target = Target::parse(&place(), &example().to_string()).unwrap();
        let again = Target::parse(&place(), &serde_json::to_string(&target).unwrap()).unwrap();
        assert_eq!(target, again);
    }

    #[test]
    fn a_target_from_before_a_field_was_there_is_read() {
        let target = Target::parse(&place(), &example().to_string()).unwrap();
        assert_eq!(target.architecture, None);
        assert!(target.security_updates);
        assert_eq!(target.log_driver, LogDriver::AwsLogs);

        let mut json = example();
        json["architecture"] = json!("x86_64");
        json["securityUpdates"] = json!(false);
        json["logDriver"] = json!("syslog");
        let target = Target::parse(&place(), &json.to_string()).unwrap();
        assert_eq!(target.architecture, Some(Architecture::X86_64));
        // infra/boot.sh reads them from the manifest by these names.
        let written = serde_json::to_value(&target).unwrap();
        for field in ["architecture", "securityUpdates", "logDriver"] {
            assert_eq!(written[field], json[field], "{field}");
        }
    }

    #[test]
    fn an_execution_says_otherwise_within_a_day() {
        let target = Target::parse(&place(), &example().to_string()).unwrap();
        assert_eq!(target.approval.seconds(), None);
        let asked = Some(Approval::Asked(true));
        let target = target.overridden(&place(), None, asked, None).unwrap();
        assert_eq!(target.approval.seconds(), Some(3_600));
        let long = |bake_seconds| Some(Strategy::AllAtOnce { bake_seconds });
        let whole_day = target
            .clone()
            .overridden(&place(), long(72_000), None, None);
        let problem = whole_day.unwrap_err().to_string();
        assert!(
            problem.contains("approval waits for 3600 seconds and strategy holds the traffic for 72000; use at most 72000 seconds together"),
            "{problem}"
        );
        let target = target
            .overridden(&place(), long(68_400), None, None)
            .unwrap();
        let unasked = Some(Approval::Asked(false));
        assert!(
            target
                .overridden(&place(), long(72_000), unasked, None)
                .is_ok()
        );
    }

    #[test]
    fn what_is_kept_fits_into_an_execution_as_well() {
        let mut json = example();
        json["retainMinutes"] = json!(1_201);
        let wrong = Target::parse(&place(), &json.to_string()).unwrap_err();
        let told = "retainMinutes is 1201; use 0 to 1200 minutes";
        assert!(wrong.to_string().contains(told), "{wrong}");
        json["retainMinutes"] = json!(60);
        let target = Target::parse(&place(), &json.to_string()).unwrap();
        assert_eq!(target.retain_minutes, 60);

        let asked = Some(Approval::Asked(true));
        let fits = |target: &Target, minutes| {
            let target = target.clone();
            target.overridden(&place(), None, asked, Some(minutes))
        };
        // An hour each for the approval and in the target, and a minute of bake.
        assert!(fits(&target, 1_139).is_ok());
        let problem = fits(&target, 1_140).unwrap_err().to_string();
        let told = "retainMinutes keeps the old fleet for 1140 minutes, approval waits for 3600 seconds and strategy holds the traffic for 60; use at most 72000 seconds together";
        assert!(problem.contains(told), "{problem}");
        assert_eq!(fits(&target, 0).unwrap().retain_minutes, 0);
    }

    #[test]
    fn an_architecture_runs_images_by_any_of_its_names() {
        let names = [
            "arm64", "aarch64", "amd64", "x86_64", "386", "arm", "riscv64", "",
        ];
        let runs = |architecture: Architecture| names.map(|name| architecture.runs(name));
        let arm64 = [true, true, false, false, false, false, false, true];
        assert_eq!(runs(Architecture::Arm64), arm64);
        let x86_64 = [false, false, true, true, true, false, false, true];
        assert_eq!(runs(Architecture::X86_64), x86_64);
    }

    #[test]
    fn a_bad_target_is_refused_by_the_fields_name() {
        for (field, value, says) in [
            (
                "architecture",
                "amd64",
                "architecture cannot be read: unknown variant `amd64`, expected `arm64` or `x86_64`",
            ),
            (
                "logDriver",
                "journald",
                "logDriver cannot be read: unknown variant `journald`, expected `awslogs` or `syslog`",
            ),
            (
                "securityUpdates",
                "yes",
                "securityUpdates cannot be read: invalid type: string \"yes\", expected a boolean",
            ),
        ] {
            let mut json = example();
            json[field] = json!(value);
            let error = Target::parse(&place(), &json.to_string()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        for (pointer, value, says) in [
            (
                "/capacity/min",
                json!(7),
                "capacity.min is 7, more than capacity.max, which is 6",
            ),
            (
                "/capacity/initial",
                json!(1),
                "capacity.initial is 1; use 2 to 6",
            ),
            (
                "/capacity/max",
                json!("6"),
                "capacity.max cannot be read: invalid type: string",
            ),
            ("/capacity/min", json!(-1), "capacity.min cannot be read"),
            ("/subnets", json!([]), "subnets is empty"),
            (
                "/subnets",
                json!(["sub-1"]),
                "subnets is \"sub-1\"; it must begin with \"subnet-\"",
            ),
            (
                "/subnets",
                json!(""),
                "subnets cannot be read: invalid type",
            ),
            (
                "/healthCheck/path",
                json!("health"),
                "healthCheck.path is \"health\"; it must begin with \"/\"",
            ),
            (
                "/healthCheck/timeoutSeconds",
                json!(10),
                "must be less than intervalSeconds",
            ),
            (
                "/healthCheck/successCodes",
                json!("20x"),
                "healthCheck.successCodes is \"20x\"",
            ),
            (
                "/healthCheck/successCodes",
                json!("500"),
                "use codes from 200 to 499",
            ),
            ("/conditions", json!({}), "names neither hosts nor paths"),
            ("/port", json!(0), "port is 0; use 1 to 65535"),
            ("/port", json!(70000), "port cannot be read"),
            ("/priority", json!(0), "priority is 0"),
            (
                "/timeouts/bootSeconds",
                json!(5),
                "timeouts.bootSeconds is 5; use 30 to 7200 seconds",
            ),
            (
                "/launchTemplate/id",
                json!("x"),
                "launchTemplate.id is \"x\"",
            ),
        ] {
            let error = Target::parse(&place(), &with(pointer, value))
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{pointer}: {error}");
            assert!(error.starts_with("target /exuvia/hello/qa: "), "{error}");
        }
    }

    #[test]
    fn bad_mixed_instances_are_refused_by_the_fields_name() {
        for (mixed, says) in [
            (
                json!({"instanceTypes": [], "spotPercent": 0}),
                "mixedInstances.instanceTypes has 0 types; use 1 to 40",
            ),
            (
                json!({"instanceTypes": ["t4g.small", "large"], "spotPercent": 0}),
                "mixedInstances.instanceTypes has \"large\"",
            ),
            (
                json!({"instanceTypes": ["t4g.small"], "spotPercent": 101}),
                "mixedInstances.spotPercent is 101; use 0 to 100 percent",
            ),
            (
                json!({"instanceTypes": ["t4g.small"]}),
                "missing field `spotPercent`",
            ),
        ] {
            let mut target = example();
            target["mixedInstances"] = mixed;
            let error = Target::parse(&place(), &target.to_string()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let mut target = example();
        target["mixedInstances"] =
            json!({"instanceTypes": ["t4g.small", "u-6tb1.metal"], "spotPercent": 50});
        let target = Target::parse(&place(), &target.to_string()).unwrap();
        let mixed = target.mixed_instances.unwrap();
        assert_eq!(mixed.instance_types.len(), 2);
    }

    #[test]
    fn a_bad_strategy_is_refused_by_the_fields_name() {
        for (strategy, says) in [
            (
                json!({"type": "blueGreen"}),
                "strategy.type cannot be read: unknown variant `blueGreen`",
            ),
            (
                json!({"type": "canary", "percent": 10}),
                "missing field `holdSeconds`",
            ),
            (
                json!({"type": "canary", "percent": 100, "holdSeconds": 60, "bakeSeconds": 60}),
                "strategy.percent is 100; use 1 to 99 percent",
            ),
            (
                json!({"type": "linear", "percent": 0, "everySeconds": 60, "bakeSeconds": 60}),
                "strategy.percent is 0; use 1 to 99 percent",
            ),
            (
                json!({"type": "linear", "percent": 1, "everySeconds": 3600, "bakeSeconds": 60}),
                "strategy holds the traffic for 356460 seconds in all; use 0 to 72000 seconds",
            ),
            (
                json!({"type": "allAtOnce", "bakeSeconds": 86_400}),
                "strategy.bakeSeconds is 86400; use 0 to 72000 seconds",
            ),
            (
                json!({"type": "steps", "steps": []}),
                "strategy.steps is empty",
            ),
            (
                json!({"type": "steps", "steps": [{"weight": 10, "holdSeconds": 60}]}),
                "strategy.steps ends at a weight of 10; the last step must be 100",
            ),
            (
                json!({"type": "steps", "steps": [{"weight": 50, "holdSeconds": 1}, {"weight": 20, "holdSeconds": 1}, {"weight": 100, "holdSeconds": 1}]}),
                "strategy.steps goes from a weight of 50 to 20",
            ),
            (
                json!({"type": "steps", "steps": [{"weight": 101, "holdSeconds": 1}]}),
                "strategy.steps has a weight of 101; use 1 to 100 percent",
            ),
            (
                json!({"type": "steps", "steps": [{"weight": 0, "holdSeconds": 1}, {"weight": 100, "holdSeconds": 1}]}),
                "strategy.steps has a weight of 0",
            ),
            (
                json!({"type": "steps", "steps": [{"weight": 100, "hold": 1}]}),
                "unknown field `hold`",
            ),
        ] {
            let error = Target::parse(&place(), &with("/strategy", strategy.clone())).unwrap_err();
            assert!(error.to_string().contains(says), "{strategy}: {error}");
        }
    }

    #[test]
    fn how_a_release_is_judged_is_read_and_refused_by_the_fields_name() {
        let parse = |alarms: Value, comparison: Value| {
            let mut target = example();
            target["alarms"] = alarms;
            target["comparison"] = comparison;
            Target::parse(&place(), &target.to_string())
        };
        let target = parse(json!(["hello-5xx"]), json!({"minRequests": 500})).unwrap();
        let comparison = target.comparison;
        assert!(
            comparison.enabled && comparison.min_requests == 500 && comparison.error_points == 1
        );
        let unset = Target::parse(&place(), &example().to_string()).unwrap();
        assert_eq!(unset.comparison, Comparison::default());
        assert!(unset.alarms.is_empty());

        for (alarms, comparison, says) in [
            (
                json!("x"),
                json!({}),
                "alarms cannot be read: invalid type: string",
            ),
            (
                json!(["a", ""]),
                json!({}),
                "alarms[1] has 0 characters; an alarm's name has 1 to 255",
            ),
            (
                json!([]),
                json!({"minRequests": 5}),
                "comparison.minRequests is 5; use 20 to 1000000 requests",
            ),
            (
                json!([]),
                json!({"errorPoints": 0}),
                "comparison.errorPoints is 0; use 1 to 50 percentage points",
            ),
            (
                json!([]),
                json!({"slowerPercent": 5}),
                "comparison.slowerPercent is 5; use 10 to 1000 percent",
            ),
            (
                json!([]),
                json!({"enabled": "no"}),
                "comparison.enabled cannot be read: invalid type: string",
            ),
            (
                json!([]),
                json!({"minRequest": 5}),
                "unknown field `minRequest`",
            ),
        ] {
            let error = parse(alarms, comparison).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }

        let target = parse(json!(["hello-5xx", "hello-slow"]), json!({})).unwrap();
        let error = target.check_alarms(&place(), &[]).unwrap_err().to_string();
        let says = "target /exuvia/hello/qa: alarms[0] is \"hello-5xx\", and there is no alarm of that name";
        assert!(error.starts_with(says), "{error}");
    }

    #[test]
    fn a_worker_has_no_listener_and_works_from_its_launch_on() {
        let parse = |json: &Value| Target::parse(&place(), &json.to_string());
        let overlaps = parse(&example_of_worker("overlap")).unwrap();
        assert!(overlaps.is_worker() && !overlaps.stops_first() && overlaps.front().is_none());
        assert!(
            parse(&example_of_worker("stopFirst"))
                .unwrap()
                .stops_first()
        );
        let serves = parse(&example()).unwrap();
        assert_eq!(serves.front().unwrap().port, 8080);
        assert_eq!((serves.hold_seconds(), overlaps.hold_seconds()), (10, 15));
        let written = serde_json::to_value(&overlaps).unwrap();
        assert_eq!(parse(&written).unwrap(), overlaps);

        let refused = |change: &dyn Fn(&mut Value)| {
            let mut json = example_of_worker("overlap");
            change(&mut json);
            parse(&json).unwrap_err().to_string()
        };
        for (problem, says) in [
            (
                refused(&|json| json["worker"] = json!({"order": "first"})),
                "worker.order cannot be read: unknown variant `first`, expected `overlap` or `stopFirst`",
            ),
            (
                refused(&|json| json["port"] = json!(8080)),
                "port is given, and so is worker; no requests reach a worker",
            ),
            (
                refused(&|json| drop(json.as_object_mut().unwrap().remove("worker"))),
                "listenerArn is missing; only a worker",
            ),
            (
                refused(&|json| {
                    json["strategy"] = json!({"type": "canary", "percent": 10, "holdSeconds": 9, "bakeSeconds": 9});
                }),
                "strategy.type shares out the traffic, and a worker has none",
            ),
            (
                refused(&|json| json["approval"] = json!(true)),
                "approval asks before a release gets traffic",
            ),
            (
                refused(
                    &|json| json["scaling"] = json!({"policies": [{"type": "targetTracking", "metric": "requestsPerTarget", "value": 100}]}),
                ),
                "scaling.policies has requestsPerTarget; no requests reach a worker",
            ),
        ] {
            assert!(problem.contains(says), "{problem}");
        }
        let canary = serde_json::from_value(
            json!({"type": "linear", "percent": 10, "everySeconds": 9, "bakeSeconds": 9}),
        );
        let otherwise = overlaps
            .clone()
            .overridden(&place(), canary.unwrap(), None, None);
        assert!(otherwise.unwrap_err().to_string().contains("strategy.type"));
        let asked = overlaps
            .clone()
            .overridden(&place(), None, Some(Approval::Asked(true)), None);
        assert!(asked.unwrap_err().to_string().contains("approval asks"));
        let kept = overlaps.overridden(&place(), None, None, Some(60));
        assert!(
            kept.unwrap_err()
                .to_string()
                .contains("retainMinutes keeps the old fleet")
        );
    }

    #[test]
    fn missing_and_unknown_fields_are_named() {
        let mut missing = example();
        missing.as_object_mut().unwrap().remove("subnets");
        let error = Target::parse(&place(), &missing.to_string())
            .unwrap_err()
            .to_string();
        assert!(error.contains("missing field `subnets`"), "{error}");

        let mut unknown = example();
        unknown["subnet"] = json!("subnet-1");
        let error = Target::parse(&place(), &unknown.to_string())
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `subnet`"), "{error}");

        let error = Target::parse(&place(), "not json").unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
