//! The whole state at a glance, for a person who wonders what is going on.

use serde_json::{Value, json};

use super::{Cloud, timestamp};

impl Cloud {
    /// Groups with their instances, target groups with their targets, and the listeners' rules with their weights.
    pub fn summary(&self) -> Value {
        let groups = self.groups.values().map(|group| {
            let members = self
                .instances
                .values()
                .filter(|instance| instance.group == group.name);
            let instances: Vec<Value> = members
                .map(|instance| {
                    json!({
                        "id": instance.id,
                        "state": instance.lifecycle.name(),
                        "health": instance.health(),
                        "address": instance.address.map(|address| address.to_string()),
                        "running": !instance.dead,
                    })
                })
                .collect();
            json!({
                "name": group.name,
                "min": group.min,
                "desired": group.desired,
                "max": group.max,
                "status": group.deletion.as_ref().map(|_| "Delete in progress"),
                "suspended": group.suspended_names(),
                "instances": instances,
            })
        });
        let target_groups = self.target_groups.values().map(|group| {
            let targets: Vec<Value> = group
                .targets
                .iter()
                .map(|(key, target)| {
                    let health = target.health(self.is_dead(&key.id));
                    json!({
                        "id": key.id,
                        "port": key.port,
                        "state": health.state,
                        "reason": health.reason,
                        "description": health.description,
                    })
                })
                .collect();
            json!({ "name": group.name, "arn": group.arn, "targets": targets })
        });
        let listeners = self.listeners.values().map(|listener| {
            let rules: Vec<Value> = self
                .rules_of(&listener.arn)
                .into_iter()
                .map(|rule| {
                    json!({
                        "priority": rule.priority.to_string(),
                        "arn": rule.arn,
                        "hosts": rule.conditions.hosts,
                        "paths": rule.conditions.paths,
                        "action": self.action_summary(&rule.action),
                    })
                })
                .collect();
            json!({ "port": listener.port, "arn": listener.arn, "rules": rules })
        });
        json!({
            "now": timestamp(self.now),
            "groups": groups.collect::<Vec<_>>(),
            "targetGroups": target_groups.collect::<Vec<_>>(),
            "listeners": listeners.collect::<Vec<_>>(),
        })
    }

    fn action_summary(&self, action: &super::balancing::Action) -> Value {
        match action {
            super::balancing::Action::Forward { groups, .. } => {
                let name = |arn: &str| self.target_groups.get(arn).map(|group| group.name.clone());
                let weights = groups.iter().map(
                    |group| json!({ "targetGroup": name(&group.arn), "weight": group.weight }),
                );
                json!({ "forward": weights.collect::<Vec<_>>() })
            }
            super::balancing::Action::Fixed { status, .. } => json!({ "fixedResponse": status }),
        }
    }
}
