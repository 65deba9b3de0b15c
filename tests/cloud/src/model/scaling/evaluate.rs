//! A group looks at what it has and what it should have, and does something about the difference.

use std::collections::BTreeMap;

use super::{
    super::{Cloud, Effect, Launch, spoken},
    activity::Status,
    group::{Group, Place},
    instance::{Instance, Lifecycle},
    process::Process,
};

impl Cloud {
    pub(in super::super) fn step_groups(&mut self) {
        let now = self.now;
        // One that is being deleted is gone when its last instance is.
        let groups = self.groups.iter().filter(|(_, group)| {
            group.deletion.is_some() || group.due().is_some_and(|at| at <= now)
        });
        let names: Vec<String> = groups.map(|(name, _)| name.clone()).collect();
        self.is_settled &= names.is_empty();
        for name in names {
            self.run_schedules(&name);
            let Some(group) = self.groups.get_mut(&name) else {
                continue;
            };
            if group.evaluate_at.is_some_and(|at| at <= self.now) {
                group.evaluate_at = None;
                self.evaluate(&name);
            }
            self.finish_deletion(&name);
        }
    }

    fn evaluate(&mut self, name: &str) {
        self.replace_unhealthy(name);
        self.scale_out(name);
        self.scale_in(name);
        self.rebalance_zones(name);
        let staying = self.staying(name).len();
        if let Some(group) = self.groups.get_mut(name)
            && staying == group.wanted()
        {
            group.reason = None;
        }
    }

    /// The group's instances that count towards its capacity, oldest first.
    pub(super) fn staying(&self, name: &str) -> Vec<&Instance> {
        let mut staying: Vec<&Instance> = self
            .instances
            .values()
            .filter(|instance| instance.group == name && instance.lifecycle.is_staying())
            .collect();
        staying.sort_by_key(|instance| instance.order);
        staying
    }

    pub(super) fn is_suspended(&self, name: &str, process: Process) -> bool {
        self.groups
            .get(name)
            .is_some_and(|group| group.suspended.contains_key(&process))
    }

    fn scale_out(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        if self.is_suspended(name, Process::Launch) {
            return;
        }
        let have = self
            .staying(name)
            .iter()
            .filter(|instance| !instance.rebalances)
            .count();
        let missing = group.wanted().saturating_sub(have);
        if missing == 0 {
            return;
        }
        if let Some(retry) = group.retry_at.filter(|retry| *retry > self.now) {
            self.wake_group_at(name, retry);
            return;
        }
        for have in have..have + missing {
            let cause = self.launch_cause(name, have);
            if !self.launch(name, cause, false) {
                break;
            }
        }
    }

    fn launch_cause(&mut self, name: &str, have: usize) -> String {
        let now = spoken(self.now);
        let Some(group) = self.groups.get_mut(name) else {
            return String::new();
        };
        if group.replacing > 0 {
            group.replacing -= 1;
            return format!(
                "At {now} an instance was launched in response to an unhealthy instance needing to be replaced."
            );
        }
        let difference = format!(
            "At {now} an instance was started in response to a difference between desired and actual capacity, \
             increasing the capacity from {have} to {}.",
            have + 1
        );
        with_reason(group, difference)
    }

    /// Launches one instance; false where the account may not run another, which is a failed activity.
    fn launch(&mut self, name: &str, cause: String, rebalances: bool) -> bool {
        let Some(place) = self.place_for_next(name) else {
            return false;
        };
        let full = self.instances.len() >= self.settings.quotas.instances;
        let id = self.ids.instance();
        let description = if full {
            "Launching a new EC2 instance".to_owned()
        } else {
            format!("Launching a new EC2 instance: {id}")
        };
        let activity = self.begin_activity(name, description, cause, &place, Status::PreInService);
        let order = self.ids.sequence();
        let Some(group) = self.groups.get(name) else {
            return false;
        };
        let instance = Instance {
            id: id.clone(),
            group: name.to_owned(),
            place: place.clone(),
            launch_template: group.launch_template.clone(),
            order,
            lifecycle: Lifecycle::Pending,
            until: Some(self.now + self.settings.ec2_pending),
            waits: Vec::new(),
            address: None,
            dead: false,
            ailment: None,
            suspicion: None,
            protected: group.protect_new,
            in_service_at: None,
            rebalances,
            activity,
        };
        let target_groups = group.attachments.keys();
        let port = target_groups
            .filter_map(|arn| self.target_groups.get(arn))
            .map(|target_group| target_group.port)
            .next();
        let effect = launch_effect(group, &instance, port);
        self.instances.insert(id.clone(), instance);
        if full {
            let quota = self.settings.quotas.instances;
            self.abandon_launch(
                &id,
                &format!(
                    "You have requested more instances ({}) than your current instance limit of {quota} allows \
                     for the specified instance type. Launching EC2 instance failed.",
                    quota + 1
                ),
                true,
            );
            return false;
        }
        self.effects.push(Effect::LaunchInstance(effect));
        true
    }

    fn scale_in(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let forced = group
            .deletion
            .as_ref()
            .is_some_and(|deletion| deletion.forced);
        if self.is_suspended(name, Process::Terminate) && !forced {
            return;
        }
        loop {
            let Some(group) = self.groups.get(name) else {
                return;
            };
            let staying = self.staying(name);
            let have = staying
                .iter()
                .filter(|instance| !instance.rebalances)
                .count();
            if have <= group.wanted() {
                return;
            }
            let Some(id) = super::pick::pick(group, &staying, forced) else {
                return;
            };
            let now = spoken(self.now);
            let cause = if forced {
                format!(
                    "At {now} a user request force deleted AutoScalingGroup changing the desired capacity from \
                     {have} to 0."
                )
            } else {
                let difference = format!(
                    "At {now} an instance was taken out of service in response to a difference between desired and \
                     actual capacity, shrinking the capacity from {have} to {}.  At {now} instance {id} was selected \
                     for termination.",
                    have - 1
                );
                with_reason(group, difference)
            };
            self.begin_termination(&id, cause);
        }
    }

    /// Launches before it terminates, so the group may be larger for a while, but not by more than a tenth of its
    /// maximum (or one instance). The termination is an ordinary scale-in, which takes from the fullest zone.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#AutoScalingBehavior.InstanceUsage>
    fn rebalance_zones(&mut self, name: &str) {
        let Some(group) = self.groups.get(name) else {
            return;
        };
        let active = [Process::AZRebalance, Process::Launch]
            .iter()
            .all(|process| !self.is_suspended(name, *process));
        let staying = self.staying(name);
        let settled = staying.len() == group.wanted()
            && staying
                .iter()
                .all(|instance| instance.lifecycle == Lifecycle::InService);
        if !active || !settled || group.deletion.is_some() {
            return;
        }
        let counts = zone_counts(group, &staying);
        let (Some(most), Some(least)) = (
            counts.iter().max_by_key(|(_, count)| **count),
            counts
                .iter()
                .filter(|(zone, _)| group.zones().contains(zone))
                .min_by_key(|(_, count)| **count),
        ) else {
            return;
        };
        let abandoned = staying
            .iter()
            .any(|instance| !group.zones().contains(&instance.place.zone));
        let room = usize::try_from(group.max).unwrap_or(0);
        let room = room + (room / 10).max(1);
        if (most.1 - least.1 < 2 && !abandoned) || staying.len() >= room {
            return;
        }
        let cause = format!(
            "At {} availability zones {} and {} had {} and {} instances respectively. An instance was launched to \
             aid in balancing the group's zones.",
            spoken(self.now),
            most.0,
            least.0,
            most.1,
            least.1
        );
        self.launch(name, cause, true);
    }

    /// The zone with the fewest of the group's instances, and in it the subnet with the fewest.
    fn place_for_next(&self, name: &str) -> Option<Place> {
        let group = self.groups.get(name)?;
        let staying = self.staying(name);
        let counts = zone_counts(group, &staying);
        let in_place = |place: &Place| {
            staying
                .iter()
                .filter(|instance| instance.place == *place)
                .count()
        };
        let in_zone = |place: &Place| counts.get(&place.zone).copied().unwrap_or(0);
        group
            .places
            .iter()
            .min_by_key(|place| (in_zone(place), in_place(place)))
            .cloned()
    }

    fn wake_group_at(&mut self, name: &str, at: jiff::Timestamp) {
        if let Some(group) = self.groups.get_mut(name) {
            group.wake_at(at);
        }
    }

    fn finish_deletion(&mut self, name: &str) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let Some(deletion) = group.deletion.as_mut() else {
            return;
        };
        match deletion.gone_at {
            None => {
                let mut instances = self.instances.values();
                if instances.all(|instance| instance.group != name) {
                    deletion.gone_at = Some(self.now + self.settings.group_deletion);
                }
            }
            Some(at) if at <= self.now => {
                let gone = self.groups.remove(name);
                self.departed
                    .groups
                    .extend(gone.map(|group| (self.now, group)));
            }
            Some(_) => {}
        }
    }
}

/// How many of the group's instances are in each zone, counting every zone that the group has.
pub(super) fn zone_counts(group: &Group, staying: &[&Instance]) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> =
        group.zones().into_iter().map(|zone| (zone, 0)).collect();
    for instance in staying {
        *counts.entry(instance.place.zone.clone()).or_default() += 1;
    }
    counts
}

fn with_reason(group: &Group, difference: String) -> String {
    match &group.reason {
        Some(reason) => format!("{reason}  {difference}"),
        None => difference,
    }
}

fn launch_effect(group: &Group, instance: &Instance, port: Option<u16>) -> Launch {
    let template = &instance.launch_template;
    let name = template.id.clone().or_else(|| template.name.clone());
    let propagated = group.tags.iter().filter(|(_, tag)| tag.propagate);
    let mut tags: BTreeMap<String, String> = propagated
        .map(|(key, tag)| (key.clone(), tag.value.clone()))
        .collect();
    tags.insert("aws:autoscaling:groupName".into(), group.name.clone());
    Launch {
        id: instance.id.clone(),
        tags,
        group: group.name.clone(),
        availability_zone: instance.place.zone.clone(),
        subnet: instance.place.subnet.clone(),
        launch_template: name.unwrap_or_default(),
        launch_template_version: template
            .version
            .clone()
            .unwrap_or_else(|| "$Default".into()),
        port,
    }
}
