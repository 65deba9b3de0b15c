//! An instance's way through its group.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;

use super::{
    super::{Cloud, Effect},
    activity::Status,
    group::{Place, Template},
    health::{Ailment, Suspicion},
    hook::{Transition, Wait},
    process::Process,
};

#[derive(Clone, Debug)]
pub(in super::super) struct Instance {
    pub(in super::super) id: String,
    pub(in super::super) group: String,
    pub(super) place: Place,
    pub(super) launch_template: Template,
    /// Grows with every launch: who is older when two were launched at once.
    pub(super) order: u64,
    pub(in super::super) lifecycle: Lifecycle,
    /// When the present state ends by itself.
    pub(super) until: Option<Timestamp>,
    pub(super) waits: Vec<Wait>,
    pub(in super::super) address: Option<SocketAddr>,
    pub(in super::super) dead: bool,
    /// Why it is marked unhealthy, where it is.
    pub(super) ailment: Option<Ailment>,
    pub(super) suspicion: Option<Suspicion>,
    pub(super) protected: bool,
    pub(super) in_service_at: Option<Timestamp>,
    /// Launched to even out the zones; counts beside the desired capacity until it is in service.
    pub(super) rebalances: bool,
    /// The scaling activity under way.
    pub(super) activity: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Lifecycle {
    Pending,
    PendingWait,
    PendingProceed,
    InService,
    Terminating,
    TerminatingWait,
    TerminatingProceed,
}

impl Lifecycle {
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::PendingWait => "Pending:Wait",
            Self::PendingProceed => "Pending:Proceed",
            Self::InService => "InService",
            Self::Terminating => "Terminating",
            Self::TerminatingWait => "Terminating:Wait",
            Self::TerminatingProceed => "Terminating:Proceed",
        }
    }

    pub(in super::super) fn is_pending(self) -> bool {
        matches!(
            self,
            Self::Pending | Self::PendingWait | Self::PendingProceed
        )
    }

    /// Counts towards the group's capacity.
    pub(in super::super) fn is_staying(self) -> bool {
        self.is_pending() || self == Self::InService
    }
}

impl Instance {
    pub(in super::super) fn due(&self) -> Option<Timestamp> {
        let wait = self.waits.iter().map(Wait::deadline).min();
        let suspicion = self.suspicion.as_ref().map(|suspicion| suspicion.notice_at);
        [self.until, wait, suspicion].into_iter().flatten().min()
    }

    /// EC2 says it runs, at the earliest when EC2 would have taken it from pending to running.
    pub(in super::super) fn started(&mut self, address: SocketAddr, now: Timestamp) {
        if self.address.is_some() {
            return;
        }
        self.address = Some(address);
        if self.lifecycle == Lifecycle::Pending {
            self.until = Some(self.until.map_or(now, |pending| pending.max(now)));
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Cloud {
    pub(in super::super) fn step_instances(&mut self) {
        let now = self.now;
        let due = |instance: &Instance| instance.due().is_some_and(|at| at <= now);
        let instances = self.instances.iter().filter(|(_, instance)| due(instance));
        let ids: Vec<String> = instances.map(|(id, _)| id.clone()).collect();
        self.is_settled &= ids.is_empty();
        for id in ids {
            self.step_instance(&id);
        }
    }

    fn step_instance(&mut self, id: &str) {
        let now = self.now;
        self.notice(id);
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        match instance.lifecycle {
            // The EC2 time is over, but nobody has said yet that it runs: `started` sets the timer again.
            Lifecycle::Pending if instance.is_due(now) && instance.address.is_none() => {
                instance.until = None;
            }
            Lifecycle::Pending if instance.is_due(now) => {
                instance.until = None;
                self.wait_for_hooks(id, Transition::Launching);
            }
            Lifecycle::PendingWait | Lifecycle::TerminatingWait => self.expire_waits(id),
            Lifecycle::PendingProceed if instance.is_due(now) => self.enter_service(id),
            Lifecycle::Terminating if instance.is_due(now) => {
                instance.until = None;
                let forced = self.groups.get(&instance.group).is_some_and(|group| {
                    group
                        .deletion
                        .as_ref()
                        .is_some_and(|deletion| deletion.forced)
                });
                if forced {
                    self.proceed_terminating(id);
                } else {
                    self.wait_for_hooks(id, Transition::Terminating);
                }
            }
            Lifecycle::TerminatingProceed if instance.is_due(now) => self.forget(id),
            _ => {}
        }
    }

    /// Before an instance is in service it is registered, and then the grace period begins.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html>
    pub(super) fn enter_service(&mut self, id: &str) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.lifecycle = Lifecycle::InService;
        instance.until = None;
        instance.in_service_at = Some(self.now);
        instance.rebalances = false;
        let (activity, name) = (instance.activity.clone(), instance.group.clone());
        self.end_activity(&activity, Status::Successful, None);
        let Some(group) = self.groups.get_mut(&name) else {
            return;
        };
        group.failures = 0;
        group.retry_at = None;
        if !group.suspended.contains_key(&Process::AddToLoadBalancer) {
            let arns: Vec<String> = group.attachments.keys().cloned().collect();
            for arn in arns {
                self.register_instance(&arn, id);
            }
        }
        self.wake(&name);
    }

    /// Deregisters an instance, and has it terminated once it is drained and its hooks are through.
    pub(super) fn begin_termination(&mut self, id: &str, cause: String) {
        let Some(instance) = self.instances.get(id) else {
            return;
        };
        if !instance.lifecycle.is_staying() {
            return;
        }
        let (name, place) = (instance.group.clone(), instance.place.clone());
        if instance.lifecycle.is_pending() {
            let launching = instance.activity.clone();
            self.end_activity(&launching, Status::Cancelled, None);
        }
        let arns = self
            .groups
            .get(&name)
            .map(|group| group.attachments.keys().cloned().collect());
        let arns: Vec<String> = arns.unwrap_or_default();
        let drained = arns
            .iter()
            .filter_map(|arn| self.deregister_instance(arn, id))
            .max();
        let status = match drained {
            Some(_) => Status::WaitingForDraining,
            None => Status::InProgress,
        };
        let description = format!("Terminating EC2 instance: {id}");
        let activity = self.begin_activity(&name, description, cause, &place, status);
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.activity = activity;
            instance.lifecycle = Lifecycle::Terminating;
            instance.until = Some(drained.unwrap_or(now).max(now));
            instance.waits.clear();
            instance.suspicion = None;
            instance.rebalances = false;
        }
    }

    pub(super) fn proceed_terminating(&mut self, id: &str) {
        let until = self.now + self.settings.ec2_terminating;
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.lifecycle = Lifecycle::TerminatingProceed;
        instance.until = Some(until);
        instance.waits.clear();
        let activity = instance.activity.clone();
        self.set_activity_status(&activity, Status::InProgress);
        self.effects
            .push(Effect::TerminateInstance { id: id.to_owned() });
    }

    pub(super) fn proceed_pending(&mut self, id: &str, after: Duration) {
        let until = self.now + after;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.lifecycle = Lifecycle::PendingProceed;
            instance.until = Some(until);
            instance.waits.clear();
        }
    }

    fn forget(&mut self, id: &str) {
        if let Some(instance) = self.instances.remove(id) {
            self.end_activity(&instance.activity, Status::Successful, None);
            self.wake(&instance.group);
        }
    }

    /// A launch that came to nothing: the instance is gone, the activity says why. Where EC2 refused it, the
    /// group waits longer with each failure before it tries again.
    pub(in super::super) fn abandon_launch(&mut self, id: &str, message: &str, back_off: bool) {
        let pending = self
            .instances
            .get(id)
            .is_some_and(|instance| instance.lifecycle.is_pending());
        if !pending {
            // Already on its way out: there is nothing left to terminate.
            if self
                .instances
                .get(id)
                .is_some_and(|instance| instance.lifecycle != Lifecycle::InService)
            {
                self.forget(id);
            }
            return;
        }
        let Some(instance) = self.instances.remove(id) else {
            return;
        };
        self.end_activity(&instance.activity, Status::Failed, Some(message));
        let (first, longest) = self.settings.launch_retry;
        let now = self.now;
        let Some(group) = self.groups.get_mut(&instance.group) else {
            return;
        };
        if back_off {
            group.failures += 1;
            let wait = first
                .saturating_mul(1 << (group.failures - 1).min(10))
                .min(longest);
            group.retry_at = Some(now + wait);
            group.wake_at(now + wait);
        }
        let name = instance.group;
        self.wake(&name);
    }
}
