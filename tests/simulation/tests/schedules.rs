//! Schedules that once showed a bug, and a part of every exploration. All of it: `cargo xtask simulate`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use exuvia_simulation::explore::{of_recovery, pairs, random, singles, stops};
use exuvia_simulation::fault::Schedule;
use exuvia_simulation::mended::MENDED;
use exuvia_simulation::proof::{Bench, Ground, grounds, prove};
use exuvia_simulation::scenario::SCENARIOS;

#[test]
fn what_was_mended_stays_mended() {
    let grounds = all_grounds();
    let bench = Bench::new().unwrap();
    for (what, line) in MENDED {
        let schedule: Schedule = line.parse().unwrap();
        let examined = bench.examine(&grounds[&schedule.scenario], &schedule, false);
        assert!(
            examined.violations.is_empty(),
            "{what}:\n{line}\n{:#?}",
            examined.violations
        );
        assert!(
            examined.outcome.seen.suffered > 1,
            "no fault happened: {line}"
        );
    }
}

#[test]
fn what_is_not_signed_for_its_release_does_not_run() {
    let grounds = grounds(["replace"]).unwrap();
    let bench = Bench::new().unwrap();
    let schedule: Schedule = "replace seed=1 forge@d1/Launch#1".parse().unwrap();
    let examined = bench.examine(&grounds["replace"], &schedule, false);
    assert!(examined.violations.is_empty(), "{:#?}", examined.violations);
    let deploy = examined.outcome.estate.executions.last().unwrap();
    let failure = deploy.failure.as_ref().unwrap();
    assert_eq!(failure.error, "RolledBack");
    let says = "could not verify the release: hello/qa/releases/000002.json is that of release 1 of hello/qa";
    assert!(failure.cause.contains(says), "{}", failure.cause);
}

#[test]
fn a_renewal_gives_way_to_settings_as_well() {
    let grounds = grounds(["renewal"]).unwrap();
    let bench = Bench::new().unwrap();
    for fault in ["config:LEVEL=debug@10s", "start:live@10s"] {
        let schedule: Schedule = format!("renewal seed=1 {fault}").parse().unwrap();
        let examined = bench.examine(&grounds["renewal"], &schedule, false);
        assert!(examined.violations.is_empty(), "{:#?}", examined.violations);
        let mut executions = examined.outcome.estate.executions.iter();
        let renewal = executions.find(|one| one.name.starts_with("renewal-"));
        assert_eq!(
            renewal.unwrap().path.last().unwrap(),
            "Superseded",
            "{fault}"
        );
        let after = executions.next().unwrap();
        assert_eq!(after.path.last().unwrap(), "Succeeded", "{fault}");
    }
}

#[test]
fn a_schedule_takes_the_same_course_again() {
    let grounds = all_grounds();
    for line in [
        "replace seed=3 kill-after@d1/Launch#1.3 throttle@d1/Plan#1.4 stop@d1/Bake#1",
        "supersede seed=9 lose@d1/Acquire_Lock#1.3 kill-zone:us-east-1b@60s",
    ] {
        let schedule: Schedule = line.parse().unwrap();
        let course = |bench: &Bench| {
            let seen = bench.examine(&grounds[&schedule.scenario], &schedule, true);
            seen.outcome.seen.timeline
        };
        // On the same functions again, and on others.
        let bench = Bench::new().unwrap();
        let first = course(&bench);
        assert!(first.len() > 100);
        assert_eq!(first, course(&bench), "{line}");
        assert_eq!(first, course(&Bench::new().unwrap()), "{line}");
    }
}

#[test]
fn a_part_of_all_schedules_violates_nothing() {
    let grounds = all_grounds();
    let replace = &grounds["replace"].points;
    let bench = Bench::new().unwrap();
    let every = |all: Vec<Schedule>, count: usize| {
        let step = all.len().div_ceil(count).max(1);
        all.into_iter().step_by(step).collect::<Vec<_>>()
    };
    let single = grounds
        .iter()
        .flat_map(|(name, ground)| singles(name, &ground.points));
    let stopped = ["replace", "remove"]
        .into_iter()
        .flat_map(|name| every(stops(name, &grounds[name].points), 5));
    let cut_off = stopped.flat_map(|stopped| {
        let ground = &grounds[&stopped.scenario];
        let seen = bench.examine(ground, &stopped, false).outcome.seen;
        of_recovery(&stopped, &seen.calls, &seen.entries)
    });
    let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    let some = (0..80).map(|seed| {
        let name = names[usize::try_from(seed).unwrap() % names.len()];
        random(name, &grounds[name].points, seed)
    });
    let schedules: Vec<Schedule> = every(single.collect(), 160)
        .into_iter()
        .chain(every(pairs("replace", replace), 60))
        .chain(every(cut_off.collect(), 40))
        .chain(some)
        .collect();
    let proof = prove(
        &grounds,
        &|index| schedules[index].clone(),
        schedules.len(),
        5,
        &|_, _| {},
    );
    let proof = proof.unwrap();
    let failing: Vec<String> = proof
        .failing
        .iter()
        .map(|failing| format!("{}\n  {:?}", failing.schedule, failing.violations))
        .collect();
    assert!(failing.is_empty(), "{}", failing.join("\n"));
    assert_eq!(proof.ran, schedules.len());
    assert!(
        proof.struck * 10 > proof.ran * 8,
        "{} of {} were struck",
        proof.struck,
        proof.ran
    );
}

fn all_grounds() -> BTreeMap<String, Ground> {
    grounds(SCENARIOS.iter().map(|scenario| scenario.name)).unwrap()
}
