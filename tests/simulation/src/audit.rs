//! I4 and I7 at every call: who moves the pointer or touches the live fleet holds the lock, and nobody deletes or
//! shrinks a fleet that gets requests.

use exuvia_cloud::wire;
use serde_json::Value;

use crate::calls::Call;
use crate::scenario::PLACE;
use crate::world::{Estate, LEDGER};

/// Operations that change something, as far as the functions' permissions go.
const CHANGES: [&str; 17] = [
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
];

/// Whether a call changes more than the record of an outcome, the lock and who waits for it.
pub fn is_change(call: &Call) -> bool {
    let records = ["/outcomes/", "refused/", "/lock.json", "/waiting.json"];
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
    let is_pointer = [
        "ModifyRule",
        "CreateRule",
        "DeleteRule",
        "SetRulePriorities",
    ]
    .contains(&operation)
        || (call.service == "s3" && is_change(call) && call.about.ends_with("/live.json"));
    let live_group = (call.service == "autoscaling" && is_change(call))
        .then(|| group_that_serves(estate, call))
        .flatten();
    if let Some((group, desired)) = &live_group {
        let number = |name| wire::parameter(&call.form, name).and_then(|text| text.parse().ok());
        let wanted: Vec<i32> = ["DesiredCapacity", "MaxSize"]
            .into_iter()
            .filter_map(number)
            .collect();
        let deletes = operation == "DeleteAutoScalingGroup";
        if deletes || wanted.iter().any(|wanted| wanted < desired) {
            return Some(("I7", format!("{operation} of {group}, which gets requests")));
        }
    }
    if !is_pointer && live_group.is_none() {
        return None;
    }
    let holder = estate
        .services
        .s3
        .get(LEDGER, &format!("{PLACE}/lock.json"));
    let holder: Option<Value> = holder.and_then(|lock| serde_json::from_slice(lock).ok());
    let holder = holder.as_ref().and_then(|lock| lock["execution"].as_str());
    (holder != execution).then(|| {
        let holder = holder.unwrap_or("nobody");
        (
            "I4",
            format!("{operation} {} while {holder} holds the lock", call.about),
        )
    })
}

/// The group that a call changes and its desired capacity, if a rule sends requests there.
fn group_that_serves(estate: &Estate, call: &Call) -> Option<(String, i32)> {
    let survey = estate.cloud.survey();
    let serves = |name: &String| {
        let weights = survey.rules.iter().flat_map(|rule| &rule.weights);
        weights
            .clone()
            .any(|(named, weight)| named == name && *weight > 0)
    };
    let group = survey
        .groups
        .iter()
        .find(|group| group.name == call.about)?;
    serves(&group.name).then(|| (group.name.clone(), group.desired))
}
