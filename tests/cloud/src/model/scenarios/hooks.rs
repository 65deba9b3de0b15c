//! Lifecycle hooks.

use super::{App, World};
use crate::model::asg;

const IN: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const OUT: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

fn hook(world: &mut World, transition: &str, default: &str) {
    let request = asg::PutLifecycleHookType {
        auto_scaling_group_name: "blue".into(),
        lifecycle_hook_name: "hook".into(),
        lifecycle_transition: Some(transition.into()),
        heartbeat_timeout: Some(60),
        default_result: Some(default.into()),
        ..Default::default()
    };
    world.cloud.put_lifecycle_hook(request).unwrap();
}

fn complete(world: &mut World, result: &str) -> crate::model::Result<()> {
    let request = asg::CompleteLifecycleActionType {
        auto_scaling_group_name: "blue".into(),
        lifecycle_hook_name: "hook".into(),
        instance_id: world.launched.last().cloned(),
        lifecycle_action_result: result.into(),
        ..Default::default()
    };
    world.cloud.complete_lifecycle_action(&request).map(|_| ())
}

#[test]
fn on_the_way_in_an_instance_waits_and_is_not_registered() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    hook(&mut world, IN, "ABANDON");
    world.pass(40);
    assert_eq!(
        (world.states("blue").as_str(), world.health("blue").as_str()),
        ("Pending:Wait", "")
    );
    assert_eq!(world.statuses("blue"), "MidLifecycleAction");
    complete(&mut world, "CONTINUE").unwrap();
    assert_eq!(world.states("blue"), "Pending:Proceed");
    world.pass(10);
    assert_eq!(
        (world.states("blue").as_str(), world.health("blue").as_str()),
        ("InService", "healthy")
    );
    assert_eq!(
        complete(&mut world, "CONTINUE").unwrap_err().code,
        "ValidationError"
    );
}

#[test]
fn abandoned_by_word_or_by_silence_it_is_replaced() {
    for (spoken, why) in [
        (true, "Lifecycle Action Completed with ABANDON Result"),
        (false, "Heartbeat Timeout"),
    ] {
        let mut world = World::new();
        world.fleet("blue", 1, App::Good);
        hook(&mut world, IN, "ABANDON");
        world.pass(20);
        if spoken {
            complete(&mut world, "ABANDON").unwrap();
        }
        world.pass(60);
        assert_eq!(world.launched.len(), 2, "{why}");
        let activity = world.activities("blue").remove(0);
        assert_eq!(activity.status_code.as_deref(), Some("Cancelled"));
        assert!(activity.status_message.unwrap().ends_with(why));
    }
}

#[test]
fn silence_may_mean_to_go_on() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    hook(&mut world, IN, "CONTINUE");
    world.pass(60);
    assert_eq!(world.states("blue"), "Pending:Wait");
    world.pass(15);
    assert_eq!(world.states("blue"), "InService");
}

#[test]
fn a_heartbeat_gives_more_time() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    hook(&mut world, IN, "ABANDON");
    world.pass(50);
    let request = asg::RecordLifecycleActionHeartbeatType {
        auto_scaling_group_name: "blue".into(),
        lifecycle_hook_name: "hook".into(),
        instance_id: world.launched.last().cloned(),
        lifecycle_action_token: None,
    };
    world
        .cloud
        .record_lifecycle_action_heartbeat(&request)
        .unwrap();
    world.pass(55);
    assert_eq!(world.states("blue"), "Pending:Wait");
    world.pass(10);
    assert_eq!(world.launched.len(), 2);
}

#[test]
fn on_the_way_out_it_waits_after_the_drain() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    hook(&mut world, OUT, "CONTINUE");
    world.pass(60);
    world.resize("blue", 0, 0, None).unwrap();
    for (seconds, states, terminated) in [
        (5, "Terminating", 0),
        (30, "Terminating:Wait", 0),
        (50, "Terminating:Wait", 0),
        (15, "Terminating:Proceed", 1),
        (20, "", 1),
    ] {
        world.pass(seconds);
        assert_eq!(
            (world.states("blue"), world.terminated.len()),
            (states.into(), terminated),
            "at {}",
            world.now
        );
    }
}

#[test]
fn force_does_not_ask_the_hooks() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    hook(&mut world, OUT, "CONTINUE");
    world.pass(60);
    world.delete("blue", true).unwrap();
    world.pass(60);
    assert!(world.listed("blue").is_none());
    assert_eq!(world.terminated.len(), 1);
}

#[test]
fn a_deleted_hook_lets_go() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    hook(&mut world, OUT, "CONTINUE");
    world.pass(60);
    world.resize("blue", 0, 0, None).unwrap();
    world.pass(40);
    assert_eq!(world.states("blue"), "Terminating:Wait");
    let request = asg::DeleteLifecycleHookType {
        auto_scaling_group_name: "blue".into(),
        lifecycle_hook_name: "hook".into(),
    };
    world.cloud.delete_lifecycle_hook(&request).unwrap();
    assert_eq!(world.states("blue"), "Terminating:Proceed");
}
