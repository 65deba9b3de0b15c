//! Requests that many scenarios make.

use crate::model::{asg, elb};

pub(super) const ZONES: &str = "subnet-a,subnet-b,subnet-c";

pub(super) fn group(name: &str, size: i32, target_group: &str) -> asg::CreateAutoScalingGroupType {
    asg::CreateAutoScalingGroupType {
        auto_scaling_group_name: name.into(),
        min_size: 0,
        max_size: 10,
        desired_capacity: Some(size),
        launch_template: Some(asg::LaunchTemplateSpecification {
            launch_template_id: Some("lt-1".into()),
            version: Some("1".into()),
            ..Default::default()
        }),
        v_p_c_zone_identifier: Some(ZONES.into()),
        health_check_type: Some("ELB".into()),
        health_check_grace_period: Some(60),
        target_group_a_r_ns: Some(vec![target_group.to_owned()].into()),
        ..Default::default()
    }
}

pub(super) fn processes_of(name: &str, processes: &[&str]) -> asg::ScalingProcessQuery {
    let names: Vec<String> = processes.iter().map(ToString::to_string).collect();
    asg::ScalingProcessQuery {
        auto_scaling_group_name: name.into(),
        scaling_processes: Some(names.into()),
    }
}

pub(super) fn fixed(status: u16) -> elb::Action {
    elb::Action {
        r#type: "fixed-response".into(),
        fixed_response_config: Some(elb::FixedResponseActionConfig {
            status_code: status.to_string(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn paths(patterns: &[&str]) -> elb::RuleCondition {
    let values: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    elb::RuleCondition {
        field: Some("path-pattern".into()),
        values: Some(values.into()),
        ..Default::default()
    }
}
