//! The actions of Elastic Load Balancing.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Operations.html>

use winterbaume_core::MockResponse;
use winterbaume_elasticloadbalancingv2::wire as w;

use super::{Params, gaps, require, with_result};
use crate::model::{Cloud, Result};

/// None for an action that is not modelled.
pub(super) fn perform(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    if let Err(error) = require(p, required(action)) {
        return Some(Err(error));
    }
    listeners(c, action, p).or_else(|| target_groups(c, action, p))
}

fn required(action: &str) -> &'static [&'static str] {
    match action {
        "CreateLoadBalancer" | "CreateTargetGroup" => &["Name"],
        "DeleteLoadBalancer" => &["LoadBalancerArn"],
        "CreateListener" => &["LoadBalancerArn", "DefaultActions"],
        "ModifyListener" | "DeleteListener" => &["ListenerArn"],
        "CreateRule" => &["ListenerArn", "Priority", "Conditions", "Actions"],
        "ModifyRule" | "DeleteRule" => &["RuleArn"],
        "SetRulePriorities" => &["RulePriorities"],
        "ModifyTargetGroup"
        | "DeleteTargetGroup"
        | "DescribeTargetGroupAttributes"
        | "DescribeTargetHealth" => &["TargetGroupArn"],
        "ModifyTargetGroupAttributes" => &["TargetGroupArn", "Attributes"],
        "RegisterTargets" | "DeregisterTargets" => &["TargetGroupArn", "Targets"],
        "AddTags" => &["ResourceArns", "Tags"],
        "RemoveTags" => &["ResourceArns", "TagKeys"],
        "DescribeTags" => &["ResourceArns"],
        _ => &[],
    }
}

#[rustfmt::skip]
fn listeners(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    Some(match action {
        "CreateLoadBalancer" => with_result(p, w::deserialize_create_load_balancer_request, |r| c.create_load_balancer(r), w::serialize_create_load_balancer_response),
        "DescribeLoadBalancers" => with_result(p, w::deserialize_describe_load_balancers_request, |r| c.describe_load_balancers(r), w::serialize_describe_load_balancers_response),
        "DeleteLoadBalancer" => with_result(p, w::deserialize_delete_load_balancer_request, |r| c.delete_load_balancer(&r), w::serialize_delete_load_balancer_response),
        "CreateListener" => with_result(p, w::deserialize_create_listener_request, |mut r| {
            r.default_actions = gaps::actions(p, "DefaultActions", r.default_actions);
            c.create_listener(r)
        }, w::serialize_create_listener_response),
        "ModifyListener" => with_result(p, w::deserialize_modify_listener_request, |mut r| {
            r.default_actions = r.default_actions.map(|actions| gaps::actions(p, "DefaultActions", actions));
            c.modify_listener(r)
        }, w::serialize_modify_listener_response),
        "DescribeListeners" => with_result(p, w::deserialize_describe_listeners_request, |r| c.describe_listeners(r), w::serialize_describe_listeners_response),
        "DeleteListener" => with_result(p, w::deserialize_delete_listener_request, |r| c.delete_listener(&r), w::serialize_delete_listener_response),
        "CreateRule" => with_result(p, w::deserialize_create_rule_request, |mut r| {
            r.actions = gaps::actions(p, "Actions", r.actions);
            r.conditions = gaps::conditions(p, r.conditions);
            c.create_rule(r)
        }, w::serialize_create_rule_response),
        "ModifyRule" => with_result(p, w::deserialize_modify_rule_request, |mut r| {
            r.actions = r.actions.map(|actions| gaps::actions(p, "Actions", actions));
            r.conditions = r.conditions.map(|conditions| gaps::conditions(p, conditions));
            c.modify_rule(r)
        }, w::serialize_modify_rule_response),
        "DescribeRules" => with_result(p, w::deserialize_describe_rules_request, |r| c.describe_rules(r), w::serialize_describe_rules_response),
        "DeleteRule" => with_result(p, w::deserialize_delete_rule_request, |r| c.delete_rule(&r), w::serialize_delete_rule_response),
        "SetRulePriorities" => with_result(p, w::deserialize_set_rule_priorities_request, |r| c.set_rule_priorities(&r), w::serialize_set_rule_priorities_response),
        _ => return None,
    })
}

#[rustfmt::skip]
fn target_groups(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    Some(match action {
        "CreateTargetGroup" => with_result(p, w::deserialize_create_target_group_request, |r| c.create_target_group(r), w::serialize_create_target_group_response),
        "DescribeTargetGroups" => with_result(p, w::deserialize_describe_target_groups_request, |r| c.describe_target_groups(r), w::serialize_describe_target_groups_response),
        "ModifyTargetGroup" => with_result(p, w::deserialize_modify_target_group_request, |r| c.modify_target_group(r), w::serialize_modify_target_group_response),
        "DeleteTargetGroup" => with_result(p, w::deserialize_delete_target_group_request, |r| c.delete_target_group(&r), w::serialize_delete_target_group_response),
        "ModifyTargetGroupAttributes" => with_result(p, w::deserialize_modify_target_group_attributes_request, |r| c.modify_target_group_attributes(r), w::serialize_modify_target_group_attributes_response),
        "DescribeTargetGroupAttributes" => with_result(p, w::deserialize_describe_target_group_attributes_request, |r| c.describe_target_group_attributes(&r), w::serialize_describe_target_group_attributes_response),
        "RegisterTargets" => with_result(p, w::deserialize_register_targets_request, |r| c.register_targets(r), w::serialize_register_targets_response),
        "DeregisterTargets" => with_result(p, w::deserialize_deregister_targets_request, |r| c.deregister_targets(r), w::serialize_deregister_targets_response),
        "DescribeTargetHealth" => with_result(p, w::deserialize_describe_target_health_request, |r| c.describe_target_health(r), w::serialize_describe_target_health_response),
        "AddTags" => with_result(p, w::deserialize_add_tags_request, |r| c.add_tags(r), w::serialize_add_tags_response),
        "RemoveTags" => with_result(p, w::deserialize_remove_tags_request, |r| c.remove_tags(&r), w::serialize_remove_tags_response),
        "DescribeTags" => with_result(p, w::deserialize_describe_tags_request, |r| c.describe_tags(&r), w::serialize_describe_tags_response),
        _ => return None,
    })
}
