//! Whatever is asked of it, the model goes on, and the same again comes out the same.

use proptest::prelude::*;

use super::{App, World};

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Desire(i32),
    Resize(i32, i32),
    Route(i32, i32),
    Behave(u8),
    Suspend(usize),
    Resume(usize),
    Delete(bool),
    Create,
}

const PROCESSES: [&str; 6] = [
    "Launch",
    "Terminate",
    "HealthCheck",
    "ReplaceUnhealthy",
    "AddToLoadBalancer",
    "AZRebalance",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..200).prop_map(Step::Pass),
        2 => (0..8).prop_map(Step::Desire),
        1 => (0..3, 3..9).prop_map(|(min, max)| Step::Resize(min, max)),
        2 => (0..3, 0..3).prop_map(|(one, two)| Step::Route(one, two)),
        2 => any::<u8>().prop_map(Step::Behave),
        1 => (0..PROCESSES.len()).prop_map(Step::Suspend),
        1 => (0..PROCESSES.len()).prop_map(Step::Resume),
        1 => any::<bool>().prop_map(Step::Delete),
        1 => Just(Step::Create),
    ]
}

fn app(kind: u8) -> App {
    match kind % 7 {
        0 => App::BadAfter(u64::from(kind)),
        1 => App::GoodAfter(u64::from(kind)),
        2 => App::Hangs,
        3 => App::NoLaunch("No capacity."),
        4 => App::DiesAfter(u64::from(kind) + 1),
        _ => App::Good,
    }
}

fn play(steps: &[Step]) -> World {
    let mut world = World::new();
    world.fleet("blue", 2, App::Good);
    world.fleet("green", 1, App::Good);
    for step in steps {
        // Some of these are refused now and then, which is right as well.
        match step {
            Step::Pass(seconds) => world.pass(*seconds),
            Step::Desire(desired) => drop(world.desire("blue", *desired)),
            Step::Resize(min, max) => drop(world.resize("blue", *min, *max, None)),
            Step::Route(one, two) => world.route(&[("blue", *one), ("green", *two)]),
            Step::Behave(kind) => world.behave("blue", app(*kind)),
            Step::Suspend(process)
                if world
                    .listed("blue")
                    .is_some_and(|group| group.status.is_none()) =>
            {
                world.suspend("blue", &[PROCESSES[*process]]);
            }
            Step::Resume(process)
                if world
                    .listed("blue")
                    .is_some_and(|group| group.status.is_none()) =>
            {
                world.resume("blue", &[PROCESSES[*process]]);
            }
            Step::Suspend(_) | Step::Resume(_) => {}
            Step::Delete(force) => drop(world.delete("blue", *force)),
            Step::Create => {
                let arn = world.arn("blue");
                drop(
                    world
                        .cloud
                        .create_auto_scaling_group(super::requests::group("blue", 2, &arn)),
                );
            }
        }
        let staying = |state: &str| {
            matches!(
                state,
                "InService" | "Pending" | "Pending:Wait" | "Pending:Proceed"
            )
        };
        let have = world
            .states("blue")
            .split(' ')
            .filter(|state| staying(state))
            .count();
        assert!(
            have <= 12,
            "{have} instances are more than the largest group and its rebalancing"
        );
        world.cloud.at(world.now);
        assert!(
            world.cloud.next_due().is_none_or(|due| due > world.now),
            "what is due has been done"
        );
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_goes_on_and_repeats_itself(steps in prop::collection::vec(step(), 1..40)) {
        let (one, two) = (play(&steps), play(&steps));
        prop_assert_eq!(one.cloud.summary(), two.cloud.summary());
        prop_assert_eq!(one.launched, two.launched);
        prop_assert_eq!(one.terminated, two.terminated);
    }

    #[test]
    fn left_alone_a_good_fleet_comes_to_its_size(steps in prop::collection::vec(step(), 1..20), size in 0..6) {
        let mut world = play(&steps);
        world.pass(600);
        if world.listed("blue").is_none() {
            let arn = world.arn("blue");
            world.cloud.create_auto_scaling_group(super::requests::group("blue", 2, &arn)).unwrap();
        }
        world.behave("blue", App::Good);
        world.resume("blue", &[]);
        world.resize("blue", 0, 10, Some(size)).unwrap();
        world.pass(3600);
        prop_assert_eq!(world.states("blue"), vec!["InService"; usize::try_from(size).unwrap()].join(" "));
    }
}
