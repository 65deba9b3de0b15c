//! Which instance goes when a group shrinks.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html>

use super::{
    super::{Error, Result, asg},
    evaluate::zone_counts,
    group::Group,
    instance::Instance,
};

const KNOWN: [&str; 7] = [
    "Default",
    "OldestInstance",
    "NewestInstance",
    "OldestLaunchTemplate",
    "OldestLaunchConfiguration",
    "ClosestToNextInstanceHour",
    "AllocationStrategy",
];

pub(super) fn policies(given: Option<asg::TerminationPolicies>) -> Result<Vec<String>> {
    let policies = given.map(|policies| policies.items).unwrap_or_default();
    if let Some(unknown) = policies
        .iter()
        .find(|policy| !KNOWN.contains(&policy.as_str()))
    {
        return Err(Error::validation(format!(
            "Termination policy '{unknown}' is not one of {}",
            KNOWN.join(", ")
        )));
    }
    if policies.is_empty() {
        return Ok(vec!["Default".into()]);
    }
    Ok(policies)
}

/// The id of the instance to terminate, of those that stay (given oldest first). None where all are protected.
///
/// First the zone with the most instances (one that the group has left comes before all), then the policies in
/// order; what remains undecided falls on the oldest.
pub(super) fn pick(group: &Group, staying: &[&Instance], protected_too: bool) -> Option<String> {
    let candidates = staying.iter().filter(|instance| !instance.rebalances);
    let mut candidates: Vec<&Instance> = candidates
        .filter(|instance| protected_too || !instance.protected)
        .copied()
        .collect();
    let counts = zone_counts(group, staying);
    let zones = group.zones();
    let crowd = |instance: &Instance| {
        let zone = &instance.place.zone;
        (
            !zones.contains(zone),
            counts.get(zone).copied().unwrap_or(0),
        )
    };
    let most = candidates.iter().map(|instance| crowd(instance)).max()?;
    candidates.retain(|instance| crowd(instance) == most);
    for policy in &group.termination_policies {
        match policy.as_str() {
            "NewestInstance" => candidates.reverse(),
            "OldestInstance" => {}
            // The rest come down to the oldest template here, where there is no price and no hour to look at.
            _ => {
                let old = |instance: &&Instance| instance.launch_template != group.launch_template;
                if candidates.iter().any(&old) {
                    candidates.retain(|instance| old(instance));
                }
                continue;
            }
        }
        break;
    }
    candidates.first().map(|instance| instance.id.clone())
}
