//! What a group replaces, and what it does not.

use super::{App, World};
use crate::model::asg;

#[test]
fn a_fleet_that_never_passed_is_not_replaced() {
    let mut world = World::new();
    world.fleet("blue", 2, App::Answers(500));
    world.route(&[("blue", 1)]);
    world.pass(3600);
    assert_eq!((world.launched.len(), world.terminated.len()), (2, 0));
}

#[test]
fn an_instance_that_passed_once_and_then_fails_is_replaced_after_the_grace_period() {
    let mut world = World::new();
    world.fleet("blue", 1, App::BadAfter(20));
    world.route(&[("blue", 1)]);
    world.pass(60);
    assert_eq!(
        (world.health("blue").as_str(), world.launched.len()),
        ("unhealthy(Target.ResponseCodeMismatch)", 1)
    );
    world.pass(15);
    assert_eq!(world.launched.len(), 2);
    assert_eq!(world.states("blue"), "Terminating Pending");
    let causes = world.causes("blue");
    assert!(
        causes[1]
            .contains("taken out of service in response to an ELB system health check failure"),
        "{causes:?}"
    );
    assert!(
        causes[2].contains("launched in response to an unhealthy instance needing to be replaced"),
        "{causes:?}"
    );
}

#[test]
fn a_flapping_fleet_loops() {
    let mut world = World::new();
    world.fleet("blue", 1, App::BadAfter(20));
    world.route(&[("blue", 1)]);
    world.pass(600);
    assert!(world.launched.len() >= 5, "{}", world.launched.len());
    assert_eq!(
        world
            .instances("blue")
            .iter()
            .filter(|i| i.lifecycle_state.as_deref() == Some("InService"))
            .count(),
        1
    );
}

#[test]
fn with_ec2_health_checks_the_load_balancer_has_no_say() {
    let mut world = World::new();
    world.fleet("blue", 1, App::BadAfter(20));
    world.route(&[("blue", 1)]);
    let request = asg::UpdateAutoScalingGroupType {
        auto_scaling_group_name: "blue".into(),
        health_check_type: Some("EC2".into()),
        ..Default::default()
    };
    world.cloud.update_auto_scaling_group(request).unwrap();
    world.pass(600);
    assert_eq!(world.launched.len(), 1);
}

#[test]
fn an_instance_that_ends_is_replaced() {
    let mut world = World::new();
    world.fleet("blue", 1, App::DiesAfter(100));
    world.route(&[("blue", 1)]);
    world.pass(110);
    assert_eq!(world.health("blue"), "unused(Target.InvalidState)");
    world.pass(20);
    assert_eq!(world.launched.len(), 2);
    let causes = world.causes("blue");
    assert!(
        causes[1].contains("EC2 health check indicating it has been terminated or stopped"),
        "{causes:?}"
    );
}

#[test]
fn an_instance_that_ends_before_it_is_in_service_is_a_failed_launch() {
    let mut world = World::new();
    world.fleet("blue", 1, App::DiesAfter(3));
    world.pass(10);
    assert_eq!(world.states("blue"), "");
    let activity = world.activities("blue").remove(0);
    assert_eq!(activity.status_code.as_deref(), Some("Failed"));
    assert!(
        activity
            .status_message
            .unwrap()
            .starts_with("Instance became unhealthy while waiting")
    );
}

#[test]
fn held_back_processes_hold_back_replacement() {
    for (process, unhealthy_shown) in [
        ("HealthCheck", false),
        ("ReplaceUnhealthy", true),
        ("Terminate", true),
    ] {
        let mut world = World::new();
        world.fleet("blue", 1, App::BadAfter(30));
        world.route(&[("blue", 1)]);
        world.suspend("blue", &[process]);
        world.pass(600);
        assert_eq!(world.launched.len(), 1, "{process}");
        let unhealthy = world.instances("blue")[0].health_status.as_deref() == Some("Unhealthy");
        assert_eq!(unhealthy, unhealthy_shown, "{process}");
        world.resume("blue", &[process]);
        world.pass(60);
        assert!(world.launched.len() > 1, "{process}");
    }
}

#[test]
fn with_launch_held_back_the_unhealthy_go_and_nobody_comes() {
    let mut world = World::new();
    world.fleet("blue", 1, App::BadAfter(30));
    world.route(&[("blue", 1)]);
    world.pass(20);
    world.suspend("blue", &["Launch"]);
    world.pass(600);
    assert_eq!((world.launched.len(), world.terminated.len()), (1, 1));
    world.resume("blue", &["Launch"]);
    world.pass(10);
    assert_eq!(world.launched.len(), 2);
}

#[test]
fn somebody_says_that_an_instance_is_unhealthy() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(30);
    let say = |world: &mut World, respect: Option<bool>| {
        let request = asg::SetInstanceHealthQuery {
            instance_id: world.launched[0].clone(),
            health_status: "Unhealthy".into(),
            should_respect_grace_period: respect,
        };
        world.cloud.set_instance_health(&request).unwrap();
        world.pass(5);
    };
    say(&mut world, None);
    assert_eq!(world.launched.len(), 1, "the grace period is respected");
    say(&mut world, Some(false));
    assert_eq!(world.launched.len(), 2);
    assert!(world.causes("blue")[1].contains("a user health-check"));
}
