//! The actions of Auto Scaling. <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Operations.html>

use winterbaume_autoscaling::wire as w;
use winterbaume_core::MockResponse;

use super::{Params, gaps, require, with_result, without_result};
use crate::model::{Cloud, Error, Result};

const GROUP: &str = "AutoScalingGroupName";

/// None for an action that is not modelled.
pub(super) fn perform(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    let checked = require(p, required(action)).and_then(|()| refuse(p));
    if let Err(error) = checked {
        return Some(Err(error));
    }
    groups(c, action, p)
        .or_else(|| instances(c, action, p))
        .or_else(|| schedules(c, action, p))
}

/// What would otherwise be passed over in silence.
fn refuse(p: &Params) -> Result<()> {
    const NOT_MODELLED: [&str; 4] = [
        "LoadBalancerNames",
        "PredictiveScalingConfiguration",
        "InstanceLifecyclePolicy",
        "TargetTrackingConfiguration.CustomizedMetricSpecification.Metrics",
    ];
    match NOT_MODELLED.iter().find(|name| gaps::has(p, name)) {
        Some(name) => Err(Error::not_modelled(name)),
        None => Ok(()),
    }
}

fn required(action: &str) -> &'static [&'static str] {
    match action {
        "CreateAutoScalingGroup" => &[GROUP, "MinSize", "MaxSize"],
        "SetDesiredCapacity" => &[GROUP, "DesiredCapacity"],
        "UpdateAutoScalingGroup"
        | "DeleteAutoScalingGroup"
        | "SuspendProcesses"
        | "ResumeProcesses"
        | "DescribeLoadBalancerTargetGroups"
        | "DescribeTrafficSources"
        | "DescribeLifecycleHooks" => &[GROUP],
        "AttachLoadBalancerTargetGroups" | "DetachLoadBalancerTargetGroups" => {
            &[GROUP, "TargetGroupARNs"]
        }
        "AttachTrafficSources" | "DetachTrafficSources" => &[GROUP, "TrafficSources"],
        "CreateOrUpdateTags" | "DeleteTags" => &["Tags"],
        "TerminateInstanceInAutoScalingGroup" => &["InstanceId", "ShouldDecrementDesiredCapacity"],
        "SetInstanceHealth" => &["InstanceId", "HealthStatus"],
        "SetInstanceProtection" => &[GROUP, "InstanceIds", "ProtectedFromScaleIn"],
        "PutLifecycleHook" | "DeleteLifecycleHook" | "RecordLifecycleActionHeartbeat" => {
            &[GROUP, "LifecycleHookName"]
        }
        "CompleteLifecycleAction" => &[GROUP, "LifecycleHookName", "LifecycleActionResult"],
        "PutScalingPolicy" => &[GROUP, "PolicyName"],
        "DeletePolicy" => &["PolicyName"],
        "PutScheduledUpdateGroupAction" | "DeleteScheduledAction" => {
            &[GROUP, "ScheduledActionName"]
        }
        _ => &[],
    }
}

#[rustfmt::skip]
fn groups(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    Some(match action {
        "CreateAutoScalingGroup" => without_result(p, w::deserialize_create_auto_scaling_group_request, |mut r| { r.mixed_instances_policy = gaps::mixed_instances(p); c.create_auto_scaling_group(r) }, w::serialize_create_auto_scaling_group_response),
        "UpdateAutoScalingGroup" => without_result(p, w::deserialize_update_auto_scaling_group_request, |r| c.update_auto_scaling_group(r), w::serialize_update_auto_scaling_group_response),
        "DeleteAutoScalingGroup" => without_result(p, w::deserialize_delete_auto_scaling_group_request, |r| c.delete_auto_scaling_group(&r), w::serialize_delete_auto_scaling_group_response),
        "DescribeAutoScalingGroups" => with_result(p, w::deserialize_describe_auto_scaling_groups_request, |r| c.describe_auto_scaling_groups(r), w::serialize_describe_auto_scaling_groups_response),
        "SetDesiredCapacity" => without_result(p, w::deserialize_set_desired_capacity_request, |r| c.set_desired_capacity(&r), w::serialize_set_desired_capacity_response),
        "SuspendProcesses" => without_result(p, w::deserialize_suspend_processes_request, |r| c.suspend_processes(&r), w::serialize_suspend_processes_response),
        "ResumeProcesses" => without_result(p, w::deserialize_resume_processes_request, |r| c.resume_processes(&r), w::serialize_resume_processes_response),
        "AttachLoadBalancerTargetGroups" => with_result(p, w::deserialize_attach_load_balancer_target_groups_request, |r| c.attach_load_balancer_target_groups(&r), w::serialize_attach_load_balancer_target_groups_response),
        "DetachLoadBalancerTargetGroups" => with_result(p, w::deserialize_detach_load_balancer_target_groups_request, |r| c.detach_load_balancer_target_groups(&r), w::serialize_detach_load_balancer_target_groups_response),
        "DescribeLoadBalancerTargetGroups" => with_result(p, w::deserialize_describe_load_balancer_target_groups_request, |r| c.describe_load_balancer_target_groups(&r), w::serialize_describe_load_balancer_target_groups_response),
        "AttachTrafficSources" => with_result(p, w::deserialize_attach_traffic_sources_request, |r| c.attach_traffic_sources(r), w::serialize_attach_traffic_sources_response),
        "DetachTrafficSources" => with_result(p, w::deserialize_detach_traffic_sources_request, |r| c.detach_traffic_sources(r), w::serialize_detach_traffic_sources_response),
        "DescribeTrafficSources" => with_result(p, w::deserialize_describe_traffic_sources_request, |r| c.describe_traffic_sources(&r), w::serialize_describe_traffic_sources_response),
        "CreateOrUpdateTags" => without_result(p, w::deserialize_create_or_update_tags_request, |r| c.create_or_update_tags(&r), w::serialize_create_or_update_tags_response),
        "DeleteTags" => without_result(p, w::deserialize_delete_tags_request, |r| c.delete_tags(&r), w::serialize_delete_tags_response),
        "DescribeTags" => with_result(p, w::deserialize_describe_tags_request, |r| c.describe_group_tags(r), w::serialize_describe_tags_response),
        "DescribeAccountLimits" => Ok(w::serialize_describe_account_limits_response(&c.describe_scaling_account_limits())),
        _ => return None,
    })
}

#[rustfmt::skip]
fn instances(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    Some(match action {
        "DescribeAutoScalingInstances" => with_result(p, w::deserialize_describe_auto_scaling_instances_request, |r| c.describe_auto_scaling_instances(r), w::serialize_describe_auto_scaling_instances_response),
        "DescribeScalingActivities" => with_result(p, w::deserialize_describe_scaling_activities_request, |r| c.describe_scaling_activities(r), w::serialize_describe_scaling_activities_response),
        "TerminateInstanceInAutoScalingGroup" => with_result(p, w::deserialize_terminate_instance_in_auto_scaling_group_request, |r| c.terminate_instance_in_auto_scaling_group(&r), w::serialize_terminate_instance_in_auto_scaling_group_response),
        "SetInstanceHealth" => without_result(p, w::deserialize_set_instance_health_request, |r| c.set_instance_health(&r), w::serialize_set_instance_health_response),
        "SetInstanceProtection" => with_result(p, w::deserialize_set_instance_protection_request, |r| c.set_instance_protection(&r), w::serialize_set_instance_protection_response),
        "PutLifecycleHook" => with_result(p, w::deserialize_put_lifecycle_hook_request, |r| c.put_lifecycle_hook(r), w::serialize_put_lifecycle_hook_response),
        "DeleteLifecycleHook" => with_result(p, w::deserialize_delete_lifecycle_hook_request, |r| c.delete_lifecycle_hook(&r), w::serialize_delete_lifecycle_hook_response),
        "DescribeLifecycleHooks" => with_result(p, w::deserialize_describe_lifecycle_hooks_request, |r| c.describe_lifecycle_hooks(r), w::serialize_describe_lifecycle_hooks_response),
        "CompleteLifecycleAction" => with_result(p, w::deserialize_complete_lifecycle_action_request, |r| c.complete_lifecycle_action(&r), w::serialize_complete_lifecycle_action_response),
        "RecordLifecycleActionHeartbeat" => with_result(p, w::deserialize_record_lifecycle_action_heartbeat_request, |r| c.record_lifecycle_action_heartbeat(&r), w::serialize_record_lifecycle_action_heartbeat_response),
        _ => return None,
    })
}

#[rustfmt::skip]
fn schedules(c: &mut Cloud, action: &str, p: &Params) -> Option<Result<MockResponse>> {
    Some(match action {
        "PutScalingPolicy" => with_result(p, w::deserialize_put_scaling_policy_request, |r| c.put_scaling_policy(gaps::tracking(p, r)), w::serialize_put_scaling_policy_response),
        "DescribePolicies" => with_result(p, w::deserialize_describe_policies_request, |r| c.describe_policies(r), w::serialize_describe_policies_response),
        "DeletePolicy" => without_result(p, w::deserialize_delete_policy_request, |r| c.delete_policy(&r), w::serialize_delete_policy_response),
        "PutScheduledUpdateGroupAction" => without_result(p, w::deserialize_put_scheduled_update_group_action_request, |r| c.put_scheduled_update_group_action(r), w::serialize_put_scheduled_update_group_action_response),
        "DescribeScheduledActions" => with_result(p, w::deserialize_describe_scheduled_actions_request, |r| c.describe_scheduled_actions(r), w::serialize_describe_scheduled_actions_response),
        "DeleteScheduledAction" => without_result(p, w::deserialize_delete_scheduled_action_request, |r| c.delete_scheduled_action(&r), w::serialize_delete_scheduled_action_response),
        _ => return None,
    })
}
