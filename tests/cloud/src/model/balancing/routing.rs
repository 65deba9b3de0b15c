//! What the data plane routes by.

use std::net::SocketAddr;

use super::{
    super::Cloud,
    action::{Action, Weighted},
    rule::{Priority, Rule},
    slow_start::turns,
    target::Target,
};
use crate::routes;

impl Cloud {
    /// All listeners as they stand, in order of their ports.
    pub fn listeners(&self) -> Vec<routes::Listener> {
        let mut listeners: Vec<routes::Listener> = self
            .listeners
            .values()
            .filter_map(|listener| {
                let rules = self.rules_of(&listener.arn);
                let default = rules
                    .iter()
                    .find(|rule| rule.priority == Priority::Default)?;
                let rules = rules
                    .iter()
                    .filter(|rule| rule.priority != Priority::Default);
                Some(routes::Listener {
                    port: listener.port,
                    load_balancer: listener.load_balancer.clone(),
                    rules: rules.map(|rule| self.routed_rule(rule)).collect(),
                    default: self.routed_action(&default.action),
                })
            })
            .collect();
        listeners.sort_by_key(|listener| listener.port);
        listeners
    }

    /// Where there are targets, whether a rule names them or not, with those that drain.
    pub fn seated(&self) -> routes::Seated {
        let seats = self.target_groups.values().flat_map(|group| {
            let keys = group.targets.keys();
            let addresses = keys.filter_map(|key| self.target_address(key));
            addresses.map(|address| (group.arn.clone(), address))
        });
        seats.collect()
    }

    fn routed_rule(&self, rule: &Rule) -> routes::Rule {
        routes::Rule {
            hosts: rule.conditions.hosts.clone(),
            paths: rule.conditions.paths.clone(),
            action: self.routed_action(&rule.action),
        }
    }

    fn routed_action(&self, action: &Action) -> routes::Action {
        match action {
            Action::Forward { groups, .. } => routes::Action::Forward(
                groups
                    .iter()
                    .map(|group| self.routed_group(group))
                    .collect(),
            ),
            Action::Fixed {
                status,
                content_type,
                body,
            } => routes::Action::FixedResponse {
                status: *status,
                content_type: content_type.clone().unwrap_or_else(|| "text/plain".into()),
                body: body.clone().unwrap_or_default(),
            },
        }
    }

    /// The healthy targets; all that are registered where none is healthy.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html#target-group-health>
    fn routed_group(&self, group: &Weighted) -> routes::WeightedGroup {
        let targets = self
            .target_groups
            .get(&group.arn)
            .map(|group| &group.targets);
        let registered = targets
            .into_iter()
            .flatten()
            .filter(|(_, target)| target.is_registered());
        let registered: Vec<(SocketAddr, &Target)> = registered
            .filter_map(|(key, target)| Some((self.target_address(key)?, target)))
            .collect();
        let any = registered.iter().any(|(_, target)| target.is_healthy());
        let chosen = registered
            .into_iter()
            .filter(|(_, target)| target.is_healthy() || !any);
        let shares: Vec<(SocketAddr, usize)> = chosen
            .map(|(address, target)| (address, target.share()))
            .collect();
        routes::WeightedGroup {
            target_group_arn: group.arn.clone(),
            weight: group.weight,
            targets: turns(&shares),
        }
    }
}
