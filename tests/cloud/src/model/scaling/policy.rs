//! Scaling policies: kept and listed. No alarm rings here, so none acts.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html>

use super::super::{Cloud, Error, Result, asg, limits, paging};

const TYPES: [&str; 4] = [
    "SimpleScaling",
    "StepScaling",
    "TargetTrackingScaling",
    "PredictiveScaling",
];

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScalingPolicy.html>
    pub fn put_scaling_policy(
        &mut self,
        request: asg::PutScalingPolicyType,
    ) -> Result<asg::PolicyARNType> {
        limits::scaling_name("policyName", &request.policy_name)?;
        let kind = request
            .policy_type
            .clone()
            .unwrap_or_else(|| "SimpleScaling".into());
        check(&kind, &request)?;
        let (region, account, uuid) = (
            self.settings.region.clone(),
            self.settings.account.clone(),
            self.ids.uuid(),
        );
        let quota = self.settings.quotas.policies_per_group;
        let (group_name, name) = (request.auto_scaling_group_name, request.policy_name);
        let group = self.standing_group(&group_name)?;
        let existing = group
            .policies
            .get(&name)
            .and_then(|policy| policy.policy_a_r_n.clone());
        if existing.is_none() && group.policies.len() >= quota {
            return Err(Error::new(
                "LimitExceeded",
                format!("A group may have at most {quota} scaling policies"),
            ));
        }
        let arn = existing.unwrap_or_else(|| {
            format!(
                "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid}:\
                 autoScalingGroupName/{group_name}:policyName/{name}"
            )
        });
        let policy = asg::ScalingPolicy {
            auto_scaling_group_name: Some(group_name),
            policy_name: Some(name.clone()),
            policy_a_r_n: Some(arn.clone()),
            policy_type: Some(kind),
            adjustment_type: request.adjustment_type,
            min_adjustment_step: request.min_adjustment_step,
            min_adjustment_magnitude: request.min_adjustment_magnitude,
            scaling_adjustment: request.scaling_adjustment,
            cooldown: request.cooldown,
            step_adjustments: request.step_adjustments,
            metric_aggregation_type: request.metric_aggregation_type,
            estimated_instance_warmup: request.estimated_instance_warmup,
            target_tracking_configuration: request.target_tracking_configuration,
            predictive_scaling_configuration: request.predictive_scaling_configuration,
            enabled: Some(request.enabled.unwrap_or(true)),
            alarms: None,
        };
        group.policies.insert(name, policy);
        Ok(asg::PolicyARNType {
            policy_a_r_n: Some(arn),
            alarms: None,
        })
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeletePolicy.html>
    pub fn delete_policy(&mut self, request: &asg::DeletePolicyType) -> Result<()> {
        let wanted = &request.policy_name;
        let only = request.auto_scaling_group_name.as_ref();
        for group in self.groups.values_mut() {
            if only.is_some_and(|name| *name != group.name) {
                continue;
            }
            let before = group.policies.len();
            group.policies.retain(|name, policy| {
                name != wanted && policy.policy_a_r_n.as_ref() != Some(wanted)
            });
            if group.policies.len() < before {
                return Ok(());
            }
        }
        Err(Error::validation(format!(
            "Scaling policy {wanted} not found"
        )))
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribePolicies.html>
    pub fn describe_policies(
        &self,
        request: asg::DescribePoliciesType,
    ) -> Result<asg::PoliciesType> {
        if let Some(name) = &request.auto_scaling_group_name {
            self.group(name)?;
        }
        let names = request
            .policy_names
            .map(|names| names.items)
            .unwrap_or_default();
        let kinds = request
            .policy_types
            .map(|kinds| kinds.items)
            .unwrap_or_default();
        let only = request.auto_scaling_group_name.as_ref();
        let groups = self
            .groups
            .values()
            .filter(|group| only.is_none_or(|name| *name == group.name));
        let policies = groups
            .flat_map(|group| group.policies.values())
            .filter(|policy| {
                let is_named = |wanted: &String| {
                    policy.policy_name.as_ref() == Some(wanted)
                        || policy.policy_a_r_n.as_ref() == Some(wanted)
                };
                let is_kind = |wanted: &String| policy.policy_type.as_ref() == Some(wanted);
                (names.is_empty() || names.iter().any(is_named))
                    && (kinds.is_empty() || kinds.iter().any(is_kind))
            });
        let (policies, next_token) = paging::page(
            policies.cloned().collect(),
            |policy| policy.policy_a_r_n.clone().unwrap_or_default(),
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 50, 100)?,
            paging::bad_next_token,
        )?;
        Ok(asg::PoliciesType {
            scaling_policies: Some(policies.into()),
            next_token,
        })
    }
}

fn check(kind: &str, request: &asg::PutScalingPolicyType) -> Result<()> {
    let lacking = match kind {
        "SimpleScaling" | "StepScaling" if request.adjustment_type.is_none() => "AdjustmentType",
        "SimpleScaling" if request.scaling_adjustment.is_none() => "ScalingAdjustment",
        "StepScaling" if request.step_adjustments.is_none() => "StepAdjustments",
        "TargetTrackingScaling" if request.target_tracking_configuration.is_none() => {
            "TargetTrackingConfiguration"
        }
        "PredictiveScaling" if request.predictive_scaling_configuration.is_none() => {
            "PredictiveScalingConfiguration"
        }
        _ if TYPES.contains(&kind) => return Ok(()),
        _ => {
            return Err(Error::validation(format!(
                "PolicyType '{kind}' is not one of {}",
                TYPES.join(", ")
            )));
        }
    };
    Err(Error::validation(format!(
        "{lacking} is required for a policy of type {kind}"
    )))
}
