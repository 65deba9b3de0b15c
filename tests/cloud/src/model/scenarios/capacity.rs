//! How many instances a group has, where, and which go first.

use super::{App, World};
use crate::model::{Settings, asg};

#[test]
fn sizes_that_are_refused_and_sizes_that_follow() {
    // min, max, desired given -> desired after, or the complaint; from 0, 10, 2.
    for (min, max, desired, outcome) in [
        (0, 10, None, Ok(2)),
        (3, 10, None, Ok(3)),
        (0, 1, None, Ok(1)),
        (0, 0, None, Ok(0)),
        (0, 10, Some(5), Ok(5)),
        (
            3,
            2,
            None,
            Err("Max bound, 2, must be greater than or equal to min bound, 3"),
        ),
        (
            0,
            4,
            Some(5),
            Err("Desired capacity:5 must be between the specified min size:0 and max size:4"),
        ),
        (
            3,
            4,
            Some(2),
            Err("Desired capacity:2 must be between the specified min size:3 and max size:4"),
        ),
        (-1, 4, None, Err("Capacity cannot be negative")),
    ] {
        let mut world = World::new();
        world.fleet("blue", 2, App::Good);
        let answer = world.resize("blue", min, max, desired);
        match outcome {
            Ok(after) => {
                answer.unwrap();
                assert_eq!(
                    world.listed("blue").unwrap().desired_capacity,
                    Some(after),
                    "{min} {max} {desired:?}"
                );
            }
            Err(complaint) => assert!(
                answer.unwrap_err().message.contains(complaint),
                "{complaint}"
            ),
        }
    }
}

#[test]
fn desired_capacity_stays_within_the_bounds() {
    let mut world = World::new();
    world.fleet("blue", 2, App::Good);
    world.resize("blue", 1, 4, None).unwrap();
    for (desired, message) in [
        (
            5,
            "New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup.",
        ),
        (
            0,
            "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup.",
        ),
    ] {
        assert_eq!(world.desire("blue", desired).unwrap_err().message, message);
    }
}

#[test]
fn scaling_in_waits_for_the_drain() {
    let mut world = World::new();
    world.fleet("blue", 2, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(60);
    world.desire("blue", 1).unwrap();
    for (seconds, states, health, terminated) in [
        (
            3,
            "Terminating InService",
            "draining(Target.DeregistrationInProgress) healthy",
            0,
        ),
        (
            28,
            "Terminating InService",
            "draining(Target.DeregistrationInProgress) healthy",
            0,
        ),
        (2, "Terminating:Proceed InService", "healthy", 1),
        (20, "InService", "healthy", 1),
    ] {
        world.pass(seconds);
        let seen = (
            world.states("blue"),
            world.health("blue"),
            world.terminated.len(),
        );
        assert_eq!(
            seen,
            (states.into(), health.into(), terminated),
            "at {}",
            world.now
        );
    }
    let cause = world.causes("blue").pop().unwrap();
    assert!(cause.contains("a user request explicitly set group desired capacity changing the desired capacity from 2 to 1."));
    assert!(cause.contains("shrinking the capacity from 2 to 1."));
    assert_eq!(world.statuses("blue"), "Successful Successful Successful");
}

#[test]
fn while_it_drains_the_activity_says_so() {
    let mut world = World::new();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    world.pass(60);
    world.resize("blue", 0, 0, Some(0)).unwrap();
    world.pass(10);
    assert_eq!(
        world.statuses("blue"),
        "Successful WaitingForELBConnectionDraining"
    );
}

#[test]
fn launches_that_fail_are_tried_again_later_and_later() {
    let mut world = World::new();
    world.fleet(
        "blue",
        1,
        App::NoLaunch("We currently do not have sufficient t4g.small capacity."),
    );
    let mut counts = Vec::new();
    for _ in 0..10 {
        world.pass(60);
        counts.push(world.launched.len());
    }
    assert_eq!(counts, [3, 4, 4, 5, 5, 5, 5, 6, 6, 6]);
    assert_eq!(world.states("blue"), "");
    let activity = world.activities("blue").remove(0);
    assert_eq!(activity.status_code.as_deref(), Some("Failed"));
    assert_eq!(
        activity.status_message.as_deref(),
        Some(
            "We currently do not have sufficient t4g.small capacity. Launching EC2 instance failed."
        )
    );
    assert!(
        activity
            .description
            .unwrap()
            .contains("Status Reason: We currently")
    );
    world.behave("blue", App::Good);
    world.pass(600);
    assert_eq!(world.states("blue"), "InService");
}

#[test]
fn a_quota_is_a_failed_activity() {
    let mut settings = Settings::default();
    settings.quotas.instances = 3;
    let mut world = World::with(settings);
    world.fleet("blue", 5, App::Good);
    world.pass(30);
    assert_eq!(world.states("blue"), "InService InService InService");
    let failed = world
        .activities("blue")
        .into_iter()
        .find(|activity| activity.status_code.as_deref() == Some("Failed"));
    assert!(
        failed
            .unwrap()
            .status_message
            .unwrap()
            .contains("current instance limit of 3")
    );
}

#[test]
fn with_a_process_held_back_the_size_does_not_change() {
    for (process, from, to) in [("Launch", 1, 3), ("Terminate", 3, 1)] {
        let mut world = World::new();
        world.fleet("blue", from, App::Good);
        world.pass(60);
        world.suspend("blue", &[process]);
        world.desire("blue", to).unwrap();
        world.pass(300);
        assert_eq!(
            world.instances("blue").len(),
            usize::try_from(from).unwrap(),
            "{process}"
        );
        world.resume("blue", &[process]);
        world.pass(300);
        assert_eq!(
            world.instances("blue").len(),
            usize::try_from(to).unwrap(),
            "{process}"
        );
    }
}

#[test]
fn instances_spread_over_the_zones() {
    for (size, zones) in [(1, "a"), (2, "ab"), (3, "abc"), (5, "abcab")] {
        let mut world = World::new();
        world.fleet("blue", size, App::Good);
        world.pass(30);
        assert_eq!(world.zones("blue"), zones);
    }
}

#[test]
fn a_group_moves_to_the_zones_that_it_is_told_unless_it_may_not_rebalance() {
    for (held, zones) in [(false, "bc"), (true, "ab")] {
        let mut world = World::new();
        world.fleet("blue", 2, App::Good);
        world.pass(60);
        if held {
            world.suspend("blue", &["AZRebalance"]);
        }
        let request = asg::UpdateAutoScalingGroupType {
            auto_scaling_group_name: "blue".into(),
            v_p_c_zone_identifier: Some("subnet-b,subnet-c".into()),
            ..Default::default()
        };
        world.cloud.update_auto_scaling_group(request).unwrap();
        let mut least = 2;
        for _ in 0..120 {
            world.pass(1);
            least = least.min(world.states("blue").matches("InService").count());
        }
        assert_eq!(least, 2, "it launches before it terminates");
        assert_eq!(world.zones("blue"), zones);
    }
}

#[test]
fn who_goes_first() {
    // Four instances in zones a b c a. The policies, which are protected, and which go when two must.
    for (policy, protected, gone) in [
        ("Default", vec![], vec![0, 1]),
        ("OldestInstance", vec![], vec![0, 1]),
        ("NewestInstance", vec![], vec![2, 3]),
        ("Default", vec![0], vec![1, 3]),
        ("Default", vec![0, 1, 2, 3], vec![]),
    ] {
        let mut world = World::new();
        world.fleet("blue", 4, App::Good);
        world.pass(60);
        assert_eq!(world.zones("blue"), "abca");
        let request = asg::UpdateAutoScalingGroupType {
            auto_scaling_group_name: "blue".into(),
            termination_policies: Some(vec![policy.to_owned()].into()),
            ..Default::default()
        };
        world.cloud.update_auto_scaling_group(request).unwrap();
        let ids: Vec<String> = protected
            .iter()
            .map(|index: &usize| world.launched[*index].clone())
            .collect();
        let request = asg::SetInstanceProtectionQuery {
            auto_scaling_group_name: "blue".into(),
            instance_ids: ids.into(),
            protected_from_scale_in: true,
        };
        world.cloud.set_instance_protection(&request).unwrap();
        world.suspend("blue", &["AZRebalance"]);
        world.desire("blue", 2).unwrap();
        world.pass(120);
        let order = |id: &String| {
            world
                .launched
                .iter()
                .position(|launched| launched == id)
                .unwrap()
        };
        let mut seen: Vec<usize> = world.terminated.iter().map(order).collect();
        seen.sort_unstable();
        assert_eq!(seen, gone, "{policy} {protected:?}");
    }
}

#[test]
fn an_operator_ends_an_instance_with_and_without_another_in_its_place() {
    for (shrink, desired, launched) in [(true, 1, 2), (false, 2, 3)] {
        let mut world = World::new();
        world.fleet("blue", 2, App::Good);
        world.pass(60);
        let request = asg::TerminateInstanceInAutoScalingGroupType {
            instance_id: world.launched[1].clone(),
            should_decrement_desired_capacity: shrink,
        };
        let activity = world
            .cloud
            .terminate_instance_in_auto_scaling_group(&request)
            .unwrap()
            .activity
            .unwrap();
        assert!(
            activity
                .cause
                .unwrap()
                .contains("was taken out of service in response to a user request")
        );
        world.pass(120);
        assert_eq!(
            world.listed("blue").unwrap().desired_capacity,
            Some(desired)
        );
        assert_eq!(
            (world.launched.len(), world.terminated.len()),
            (launched, 1)
        );
    }
}
