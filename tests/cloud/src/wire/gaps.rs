//! What the generated readers leave out: structures inside the items of a list.

use super::Params;
use crate::model::{asg, elb};

fn text(params: &Params, key: &str) -> Option<String> {
    params.get(key).cloned()
}

pub(super) fn list(params: &Params, prefix: &str) -> Vec<String> {
    (1..)
        .map_while(|n| text(params, &format!("{prefix}.member.{n}")))
        .collect()
}

/// The mixed instances policy of a group.
pub(super) fn mixed_instances(params: &Params) -> Option<asg::MixedInstancesPolicy> {
    const POLICY: &str = "MixedInstancesPolicy";
    if !has(params, POLICY) {
        return None;
    }
    let of = |name: &str| text(params, &format!("{POLICY}.{name}"));
    let template = |name: &str| {
        of(&format!(
            "LaunchTemplate.LaunchTemplateSpecification.{name}"
        ))
    };
    let specification = asg::LaunchTemplateSpecification {
        launch_template_id: template("LaunchTemplateId"),
        launch_template_name: template("LaunchTemplateName"),
        version: template("Version"),
    };
    let overrides = (1..).map_while(|n| {
        let item = format!("{POLICY}.LaunchTemplate.Overrides.member.{n}");
        has(params, &item).then(|| asg::LaunchTemplateOverrides {
            instance_type: text(params, &format!("{item}.InstanceType")),
            weighted_capacity: text(params, &format!("{item}.WeightedCapacity")),
            ..Default::default()
        })
    });
    let overrides: Vec<_> = overrides.collect();
    let distribution = |name: &str| of(&format!("InstancesDistribution.{name}"));
    let number = |name: &str| distribution(name).and_then(|number| number.parse().ok());
    Some(asg::MixedInstancesPolicy {
        launch_template: Some(asg::LaunchTemplate {
            launch_template_specification: Some(specification),
            overrides: Some(overrides.into()),
        }),
        instances_distribution: Some(asg::InstancesDistribution {
            on_demand_allocation_strategy: distribution("OnDemandAllocationStrategy"),
            on_demand_base_capacity: number("OnDemandBaseCapacity"),
            on_demand_percentage_above_base_capacity: number("OnDemandPercentageAboveBaseCapacity"),
            spot_allocation_strategy: distribution("SpotAllocationStrategy"),
            ..Default::default()
        }),
    })
}

/// The configurations of the actions under `name`.
pub(super) fn actions(params: &Params, name: &str, mut actions: elb::Actions) -> elb::Actions {
    for (n, action) in (1..).zip(&mut actions.items) {
        let prefix = format!("{name}.member.{n}");
        action.forward_config = forward(params, &format!("{prefix}.ForwardConfig"));
        action.fixed_response_config = fixed(params, &format!("{prefix}.FixedResponseConfig"));
    }
    actions
}

fn forward(params: &Params, prefix: &str) -> Option<elb::ForwardActionConfig> {
    let groups = (1..).map_while(|n| {
        let item = format!("{prefix}.TargetGroups.member.{n}");
        let arn = text(params, &format!("{item}.TargetGroupArn"))?;
        let weight = text(params, &format!("{item}.Weight"));
        Some(elb::TargetGroupTuple {
            target_group_arn: Some(arn),
            // Not a number is not a weight either: it is refused with those out of range.
            weight: weight.map(|weight| weight.parse().unwrap_or(-1)),
        })
    });
    let groups: Vec<_> = groups.collect();
    let sticky = format!("{prefix}.TargetGroupStickinessConfig");
    let enabled = text(params, &format!("{sticky}.Enabled"));
    let seconds = text(params, &format!("{sticky}.DurationSeconds"));
    let stickiness =
        (enabled.is_some() || seconds.is_some()).then(|| elb::TargetGroupStickinessConfig {
            enabled: enabled.map(|enabled| enabled == "true"),
            duration_seconds: seconds.and_then(|seconds| seconds.parse().ok()),
        });
    let given = !groups.is_empty() || stickiness.is_some();
    given.then(|| elb::ForwardActionConfig {
        target_groups: Some(groups.into()),
        target_group_stickiness_config: stickiness,
    })
}

fn fixed(params: &Params, prefix: &str) -> Option<elb::FixedResponseActionConfig> {
    Some(elb::FixedResponseActionConfig {
        status_code: text(params, &format!("{prefix}.StatusCode"))?,
        content_type: text(params, &format!("{prefix}.ContentType")),
        message_body: text(params, &format!("{prefix}.MessageBody")),
    })
}

/// The configurations of the rule conditions.
pub(super) fn conditions(
    params: &Params,
    mut conditions: elb::RuleConditionList,
) -> elb::RuleConditionList {
    for (n, condition) in (1..).zip(&mut conditions.items) {
        let prefix = format!("Conditions.member.{n}");
        let hosts = list(params, &format!("{prefix}.HostHeaderConfig.Values"));
        let paths = list(params, &format!("{prefix}.PathPatternConfig.Values"));
        condition.host_header_config =
            (!hosts.is_empty()).then(|| elb::HostHeaderConditionConfig {
                values: Some(hosts.into()),
                regex_values: None,
            });
        condition.path_pattern_config =
            (!paths.is_empty()).then(|| elb::PathPatternConditionConfig {
                values: Some(paths.into()),
                regex_values: None,
            });
    }
    conditions
}

/// Whether something is given under `name`.
pub(super) fn has(params: &Params, name: &str) -> bool {
    let prefix = format!("{name}.");
    params
        .keys()
        .any(|key| key == name || key.starts_with(&prefix))
}

/// The metrics of a target tracking policy.
pub(super) fn tracking(
    params: &Params,
    mut request: asg::PutScalingPolicyType,
) -> asg::PutScalingPolicyType {
    const CONFIGURATION: &str = "TargetTrackingConfiguration";
    if let Some(configuration) = &mut request.target_tracking_configuration {
        let predefined = format!("{CONFIGURATION}.PredefinedMetricSpecification");
        configuration.predefined_metric_specification =
            text(params, &format!("{predefined}.PredefinedMetricType")).map(|metric| {
                asg::PredefinedMetricSpecification {
                    predefined_metric_type: metric,
                    resource_label: text(params, &format!("{predefined}.ResourceLabel")),
                }
            });
        let customized = format!("{CONFIGURATION}.CustomizedMetricSpecification");
        let field = |name: &str| text(params, &format!("{customized}.{name}"));
        let dimensions = (1..).map_while(|n| {
            Some(asg::MetricDimension {
                name: field(&format!("Dimensions.member.{n}.Name"))?,
                value: field(&format!("Dimensions.member.{n}.Value"))?,
            })
        });
        configuration.customized_metric_specification =
            has(params, &customized).then(|| asg::CustomizedMetricSpecification {
                metric_name: field("MetricName"),
                namespace: field("Namespace"),
                statistic: field("Statistic"),
                unit: field("Unit"),
                dimensions: Some(dimensions.collect()),
                ..Default::default()
            });
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_forward_action_keeps_its_weights() {
        let params = params(&[
            (
                "Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn",
                "one",
            ),
            (
                "Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight",
                "90",
            ),
            (
                "Actions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn",
                "two",
            ),
            (
                "Actions.member.1.ForwardConfig.TargetGroups.member.2.Weight",
                "x",
            ),
        ]);
        let read = actions(&params, "Actions", vec![elb::Action::default()].into());
        let config = read.items[0].forward_config.clone().unwrap();
        let groups = config.target_groups.unwrap().items;
        let weights: Vec<_> = groups.iter().map(|group| group.weight).collect();
        assert_eq!(weights, [Some(90), Some(-1)]);
        assert!(read.items[0].fixed_response_config.is_none());
    }

    #[test]
    fn a_condition_keeps_its_patterns() {
        let params = params(&[(
            "Conditions.member.2.PathPatternConfig.Values.member.1",
            "/*",
        )]);
        let two = vec![elb::RuleCondition::default(), elb::RuleCondition::default()];
        let read = conditions(&params, two.into());
        assert!(read.items[0].path_pattern_config.is_none());
        let paths = read.items[1]
            .path_pattern_config
            .clone()
            .unwrap()
            .values
            .unwrap();
        assert_eq!(paths.items, ["/*"]);
    }
}
