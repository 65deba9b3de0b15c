//! Histories that are as they should be, and such as are not.

use exuvia_simulation::asl::Machine;
use exuvia_simulation::asl::replay::{Difference, replay};
use serde_json::{Value, json};

use crate::host::{execution, machine, task};

/// Asks until it is told how long to wait, waits, and is done.
fn asks() -> Machine {
    let states = json!({
        "Ask": task(json!({
            "Arguments": {
                "FunctionName": "f",
                "Payload": {"n": "{% $states.input.n %}", "at": "{% $states.context.State.EnteredTime %}"},
            },
            "Assign": {"seconds": "{% $states.result.Payload.seconds %}"},
            "Retry": [{"ErrorEquals": ["E", "States.Timeout"], "MaxAttempts": 1}],
            "Catch": [{
                "ErrorEquals": ["States.ALL"],
                "Assign": {"seconds": 0},
                "Output": "{% $states.errorOutput %}",
                "Next": "No",
            }],
            "Next": "Rest",
        })),
        "Rest": {"Type": "Wait", "Seconds": "{% $seconds %}", "Next": "Done"},
        "No": {"Type": "Fail", "Error": "No", "Cause": "{% $states.input.Cause %}"},
    });
    machine("Ask", states)
}

/// Events with what is the same in all of them.
fn history(events: &[(&str, Value)]) -> Vec<Value> {
    let started = (
        "ExecutionStarted",
        json!({"executionStartedEventDetails": {"input": "{\"n\": 1}"}}),
    );
    let all = [&started].into_iter().chain(events).enumerate();
    all.map(|(index, (kind, details))| {
        let mut event = details.clone();
        event["type"] = json!(kind);
        event["id"] = json!(index + 1);
        event["timestamp"] = json!(format!("2026-11-21T10:00:{index:02}Z"));
        event
    })
    .collect()
}

fn entered(kind: &'static str, name: &str, input: &str) -> (&'static str, Value) {
    (
        kind,
        json!({"stateEnteredEventDetails": {"name": name, "input": input}}),
    )
}

fn exited(kind: &'static str, name: &str, output: &str, assigned: &Value) -> (&'static str, Value) {
    (
        kind,
        json!({"stateExitedEventDetails": {"name": name, "output": output, "assignedVariables": assigned}}),
    )
}

/// At its place among the events, as the time when the state was entered is in it.
fn scheduled() -> (&'static str, Value) {
    let parameters =
        r#"{"FunctionName": "f", "Payload": {"n": 1, "at": "2026-11-21T10:00:01.000Z"}}"#;
    (
        "TaskScheduled",
        json!({"taskScheduledEventDetails": {"resource": "invoke", "parameters": parameters}}),
    )
}

fn succeeded() -> (&'static str, Value) {
    (
        "TaskSucceeded",
        json!({"taskSucceededEventDetails": {"output": r#"{"StatusCode": 200, "Payload": {"seconds": 5}}"#}}),
    )
}

fn failed(error: &str) -> (&'static str, Value) {
    (
        "TaskFailed",
        json!({"taskFailedEventDetails": {"error": error, "cause": "why"}}),
    )
}

fn ended(output: &str) -> (&'static str, Value) {
    (
        "ExecutionSucceeded",
        json!({"executionSucceededEventDetails": {"output": output}}),
    )
}

fn failure(cause: &str) -> (&'static str, Value) {
    (
        "ExecutionFailed",
        json!({"executionFailedEventDetails": {"error": "No", "cause": cause}}),
    )
}

fn nothing(kind: &'static str) -> (&'static str, Value) {
    (kind, json!({}))
}

/// One that has everything, as AWS tells it.
fn of_aws() -> Vec<(&'static str, Value)> {
    vec![
        entered("TaskStateEntered", "Ask", "{\"n\": 1}"),
        scheduled(),
        nothing("TaskStarted"),
        failed("E"),
        scheduled(),
        nothing("TaskStarted"),
        (
            "TaskTimedOut",
            json!({"taskTimedOutEventDetails": {"error": "States.Timeout"}}),
        ),
        exited(
            "TaskStateExited",
            "Ask",
            r#"{"Error": "States.Timeout", "Cause": ""}"#,
            &json!({"seconds": "0"}),
        ),
        entered(
            "FailStateEntered",
            "No",
            r#"{"Error": "States.Timeout", "Cause": ""}"#,
        ),
        (
            "ExecutionFailed",
            json!({"executionFailedEventDetails": {"error": "No"}}),
        ),
    ]
}

/// As ministack tells it: without what is not told.
fn of_ministack() -> Vec<(&'static str, Value)> {
    let without = |(kind, mut details): (&'static str, Value)| {
        if let Some(details) = details.get_mut("stateExitedEventDetails") {
            details.as_object_mut().unwrap().remove("assignedVariables");
        }
        (kind, details)
    };
    vec![
        entered("TaskStateEntered", "Ask", "{\"n\": 1}"),
        (
            "TaskScheduled",
            json!({"taskScheduledEventDetails": {"resource": "arn:aws:states:::lambda:invoke"}}),
        ),
        succeeded(),
        without(exited(
            "TaskStateExited",
            "Ask",
            "{\"seconds\": 5.0}",
            &json!(null),
        )),
        entered("WaitStateEntered", "Rest", "{\"seconds\": 5}"),
        without(exited(
            "WaitStateExited",
            "Rest",
            "{\"seconds\": 5}",
            &json!(null),
        )),
        entered("SucceedStateEntered", "Done", "{\"seconds\": 5}"),
        without(exited(
            "SucceedStateExited",
            "Done",
            "{\"seconds\": 5}",
            &json!(null),
        )),
        ended("{\"seconds\": 5}"),
    ]
}

fn run(events: &[(&str, Value)]) -> Result<(), Difference> {
    replay(&asks(), execution(), json!({"n": 1}), &history(events))
}

#[test]
fn what_is_as_it_should_be() {
    let ministack = of_ministack();
    let aborted = |at: usize| [&ministack[..at], &[nothing("ExecutionAborted")]].concat();
    let cases = [
        of_aws(),
        ministack.clone(),
        aborted(1),
        aborted(2),
        aborted(3),
        aborted(5),
        // What ministack writes of the state that an execution is stopped in.
        [aborted(2), vec![succeeded()]].concat(),
        [&ministack[..2], &[nothing("ExecutionTimedOut")]].concat(),
        [&ministack[..5], &[nothing("ExecutionTimedOut")]].concat(),
        // ministack calls a time-out a failure, and gives a cause.
        vec![
            ministack[0].clone(),
            ministack[1].clone(),
            failed("States.Timeout"),
            ministack[1].clone(),
            failed("States.Timeout"),
            exited(
                "TaskStateExited",
                "Ask",
                r#"{"Error": "States.Timeout", "Cause": "why"}"#,
                &json!(null),
            ),
            entered(
                "FailStateEntered",
                "No",
                r#"{"Error": "States.Timeout", "Cause": "why"}"#,
            ),
            failure("why"),
        ],
    ];
    for events in cases {
        assert_eq!(run(&events), Ok(()), "{events:?}");
    }
}

#[test]
fn an_evaluation_that_failed_is_called_a_task_that_failed_by_ministack() {
    let answer = json!({"taskSucceededEventDetails": {"output": r#"{"Payload": {"second": 5}}"#}});
    let evaluation = json!({"error": "States.QueryEvaluationError", "cause": "in its own words"});
    for (kind, details) in [
        ("TaskFailed", json!({"taskFailedEventDetails": evaluation})),
        (
            "EvaluationFailed",
            json!({"evaluationFailedEventDetails": evaluation}),
        ),
    ] {
        let events = [
            entered("TaskStateEntered", "Ask", "{\"n\": 1}"),
            scheduled(),
            ("TaskSucceeded", answer.clone()),
            (kind, details),
        ];
        let difference = run(&events).unwrap_err();
        // The next thing that the interpreter does.
        assert_eq!(difference.event, 5, "{difference}");
        assert!(
            difference.came.starts_with("TaskStateExited `Ask`"),
            "{difference}"
        );
    }
}

#[test]
fn what_is_not_as_it_should_be() {
    // The event that is replaced, by what, and what is said then.
    let cases = [
        (
            of_aws(),
            1,
            entered("TaskStateEntered", "Ask", "{\"n\": 2}"),
            "TaskStateEntered `Ask` with {\"n\":1}",
        ),
        (
            of_aws(),
            1,
            entered("TaskStateEntered", "Answer", "{\"n\": 1}"),
            "TaskStateEntered `Ask`",
        ),
        (
            of_aws(),
            1,
            entered("WaitStateEntered", "Ask", "{\"n\": 1}"),
            "TaskStateEntered `Ask`",
        ),
        (
            of_aws(),
            2,
            (
                "TaskScheduled",
                json!({"taskScheduledEventDetails": {"parameters": r#"{"FunctionName": "f", "Payload": {"n": 1}}"#}}),
            ),
            "TaskScheduled of f with",
        ),
        (
            of_aws(),
            2,
            (
                "TaskScheduled",
                json!({"taskScheduledEventDetails": {"parameters": r#"{"FunctionName": "g"}"#}}),
            ),
            "TaskScheduled of f with",
        ),
        (of_aws(), 4, failed("F"), "TaskStateExited `Ask`"),
        (of_aws(), 5, nothing("TaskTimedOut"), "TaskScheduled"),
        (
            of_aws(),
            8,
            exited(
                "TaskStateExited",
                "Ask",
                r#"{"Error": "States.Timeout", "Cause": ""}"#,
                &json!({"seconds": "1"}),
            ),
            "assigned {\"seconds\":0}",
        ),
        (of_aws(), 10, failure("why"), "ExecutionFailed with No: "),
        (of_aws(), 10, ended("{}"), "ExecutionFailed"),
        (
            of_aws(),
            3,
            nothing("LambdaFunctionScheduled"),
            "an event that it cannot read",
        ),
        (
            of_ministack(),
            4,
            exited("TaskStateExited", "Ask", "{\"seconds\": 6}", &json!(null)),
            "TaskStateExited `Ask`",
        ),
        (
            of_ministack(),
            9,
            ended("{\"seconds\": 6}"),
            "ExecutionSucceeded with",
        ),
        (
            of_ministack(),
            9,
            nothing("ExecutionTimedOut"),
            "ExecutionSucceeded",
        ),
    ];
    for (mut events, at, event, came) in cases {
        events[at - 1] = event;
        let difference = run(&events).unwrap_err();
        assert!(
            difference.came.contains(came),
            "{difference} does not say {came}"
        );
        assert!(difference.event >= at as u64, "{difference}");
    }
}

#[test]
fn one_ends_before_the_other() {
    let mut short = of_ministack();
    short.pop();
    let difference = run(&short).unwrap_err();
    assert!(difference.came.contains("after it"), "{difference}");

    let mut long = of_ministack();
    long.push(entered("WaitStateEntered", "Rest", "{}"));
    let difference = run(&long).unwrap_err();
    assert_eq!(
        (difference.event, difference.came.as_str()),
        (11, "its end")
    );

    let difference = replay(
        &asks(),
        execution(),
        json!({"n": 2}),
        &history(&of_ministack()),
    )
    .unwrap_err();
    assert_eq!(
        (difference.event, difference.came.as_str()),
        (1, "the input {\"n\":2}")
    );
}

/// As the workflow of the deploys hands its token on.
#[test]
fn what_came_with_a_token_is_told() {
    let waits = task(json!({
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Arguments": {"FunctionName": "f", "Payload": {"approval": {"taskToken": "{% $states.context.Task.Token %}"}}},
        "Output": "{% $states.result %}",
    }));
    let machine = machine("Ask", json!({"Ask": waits}));
    let parameters = |token| {
        json!({"taskScheduledEventDetails": {"parameters":
            format!(r#"{{"FunctionName": "f", "Payload": {{"approval": {{"taskToken": "{token}"}}}}}}"#)}})
    };
    let came = |output: &str| {
        vec![
            entered("TaskStateEntered", "Ask", "{\"n\": 1}"),
            ("TaskScheduled", parameters("AQC")),
            nothing("TaskStarted"),
            nothing("TaskSubmitted"),
            (
                "TaskSucceeded",
                json!({"taskSucceededEventDetails": {"output": output}}),
            ),
            exited("TaskStateExited", "Ask", r#"{"by": "me"}"#, &json!({})),
            entered("SucceedStateEntered", "Done", r#"{"by": "me"}"#),
            exited("SucceedStateExited", "Done", r#"{"by": "me"}"#, &json!({})),
            ended(r#"{"by": "me"}"#),
        ]
    };
    let compare = |output| {
        replay(
            &machine,
            execution(),
            json!({"n": 1}),
            &history(&came(output)),
        )
    };
    assert_eq!(compare(r#"{"by": "me"}"#), Ok(()));
    let difference = compare(r#"{"by": "you"}"#).unwrap_err();
    assert!(difference.came.contains("{\"by\":\"you\"}"), "{difference}");
}
