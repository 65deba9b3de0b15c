//! How a fleet comes up, and what its targets are on the way.

use super::{App, World};
use crate::{model::elb, routes};

#[test]
fn a_fleet_comes_up() {
    let mut world = World::new();
    world.fleet("blue", 2, App::GoodAfter(30));
    world.route(&[("blue", 1)]);
    for (seconds, states, health) in [
        (1, "", ""),
        (2, "Pending Pending", ""),
        (
            7,
            "InService InService",
            "initial(Elb.RegistrationInProgress) initial(Elb.RegistrationInProgress)",
        ),
        (
            5,
            "InService InService",
            "initial(Elb.InitialHealthChecking) initial(Elb.InitialHealthChecking)",
        ),
        // Two failed checks make a new target unhealthy, and after that two passes are needed.
        (
            10,
            "InService InService",
            "unhealthy(Target.FailedHealthChecks) unhealthy(Target.FailedHealthChecks)",
        ),
        (30, "InService InService", "healthy healthy"),
    ] {
        world.pass(seconds);
        assert_eq!(
            (world.states("blue"), world.health("blue")),
            (states.into(), health.into()),
            "at {}",
            world.now
        );
    }
    assert_eq!(world.statuses("blue"), "Successful Successful");
}

#[test]
fn a_new_target_is_healthy_after_one_passed_check() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(15);
    assert_eq!(
        (world.health("blue").as_str(), world.checks.len()),
        ("healthy", 1)
    );
}

#[test]
fn a_target_is_there_until_it_has_drained_whatever_the_rules_say() {
    let mut world = World::new();
    world.fleet("blue", 2, App::Good);
    world.fleet("green", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(60);
    let of_blue = |world: &World| {
        let arn = world.arn("blue");
        let seated = world.cloud.seated();
        seated.iter().filter(|(group, _)| *group == arn).count()
    };
    assert_eq!(of_blue(&world), 2);
    world.route(&[("green", 1)]);
    world.resize("blue", 0, 0, Some(0)).unwrap();
    // It reacts after 2 s, and drains for 30.
    for (seconds, there) in [(3, 2), (28, 2), (2, 0)] {
        world.pass(seconds);
        assert_eq!(of_blue(&world), there, "at {}", world.now);
    }
}

#[test]
fn targets_are_checked_only_while_a_listener_names_their_group() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.fleet("green", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(60);
    assert_eq!(
        (world.health("blue"), world.health("green")),
        ("healthy".into(), "unused(Target.NotInUse)".into())
    );
    // Weight 0 is enough.
    world.route(&[("blue", 1), ("green", 0)]);
    world.pass(20);
    assert_eq!(world.health("green"), "healthy");
    world.route(&[("green", 1)]);
    world.pass(1);
    assert_eq!(world.health("blue"), "unused(Target.NotInUse)");
    // Named again, it begins again.
    world.route(&[("blue", 1), ("green", 1)]);
    world.pass(1);
    assert_eq!(world.health("blue"), "initial(Elb.RegistrationInProgress)");
}

#[test]
fn checks_come_at_their_interval() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(14 + 100);
    assert_eq!(world.checks.len(), 11);
}

#[test]
fn reasons_of_unhealthy_targets() {
    for (app, health) in [
        (App::Answers(503), "unhealthy(Target.ResponseCodeMismatch)"),
        (App::Hangs, "unhealthy(Target.Timeout)"),
        (App::Refuses, "unhealthy(Target.FailedHealthChecks)"),
    ] {
        let mut world = World::new();
        world.fleet("blue", 1, app.clone());
        world.route(&[("blue", 1)]);
        world.pass(60);
        assert_eq!(world.health("blue"), health, "{app:?}");
    }
}

#[test]
fn traffic_goes_to_healthy_targets_and_to_all_where_none_is() {
    let mut world = World::new();
    world.fleet("blue", 2, App::Answers(500));
    world.route(&[("blue", 3)]);
    let targets = |world: &World| match &world.cloud.listeners()[0].rules[0].action {
        routes::Action::Forward(groups) => (groups[0].weight, groups[0].targets.len()),
        routes::Action::FixedResponse { .. } => (0, 0),
    };
    world.pass(5);
    assert_eq!(targets(&world), (3, 0));
    world.pass(60);
    assert_eq!(targets(&world), (3, 2));
    world.behave("blue", App::Good);
    world.desire("blue", 3).unwrap();
    // The third is healthy before the others have passed twice.
    world.pass(15);
    assert_eq!(
        targets(&world).1,
        world.health("blue").matches("healthy ").count().max(1)
    );
    world.pass(60);
    assert_eq!(targets(&world), (3, 3));
}

#[test]
fn a_describe_may_lag_behind() {
    let mut world = World::with(crate::model::Settings {
        describe_lag: std::time::Duration::from_secs(10),
        ..Default::default()
    });
    world.fleet("blue", 1, App::Good);
    let named = || elb::DescribeTargetGroupsInput {
        names: Some(vec!["blue".to_owned()].into()),
        ..Default::default()
    };
    world.pass(9);
    assert!(world.listed("blue").is_none());
    assert_eq!(
        world
            .cloud
            .describe_target_groups(named())
            .unwrap_err()
            .code,
        "TargetGroupNotFound"
    );
    world.pass(1);
    assert!(world.listed("blue").is_some());
    assert!(world.cloud.describe_target_groups(named()).is_ok());
    // Nor does it miss at once what is gone.
    let arn = world.arn("blue");
    world.delete("blue", true).unwrap();
    world.pass(120);
    assert!(world.listed("blue").is_none());
    let delete = elb::DeleteTargetGroupInput {
        target_group_arn: arn,
    };
    world.cloud.delete_target_group(&delete).unwrap();
    world.pass(9);
    assert!(world.cloud.describe_target_groups(named()).is_ok());
    world.pass(1);
    assert!(world.cloud.describe_target_groups(named()).is_err());
}

#[test]
fn a_target_that_joins_others_starts_slowly() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    let slowly = elb::TargetGroupAttribute {
        key: Some("slow_start.duration_seconds".into()),
        value: Some("100".into()),
    };
    let request = elb::ModifyTargetGroupAttributesInput {
        target_group_arn: world.arn("blue"),
        attributes: vec![slowly].into(),
    };
    world.cloud.modify_target_group_attributes(request).unwrap();
    world.route(&[("blue", 1)]);
    world.pass(60);
    world.desire("blue", 2).unwrap();
    let shares = |world: &World| {
        let routes::Action::Forward(groups) = &world.cloud.listeners()[0].rules[0].action else {
            return Vec::new();
        };
        let mut shares = std::collections::BTreeMap::new();
        for target in &groups[0].targets {
            *shares.entry(*target).or_insert(0) += 1;
        }
        shares.into_values().collect::<Vec<_>>()
    };
    for (seconds, expected) in [
        (13, vec![1]),
        (2, vec![10, 1]),
        (50, vec![10, 6]),
        (50, vec![1, 1]),
    ] {
        world.pass(seconds);
        assert_eq!(shares(&world), expected, "at {}", world.now);
    }
}
