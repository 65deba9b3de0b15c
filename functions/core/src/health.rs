//! Whether a new fleet may have the traffic, and whether it may keep it.
//!
//! The load balancer fails open (a target group with only unhealthy targets gets requests all the same) and counts
//! a new target healthy after a single passed check, so neither a weight nor one healthy sample proves anything:
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>. A fleet
//! is healthy when all that was asked for has been in service and healthy, without a break, for a hold time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::expected::{self, Expected};
use crate::manifest::BootReport;

/// What was seen of a fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether no load balancer knows the instances: what is in service is healthy then.
    pub is_worker: bool,
    /// `None` if no group of that name was listed.
    pub group: Option<Group>,
    pub targets: Vec<Target>,
    /// Scaling activities of the group, in any order.
    pub activities: Vec<Activity>,
    pub reports: Vec<BootReport>,
}

impl Observation {
    /// As it counts of a fleet that had the traffic before: what went wrong in its launches since says nothing of what is there.
    #[must_use]
    pub fn without_past(self) -> Self {
        Self {
            activities: Vec::new(),
            reports: Vec::new(),
            ..self
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// When it was created; `None` if Auto Scaling does not tell.
    pub created: Option<Timestamp>,
    pub desired: u32,
    pub instances: Vec<Instance>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    /// Auto Scaling's life cycle state, such as `InService`.
    pub lifecycle: String,
    /// The availability zone that it is in.
    pub zone: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance's id.
    pub id: String,
    /// The load balancer's word: `initial`, `healthy`, `unhealthy`, `unused`, `draining`, `unavailable`.
    pub state: String,
    /// Such as `Target.ResponseCodeMismatch`.
    pub reason: Option<String>,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Auto Scaling's `StatusCode`, such as `Successful` or `Failed`.
    pub status: String,
    pub description: String,
    /// AWS's own words for what went wrong.
    pub message: Option<String>,
}

/// What the fleet is measured against. All times are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When the group was to be created: it may have been created later, if that had to be tried again.
    pub launched_at: Timestamp,
    /// When it was looked at before.
    pub looked_at: Option<Timestamp>,
    /// The deadline, from then on.
    pub boot_seconds: u32,
    /// How long all must have been healthy at a stretch.
    pub hold_seconds: u32,
    /// How long it took the last releases.
    pub expected: Option<Expected>,
}

impl Plan {
    /// Since when the fleet could boot.
    fn began(&self, seen: &Observation) -> Timestamp {
        let created = seen.group.as_ref().and_then(|group| group.created);
        created.map_or(self.launched_at, |created| created.max(self.launched_at))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    Pending,
    Healthy,
    Failed,
}

/// The judgement on a fleet at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: Status,
    /// Instances that are in service and healthy behind the load balancer.
    pub healthy: u32,
    /// Instances that are wanted.
    pub wanted: u32,
    /// Since when all have been healthy.
    pub healthy_since: Option<Timestamp>,
    /// What is wrong, or what is waited for; a sentence's worth.
    pub reason: String,
    /// How long to wait before the next look, at least 1 second.
    pub wait_seconds: u32,
}

/// A describe may lag what was created by about this much; until then, what is missing may yet appear.
pub const SETTLE_SECONDS: i64 = 60;

/// How many instances may be launched beyond those wanted before a group is taken to replace them in a loop:
/// half as many again, and at least two, so that one instance lost by chance fails no deploy.
fn launch_budget(wanted: u32) -> u32 {
    wanted + (wanted / 2).max(2)
}

/// Judges a fleet that has not had traffic yet.
pub fn boot(
    seen: &Observation,
    plan: Plan,
    healthy_since: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let elapsed = seconds(plan.launched_at, now);
    let age = seconds(plan.began(seen), now);
    let wanted = seen.group.as_ref().map_or(0, |group| group.desired);
    let healthy = healthy_count(seen);
    let all = seen.group.is_some() && wanted > 0 && healthy >= wanted;
    let since = if all {
        Some(healthy_since.unwrap_or(now))
    } else {
        None
    };
    let verdict = |status, reason: String, wait: i64| Verdict {
        status,
        healthy,
        wanted,
        healthy_since: since,
        reason,
        wait_seconds: u32::try_from(wait.max(1)).unwrap_or(1),
    };

    if let Some(reason) = failure(seen, wanted, elapsed) {
        return verdict(Status::Failed, reason, 1);
    }
    let hold = i64::from(plan.hold_seconds);
    let boot = i64::from(plan.boot_seconds);
    // What flaps never holds; it has had its time all the same. Time in which nobody could look, as AWS was asked for too much
    // at once, is not held against it.
    let looked = plan.looked_at.map_or(0, |looked| seconds(looked, now));
    let unseen = (looked - expected::MOST).max(0);
    if healthy_since.is_none() && age - unseen > boot + hold + SETTLE_SECONDS {
        let reason = format!(
            "after {age} s the instances do not stay healthy{}",
            unwell(seen)
        );
        return verdict(Status::Failed, reason, 1);
    }
    if let Some(since) = since {
        let left = (hold - seconds(since, now)).min(hold);
        let healthy = format!("{healthy} of {wanted} instances are healthy");
        return if left <= 0 {
            verdict(Status::Healthy, healthy, 1)
        } else {
            let reason = format!("{healthy}; they must stay so for another {left} s");
            verdict(Status::Pending, reason, left)
        };
    }
    let waiting = format!(
        "{healthy} of {wanted} instances are healthy{}",
        unwell(seen)
    );
    let left = boot - age;
    if left <= 0 {
        let reason = format!("after {boot} s only {waiting}");
        return verdict(Status::Failed, reason, 1);
    }
    let next = expected::next_look(elapsed, plan.expected);
    verdict(Status::Pending, waiting, next.min(left))
}

/// Whether a fleet that was found healthy still is so at this moment, in which it is to be given traffic.
pub fn ready(seen: &Observation) -> Verdict {
    let wanted = seen.group.as_ref().map_or(0, |group| group.desired);
    let healthy = healthy_count(seen);
    let evidence = seen.reports.first().map(BootReport::summary);
    let status = if evidence.is_none() && wanted > 0 && healthy >= wanted {
        Status::Healthy
    } else {
        Status::Pending
    };
    let counted = || {
        format!(
            "{healthy} of {wanted} instances are healthy{}",
            unwell(seen)
        )
    };
    Verdict {
        status,
        healthy,
        wanted,
        healthy_since: None,
        reason: evidence.unwrap_or_else(counted),
        wait_seconds: 3,
    }
}

/// Judges a fleet that has traffic: whether it still is what was proved before. The next look is after `pause` seconds at
/// the latest.
pub fn bake(
    seen: &Observation,
    proved: u32,
    now: Timestamp,
    ends: Timestamp,
    pause: u32,
) -> Verdict {
    let desired = seen.group.as_ref().map_or(0, |group| group.desired);
    // A fleet may have been scaled in under its own policies; it may not have lost instances.
    let wanted = proved.min(desired.max(1));
    let healthy = healthy_count(seen);
    let left = seconds(now, ends);
    let (status, reason) = if let Some(report) = seen.reports.first() {
        (Status::Failed, report.summary())
    } else if healthy < wanted {
        (
            Status::Failed,
            format!(
                "under traffic only {healthy} of {wanted} instances are healthy{}",
                unwell(seen)
            ),
        )
    } else if left <= 0 {
        (
            Status::Healthy,
            format!("{healthy} of {wanted} instances stayed healthy"),
        )
    } else {
        (
            Status::Pending,
            format!("{healthy} of {wanted} instances are healthy; {left} s of baking left"),
        )
    };
    Verdict {
        status,
        healthy,
        wanted,
        healthy_since: None,
        reason,
        wait_seconds: u32::try_from(left.clamp(1, pause.into())).unwrap_or(1),
    }
}

/// Evidence that this fleet will not become healthy, whatever it is given time for.
fn failure(seen: &Observation, wanted: u32, elapsed: i64) -> Option<String> {
    if let Some(report) = seen.reports.first() {
        return Some(report.summary());
    }
    if let Some(failed) = seen
        .activities
        .iter()
        .find(|activity| activity.status == "Failed")
    {
        let message = failed.message.as_deref();
        return Some(format!(
            "Auto Scaling failed: {}: {}{}",
            failed.description,
            message.unwrap_or("it gave no reason"),
            message.map_or("", remedy)
        ));
    }
    let launches = seen
        .activities
        .iter()
        .filter(|activity| {
            activity
                .description
                .starts_with("Launching a new EC2 instance")
        })
        .count();
    let launches = u32::try_from(launches).unwrap_or(u32::MAX);
    if wanted > 0 && launches > launch_budget(wanted) {
        return Some(format!(
            "{launches} instances were launched for {wanted}: they are being replaced again and again{}",
            unwell(seen)
        ));
    }
    if elapsed < SETTLE_SECONDS {
        return None;
    }
    if seen.group.is_none() {
        return Some("its Auto Scaling group does not exist; something else deleted it".to_owned());
    }
    let unused = |target: &&Target| target.reason.as_deref() == Some("Target.NotInUse");
    seen.targets.iter().find(unused).map(|target| {
        format!(
            "the load balancer does not use target {}: {}. Check that the listener's rule names the target group, and that the load balancer is enabled in the instance's zone",
            target.id,
            target.description.as_deref().unwrap_or("Target.NotInUse")
        )
    })
}

/// What to do about a failed launch, by what EC2 says of it: capacity, a quota, a permission, the launch template. The messages
/// are those of <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-instancelaunchfailure.html> and
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ts-as-capacity.html>, the codes EC2's:
/// <https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>.
fn remedy(message: &str) -> &'static str {
    const REMEDIES: [(&[&str], &str); 4] = [
        (
            &[
                "do not have sufficient",
                "InsufficientInstanceCapacity",
                "no Spot capacity",
            ],
            ". EC2 has no capacity for it: give the app more instance types (MixedInstanceTypes) or zones (Subnets), or deploy again later",
        ),
        (
            &[
                "LimitExceeded",
                "vCPU limit",
                "quota",
                "more instances than",
            ],
            ". A quota of the account is used up: ask for a higher one in Service Quotas, or end what is not needed",
        ),
        (
            &[
                "not authorized",
                "UnauthorizedOperation",
                "AccessDenied",
                "Client.InternalError",
            ],
            ". A permission is missing: of the service-linked role of Auto Scaling, as for the key of an encrypted disk (DiskKeyArn), or for the instance profile",
        ),
        (
            &[
                "launch template",
                "does not exist",
                "not supported",
                "Invalid",
            ],
            ". Its launch template asks for what EC2 does not have: look at AmiId, InstanceType, Subnets and SecurityGroups of the app's stack",
        ),
    ];
    let says = |words: &&(&[&str], &str)| words.0.iter().any(|word| message.contains(word));
    REMEDIES.iter().find(says).map_or("", |(_, remedy)| remedy)
}

/// An instance that is not healthy yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    pub instance: String,
    /// The state of its target, or, while it is not in service, its own: `initial`, `Pending`.
    pub state: String,
    /// The reason code of the target's state, such as `Elb.RegistrationInProgress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many are told: what a step answers stays small, however large the fleet.
pub const MOST_WAITING: usize = 20;

/// The first of the instances that are not healthy yet.
pub fn waiting(seen: &Observation) -> Vec<Waiting> {
    let instances = seen.group.iter().flat_map(|group| &group.instances);
    let not_healthy = instances.filter_map(|instance| {
        let mut targets = seen.targets.iter();
        let target = targets.find(|target| target.id == instance.id);
        let in_service = instance.lifecycle == "InService";
        if is_healthy(seen, instance) {
            return None;
        }
        let of_target = target.filter(|_| in_service);
        let state = of_target.map_or(&instance.lifecycle, |target| &target.state);
        Some(Waiting {
            instance: instance.id.clone(),
            state: state.clone(),
            reason: target.and_then(|target| target.reason.clone()),
        })
    });
    not_healthy.take(MOST_WAITING).collect()
}

/// Instances in service whose target is healthy, if they have targets.
fn healthy(seen: &Observation) -> impl Iterator<Item = &Instance> {
    let instances = seen.group.iter().flat_map(|group| &group.instances);
    instances.filter(|instance| is_healthy(seen, instance))
}

fn is_healthy(seen: &Observation, instance: &Instance) -> bool {
    let mut targets = seen.targets.iter();
    let passes = |target: &Target| target.id == instance.id && target.state == "healthy";
    instance.lifecycle == "InService" && (seen.is_worker || targets.any(passes))
}

fn healthy_count(seen: &Observation) -> u32 {
    u32::try_from(healthy(seen).count()).unwrap_or(u32::MAX)
}

/// The zones that have two instances or more and none that is healthy, where others have healthy ones: then it is the zone that
/// is to be looked at.
fn dark_zones(seen: &Observation) -> Option<String> {
    let lit: BTreeSet<&str> = healthy(seen)
        .map(|instance| instance.zone.as_str())
        .collect();
    let mut dark: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in seen.group.iter().flat_map(|group| &group.instances) {
        if !lit.contains(instance.zone.as_str()) {
            *dark.entry(&instance.zone).or_default() += 1;
        }
    }
    dark.retain(|_, instances| *instances > 1);
    let zones: Vec<&str> = dark.into_keys().collect();
    (!lit.is_empty() && !zones.is_empty()).then(|| zones.join(" and "))
}

/// Why those that are not healthy are not, by their zones and by the first three of them.
fn unwell(seen: &Observation) -> String {
    let zones = dark_zones(seen).map_or_else(String::new, |zones| format!("; none in {zones}"));
    format!("{zones}{}", first_unwell(seen))
}

fn first_unwell(seen: &Observation) -> String {
    let mut reasons: Vec<String> = seen
        .targets
        .iter()
        .filter(|target| target.state != "healthy" && target.state != "draining")
        .map(|target| {
            let words = target.description.as_deref().or(target.reason.as_deref());
            format!(
                "{} is {}: {}",
                target.id,
                target.state,
                words.unwrap_or("no reason given")
            )
        })
        .collect();
    if seen.is_worker {
        let instances = seen.group.iter().flat_map(|group| &group.instances);
        let unwell = instances.filter(|instance| instance.lifecycle != "InService");
        reasons.extend(unwell.map(|instance| {
            let why = match instance.lifecycle.as_str() {
                "Pending:Wait" => ": its boot has not completed the launch lifecycle hook",
                _ => "",
            };
            format!("{} is {}{why}", instance.id, instance.lifecycle)
        }));
    }
    if reasons.is_empty() {
        return match &seen.group {
            Some(group) if group.instances.is_empty() => {
                "; no instance was launched yet".to_owned()
            }
            Some(_) => String::new(),
            None => "; the group is not listed yet".to_owned(),
        };
    }
    let more = reasons.len().saturating_sub(3);
    reasons.truncate(3);
    let more = if more > 0 {
        format!(" (and {more} more)")
    } else {
        String::new()
    };
    format!("; {}{more}", reasons.join("; "))
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const PLAN: Plan = Plan {
        launched_at: Timestamp::UNIX_EPOCH,
        looked_at: None,
        boot_seconds: 600,
        hold_seconds: 10,
        expected: None,
    };

    /// A fleet of instances in service, by the states of their targets.
    fn fleet(states: &[&str]) -> Observation {
        let id = |n: usize| format!("i-{n}");
        Observation {
            group: Some(Group {
                created: None,
                desired: u32::try_from(states.len()).unwrap(),
                instances: (0..states.len())
                    .map(|n| Instance {
                        id: id(n),
                        lifecycle: "InService".into(),
                        zone: format!("us-east-1{}", ["a", "b"][n % 2]),
                    })
                    .collect(),
            }),
            targets: states
                .iter()
                .enumerate()
                .map(|(n, state)| Target {
                    id: id(n),
                    state: (*state).into(),
                    reason: None,
                    description: (*state == "unhealthy")
                        .then(|| "Health checks failed with these codes: [500]".into()),
                })
                .collect(),
            ..Observation::default()
        }
    }

    fn launch(status: &str, message: Option<&str>) -> Activity {
        Activity {
            status: status.into(),
            description: "Launching a new EC2 instance: i-9".into(),
            message: message.map(Into::into),
        }
    }

    #[test]
    fn a_fleet_is_healthy_only_after_holding() {
        let first = boot(&fleet(&["healthy", "healthy"]), PLAN, None, at(30));
        assert_eq!((first.status, first.wait_seconds), (Status::Pending, 10));
        let since = first.healthy_since;
        assert_eq!(
            boot(&fleet(&["healthy", "healthy"]), PLAN, since, at(39)).status,
            Status::Pending
        );
        assert_eq!(
            boot(&fleet(&["healthy", "healthy"]), PLAN, since, at(40)).status,
            Status::Healthy
        );
        // A break starts the hold anew.
        let broken = boot(&fleet(&["healthy", "unhealthy"]), PLAN, since, at(40));
        assert_eq!(
            (broken.status, broken.healthy_since, broken.healthy),
            (Status::Pending, None, 1)
        );
    }

    #[test]
    fn one_that_is_not_in_service_does_not_count() {
        let mut seen = fleet(&["healthy", "healthy"]);
        seen.group.as_mut().unwrap().instances[1].lifecycle = "Pending".into();
        assert_eq!(boot(&seen, PLAN, None, at(30)).healthy, 1);
        seen.group.as_mut().unwrap().instances.pop();
        assert_eq!(
            boot(&seen, PLAN, Some(at(0)), at(30)).status,
            Status::Pending
        );
    }

    #[test]
    fn the_first_of_those_that_are_not_healthy_are_told_with_their_reasons() {
        let mut seen = fleet(&["healthy", "initial", "healthy", "unhealthy"]);
        seen.group.as_mut().unwrap().instances[2].lifecycle = "Terminating".into();
        seen.targets[1].reason = Some("Elb.RegistrationInProgress".into());
        seen.targets.pop();
        let told: Vec<(String, String, Option<String>)> = waiting(&seen)
            .into_iter()
            .map(|one| (one.instance, one.state, one.reason))
            .collect();
        let registering = Some("Elb.RegistrationInProgress".to_owned());
        assert_eq!(
            told,
            [
                ("i-1".into(), "initial".into(), registering),
                ("i-2".into(), "Terminating".into(), None),
                ("i-3".into(), "InService".into(), None),
            ]
        );
        assert_eq!(waiting(&fleet(&["initial"; 1000])).len(), MOST_WAITING);
        assert_eq!(waiting(&fleet(&["healthy", "healthy"])), []);
    }

    #[test]
    fn a_zone_without_a_healthy_instance_is_told() {
        let reason = |states: &[&str]| boot(&fleet(states), PLAN, None, at(30)).reason;
        let told = reason(&["healthy", "unhealthy", "unhealthy", "unhealthy"]);
        assert!(
            told.starts_with("1 of 4 instances are healthy; none in us-east-1b; i-1 is"),
            "{told}"
        );
        // All zones alike, or a single instance of it: then it need not be the zone.
        for states in [
            &["initial"; 4][..],
            &["healthy", "healthy", "initial", "initial"],
            &["unhealthy", "healthy"],
        ] {
            assert!(!reason(states).contains("none in"), "{states:?}");
        }
    }

    #[test]
    fn a_failed_launch_is_told_with_what_to_do_about_it() {
        for (message, remedy) in [
            (
                "We currently do not have sufficient t4g.small capacity in the Availability Zone",
                "MixedInstanceTypes",
            ),
            (
                "We currently do not have sufficient capacity",
                "MixedInstanceTypes",
            ),
            (
                "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently",
                "MixedInstanceTypes",
            ),
            (
                "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of 32",
                "Service Quotas",
            ),
            (
                "You are not authorized to use launch template: lt-1",
                "A permission",
            ),
            ("Client.InternalError: Client error on launch", "DiskKeyArn"),
            ("The image id 'ami-1' does not exist", "AmiId"),
            ("Something new", ""),
        ] {
            let mut seen = fleet(&[]);
            seen.activities.push(launch("Failed", Some(message)));
            let reason = boot(&seen, PLAN, None, at(5)).reason;
            assert!(
                reason.contains(message) && reason.contains(remedy),
                "{reason}"
            );
            assert_eq!(remedy.is_empty(), reason.ends_with(message), "{reason}");
        }
    }

    #[test]
    fn what_fails_and_why() {
        let mut reported = fleet(&["initial"]);
        reported.reports.push(BootReport {
            instance_id: "i-0".into(),
            step: "verify".into(),
            error: "the checksum differs".into(),
            output: vec![],
        });
        let mut refused = fleet(&[]);
        refused.group.as_mut().unwrap().desired = 1;
        refused.activities.push(launch(
            "Failed",
            Some("We currently do not have sufficient capacity"),
        ));
        let mut loops = fleet(&["initial"]);
        loops.activities = vec![launch("Successful", None); 4];
        let mut unused = fleet(&["unused"]);
        unused.targets[0].reason = Some("Target.NotInUse".into());
        for (seen, now, says) in [
            (
                reported,
                5,
                "instance i-0 could not verify the release: the checksum differs",
            ),
            (
                refused,
                5,
                "Auto Scaling failed: Launching a new EC2 instance: i-9: We currently do not have",
            ),
            (loops, 5, "4 instances were launched for 1"),
            (unused, 60, "the load balancer does not use target i-0"),
            (
                Observation::default(),
                60,
                "its Auto Scaling group does not exist",
            ),
            (
                fleet(&["unhealthy", "healthy"]),
                600,
                "after 600 s only 1 of 2 instances are healthy; i-0 is unhealthy: Health checks failed with these codes: [500]",
            ),
        ] {
            let verdict = boot(&seen, PLAN, None, at(now));
            assert_eq!(verdict.status, Status::Failed, "{says}");
            assert!(verdict.reason.starts_with(says), "{}", verdict.reason);
        }
    }

    #[test]
    fn a_worker_is_healthy_once_it_is_in_service() {
        let mut seen = fleet(&["healthy", "healthy"]);
        seen.targets.clear();
        assert_eq!(ready(&seen).healthy, 0);
        seen.is_worker = true;
        assert_eq!(ready(&seen).status, Status::Healthy);
        assert!(waiting(&seen).is_empty());
        seen.group.as_mut().unwrap().instances[1].lifecycle = "Pending:Wait".into();
        let verdict = boot(&seen, PLAN, None, at(5));
        assert_eq!((verdict.status, verdict.healthy), (Status::Pending, 1));
        assert!(
            verdict
                .reason
                .contains("i-1 is Pending:Wait: its boot has not completed"),
            "{}",
            verdict.reason
        );
        assert_eq!(waiting(&seen)[0].state, "Pending:Wait");
    }

    #[test]
    fn what_flaps_has_its_time_and_no_more() {
        let all = fleet(&["healthy", "healthy"]);
        assert_eq!(boot(&all, PLAN, None, at(670)).status, Status::Pending);
        let verdict = boot(&all, PLAN, None, at(671));
        assert_eq!(verdict.status, Status::Failed);
        assert!(
            verdict.reason.contains("do not stay healthy"),
            "{}",
            verdict.reason
        );
    }

    #[test]
    fn time_in_which_nobody_could_look_is_not_held_against_it() {
        let all = fleet(&["healthy", "healthy"]);
        let looked = |at_second| Plan {
            looked_at: Some(at(at_second)),
            ..PLAN
        };
        let late = boot(&all, looked(40), None, at(2_000));
        assert_eq!(late.status, Status::Pending, "{}", late.reason);
        let held = boot(&all, looked(2_000), late.healthy_since, at(2_010));
        assert_eq!(held.status, Status::Healthy, "{}", held.reason);
        assert_eq!(
            boot(&all, looked(1_990), None, at(2_000)).status,
            Status::Failed
        );
        // Nor that in which it could not be created.
        let mut created_late = fleet(&["healthy", "initial"]);
        created_late.group.as_mut().unwrap().created = Some(at(900));
        assert_eq!(
            boot(&created_late, PLAN, None, at(1_000)).status,
            Status::Pending
        );
        assert_eq!(
            boot(&created_late, PLAN, None, at(1_500)).status,
            Status::Failed
        );
    }

    #[test]
    fn a_fleet_is_ready_only_while_all_of_it_is_healthy() {
        assert_eq!(
            ready(&fleet(&["healthy", "healthy"])).status,
            Status::Healthy
        );
        assert_eq!(
            ready(&fleet(&["healthy", "unhealthy"])).status,
            Status::Pending
        );
        assert_eq!(ready(&fleet(&[])).status, Status::Pending);
        assert_eq!(ready(&Observation::default()).status, Status::Pending);
    }

    #[test]
    fn what_may_yet_come_is_waited_for() {
        for seen in [
            Observation::default(),
            fleet(&["initial"]),
            fleet(&["unused"]),
            fleet(&["unhealthy"]),
        ] {
            assert_eq!(boot(&seen, PLAN, None, at(20)).status, Status::Pending);
        }
        // An empty fleet is never healthy.
        assert_eq!(
            boot(&fleet(&[]), PLAN, Some(at(0)), at(100)).status,
            Status::Pending
        );
    }

    #[test]
    fn a_baking_fleet_must_stay_what_was_proved() {
        let ends = at(100);
        assert_eq!(
            bake(&fleet(&["healthy", "healthy"]), 2, at(50), ends, 15).status,
            Status::Pending
        );
        assert_eq!(
            bake(&fleet(&["healthy", "healthy"]), 2, at(100), ends, 15).status,
            Status::Healthy
        );
        let sick = bake(&fleet(&["healthy", "unhealthy"]), 2, at(50), ends, 15);
        assert_eq!(sick.status, Status::Failed);
        assert!(
            sick.reason.starts_with("under traffic only 1 of 2"),
            "{}",
            sick.reason
        );
        // One more that is still booting, scaled out under load, is no failure.
        assert_eq!(
            bake(
                &fleet(&["healthy", "healthy", "initial"]),
                2,
                at(50),
                ends,
                15
            )
            .status,
            Status::Pending
        );
        // Nor is a scale-in.
        assert_eq!(
            bake(&fleet(&["healthy"]), 2, at(50), ends, 15).status,
            Status::Pending
        );
        assert_eq!(
            bake(&Observation::default(), 2, at(50), ends, 15).status,
            Status::Failed
        );
    }

    proptest! {
        #[test]
        fn never_healthy_below_what_is_wanted(states in proptest::collection::vec(prop_oneof!["healthy", "unhealthy", "initial", "draining", "unused"], 0..6), now in 0i64..2000, since in proptest::option::of(0i64..2000)) {
            let states: Vec<&str> = states.iter().map(String::as_str).collect();
            let verdict = boot(&fleet(&states), PLAN, since.map(at), at(now));
            if verdict.status == Status::Healthy {
                prop_assert!(!states.is_empty() && states.iter().all(|state| *state == "healthy"));
            }
            prop_assert!(verdict.wait_seconds >= 1 && verdict.wait_seconds <= 20);
        }
    }
}
