//! Groups and instances as AWS lists them.

use super::{
    super::{Cloud, Error, GroupState, Result, asg, paging, timestamp},
    group::Group,
    instance::Instance,
};

impl Cloud {
    /// A group that does not exist is left out, not an error.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html>
    pub fn describe_auto_scaling_groups(
        &self,
        request: asg::AutoScalingGroupNamesType,
    ) -> Result<asg::AutoScalingGroupsType> {
        let names = request
            .auto_scaling_group_names
            .map(|names| names.items)
            .unwrap_or_default();
        let filters = request
            .filters
            .map(|filters| filters.items)
            .unwrap_or_default();
        let mut found = Vec::new();
        let listed = self.listed(self.groups.values(), &self.departed.groups, |group| {
            (group.name.as_str(), group.created)
        });
        for group in listed {
            if (names.is_empty() || names.contains(&group.name)) && has_tags(group, &filters)? {
                found.push(group);
            }
        }
        let (found, next_token) = paging::page(
            found,
            |group| group.name.clone(),
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 50, 100)?,
            paging::bad_next_token,
        )?;
        let with_instances = request.include_instances.unwrap_or(true);
        Ok(asg::AutoScalingGroupsType {
            auto_scaling_groups: Some(
                found
                    .into_iter()
                    .map(|group| self.listed_group(group, with_instances))
                    .collect(),
            ),
            next_token,
        })
    }

    fn listed_group(&self, group: &Group, with_instances: bool) -> asg::AutoScalingGroup {
        let mut members: Vec<&Instance> = self
            .instances
            .values()
            .filter(|instance| instance.group == group.name)
            .collect();
        members.sort_by_key(|instance| instance.order);
        let instances = members.into_iter().map(listed_instance).collect();
        let subnets = group.places.iter().filter_map(|place| place.subnet.clone());
        let subnets: Vec<String> = subnets.collect();
        let attached = group
            .attachments
            .iter()
            .filter(|(_, attachment)| !attachment.is_leaving());
        let attached: Vec<String> = attached.map(|(arn, _)| arn.clone()).collect();
        let sources = attached.iter().map(|arn| asg::TrafficSourceIdentifier {
            identifier: arn.clone(),
            r#type: Some("elbv2".into()),
        });
        let suspended = group
            .suspended
            .iter()
            .map(|(process, reason)| asg::SuspendedProcess {
                process_name: Some(process.name().into()),
                suspension_reason: Some(reason.clone()),
            });
        asg::AutoScalingGroup {
            auto_scaling_group_name: Some(group.name.clone()),
            auto_scaling_group_a_r_n: Some(group.arn.clone()),
            created_time: Some(timestamp(group.created)),
            min_size: Some(group.min),
            max_size: Some(group.max),
            desired_capacity: Some(group.desired),
            default_cooldown: Some(group.bystanders.default_cooldown),
            default_instance_warmup: group.bystanders.default_instance_warmup,
            max_instance_lifetime: group.bystanders.max_instance_lifetime,
            capacity_rebalance: group.bystanders.capacity_rebalance,
            instance_maintenance_policy: group.bystanders.maintenance.clone(),
            availability_zones: Some(group.zones().into()),
            v_p_c_zone_identifier: Some(subnets.join(",")),
            health_check_type: Some(group.health_check_type.clone()),
            health_check_grace_period: Some(group.grace),
            launch_template: group
                .mixed
                .is_none()
                .then(|| group.launch_template.listed()),
            mixed_instances_policy: group.mixed.clone(),
            termination_policies: Some(group.termination_policies.clone().into()),
            new_instances_protected_from_scale_in: Some(group.protect_new),
            traffic_sources: Some(sources.collect()),
            target_group_a_r_ns: Some(attached.into()),
            load_balancer_names: Some(Vec::<String>::new().into()),
            suspended_processes: Some(suspended.collect()),
            enabled_metrics: Some(Vec::new().into()),
            tags: Some(group.listed_tags().into()),
            instances: with_instances.then_some(instances),
            status: group.deletion.as_ref().map(|_| "Delete in progress".into()),
            ..Default::default()
        }
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html>
    pub fn describe_auto_scaling_instances(
        &self,
        request: asg::DescribeAutoScalingInstancesType,
    ) -> Result<asg::AutoScalingInstancesType> {
        let ids = request
            .instance_ids
            .map(|ids| ids.items)
            .unwrap_or_default();
        let found = self.instances.values();
        let found = found.filter(|instance| ids.is_empty() || ids.contains(&instance.id));
        let (found, next_token) = paging::page(
            found.collect(),
            |instance| instance.id.clone(),
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 50, 50)?,
            paging::bad_next_token,
        )?;
        let details = |instance: &Instance| asg::AutoScalingInstanceDetails {
            auto_scaling_group_name: Some(instance.group.clone()),
            instance_id: Some(instance.id.clone()),
            availability_zone: Some(instance.place.zone.clone()),
            // In capitals here, and here only.
            health_status: Some(instance.health().to_ascii_uppercase()),
            lifecycle_state: Some(instance.lifecycle.name().into()),
            launch_template: Some(instance.launch_template.listed()),
            protected_from_scale_in: Some(instance.protected),
            ..Default::default()
        };
        Ok(asg::AutoScalingInstancesType {
            auto_scaling_instances: Some(found.into_iter().map(details).collect()),
            next_token,
        })
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAccountLimits.html>
    pub fn describe_scaling_account_limits(&self) -> asg::DescribeAccountLimitsAnswer {
        asg::DescribeAccountLimitsAnswer {
            max_number_of_auto_scaling_groups: i32::try_from(self.settings.quotas.groups).ok(),
            number_of_auto_scaling_groups: i32::try_from(self.groups.len()).ok(),
            max_number_of_launch_configurations: Some(0),
            number_of_launch_configurations: Some(0),
        }
    }
}

impl Instance {
    pub(in super::super) fn health(&self) -> &'static str {
        match self.ailment {
            None => "Healthy",
            Some(_) => "Unhealthy",
        }
    }
}

impl Group {
    pub(in super::super) fn suspended_names(&self) -> Vec<&'static str> {
        self.suspended
            .keys()
            .map(|process| process.name())
            .collect()
    }

    pub(in super::super) fn state(&self) -> GroupState {
        let tags = self.tags.iter();
        GroupState {
            name: self.name.clone(),
            min: self.min,
            max: self.max,
            desired: self.desired,
            is_deleting: self.deletion.is_some(),
            suspended: self.suspended_names(),
            tags: tags
                .map(|(key, tag)| (key.clone(), tag.value.clone()))
                .collect(),
            policies: self.policies.keys().cloned().collect(),
            scheduled_actions: self.schedules.keys().cloned().collect(),
            instances: Vec::new(),
        }
    }
}

fn listed_instance(instance: &Instance) -> asg::Instance {
    asg::Instance {
        instance_id: Some(instance.id.clone()),
        availability_zone: Some(instance.place.zone.clone()),
        lifecycle_state: Some(instance.lifecycle.name().into()),
        health_status: Some(instance.health().into()),
        launch_template: Some(instance.launch_template.listed()),
        protected_from_scale_in: Some(instance.protected),
        ..Default::default()
    }
}

/// Every filter must hold; within one, any of its values.
fn has_tags(group: &Group, filters: &[asg::Filter]) -> Result<bool> {
    for filter in filters {
        let values = filter
            .values
            .as_ref()
            .map(|values| values.items.as_slice())
            .unwrap_or_default();
        let name = filter.name.as_deref().unwrap_or_default();
        let holds = match name.split_once(':') {
            _ if name == "tag-key" => values.iter().any(|key| group.tags.contains_key(key)),
            _ if name == "tag-value" => group.tags.values().any(|tag| values.contains(&tag.value)),
            Some(("tag", key)) => group
                .tags
                .get(key)
                .is_some_and(|tag| values.contains(&tag.value)),
            _ => {
                return Err(Error::validation(format!(
                    "Filter type '{name}' is not correct. Allowed filter types are: tag-key, tag-value, tag:<key>"
                )));
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}
