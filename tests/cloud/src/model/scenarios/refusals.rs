//! Names, duplicates and quotas.

use super::{App, World, requests::group};
use crate::model::{Settings, asg, elb};

#[test]
fn target_groups_by_the_same_name() {
    let mut world = World::new();
    let arn = world.target_group("blue");
    assert_eq!(
        world.target_group("blue"),
        arn,
        "the same again is the same one"
    );
    let other = elb::CreateTargetGroupInput {
        name: "blue".into(),
        protocol: Some("HTTP".into()),
        port: Some(9090),
        vpc_id: Some("vpc-1".into()),
        ..Default::default()
    };
    assert_eq!(
        world.cloud.create_target_group(other).unwrap_err().code,
        "DuplicateTargetGroupName"
    );
}

#[test]
fn groups_that_are_refused() {
    let mut world = World::new();
    let arn = world.target_group("blue");
    let base = || group("blue", 1, &arn);
    let cases: [(&str, asg::CreateAutoScalingGroupType); 7] = [
        (
            "must have between 1 and 255 characters",
            asg::CreateAutoScalingGroupType {
                auto_scaling_group_name: "a".repeat(256),
                ..base()
            },
        ),
        (
            "must not contain a colon",
            asg::CreateAutoScalingGroupType {
                auto_scaling_group_name: "a:b".into(),
                ..base()
            },
        ),
        (
            "Provided Target Groups may not be valid",
            asg::CreateAutoScalingGroupType {
                target_group_a_r_ns: Some(vec!["arn:none".to_owned()].into()),
                ..base()
            },
        ),
        (
            "must contain either LaunchTemplate",
            asg::CreateAutoScalingGroupType {
                launch_template: None,
                ..base()
            },
        ),
        (
            "must be between the specified min size",
            asg::CreateAutoScalingGroupType {
                desired_capacity: Some(11),
                ..base()
            },
        ),
        (
            "At least one Availability Zone or VPC Subnet is required",
            asg::CreateAutoScalingGroupType {
                v_p_c_zone_identifier: None,
                ..base()
            },
        ),
        (
            "Invalid HealthCheckType",
            asg::CreateAutoScalingGroupType {
                health_check_type: Some("PING".into()),
                ..base()
            },
        ),
    ];
    for (complaint, request) in cases {
        let error = world.cloud.create_auto_scaling_group(request).unwrap_err();
        assert!(error.message.contains(complaint), "{complaint}: {error}");
        assert_eq!(error.code, "ValidationError");
    }
}

#[test]
fn quotas() {
    let mut settings = Settings::default();
    settings.quotas.groups = 1;
    settings.quotas.target_groups = 2;
    let mut world = World::with(settings);
    world.fleet("blue", 0, App::Good);
    let arn = world.target_group("green");
    assert_eq!(
        world
            .cloud
            .create_auto_scaling_group(group("green", 0, &arn))
            .unwrap_err()
            .code,
        "LimitExceeded"
    );
    let third = elb::CreateTargetGroupInput {
        name: "third".into(),
        protocol: Some("HTTP".into()),
        port: Some(8080),
        vpc_id: Some("vpc-1".into()),
        ..Default::default()
    };
    assert_eq!(
        world.cloud.create_target_group(third).unwrap_err().code,
        "TooManyTargetGroups"
    );
}

#[test]
fn groups_are_listed_in_pages_and_by_their_tags() {
    let mut world = World::new();
    let arn = world.target_group("tg");
    for n in 0..7 {
        let tag = asg::Tag {
            key: "exuvia:app".into(),
            value: Some(if n % 2 == 0 { "even" } else { "odd" }.into()),
            ..Default::default()
        };
        let request = asg::CreateAutoScalingGroupType {
            tags: Some(vec![tag].into()),
            ..group(&format!("g{n}"), 0, &arn)
        };
        world.cloud.create_auto_scaling_group(request).unwrap();
    }
    let list = |filters: &[(&str, &str)]| {
        let filters = filters.iter().map(|(name, value)| asg::Filter {
            name: Some((*name).into()),
            values: Some(vec![(*value).to_owned()].into()),
        });
        let mut request = asg::AutoScalingGroupNamesType {
            filters: Some(filters.collect()),
            max_records: Some(2),
            ..Default::default()
        };
        let mut pages = Vec::new();
        loop {
            let page = world
                .cloud
                .describe_auto_scaling_groups(request.clone())
                .unwrap();
            let names = page.auto_scaling_groups.unwrap().items.into_iter();
            pages.push(
                names
                    .map(|group| group.auto_scaling_group_name.unwrap())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            request.next_token = page.next_token;
            if request.next_token.is_none() {
                return pages.join(" | ");
            }
        }
    };
    assert_eq!(list(&[]), "g0 g1 | g2 g3 | g4 g5 | g6");
    assert_eq!(list(&[("tag:exuvia:app", "odd")]), "g1 g3 | g5");
    assert_eq!(
        list(&[("tag-key", "exuvia:app"), ("tag-value", "even")]),
        "g0 g2 | g4 g6"
    );
    assert_eq!(list(&[("tag-key", "other")]), "");
}
