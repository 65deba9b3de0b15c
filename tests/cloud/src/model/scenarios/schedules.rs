//! Scheduled actions and scaling policies.

use super::{App, World};
use crate::model::asg;

fn schedule(
    start: Option<&str>,
    recurrence: Option<&str>,
) -> asg::PutScheduledUpdateGroupActionType {
    asg::PutScheduledUpdateGroupActionType {
        auto_scaling_group_name: "blue".into(),
        scheduled_action_name: "grow".into(),
        start_time: start.map(Into::into),
        recurrence: recurrence.map(Into::into),
        desired_capacity: Some(3),
        ..Default::default()
    }
}

fn listed(world: &World) -> Vec<asg::ScheduledUpdateGroupAction> {
    let request = asg::DescribeScheduledActionsType::default();
    world
        .cloud
        .describe_scheduled_actions(request)
        .unwrap()
        .scheduled_update_group_actions
        .unwrap()
        .items
}

#[test]
fn an_action_acts_at_its_time_and_is_gone() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    let request = schedule(Some("2026-11-21T12:05:00Z"), None);
    world
        .cloud
        .put_scheduled_update_group_action(request)
        .unwrap();
    world.pass(299);
    assert_eq!(
        (world.instances("blue").len(), listed(&world).len()),
        (1, 1)
    );
    world.pass(20);
    assert_eq!(
        (world.instances("blue").len(), listed(&world).len()),
        (3, 0)
    );
    assert!(world.causes("blue")[1].contains(
        "a scheduled action update of AutoScalingGroup constraints to min: 0, max: 10, desired: 3"
    ));
}

#[test]
fn held_back_it_is_passed_over() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.suspend("blue", &["ScheduledActions"]);
    let request = schedule(Some("2026-11-21T12:05:00Z"), None);
    world
        .cloud
        .put_scheduled_update_group_action(request)
        .unwrap();
    world.pass(400);
    world.resume("blue", &["ScheduledActions"]);
    world.pass(400);
    assert_eq!(world.instances("blue").len(), 1);
}

#[test]
fn a_recurring_one_comes_back() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world
        .cloud
        .put_scheduled_update_group_action(schedule(None, Some("0 * * * *")))
        .unwrap();
    for _ in 0..2 {
        world.pass(3600);
        assert_eq!(world.listed("blue").unwrap().desired_capacity, Some(3));
        world.desire("blue", 1).unwrap();
    }
    assert_eq!(
        listed(&world)[0].start_time.as_deref(),
        Some("2026-11-21T15:00:00.000Z")
    );
}

#[test]
fn actions_that_are_refused() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    for (start, recurrence) in [
        (Some("2026-11-21T11:00:00Z"), None),
        (Some("soon"), None),
        (None, Some("* *")),
        (None, None),
    ] {
        let refused = world
            .cloud
            .put_scheduled_update_group_action(schedule(start, recurrence));
        assert_eq!(
            refused.unwrap_err().code,
            "ValidationError",
            "{start:?} {recurrence:?}"
        );
    }
}

#[test]
fn policies_and_actions_go_with_their_group() {
    let mut world = World::new();
    world.fleet("blue", 0, App::Good);
    world
        .cloud
        .put_scheduled_update_group_action(schedule(None, Some("0 * * * *")))
        .unwrap();
    let policy = asg::PutScalingPolicyType {
        auto_scaling_group_name: "blue".into(),
        policy_name: "out".into(),
        adjustment_type: Some("ChangeInCapacity".into()),
        scaling_adjustment: Some(1),
        ..Default::default()
    };
    world.cloud.put_scaling_policy(policy).unwrap();
    let policies = |world: &World| {
        let request = asg::DescribePoliciesType::default();
        world
            .cloud
            .describe_policies(request)
            .unwrap()
            .scaling_policies
            .unwrap()
            .items
            .len()
    };
    assert_eq!((policies(&world), listed(&world).len()), (1, 1));
    world.delete("blue", false).unwrap();
    world.pass(10);
    assert_eq!((policies(&world), listed(&world).len()), (0, 0));
}
