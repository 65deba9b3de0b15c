//! What is a definition, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use exuvia_simulation::asl::Machine;
use serde_json::{Value, json};

use crate::host::{definition, parse, task};

const DEPLOY: &str = include_str!("../../../../statemachine/deploy.asl.json");

fn substitutions() -> BTreeMap<String, String> {
    let names = DEPLOY
        .split("${")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap());
    names
        .map(|name| (name.to_owned(), format!("arn:{name}")))
        .collect()
}

#[test]
fn the_workflow_is_understood() {
    let machine = Machine::parse(DEPLOY, &substitutions()).unwrap();
    let deploy: Value = serde_json::from_str(DEPLOY).unwrap();
    let names: BTreeSet<_> = deploy["States"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert!(machine.state_names().eq(names));
    assert_eq!(machine.timeout_seconds(), deploy["TimeoutSeconds"].as_u64());
}

#[test]
fn what_is_to_be_substituted_must_be_given() {
    let error = Machine::parse(DEPLOY, &BTreeMap::new()).err().unwrap();
    assert!(error.to_string().contains("Function}"), "{error}");
}

/// Each is a definition with one thing in it that is not understood, and a word of what is said of it.
fn are_refused(cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (definition, word) in cases {
        match parse(&definition) {
            Ok(_) => panic!("understood: {definition}"),
            Err(error) => assert!(
                error.to_string().contains(word),
                "{error} does not say {word}"
            ),
        }
    }
}

#[test]
fn what_is_not_understood_of_a_machine_is_refused() {
    let state = |state| definition("S", json!({"S": state}));
    let top = |name: &str, value: Value| {
        let mut definition = definition("Done", json!({}));
        definition[name] = value;
        definition
    };
    are_refused([
        (top("QueryLanguage", json!("JSONPath")), "JSONPath"),
        (top("Version", json!("1.0")), "Version"),
        (top("StartAt", json!("Nowhere")), "Nowhere"),
        (state(json!({"Type": "Pass", "Next": "Done"})), "Pass"),
        (state(json!({"Type": "Succeed", "Output": 1})), "Output"),
        (state(json!({"Type": "Fail", "Error": "E"})), "Cause"),
        (
            state(json!({"Type": "Wait", "TimestampPath": "$.at", "Next": "Done"})),
            "TimestampPath",
        ),
        (
            state(
                json!({"Type": "Wait", "Seconds": 1, "Timestamp": "2026-11-21T10:00:00Z", "Next": "Done"}),
            ),
            "either Seconds or a Timestamp",
        ),
        (
            state(json!({"Type": "Wait", "Seconds": 1, "Next": "Nowhere"})),
            "Nowhere",
        ),
        (state(json!({"Type": "Choice", "Choices": []})), "Default"),
        (
            state(
                json!({"Type": "Choice", "Choices": [{"Variable": "$.a", "Next": "Done"}], "Default": "Done"}),
            ),
            "Variable",
        ),
        (
            state(
                json!({"Type": "Choice", "Choices": [{"Condition": true, "Next": "No"}], "Default": "Done"}),
            ),
            "`No`",
        ),
    ]);
}

#[test]
fn what_is_not_understood_of_a_task_is_refused() {
    let with = |fields| definition("T", json!({"T": task(fields)}));
    are_refused([
        (with(json!({"HeartbeatSeconds": 5})), "HeartbeatSeconds"),
        (with(json!({"End": true})), "End"),
        (
            with(json!({"Resource": "arn:aws:states:::lambda:invoke.sync"})),
            "lambda:invoke.sync",
        ),
        (
            with(
                json!({"Arguments": {"FunctionName": "f", "Payload": {}, "InvocationType": "Event"}}),
            ),
            "InvocationType",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"], "Forever": true}]})),
            "Forever",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"], "JitterStrategy": "HALF"}]})),
            "HALF",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 0}]})),
            "waits less",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"], "BackoffRate": 0.5}]})),
            "waits less",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"], "MaxDelaySeconds": 1}]})),
            "waits less",
        ),
        (
            with(json!({"Catch": [{"ErrorEquals": ["E"], "Next": "Nowhere"}]})),
            "Nowhere",
        ),
        (
            with(json!({"Catch": [{"ErrorEquals": ["E"], "Next": "Done", "ResultPath": "$.e"}]})),
            "ResultPath",
        ),
        (
            with(json!({"Catch": [{"ErrorEquals": [], "Next": "Done"}]})),
            "no errors",
        ),
        (
            with(json!({"Catch": [{"ErrorEquals": ["States.ALL", "E"], "Next": "Done"}]})),
            "States.ALL",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["E"]}]})),
            "States.ALL",
        ),
        (
            with(json!({"Retry": [{"ErrorEquals": ["E"]}, {"ErrorEquals": ["E"]}]})),
            "once more",
        ),
        (with(json!({"Assign": {"states": 1}})), "states"),
        (
            with(json!({"Output": "{% $states.result.Payload"})),
            "closed",
        ),
        (with(json!({"Output": " {% 1 %}"})), "first character"),
        (with(json!({"Output": "{% 1 + %}"})), "1 +"),
        (
            with(json!({"Output": "{% $states.nothing %}"})),
            "$states.nothing",
        ),
        (with(json!({"Output": "{% $states %}"})), "only parts"),
        (
            with(json!({"Output": "{% $states.errorOutput %}"})),
            "errorOutput",
        ),
        (
            with(json!({"Arguments": {"FunctionName": "f", "Payload": "{% $states.result %}"}})),
            "$states.result",
        ),
        (
            with(
                json!({"Catch": [{"ErrorEquals": ["E"], "Assign": {"a": ["{% $states.result %}"]}, "Next": "Done"}]}),
            ),
            "$states.result",
        ),
    ]);
}
