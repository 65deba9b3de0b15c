//! What an operator does to single instances.

use super::{
    super::{Cloud, Error, Result, asg, spoken},
    health::Ailment,
    instance::Lifecycle,
};

impl Cloud {
    fn member(&self, id: &str) -> Result<&super::Instance> {
        self.instances.get(id).ok_or_else(|| {
            Error::validation(format!(
                "Instance Id not found - No managed instance found for instance ID {id}"
            ))
        })
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_TerminateInstanceInAutoScalingGroup.html>
    pub fn terminate_instance_in_auto_scaling_group(
        &mut self,
        request: &asg::TerminateInstanceInAutoScalingGroupType,
    ) -> Result<asg::ActivityType> {
        let id = &request.instance_id;
        let instance = self.member(id)?;
        let (name, lifecycle) = (instance.group.clone(), instance.lifecycle);
        if !lifecycle.is_staying() {
            return Err(Error::new(
                "ScalingActivityInProgress",
                format!("Instance {id} of group {name} is already terminating"),
            ));
        }
        let have = self.staying(&name).len();
        let now = spoken(self.now);
        let group = self.standing_group(&name)?;
        let mut cause = format!(
            "At {now} instance {id} was taken out of service in response to a user request"
        );
        if request.should_decrement_desired_capacity {
            if group.desired <= group.min {
                return Err(Error::validation(format!(
                    "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will \
                     violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false \
                     or lower group's min size.",
                    group.min
                )));
            }
            group.desired -= 1;
            cause = format!(
                "{cause}, shrinking the capacity from {have} to {}",
                have - 1
            );
        }
        self.begin_termination(id, format!("{cause}."));
        self.wake(&name);
        let activity = self
            .instances
            .get(id)
            .map(|instance| instance.activity.clone());
        Ok(asg::ActivityType {
            activity: activity.and_then(|activity| self.activity(&activity)),
        })
    }

    /// Within the grace period the word is not heard, unless the request says that it should be.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html>
    pub fn set_instance_health(&mut self, request: &asg::SetInstanceHealthQuery) -> Result<()> {
        let ailment = match request.health_status.as_str() {
            "Healthy" => None,
            "Unhealthy" => Some(Ailment::Said),
            other => {
                return Err(Error::validation(format!(
                    "Valid instance health states are: [Healthy, Unhealthy], not '{other}'"
                )));
            }
        };
        let instance = self.member(&request.instance_id)?;
        let patient = request.should_respect_grace_period.unwrap_or(true);
        if ailment.is_some() && patient && self.now < self.grace_end(instance) {
            return Ok(());
        }
        let name = instance.group.clone();
        if let Some(instance) = self.instances.get_mut(&request.instance_id) {
            instance.ailment = ailment;
        }
        self.wake(&name);
        Ok(())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html>
    pub fn set_instance_protection(
        &mut self,
        request: &asg::SetInstanceProtectionQuery,
    ) -> Result<asg::SetInstanceProtectionAnswer> {
        let name = &request.auto_scaling_group_name;
        self.group(name)?;
        for id in &request.instance_ids.items {
            let instance = self.member(id)?;
            if instance.group != *name {
                return Err(Error::validation(format!(
                    "The instance {id} is not part of Auto Scaling group {name}."
                )));
            }
            if instance.lifecycle != Lifecycle::InService {
                return Err(Error::validation(format!(
                    "The instance {id} is not in InService, it is in {}.",
                    instance.lifecycle.name()
                )));
            }
        }
        for id in &request.instance_ids.items {
            if let Some(instance) = self.instances.get_mut(id) {
                instance.protected = request.protected_from_scale_in;
            }
        }
        self.wake(name);
        Ok(asg::SetInstanceProtectionAnswer::default())
    }
}
