//! Groups and their target groups.

use super::{App, World};
use crate::model::asg;

fn attachment(world: &World) -> String {
    let request = asg::DescribeLoadBalancerTargetGroupsRequest {
        auto_scaling_group_name: "blue".into(),
        ..Default::default()
    };
    let described = world
        .cloud
        .describe_load_balancer_target_groups(&request)
        .unwrap();
    let states = described.load_balancer_target_groups.unwrap().items;
    states
        .into_iter()
        .map(|state| state.state.unwrap())
        .collect()
}

#[test]
fn an_attachment_is_in_service_once_one_target_has_passed() {
    let mut world = World::new();
    world.fleet("blue", 1, App::GoodAfter(60));
    world.route(&[("blue", 1)]);
    world.pass(30);
    assert_eq!(attachment(&world), "Added");
    world.pass(60);
    assert_eq!(attachment(&world), "InService");
}

#[test]
fn instances_that_were_launched_without_registration_stay_without() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.suspend("blue", &["AddToLoadBalancer"]);
    world.pass(60);
    assert_eq!(
        (world.states("blue").as_str(), world.health("blue").as_str()),
        ("InService", "")
    );
    world.resume("blue", &["AddToLoadBalancer"]);
    world.pass(60);
    assert_eq!(world.health("blue"), "");
    world.desire("blue", 2).unwrap();
    world.pass(60);
    assert_eq!(world.health("blue"), "healthy");
}

#[test]
fn attaching_registers_and_detaching_drains() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    let other = world.target_group("other");
    world.route(&[("blue", 1), ("other", 1)]);
    world.pass(60);
    let attach = asg::AttachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: "blue".into(),
        target_group_a_r_ns: vec![other.clone()].into(),
    };
    world
        .cloud
        .attach_load_balancer_target_groups(&attach)
        .unwrap();
    world.pass(20);
    assert_eq!(world.health("other"), "healthy");
    let detach = asg::DetachLoadBalancerTargetGroupsType {
        auto_scaling_group_name: "blue".into(),
        target_group_a_r_ns: vec![other].into(),
    };
    world
        .cloud
        .detach_load_balancer_target_groups(&detach)
        .unwrap();
    world.pass(1);
    assert_eq!(
        world.health("other"),
        "draining(Target.DeregistrationInProgress)"
    );
    assert_eq!(attachment(&world), "InServiceRemoving");
    world.pass(30);
    assert_eq!(
        (world.health("other").as_str(), attachment(&world).as_str()),
        ("", "InService")
    );
    assert_eq!(world.states("blue"), "InService");
}
