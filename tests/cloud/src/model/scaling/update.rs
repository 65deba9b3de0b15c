//! Changing a group, and ending it.

use super::{
    super::{Cloud, Error, Result, asg, spoken},
    group::{Deletion, Group, Template, check_capacity, grace_period, health_check_type},
};

impl Group {
    /// Sets the three sizes and remembers who wanted them.
    pub(super) fn resize(&mut self, min: i32, max: i32, desired: i32, who: &str) {
        let before = self.desired;
        (self.min, self.max, self.desired) = (min, max, desired);
        if before != desired {
            self.reason = Some(format!(
                "{who} changing the desired capacity from {before} to {desired}."
            ));
        }
    }

    /// The sizes that result from those given: a desired capacity that nobody gave follows the bounds.
    pub(super) fn sizes(
        &self,
        min: Option<i32>,
        max: Option<i32>,
        desired: Option<i32>,
    ) -> Result<(i32, i32, i32)> {
        let (min, max) = (min.unwrap_or(self.min), max.unwrap_or(self.max));
        check_capacity(min, max, min)?;
        let desired = desired.unwrap_or_else(|| self.desired.clamp(min, max));
        check_capacity(min, max, desired)?;
        Ok((min, max, desired))
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html>
    pub fn update_auto_scaling_group(
        &mut self,
        request: asg::UpdateAutoScalingGroupType,
    ) -> Result<()> {
        let name = request.auto_scaling_group_name;
        if request.mixed_instances_policy.is_some() {
            return Err(Error::not_modelled("MixedInstancesPolicy"));
        }
        if let Some(configuration) = request.launch_configuration_name {
            return Err(Error::validation(format!(
                "Launch configuration name not found - Launch configuration {configuration} not found"
            )));
        }
        let group = self.standing_group(&name)?;
        let (min, max, desired) =
            group.sizes(request.min_size, request.max_size, request.desired_capacity)?;
        let health = request.health_check_type.as_deref();
        let health = health
            .map(|kind| health_check_type(Some(kind)))
            .transpose()?;
        let grace = request.health_check_grace_period;
        let grace = grace
            .map(|seconds| grace_period(Some(seconds)))
            .transpose()?;
        let template = request.launch_template.map(Template::parse).transpose()?;
        let policies = request.termination_policies;
        let policies = policies
            .map(|given| super::pick::policies(Some(given)))
            .transpose()?;
        let moves = request.v_p_c_zone_identifier.is_some() || request.availability_zones.is_some();
        let places = moves.then(|| {
            let zones = request.availability_zones.map(|zones| zones.items);
            self.places(request.v_p_c_zone_identifier.as_deref(), zones)
        });
        let places = places.transpose()?;

        let who = format!(
            "At {} a user request update of AutoScalingGroup constraints to min: {min}, max: {max}, desired: {desired}",
            spoken(self.now)
        );
        let group = self.standing_group(&name)?;
        group.resize(min, max, desired, &who);
        if let Some(places) = places {
            group.places = places;
        }
        if let Some(health) = health {
            group.health_check_type = health;
        }
        if let Some(grace) = grace {
            group.grace = grace;
        }
        if let Some(template) = template {
            group.launch_template = template;
            // The next launch is of something else: it need not wait out the failures of the last.
            group.retry_at = None;
        }
        if let Some(policies) = policies {
            group.termination_policies = policies;
        }
        if let Some(protect) = request.new_instances_protected_from_scale_in {
            group.protect_new = protect;
        }
        let bystanders = &mut group.bystanders;
        bystanders.default_cooldown = request
            .default_cooldown
            .unwrap_or(bystanders.default_cooldown);
        bystanders.default_instance_warmup = request
            .default_instance_warmup
            .or(bystanders.default_instance_warmup);
        bystanders.max_instance_lifetime = request
            .max_instance_lifetime
            .or(bystanders.max_instance_lifetime);
        bystanders.capacity_rebalance =
            request.capacity_rebalance.or(bystanders.capacity_rebalance);
        if request.instance_maintenance_policy.is_some() {
            bystanders.maintenance = request.instance_maintenance_policy;
        }
        self.wake(&name);
        Ok(())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetDesiredCapacity.html>
    pub fn set_desired_capacity(&mut self, request: &asg::SetDesiredCapacityType) -> Result<()> {
        let who = format!(
            "At {} a user request explicitly set group desired capacity",
            spoken(self.now)
        );
        let group = self.standing_group(&request.auto_scaling_group_name)?;
        let desired = request.desired_capacity;
        if desired > group.max {
            return Err(Error::validation(format!(
                "New SetDesiredCapacity value {desired} is above max value {} for the AutoScalingGroup.",
                group.max
            )));
        }
        if desired < group.min {
            return Err(Error::validation(format!(
                "New SetDesiredCapacity value {desired} is below min value {} for the AutoScalingGroup.",
                group.min
            )));
        }
        let (min, max) = (group.min, group.max);
        group.resize(min, max, desired, &who);
        self.wake(&request.auto_scaling_group_name);
        Ok(())
    }

    /// A group with instances is only deleted by force, which terminates them without asking the hooks.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteAutoScalingGroup.html>
    pub fn delete_auto_scaling_group(
        &mut self,
        request: &asg::DeleteAutoScalingGroupType,
    ) -> Result<()> {
        let name = &request.auto_scaling_group_name;
        let forced = request.force_delete.unwrap_or(false);
        self.group(name)?;
        let occupied = self
            .instances
            .values()
            .any(|instance| instance.group == *name);
        if occupied && !forced {
            return Err(Error::new(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance \
                 request(s) still in the group.",
            ));
        }
        let gone_at = (!occupied).then(|| self.now + self.settings.group_deletion);
        let group = self.group_mut(name)?;
        match &mut group.deletion {
            Some(deletion) => deletion.forced |= forced,
            None => group.deletion = Some(Deletion { forced, gone_at }),
        }
        group.hooks.clear();
        self.wake(name);
        if forced {
            let held = self
                .instances
                .values_mut()
                .filter(|instance| instance.group == *name);
            let held: Vec<String> = held
                .filter(|instance| {
                    instance.lifecycle == super::instance::Lifecycle::TerminatingWait
                })
                .map(|instance| instance.id.clone())
                .collect();
            for id in held {
                self.proceed_terminating(&id);
            }
        }
        Ok(())
    }
}
