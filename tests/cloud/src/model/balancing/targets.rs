//! Registering and deregistering targets, and checking them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;

use super::{
    super::{Check, CheckOutcome, Cloud, Effect, Error, Result, elb},
    target::{State, Target, TargetKey},
    target_group::{Kind, TargetGroup},
};

impl Cloud {
    /// Lets targets follow what the listeners name, whatever the weight.
    pub(in super::super) fn settle_targets(&mut self) {
        let rules = self.rules.values();
        let used: BTreeSet<&str> = rules.flat_map(|rule| rule.action.target_groups()).collect();
        let registered_at = self.now + self.settings.target_registration;
        for group in self.target_groups.values_mut() {
            let used = used.contains(group.arn.as_str());
            for target in group.targets.values_mut() {
                target.set_used(used, registered_at);
            }
        }
    }

    pub(in super::super) fn step_targets(&mut self) {
        let now = self.now;
        for group in self.target_groups.values_mut() {
            let before = group.targets.len();
            group.targets.retain(
                |_, target| !matches!(target.state, State::Draining { until } if until <= now),
            );
            self.is_settled &= group.targets.len() == before;
            for target in group.targets.values_mut() {
                if matches!(target.state, State::Registering { until } if until <= now) {
                    target.state = State::Initial;
                    target.next_check = Some(now);
                    self.is_settled = false;
                }
                target.slow_start = target.slow_start.take().and_then(|slow| slow.at(now));
            }
        }
        let due: Vec<(String, TargetKey)> = self
            .target_groups
            .values()
            .flat_map(|group| {
                group
                    .targets
                    .iter()
                    .map(move |(key, target)| (group, key, target))
            })
            .filter(|(_, _, target)| {
                target.is_registered() && target.next_check.is_some_and(|at| at <= now)
            })
            .map(|(group, key, _)| (group.arn.clone(), key.clone()))
            .collect();
        for (arn, key) in due {
            self.check_target(&arn, &key);
        }
    }

    /// Sends a health check, unless the last one is still out. Nobody there is a failed check.
    fn check_target(&mut self, arn: &str, key: &TargetKey) {
        let id = self.ids.sequence();
        let address = self.target_address(key);
        let now = self.now;
        let Some(group) = self.target_groups.get_mut(arn) else {
            return;
        };
        let check = group.check.clone();
        let Some(target) = group.targets.get_mut(key) else {
            return;
        };
        target.next_check = Some(now + std::time::Duration::from_secs(check.interval.into()));
        if target.check.is_some() {
            return;
        }
        target.check = Some(id);
        let Some(address) = address else {
            let has_changed = group.checked(key, id, &CheckOutcome::Failed, now);
            self.is_settled &= !has_changed;
            return;
        };
        self.checks.insert(id, (arn.to_owned(), key.clone()));
        self.effects.push(Effect::CheckTarget(Check {
            id,
            target_group_arn: arn.to_owned(),
            target: key.id.clone(),
            port: check.port.parse().unwrap_or(key.port),
            address,
            path: check.path,
            timeout: std::time::Duration::from_secs(check.timeout.into()),
            matcher: check.matcher,
        }));
    }

    pub(super) fn target_address(&self, key: &TargetKey) -> Option<SocketAddr> {
        match key.id.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, key.port)),
            Err(_) => self.address_of(&key.id),
        }
    }

    pub(in super::super) fn is_dead(&self, target: &str) -> bool {
        self.instances
            .get(target)
            .is_some_and(|instance| instance.dead)
    }

    pub(in super::super) fn target_is_unhealthy(&self, arn: &str, id: &str) -> bool {
        let group = self.target_groups.get(arn);
        group.is_some_and(|group| {
            group
                .of(id)
                .any(|target| matches!(target.state, State::Unhealthy(_)))
        })
    }

    /// What Auto Scaling does for an instance that enters service.
    pub(in super::super) fn register_instance(&mut self, arn: &str, id: &str) {
        if let Some(group) = self.target_groups.get_mut(arn) {
            let key = TargetKey {
                id: id.to_owned(),
                port: group.port,
            };
            register(group, key);
        }
    }

    /// What Auto Scaling does for an instance that leaves: until when it drains, if it does.
    pub(in super::super) fn deregister_instance(
        &mut self,
        arn: &str,
        id: &str,
    ) -> Option<Timestamp> {
        let now = self.now;
        let group = self.target_groups.get_mut(arn)?;
        let keys: Vec<TargetKey> = group
            .targets
            .keys()
            .filter(|key| key.id == id)
            .cloned()
            .collect();
        keys.iter()
            .filter_map(|key| deregister(group, key, now))
            .max()
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html>
    pub fn register_targets(
        &mut self,
        request: elb::RegisterTargetsInput,
    ) -> Result<elb::RegisterTargetsOutput> {
        let group = self.target_group(&request.target_group_arn)?;
        let most = self.settings.quotas.targets_per_target_group;
        let mut keys = Vec::new();
        for target in request.targets.items {
            let key = key(group, &target)?;
            match group.kind {
                Kind::Instance if self.address_of(&key.id).is_none() => {
                    return Err(Error::new(
                        "InvalidTarget",
                        format!(
                            "The following targets are not in a running state and cannot be registered: '{}'",
                            key.id
                        ),
                    ));
                }
                Kind::Ip if key.id.parse::<IpAddr>().is_err() => {
                    return Err(Error::validation(format!(
                        "The IP address '{}' is not valid",
                        key.id
                    )));
                }
                _ => keys.push(key),
            }
        }
        if group.targets.len() + keys.len() > most {
            return Err(Error::new(
                "TooManyTargets",
                format!("A target group may have at most {most} targets"),
            ));
        }
        let group = self.target_group_mut(&request.target_group_arn)?;
        for key in keys {
            register(group, key);
        }
        Ok(elb::RegisterTargetsOutput::default())
    }

    /// A target that is not registered is no error.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html>
    pub fn deregister_targets(
        &mut self,
        request: elb::DeregisterTargetsInput,
    ) -> Result<elb::DeregisterTargetsOutput> {
        let now = self.now;
        let group = self.target_group_mut(&request.target_group_arn)?;
        for target in request.targets.items {
            let given = target.port.is_some();
            let wanted = key(group, &target)?;
            let keys = group
                .targets
                .keys()
                .filter(|key| key.id == wanted.id && (!given || **key == wanted));
            for key in keys.cloned().collect::<Vec<_>>() {
                deregister(group, &key, now);
            }
        }
        Ok(elb::DeregisterTargetsOutput::default())
    }

    /// Not paged. Without targets in the request, all of the group; a target that is asked for and not there is
    /// `unused`.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html>
    pub fn describe_target_health(
        &self,
        request: elb::DescribeTargetHealthInput,
    ) -> Result<elb::DescribeTargetHealthOutput> {
        let group = self.target_group(&request.target_group_arn)?;
        let wanted = request
            .targets
            .map(|targets| targets.items)
            .unwrap_or_default();
        let mut found: Vec<(TargetKey, elb::TargetHealth)> = Vec::new();
        for (key, target) in &group.targets {
            let asked = |target: &elb::TargetDescription| {
                target.id == key.id && target.port.is_none_or(|port| port == i32::from(key.port))
            };
            if wanted.is_empty() || wanted.iter().any(asked) {
                found.push((key.clone(), target.health(self.is_dead(&key.id))));
            }
        }
        for target in &wanted {
            if !found.iter().any(|(key, _)| key.id == target.id) {
                let health = elb::TargetHealth {
                    state: Some("unused".into()),
                    reason: Some("Target.NotRegistered".into()),
                    description: Some("Target is not registered to the target group".into()),
                };
                found.push((key(group, target)?, health));
            }
        }
        let described = found.into_iter().map(|(key, health)| {
            let check_port = match group.check.port.as_str() {
                "traffic-port" => key.port.to_string(),
                port => port.to_owned(),
            };
            elb::TargetHealthDescription {
                target: Some(elb::TargetDescription {
                    id: key.id,
                    port: Some(i32::from(key.port)),
                    ..Default::default()
                }),
                health_check_port: Some(check_port),
                target_health: Some(health),
                ..Default::default()
            }
        });
        Ok(elb::DescribeTargetHealthOutput {
            target_health_descriptions: Some(described.collect()),
        })
    }
}

fn key(group: &TargetGroup, target: &elb::TargetDescription) -> Result<TargetKey> {
    let port = match target.port {
        None => group.port,
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Error::validation(format!("Target port '{port}' is not valid")))?,
    };
    Ok(TargetKey {
        id: target.id.clone(),
        port,
    })
}

/// One that is draining begins anew.
fn register(group: &mut TargetGroup, key: TargetKey) {
    let target = group.targets.entry(key).or_insert_with(Target::new);
    if !target.is_registered() {
        *target = Target::new();
    }
}

/// It shows `draining` for the whole delay, even when its last connection is gone long before.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay>
fn deregister(group: &mut TargetGroup, key: &TargetKey, now: Timestamp) -> Option<Timestamp> {
    let delay = group.attributes.deregistration_delay();
    let target = group.targets.get_mut(key)?;
    if let State::Draining { until } = target.state {
        return Some(until);
    }
    if delay.is_zero() {
        group.targets.remove(key);
        return None;
    }
    let until = now + delay;
    target.state = State::Draining { until };
    target.check = None;
    target.slow_start = None;
    Some(until)
}
