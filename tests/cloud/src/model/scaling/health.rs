//! How a group notices that an instance is ill, and replaces it.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html>

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    super::{Cloud, balancing::TargetGroup, spoken},
    attachment::Attachment,
    instance::{Instance, Lifecycle},
    process::Process,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    /// EC2 says that it is not running.
    NotRunning,
    /// A target group says that it is unhealthy.
    LoadBalancer,
    /// Somebody said so, by `SetInstanceHealth`.
    Said,
}

/// An ailment that the group will notice unless it passes.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) ailment: Ailment,
    pub(super) notice_at: Timestamp,
}

impl Ailment {
    fn cause(self) -> &'static str {
        match self {
            Self::NotRunning => "an EC2 health check indicating it has been terminated or stopped.",
            Self::LoadBalancer => "an ELB system health check failure.",
            Self::Said => "a user health-check.",
        }
    }
}

impl Cloud {
    /// Starts and drops suspicions, as what the health checks say changes.
    pub(in super::super) fn settle_suspicions(&mut self) {
        let groups = self.target_groups.values();
        let unhealthy: BTreeSet<&str> = groups.flat_map(TargetGroup::unhealthy).collect();
        let concerned = |instance: &&Instance| {
            instance.dead
                || instance.suspicion.is_some()
                || unhealthy.contains(instance.id.as_str())
        };
        let instances = self.instances.values().filter(concerned);
        let changes = instances.filter_map(|instance| {
            let suspicion = match (self.diagnose(instance), &instance.suspicion) {
                (None, None) => return None,
                (None, Some(_)) => None,
                (Some(ailment), Some(same)) if same.ailment == ailment => return None,
                (Some(ailment), _) => Some(Suspicion {
                    ailment,
                    notice_at: self.notice_at(instance, ailment),
                }),
            };
            Some((instance.id.clone(), suspicion))
        });
        for (id, suspicion) in changes.collect::<Vec<_>>() {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.suspicion = suspicion;
            }
        }
    }

    /// What is wrong with an instance that is in service and not yet marked unhealthy.
    ///
    /// A target group's word counts only once one of the group's instances has passed its health check: until
    /// then the attachment is not `InService`, and nothing is replaced.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/load-balancer-status.html>
    fn diagnose(&self, instance: &Instance) -> Option<Ailment> {
        if instance.lifecycle != Lifecycle::InService || instance.ailment.is_some() {
            return None;
        }
        let group = self.groups.get(&instance.group)?;
        if group.suspended.contains_key(&Process::HealthCheck) {
            return None;
        }
        if instance.dead {
            return Some(Ailment::NotRunning);
        }
        let mut proven = group
            .attachments
            .iter()
            .filter(|(_, attachment)| **attachment == Attachment::InService);
        let failing = group.checks_load_balancer()
            && proven.any(|(arn, _)| self.target_is_unhealthy(arn, &instance.id));
        failing.then_some(Ailment::LoadBalancer)
    }

    /// The grace period holds back the load balancer's word, but not the news that an instance is gone.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/health-check-grace-period.html>
    fn notice_at(&self, instance: &Instance, ailment: Ailment) -> Timestamp {
        let soon = self.now + self.settings.health_notice;
        match ailment {
            Ailment::LoadBalancer => soon.max(self.grace_end(instance)),
            Ailment::NotRunning | Ailment::Said => soon,
        }
    }

    pub(super) fn grace_end(&self, instance: &Instance) -> Timestamp {
        let grace = self
            .groups
            .get(&instance.group)
            .map_or(0, |group| group.grace);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        instance.in_service_at.unwrap_or(self.now) + grace
    }

    pub(super) fn notice(&mut self, id: &str) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        let Some(suspicion) = instance
            .suspicion
            .take_if(|suspicion| suspicion.notice_at <= now)
        else {
            return;
        };
        instance.ailment = Some(suspicion.ailment);
        let name = instance.group.clone();
        self.wake(&name);
    }

    pub(super) fn replace_unhealthy(&mut self, name: &str) {
        let held = [Process::ReplaceUnhealthy, Process::Terminate];
        if held
            .into_iter()
            .any(|process| self.is_suspended(name, process))
        {
            return;
        }
        let ill = self.staying(name).into_iter();
        let ill: Vec<_> = ill
            .filter_map(|instance| Some((instance.id.clone(), instance.ailment?)))
            .collect();
        for (id, ailment) in ill {
            let cause = format!(
                "At {} an instance was taken out of service in response to {}",
                spoken(self.now),
                ailment.cause()
            );
            self.begin_termination(&id, cause);
            if let Some(group) = self.groups.get_mut(name) {
                group.replacing += 1;
            }
        }
    }
}
