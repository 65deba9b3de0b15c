//! I4 and I7 at every call: who moves the pointer or touches the live fleet holds the lock, and nobody deletes or
//! shrinks a fleet that gets requests.

use std::collections::BTreeMap;

use exuvia_cloud::wire;
use exuvia_core::fleet::FleetName;
use exuvia_core::manifest::{Manifest, manifest_key};
use exuvia_core::target::Order;
use serde_json::Value;

use crate::calls::Call;
use crate::retains;
use crate::scenario::PLACE;
use crate::world::{self, Estate, LEDGER};

/// Operations that change something, as far as the functions' permissions go.
const CHANGES: [&str; 21] = [
    "PutObject",
    "DeleteObject",
    "ModifyRule",
    "CreateRule",
    "DeleteRule",
    "SetRulePriorities",
    "CreateTargetGroup",
    "DeleteTargetGroup",
    "ModifyTargetGroupAttributes",
    "CreateAutoScalingGroup",
    "UpdateAutoScalingGroup",
    "DeleteAutoScalingGroup",
    "SetDesiredCapacity",
    "SuspendProcesses",
    "ResumeProcesses",
    "CreateOrUpdateTags",
    "DeleteTags",
    "PutScalingPolicy",
    "PutScheduledUpdateGroupAction",
    "PutMetricAlarm",
    "DeleteAlarms",
];

/// Whether a call changes more than the record of an outcome, the lock and who waits for it.
pub fn is_change(call: &Call) -> bool {
    let records = [
        "/outcomes/",
        "/outcome.json",
        "refused/",
        "/lock.json",
        "/waiting.json",
    ];
    CHANGES.contains(&call.operation.as_str())
        && !records.iter().any(|part| call.about.contains(part))
}

/// What would be wrong with a call, should it be answered with success: the invariant, and in which way.
pub fn before(
    estate: &Estate,
    execution: Option<&str>,
    call: &Call,
) -> Option<(&'static str, String)> {
    let operation = call.operation.as_str();
    if let Some(holder) = takes_the_lock_of(estate, execution, call) {
        return Some((
            "I4",
            format!("{operation} of the lock that {holder} holds, and runs"),
        ));
    }
    let is_pointer = [
        "ModifyRule",
        "CreateRule",
        "DeleteRule",
        "SetRulePriorities",
    ]
    .contains(&operation)
        || (call.service == "s3"
            && is_change(call)
            && ["/live.json", "/removed.json"]
                .iter()
                .any(|record| call.about.ends_with(record)))
        || notes_what_another_keeps(estate, execution, call);
    let is_of_group = call.service == "autoscaling" && is_change(call);
    let live_group = is_of_group
        .then(|| group_that_serves(estate, call))
        .flatten();
    if wire::parameter(&call.form, "ForceDelete").as_deref() == Some("true") {
        let what = format!(
            "{operation} of {} by force, which skips its hooks",
            call.about
        );
        return Some(("I7", what));
    }
    if let Some((group, desired)) = group_that_a_rule_names(estate, call) {
        let number = |name| wire::parameter(&call.form, name).and_then(|text| text.parse().ok());
        let wanted: Vec<i32> = ["DesiredCapacity", "MaxSize"]
            .into_iter()
            .filter_map(number)
            .collect();
        let deletes = operation == "DeleteAutoScalingGroup";
        let smaller = wanted.iter().any(|wanted| *wanted < desired);
        if deletes || (smaller && !is_scheduled(estate, &group, &wanted)) {
            return Some(("I7", format!("{operation} of {group}, which a rule names")));
        }
    }
    if !is_pointer && live_group.is_none() {
        return None;
    }
    let holder = holder(estate);
    (holder.as_deref() != execution).then(|| {
        let holder = holder.as_deref().unwrap_or("nobody");
        (
            "I4",
            format!("{operation} {} while {holder} holds the lock", call.about),
        )
    })
}

/// Whether a call writes what is kept, or forgets what another execution keeps.
fn notes_what_another_keeps(estate: &Estate, execution: Option<&str>, call: &Call) -> bool {
    let is_mine = || {
        let retained = retains::retained(estate);
        retained.is_none_or(|retained| Some(retained.execution.as_str()) == execution)
    };
    call.service == "s3"
        && call.about == retains::key()
        && is_change(call)
        && !(call.operation == "DeleteObject" && is_mine())
}

/// The ARN of the execution that holds the lock.
fn holder(estate: &Estate) -> Option<String> {
    let lock = estate.services.s3.get(LEDGER, &lock_key())?;
    let lock: Value = serde_json::from_slice(lock).ok()?;
    Some(lock["execution"].as_str()?.to_owned())
}

fn lock_key() -> String {
    format!("{PLACE}/lock.json")
}

/// The execution whose lock a call writes over or deletes, while it runs.
fn takes_the_lock_of(estate: &Estate, execution: Option<&str>, call: &Call) -> Option<String> {
    let writes = ["PutObject", "DeleteObject"].contains(&call.operation.as_str());
    if !writes || call.about != lock_key() {
        return None;
    }
    let holder = holder(estate).filter(|holder| Some(holder.as_str()) != execution)?;
    let mut executions = estate.executions.iter();
    executions
        .any(|one| one.arn == holder && one.is_running())
        .then_some(holder)
}

/// The group that a call changes, if a rule sends requests there; of a worker, if its release is live.
fn group_that_serves(estate: &Estate, call: &Call) -> Option<String> {
    if estate.worker.is_some() {
        return estate
            .committed_group()
            .filter(|group| *group == call.about);
    }
    let mut served = estate.cloud.served();
    served.find(|name| *name == call.about).map(str::to_owned)
}

/// The group that a call changes and its desired capacity, if a rule names it: it gets requests, or will.
fn group_that_a_rule_names(estate: &Estate, call: &Call) -> Option<(String, i32)> {
    if call.service != "autoscaling" || !is_change(call) {
        return None;
    }
    let is_named = match estate.worker {
        None => estate.cloud.routed().any(|(name, _)| name == call.about),
        Some(Order::Overlap) => estate.committed_group().as_ref() == Some(&call.about),
        // It is to be ended first.
        Some(Order::StopFirst) => false,
    };
    if !is_named {
        return None;
    }
    let desired = estate.cloud.desired(&call.about)?;
    Some((call.about.clone(), desired))
}

/// Whether a scheduled action of the group's target wants one of these capacities, and not none.
fn is_scheduled(estate: &Estate, group: &str, wanted: &[i32]) -> bool {
    let Some(place) = world::place() else {
        return false;
    };
    let Some(fleet) = FleetName::of_name(&place, group) else {
        return false;
    };
    let key = manifest_key(&place, fleet.release());
    let manifest = estate.services.s3.get(LEDGER, &key);
    let manifest = manifest.and_then(|body| serde_json::from_slice::<Manifest>(body).ok());
    manifest.is_some_and(|manifest| {
        let actions = manifest.target.scaling.scheduled_actions;
        let mut sizes = actions.iter().filter_map(|action| action.desired);
        sizes.any(|size| i32::try_from(size).is_ok_and(|size| size > 0 && wanted.contains(&size)))
    })
}

/// How many healthy targets each target group has: what a step finds when it begins.
pub fn healthy_by_group(estate: &Estate) -> BTreeMap<String, usize> {
    let groups = estate.cloud.survey().target_groups.into_iter();
    groups
        .map(|group| {
            let healthy = group.targets.iter().filter(|(_, state)| state == "healthy");
            (group.name, healthy.count())
        })
        .collect()
}

/// What is wrong with where the requests go after a shift: fewer instances were healthy there, already when the step
/// began, than there have to be.
pub fn after_shift(
    estate: &Estate,
    floor: usize,
    at_begin: &BTreeMap<String, usize>,
) -> Option<String> {
    let rules = estate.cloud.survey().rules;
    let weights = rules.into_iter().flat_map(|rule| rule.weights);
    let serving = weights.filter(|(_, weight)| *weight > 0);
    let healthy: usize = serving
        .map(|(name, _)| at_begin.get(&name).copied().unwrap_or(0))
        .sum();
    let least = floor.max(1);
    (healthy < least).then(|| {
        format!("the traffic moves to {healthy} healthy instances, and {least} have to be there")
    })
}
