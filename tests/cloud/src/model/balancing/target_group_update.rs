//! Listing, changing and deleting target groups.

use super::{
    super::{Cloud, Error, Result, elb, paging},
    health_check::Given,
};

impl Cloud {
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetGroups.html>
    pub fn describe_target_groups(
        &self,
        request: elb::DescribeTargetGroupsInput,
    ) -> Result<elb::DescribeTargetGroupsOutput> {
        let arns = request
            .target_group_arns
            .map(|arns| arns.items)
            .unwrap_or_default();
        let names = request.names.map(|names| names.items).unwrap_or_default();
        let balancer = request.load_balancer_arn;
        let ways = [!arns.is_empty(), !names.is_empty(), balancer.is_some()];
        if ways.iter().filter(|given| **given).count() > 1 {
            return Err(Error::validation(
                "Only one of target group ARNs, names and load balancer ARN may be specified",
            ));
        }
        if let Some(balancer) = &balancer {
            self.load_balancer(balancer)?;
        }
        let gone = &self.departed.target_groups;
        let known = self.listed(self.target_groups.values(), gone, |group| {
            (group.arn.as_str(), group.created)
        });
        let unknown = arns
            .iter()
            .find(|arn| !known.iter().any(|group| group.arn == **arn))
            .or_else(|| {
                names
                    .iter()
                    .find(|name| !known.iter().any(|group| group.name == **name))
            });
        if let Some(unknown) = unknown {
            return Err(Error::new(
                "TargetGroupNotFound",
                format!("One or more target groups not found: '{unknown}'"),
            ));
        }
        let found = known.into_iter().filter(|group| match &balancer {
            Some(balancer) => self.load_balancer_of(&group.arn).as_ref() == Some(balancer),
            None => {
                (arns.is_empty() && names.is_empty())
                    || arns.contains(&group.arn)
                    || names.contains(&group.name)
            }
        });
        let (found, next_marker) = paging::page(
            found.collect(),
            |group| group.arn.clone(),
            request.marker.as_deref(),
            paging::page_size(request.page_size)?,
            paging::bad_marker,
        )?;
        Ok(elb::DescribeTargetGroupsOutput {
            target_groups: Some(
                found
                    .into_iter()
                    .map(|group| self.listed_target_group(group))
                    .collect(),
            ),
            next_marker,
        })
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyTargetGroup.html>
    pub fn modify_target_group(
        &mut self,
        request: elb::ModifyTargetGroupInput,
    ) -> Result<elb::ModifyTargetGroupOutput> {
        let group = self.target_group_mut(&request.target_group_arn)?;
        group.check = group.check.with(Given {
            enabled: request.health_check_enabled,
            protocol: request.health_check_protocol,
            path: request.health_check_path,
            port: request.health_check_port,
            interval: request.health_check_interval_seconds,
            timeout: request.health_check_timeout_seconds,
            healthy_threshold: request.healthy_threshold_count,
            unhealthy_threshold: request.unhealthy_threshold_count,
            matcher: request.matcher,
        })?;
        let group = self.target_group(&request.target_group_arn)?;
        Ok(elb::ModifyTargetGroupOutput {
            target_groups: Some(vec![self.listed_target_group(group)].into()),
        })
    }

    /// One that a rule names cannot go; one with targets can; one that does not exist is no error.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteTargetGroup.html>
    pub fn delete_target_group(
        &mut self,
        request: &elb::DeleteTargetGroupInput,
    ) -> Result<elb::DeleteTargetGroupOutput> {
        let arn = &request.target_group_arn;
        if self.load_balancer_of(arn).is_some() {
            return Err(Error::new(
                "ResourceInUse",
                format!("Target group '{arn}' is currently in use by a listener or a rule"),
            ));
        }
        let gone = self.target_groups.remove(arn);
        self.departed
            .target_groups
            .extend(gone.map(|group| (self.now, group)));
        for group in self.groups.values_mut() {
            group.forget_target_group(arn);
        }
        Ok(elb::DeleteTargetGroupOutput::default())
    }
}
