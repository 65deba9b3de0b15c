//! Target groups attached to a group.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/load-balancer-status.html>

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    super::{Cloud, Error, Result, asg, paging},
    instance::Lifecycle,
    process::Process,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    Adding,
    /// All instances are registered; none has passed a health check yet.
    Added,
    /// At least one registered instance has passed its health check.
    InService,
    Removing {
        until: Timestamp,
    },
}

impl Attachment {
    fn name(&self) -> &'static str {
        match self {
            Self::Adding => "Adding",
            Self::Added => "Added",
            Self::InService => "InService",
            Self::Removing { .. } => "Removing",
        }
    }

    /// For the first of its instances to pass its health check.
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Adding | Self::Added)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.gone_at().is_some()
    }

    /// Of one that is leaving, when it is gone.
    pub(super) fn gone_at(&self) -> Option<Timestamp> {
        match self {
            Self::Removing { until } => Some(*until),
            _ => None,
        }
    }
}

impl Cloud {
    pub(in super::super) fn settle_attachments(&mut self) {
        let now = self.now;
        let mut attachments = self
            .groups
            .values()
            .flat_map(|group| group.attachments.values());
        let are_some_waiting = attachments.any(Attachment::is_waiting);
        let mut in_service: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for instance in self.instances.values() {
            if are_some_waiting && instance.lifecycle == Lifecycle::InService {
                let ids = in_service.entry(&instance.group).or_default();
                ids.push(&instance.id);
            }
        }
        for (name, group) in &mut self.groups {
            let in_service = in_service.get(name.as_str());
            let in_service = in_service.map_or(&[][..], Vec::as_slice);
            let waiting = group.attachments.iter_mut();
            for (arn, attachment) in waiting.filter(|(_, attachment)| attachment.is_waiting()) {
                let Some(targets) = self.target_groups.get(arn) else {
                    continue;
                };
                if in_service.iter().any(|id| targets.has_healthy(id)) {
                    *attachment = Attachment::InService;
                } else if *attachment == Attachment::Adding
                    && in_service.iter().all(|id| targets.has_registered(id))
                {
                    *attachment = Attachment::Added;
                }
            }
            group
                .attachments
                .retain(|_, attachment| attachment.gone_at().is_none_or(|at| at > now));
        }
    }

    /// Whether these target groups can be attached to a group that has `already` others.
    pub(super) fn check_attachable(&self, arns: &[String], already: usize) -> Result<()> {
        if arns.iter().any(|arn| !self.target_groups.contains_key(arn)) {
            return Err(Error::validation(
                "Provided Target Groups may not be valid. Please ensure they exist and try again.",
            ));
        }
        let quota = self.settings.quotas.target_groups_per_group;
        if arns.len() + already > quota {
            return Err(Error::new(
                "LimitExceeded",
                format!("A group may have at most {quota} target groups attached"),
            ));
        }
        Ok(())
    }

    fn attach(&mut self, name: &str, arns: &[String]) -> Result<()> {
        let already = self.standing_group(name)?.attachments.len();
        self.check_attachable(arns, already)?;
        let registers = !self.is_suspended(name, Process::AddToLoadBalancer);
        let group = self.standing_group(name)?;
        for arn in arns {
            let attachment = group
                .attachments
                .entry(arn.clone())
                .or_insert(Attachment::Adding);
            if attachment.is_leaving() {
                *attachment = Attachment::Adding;
            }
        }
        let instances = self.staying(name).into_iter();
        let instances = instances.filter(|instance| instance.lifecycle == Lifecycle::InService);
        let ids: Vec<String> = instances.map(|instance| instance.id.clone()).collect();
        for (arn, id) in arns
            .iter()
            .flat_map(|arn| ids.iter().map(move |id| (arn, id)))
        {
            if registers {
                self.register_instance(arn, id);
            }
        }
        Ok(())
    }

    fn detach(&mut self, name: &str, arns: &[String]) -> Result<()> {
        let group = self.group(name)?;
        if let Some(stranger) = arns
            .iter()
            .find(|arn| !group.attachments.contains_key(*arn))
        {
            return Err(Error::validation(format!(
                "Trying to detach target group {stranger} that is not attached to group {name}"
            )));
        }
        let ids = self
            .instances
            .values()
            .filter(|instance| instance.group == name);
        let ids: Vec<String> = ids.map(|instance| instance.id.clone()).collect();
        for arn in arns {
            let drained = ids
                .iter()
                .filter_map(|id| self.deregister_instance(arn, id))
                .max();
            let until = drained.unwrap_or(self.now);
            if let Some(attachment) = self.group_mut(name)?.attachments.get_mut(arn) {
                *attachment = Attachment::Removing { until };
            }
        }
        Ok(())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachLoadBalancerTargetGroups.html>
    pub fn attach_load_balancer_target_groups(
        &mut self,
        request: &asg::AttachLoadBalancerTargetGroupsType,
    ) -> Result<asg::AttachLoadBalancerTargetGroupsResultType> {
        self.attach(
            &request.auto_scaling_group_name,
            &request.target_group_a_r_ns.items,
        )?;
        Ok(asg::AttachLoadBalancerTargetGroupsResultType::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachLoadBalancerTargetGroups.html>
    pub fn detach_load_balancer_target_groups(
        &mut self,
        request: &asg::DetachLoadBalancerTargetGroupsType,
    ) -> Result<asg::DetachLoadBalancerTargetGroupsResultType> {
        self.detach(
            &request.auto_scaling_group_name,
            &request.target_group_a_r_ns.items,
        )?;
        Ok(asg::DetachLoadBalancerTargetGroupsResultType::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_AttachTrafficSources.html>
    pub fn attach_traffic_sources(
        &mut self,
        request: asg::AttachTrafficSourcesType,
    ) -> Result<asg::AttachTrafficSourcesResultType> {
        let arns = source_arns(request.traffic_sources.items)?;
        self.attach(&request.auto_scaling_group_name, &arns)?;
        Ok(asg::AttachTrafficSourcesResultType::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DetachTrafficSources.html>
    pub fn detach_traffic_sources(
        &mut self,
        request: asg::DetachTrafficSourcesType,
    ) -> Result<asg::DetachTrafficSourcesResultType> {
        let arns = source_arns(request.traffic_sources.items)?;
        self.detach(&request.auto_scaling_group_name, &arns)?;
        Ok(asg::DetachTrafficSourcesResultType::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeLoadBalancerTargetGroups.html>
    pub fn describe_load_balancer_target_groups(
        &self,
        request: &asg::DescribeLoadBalancerTargetGroupsRequest,
    ) -> Result<asg::DescribeLoadBalancerTargetGroupsResponse> {
        let group = self.group(&request.auto_scaling_group_name)?;
        let states =
            group
                .attachments
                .iter()
                .map(|(arn, attachment)| asg::LoadBalancerTargetGroupState {
                    load_balancer_target_group_a_r_n: Some(arn.clone()),
                    state: Some(attachment.name().into()),
                });
        let (states, next_token) = paging::page(
            states.collect(),
            |state| {
                state
                    .load_balancer_target_group_a_r_n
                    .clone()
                    .unwrap_or_default()
            },
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 100, 100)?,
            paging::bad_next_token,
        )?;
        Ok(asg::DescribeLoadBalancerTargetGroupsResponse {
            load_balancer_target_groups: Some(states.into()),
            next_token,
        })
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeTrafficSources.html>
    pub fn describe_traffic_sources(
        &self,
        request: &asg::DescribeTrafficSourcesRequest,
    ) -> Result<asg::DescribeTrafficSourcesResponse> {
        let group = self.group(&request.auto_scaling_group_name)?;
        let states = group
            .attachments
            .iter()
            .map(|(arn, attachment)| asg::TrafficSourceState {
                identifier: Some(arn.clone()),
                traffic_source: Some(arn.clone()),
                state: Some(attachment.name().into()),
                r#type: Some("elbv2".into()),
            });
        Ok(asg::DescribeTrafficSourcesResponse {
            traffic_sources: Some(states.collect()),
            next_token: None,
        })
    }
}

pub(super) fn source_arns(sources: Vec<asg::TrafficSourceIdentifier>) -> Result<Vec<String>> {
    let arn = |source: asg::TrafficSourceIdentifier| match source.r#type.as_deref() {
        None | Some("elbv2") => Ok(source.identifier),
        Some(other) => Err(Error::not_modelled(format!(
            "A traffic source of type {other}"
        ))),
    };
    sources.into_iter().map(arn).collect()
}

impl super::Group {
    /// A target group that was deleted is attached no more.
    pub(in super::super) fn forget_target_group(&mut self, arn: &str) {
        self.attachments.remove(arn);
    }
}
