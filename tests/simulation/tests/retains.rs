//! What is kept after a deploy gets the traffic back at once, and says so.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exuvia_simulation::fault::Schedule;
use exuvia_simulation::proof::{Bench, Examined, grounds};
use serde_json::Value;

/// What is published of a schedule's outcomes: title and description, oldest first.
fn outcomes(examined: &Examined) -> Vec<(String, String)> {
    let published = examined.outcome.estate.services.sns.published.iter();
    let messages = published.map(|one| serde_json::from_str::<Value>(&one.message).unwrap());
    let outcomes = messages.filter(|message| {
        let id = message["id"].as_str().unwrap();
        id.starts_with("outcome-")
    });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    outcomes
        .map(|message| {
            let content = &message["content"];
            (text(&content["title"]), text(&content["description"]))
        })
        .collect()
}

fn examined(line: &str) -> Examined {
    let schedule: Schedule = line.parse().unwrap();
    let grounds = grounds([schedule.scenario.as_str()]).unwrap();
    let examined = Bench::new()
        .unwrap()
        .examine(&grounds[&schedule.scenario], &schedule, false);
    assert!(examined.violations.is_empty(), "{:#?}", examined.violations);
    examined
}

#[test]
fn a_return_takes_the_hold_time_and_no_launch() {
    let seen = examined("returned-to-and-back seed=1");
    let told = outcomes(&seen);
    let titles: Vec<&str> = told.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "hello/qa: v1 (release 1) is live",
            "hello/qa: v2 (release 2) is live",
            "hello/qa: returned to v1 (release 1), without a launch",
            "hello/qa: returned to v2 (release 2), without a launch",
        ]
    );
    assert!(told[1].1.contains("; release 1 is kept until "), "{told:?}");
    let calls = &seen.outcome.seen.calls;
    let of = |who: &str, operation: &str| {
        let mut calls = calls
            .iter()
            .filter(|call| call.visit.who == who && call.operation == operation);
        calls.next().map(|call| call.at.as_secs())
    };
    for who in ["d2", "d3"] {
        assert_eq!(of(who, "CreateAutoScalingGroup"), None);
        assert_eq!(of(who, "CreateTargetGroup"), None);
        let began = of(who, "GetParameter").unwrap();
        let moved = of(who, "ModifyRule").unwrap();
        assert!(moved - began <= 15, "{who}: {} s", moved - began);
    }
    let numbered = |who: &str| {
        let puts = calls.iter().filter(|call| call.visit.who == who);
        puts.filter(|call| call.visit.state == "Plan" && call.operation == "PutObject")
            .count()
    };
    assert_eq!([numbered("d1"), numbered("d2"), numbered("d3")], [1, 0, 0]);
}

#[test]
fn what_has_nothing_to_do_leaves_alone_what_is_kept() {
    let told = outcomes(&examined("returned-to-after-a-skip seed=1"));
    let (title, _) = told.last().unwrap();
    assert_eq!(
        title,
        "hello/qa: returned to v1 (release 1), without a launch"
    );
}

#[test]
fn a_return_to_what_is_ill_leaves_what_is_live() {
    let told = outcomes(&examined("returned-to-while-ill seed=1"));
    let (title, description) = told.last().unwrap();
    assert_eq!(title, "hello/qa: the return to v1 (release 1) was given up");
    assert!(
        description.contains("v2 (release 2) has the traffic. Release 1 is kept no longer"),
        "{description}"
    );
}

#[test]
fn what_cannot_be_kept_for_so_long_is_refused_by_name() {
    let seen = examined("replace seed=1 retain:1201@0s start:live@300s");
    let told = outcomes(&seen);
    let (_, description) = told.last().unwrap();
    assert!(
        description.contains("retainMinutes is 1201; use 0 to 1200 minutes"),
        "{description}"
    );
}

#[test]
fn a_first_deploy_has_nothing_to_keep() {
    let seen = examined("first seed=1 retain:5@0s");
    let deploy = seen.outcome.estate.executions.last().unwrap();
    assert_eq!(deploy.path.last().unwrap(), "Succeeded");
    assert!(!deploy.path.contains(&"Retain".to_owned()));
}
