//! What stands, typed and at one moment: for who checks from outside that all is as it should be.

use std::collections::BTreeMap;

use super::{
    Cloud,
    balancing::{Action, TargetGroup},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    pub groups: Vec<GroupState>,
    pub target_groups: Vec<TargetGroupState>,
    /// All but the listeners' default rules.
    pub rules: Vec<RuleState>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    pub name: String,
    pub min: i32,
    pub max: i32,
    pub desired: i32,
    pub is_deleting: bool,
    pub suspended: Vec<&'static str>,
    pub tags: BTreeMap<String, String>,
    pub policies: Vec<String>,
    pub scheduled_actions: Vec<String>,
    /// Ids with their life cycle state, such as `InService`.
    pub instances: Vec<(String, &'static str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupState {
    pub name: String,
    pub arn: String,
    /// Ids with their state, such as `healthy`.
    pub targets: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleState {
    pub arn: String,
    pub priority: String,
    pub hosts: Vec<String>,
    pub paths: Vec<String>,
    /// Names of target groups with their weights.
    pub weights: Vec<(String, u16)>,
}

impl Cloud {
    pub fn survey(&self) -> Survey {
        let mut instances: BTreeMap<&str, Vec<(String, &'static str)>> = BTreeMap::new();
        for instance in self.instances.values() {
            let of_group = instances.entry(&instance.group).or_default();
            of_group.push((instance.id.clone(), instance.lifecycle.name()));
        }
        let groups = self.groups.values().map(|group| GroupState {
            instances: instances.remove(group.name.as_str()).unwrap_or_default(),
            ..group.state()
        });
        let target_groups = self.target_groups.values().map(|group| TargetGroupState {
            name: group.name.clone(),
            arn: group.arn.clone(),
            targets: group
                .targets
                .iter()
                .map(|(key, target)| {
                    let health = target.health(self.is_dead(&key.id));
                    (key.id.clone(), health.state.unwrap_or_default())
                })
                .collect(),
        });
        let rules = self
            .listeners
            .values()
            .flat_map(|listener| self.rules_of(&listener.arn))
            .filter(|rule| rule.priority != super::balancing::Priority::Default)
            .map(|rule| RuleState {
                arn: rule.arn.clone(),
                priority: rule.priority.to_string(),
                hosts: rule.conditions.hosts.clone(),
                paths: rule.conditions.paths.clone(),
                weights: self.weights(&rule.action),
            });
        Survey {
            groups: groups.collect(),
            target_groups: target_groups.collect(),
            rules: rules.collect(),
        }
    }

    fn weights(&self, action: &Action) -> Vec<(String, u16)> {
        let Action::Forward { groups, .. } = action else {
            return Vec::new();
        };
        let named = groups.iter().filter_map(|group| {
            let name = self.target_groups.get(&group.arn)?.name.clone();
            Some((name, group.weight))
        });
        named.collect()
    }

    /// The ARN and the tags of what a request names: of load balancing by its ARN, a group by its name.
    pub fn named(&self, name: &str) -> Option<(String, BTreeMap<String, String>)> {
        if name.starts_with("arn:") {
            return Some((name.to_owned(), self.tags_of(name).ok()?.clone()));
        }
        let group = self.groups.get(name)?;
        Some((group.arn.clone(), group.state().tags))
    }

    /// How many instances a group is to have.
    pub fn desired(&self, group: &str) -> Option<i32> {
        Some(self.groups.get(group)?.desired)
    }

    /// The names of the target groups that forward rules name, with their weights.
    pub fn routed(&self) -> impl Iterator<Item = (&str, u16)> {
        let routed = self.routed_groups();
        routed.map(|(group, weight)| (group.name.as_str(), weight))
    }

    /// The names of the target groups that a forward rule sends requests to.
    pub fn served(&self) -> impl Iterator<Item = &str> {
        let serving = self.routed().filter(|(_, weight)| *weight > 0);
        serving.map(|(name, _)| name)
    }

    /// How the targets stand that requests reach by a forward rule: their ids, and whether each is healthy. What
    /// [`Self::survey`] tells of this, without its allocations: to be asked at every moment.
    pub fn served_by(&self) -> impl Iterator<Item = (&str, bool)> {
        let serving = self.routed_groups().filter(|(_, weight)| *weight > 0);
        serving
            .flat_map(|(group, _)| &group.targets)
            .map(|(key, target)| {
                let healthy = target.is_healthy() && !self.is_dead(&key.id);
                (key.id.as_str(), healthy)
            })
    }

    fn routed_groups(&self) -> impl Iterator<Item = (&TargetGroup, u16)> {
        self.rules
            .values()
            .filter_map(|rule| match &rule.action {
                Action::Forward { groups, .. } => Some(groups),
                Action::Fixed { .. } => None,
            })
            .flatten()
            .filter_map(|group| Some((self.target_groups.get(&group.arn)?, group.weight)))
    }
}
