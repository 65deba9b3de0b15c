//! What takes a release back that its targets' health says nothing against, and what does not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exuvia_simulation::fault::Schedule;
use exuvia_simulation::proof::{Bench, grounds};

/// The last state of the last execution of a schedule, and the cause that it failed with.
fn ends(line: &str) -> (String, String) {
    let schedule: Schedule = line.parse().unwrap();
    let grounds = grounds([schedule.scenario.as_str()]).unwrap();
    let bench = Bench::new().unwrap();
    let examined = bench.examine(&grounds[&schedule.scenario], &schedule, false);
    assert!(
        examined.violations.is_empty(),
        "{line}:\n{:#?}",
        examined.violations
    );
    let executions = examined.outcome.estate.executions;
    let deploy = executions.last().unwrap();
    let cause = deploy.failure.as_ref().map(|failure| failure.cause.clone());
    (
        deploy.path.last().unwrap().clone(),
        cause.unwrap_or_default(),
    )
}

#[test]
fn the_reason_is_what_was_seen() {
    for (line, last, says) in [
        (
            "canary-errs seed=1",
            "Rolled Back",
            "5xx 8.3% of 120 requests on release 2, 0.0% of 1,080 on release 1",
        ),
        (
            "canary-drags seed=1",
            "Rolled Back",
            "p90 response time 400 ms on release 2, 100 ms on release 1",
        ),
        (
            "alarm-fires seed=1",
            "Rolled Back",
            "alarm hello-5xx went into ALARM after the traffic began to move: Threshold Crossed: simulated",
        ),
        (
            "replace seed=1 watch-alarm:hello-5xx@0s",
            "Rejected",
            "and there is no alarm of that name in this account and region; create it first, or take it out",
        ),
    ] {
        let (ended, cause) = ends(line);
        assert_eq!(ended, last, "{line}: {cause}");
        assert!(cause.contains(says), "{line}: {cause}");
    }
}

#[test]
fn what_cloudwatch_does_not_tell_takes_nothing_back_and_holds_nothing() {
    for line in [
        // However bad it is: nobody knows.
        "canary-errs seed=1 outage:monitoring:3600s@d1/Bake#1",
        "alarm-fires seed=1 outage:monitoring:3600s@d1/Bake#1",
        // Nor is a deploy refused for an alarm that cannot be asked for.
        "replace seed=1 watch-alarm:hello-5xx@0s outage:monitoring:3600s@0s",
    ] {
        let (ended, cause) = ends(line);
        assert_eq!(ended, "Succeeded", "{line}: {cause}");
    }
    // It is back before the step ends.
    let (ended, cause) = ends("canary-errs seed=1 outage:monitoring:200s@d1/Bake#1");
    assert_eq!(ended, "Rolled Back", "{cause}");
}
