//! A build is killed, refused, cut off and stopped at every AWS call that it makes: the builder is gone, one outcome is
//! told and it is true, nothing is left over, and what is live stays as it is.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exuvia_simulation::explore::singles;
use exuvia_simulation::fault::{Action, Fault, Point, Schedule};
use exuvia_simulation::proof::{Failing, grounds, prove};

/// What happens to a call of the build, and not of the deploy that follows it.
fn happens_to_the_build(faults: &[Fault]) -> bool {
    let [fault] = faults else { return false };
    let hits = |what: &Action| {
        matches!(
            what,
            Action::KillBefore
                | Action::KillAfter
                | Action::Lose
                | Action::Deny
                | Action::Hang
                | Action::Stop
        )
    };
    matches!(&fault.at, Point::Call { visit, .. } if visit.who == "b1") && hits(&fault.what)
}

fn violations_of(scenario: &str, is_meant: impl Fn(&Schedule) -> bool) -> (usize, Vec<String>) {
    let grounds = grounds([scenario]).unwrap();
    let schedules: Vec<Schedule> = singles(scenario, &grounds[scenario].points)
        .into_iter()
        .filter(|schedule| happens_to_the_build(&schedule.faults) && is_meant(schedule))
        .collect();
    let schedule = |index: usize| schedules[index].clone();
    let proof = prove(&grounds, &schedule, schedules.len(), 5, &|_, _| {}).unwrap();
    // Each fault happened.
    assert_eq!(proof.struck, proof.ran, "{scenario}");
    let told = |failing: &Failing| format!("{}\n  {:?}", failing.schedule, failing.violations);
    (proof.ran, proof.failing.iter().map(told).collect())
}

#[test]
fn a_build_that_fails_leaves_nothing_whatever_happens_at_a_call() {
    let (ran, violations) = violations_of("build-fails", |_| true);
    assert!(ran > 100, "{ran}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn a_builder_that_is_lost_leaves_nothing_whatever_happens_at_a_call() {
    let (ran, violations) = violations_of("builder-dies", |schedule| {
        matches!(schedule.faults[0].what, Action::KillAfter | Action::Stop)
    });
    assert!(ran > 30, "{ran}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn what_is_built_is_deployed_whatever_happens_at_a_call() {
    let (ran, violations) = violations_of("build", |schedule| {
        matches!(schedule.faults[0].what, Action::KillAfter | Action::Stop)
    });
    assert!(ran > 30, "{ran}");
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
