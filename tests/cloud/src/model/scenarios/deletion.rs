//! What can be deleted when.

use super::{App, World};
use crate::model::elb;

#[test]
fn a_group_with_instances_is_in_use() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.pass(60);
    assert_eq!(
        world.delete("blue", false).unwrap_err().code,
        "ResourceInUse"
    );
    world.resize("blue", 0, 0, Some(0)).unwrap();
    world.pass(20);
    assert_eq!(
        world.delete("blue", false).unwrap_err().code,
        "ResourceInUse",
        "it still drains"
    );
    world.pass(60);
    world.delete("blue", false).unwrap();
    assert_eq!(
        world.listed("blue").unwrap().status.as_deref(),
        Some("Delete in progress")
    );
    world.pass(10);
    assert!(world.listed("blue").is_none());
    assert_eq!(
        world.delete("blue", false).unwrap_err().code,
        "ValidationError"
    );
}

#[test]
fn by_force_it_goes_with_its_instances() {
    let mut world = World::new();
    world.fleet("blue", 3, App::Good);
    world.pass(60);
    world.suspend("blue", &["Terminate"]);
    world.delete("blue", true).unwrap();
    world.pass(5);
    assert_eq!(
        world.listed("blue").unwrap().status.as_deref(),
        Some("Delete in progress")
    );
    assert_eq!(
        world.desire("blue", 1).unwrap_err().code,
        "ScalingActivityInProgress"
    );
    world.pass(120);
    assert!(world.listed("blue").is_none());
    assert_eq!(world.terminated.len(), 3);
}

#[test]
fn a_name_is_free_again_when_its_group_is_gone() {
    let mut world = World::new();
    world.fleet("blue", 0, App::Good);
    let arn = world.arn("blue");
    let again = || super::requests::group("blue", 0, &arn);
    assert_eq!(
        world
            .cloud
            .create_auto_scaling_group(again())
            .unwrap_err()
            .code,
        "AlreadyExists"
    );
    world.delete("blue", false).unwrap();
    assert_eq!(
        world
            .cloud
            .create_auto_scaling_group(again())
            .unwrap_err()
            .code,
        "AlreadyExists"
    );
    world.pass(10);
    world.cloud.create_auto_scaling_group(again()).unwrap();
    assert_eq!(
        world.activities("blue").len(),
        0,
        "the activities of the old one are not those of the new"
    );
}

#[test]
fn a_target_group_that_a_rule_names_is_in_use() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.fleet("green", 1, App::Good);
    world.route(&[("blue", 0), ("green", 1)]);
    let request = elb::DeleteTargetGroupInput {
        target_group_arn: world.arn("blue"),
    };
    assert_eq!(
        world.cloud.delete_target_group(&request).unwrap_err().code,
        "ResourceInUse"
    );
    world.route(&[("green", 1)]);
    world.cloud.delete_target_group(&request).unwrap();
    world.cloud.delete_target_group(&request).unwrap();
}
