//! How an execution goes from state to state.

use exuvia_simulation::asl::{Ending, Failure};
use serde_json::{Value, json};

use crate::host::{Does, Scripted, machine, task};

fn failed(error: &str, cause: &str) -> Ending {
    Ending::Failed(Failure {
        error: error.to_owned(),
        cause: cause.to_owned(),
    })
}

#[tokio::test(start_paused = true)]
async fn the_history_is_that_of_step_functions() {
    let states = json!({
        "Ask": task(json!({
            "Arguments": {"FunctionName": "{% $states.input.who %}", "Payload": {"n": "{% $states.input.n %}"}},
            "Assign": {"seconds": "{% $states.result.Payload.seconds %}"},
            "Next": "Rest",
        })),
        "Rest": {"Type": "Wait", "Seconds": "{% $seconds %}", "Next": "Enough?"},
        "Enough?": {
            "Type": "Choice",
            "Choices": [
                {"Condition": "{% $seconds < 5 %}", "Next": "Ask"},
                {"Condition": "{% $seconds < 50 %}", "Next": "Done"},
            ],
            "Default": "Ask",
        },
    });
    let host = Scripted::new([Does::Answers(json!({"seconds": 7}))]);
    let ending = host
        .run(&machine("Ask", states), json!({"who": "f", "n": 1}))
        .await;
    assert_eq!(
        ending,
        Ending::Succeeded {
            output: json!({"seconds": 7})
        }
    );
    assert_eq!(
        *host.events.borrow(),
        [
            r#"Task Ask < {"n":1,"who":"f"}"#,
            r#"scheduled f {"n":1}"#,
            "started",
            r#"succeeded {"seconds":7}"#,
            r#"exited Ask > {"seconds":7} {"seconds":7}"#,
            r#"Wait Rest < {"seconds":7}"#,
            r#"exited Rest > {"seconds":7} {}"#,
            r#"Choice Enough? < {"seconds":7}"#,
            r#"exited Enough? > {"seconds":7} {}"#,
            r#"Succeed Done < {"seconds":7}"#,
            r#"exited Done > {"seconds":7} {}"#,
            r#"execution succeeded {"seconds":7}"#,
        ]
    );
    assert!((host.seconds() - 7.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_timestamp() {
    let timestamp = "{% $fromMillis($toMillis($states.context.Execution.StartTime) + 1000 * $states.input.after) %}";
    let states = json!({
        "Rest": {"Type": "Wait", "Timestamp": timestamp, "Next": "Done"},
    });
    for (after, seconds) in [(7.0, 7.0), (0.25, 0.25), (-3.0, 0.0)] {
        let host = Scripted::new([]);
        let ending = host
            .run(&machine("Rest", states.clone()), json!({"after": after}))
            .await;
        assert!(matches!(ending, Ending::Succeeded { .. }), "{ending:?}");
        assert!((host.seconds() - seconds).abs() < 0.002, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_context_tells_where_the_execution_is() {
    let payload = json!({
        "execution": "{% $states.context.Execution %}",
        "entered": "{% $states.context.State.EnteredTime %}",
        "state": "{% $states.context.State.Name %}",
        "machine": "{% $states.context.StateMachine %}",
    });
    let states = json!({
        "Rest": {"Type": "Wait", "Seconds": 3, "Next": "Ask"},
        "Ask": task(json!({"Arguments": {"FunctionName": "f", "Payload": payload}})),
    });
    let host = Scripted::new([]);
    host.run(&machine("Rest", states), json!({"a": 1})).await;
    let expected = json!({
        "execution": {
            "Id": "arn:aws:states:eu-west-1:111111111111:execution:deploy:one",
            "Input": {"a": 1},
            "Name": "one",
            "RoleArn": "arn:aws:iam::111111111111:role/deploy",
            "StartTime": "2026-11-21T10:00:00.250Z",
        },
        "entered": "2026-11-21T10:00:03.250Z",
        "state": "Ask",
        "machine": {"Id": "arn:aws:states:eu-west-1:111111111111:stateMachine:deploy", "Name": "deploy"},
    });
    assert_eq!(host.invoked.borrow()[0].2, expected);
}

#[tokio::test(start_paused = true)]
async fn an_assign_sees_the_variables_as_they_were() {
    let states = json!({
        "First": task(json!({"Assign": {"a": 1, "b": 2}, "Next": "Second"})),
        "Second": task(json!({"Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Next": "Third"})),
        "Third": task(json!({"Arguments": {"FunctionName": "f", "Payload": ["{% $a %}", "{% $b %}"]}})),
    });
    let host = Scripted::new([]);
    host.run(&machine("First", states), Value::Null).await;
    assert_eq!(host.invoked.borrow()[2].2, json!([2, 1]));
}

/// What an expression gives, as the payload of a task; `None` where it gives nothing.
#[tokio::test(start_paused = true)]
async fn an_expression_must_give_a_value() {
    let input = json!({"a": {"b": null, "c": [{"d": 1}, {"d": 2}, {}]}, "one": [{"d": 3}], "f": 1.5, "e": []});
    let cases = [
        ("$states.input.a.b", Some(json!(null))),
        ("$states.input.a.missing", None),
        ("$states.input.a.b.c", None),
        ("$states.input.a.c.d", Some(json!([1, 2]))),
        ("$states.input.one.d", Some(json!(3))),
        ("$states.input.one", Some(json!([{"d": 3}]))),
        ("$states.input.e", Some(json!([]))),
        ("$states.input.a.c[d = 2]", Some(json!({"d": 2}))),
        ("$states.input.f * 2", Some(json!(3))),
        ("$states.input.f", Some(json!(1.5))),
        ("$unassigned", None),
        ("$unassigned.field", None),
        ("$unassigned ? 1 : 2", Some(json!(2))),
        ("$unassigned ? 1", None),
        ("$not($unassigned)", None),
        ("$string($states.input.a.b)", Some(json!("null"))),
        ("$states.input.a.missing = 1", Some(json!(false))),
        ("$states.input.a.b = null", Some(json!(true))),
        ("'x' + 1", None),
        ("$sum", None),
        ("($x := 2; $x * $states.input.f)", Some(json!(3))),
        (
            "{'a': $states.input.missing, 'b': 1}",
            Some(json!({"b": 1})),
        ),
    ];
    for (expression, expected) in cases {
        let payload = json!({"v": format!("{{% {expression} %}}")});
        let states =
            json!({"Ask": task(json!({"Arguments": {"FunctionName": "f", "Payload": payload}}))});
        let host = Scripted::new([]);
        let ending = host.run(&machine("Ask", states), input.clone()).await;
        if let Some(value) = expected {
            assert_eq!(host.invoked.borrow()[0].2["v"], value, "{expression}");
            continue;
        }
        assert!(
            matches!(&ending, Ending::Failed(failure) if failure.error == "States.QueryEvaluationError")
        );
        let event = "evaluation failed Ask Arguments/Payload/v States.QueryEvaluationError";
        assert_eq!(host.events.borrow()[1], event, "{expression}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_takes_only_values_of_its_type() {
    let choice = |condition: &str| {
        let rules = [json!({"Condition": condition, "Next": "Done"})];
        json!({"Type": "Choice", "Choices": rules, "Default": "Done"})
    };
    let wait = |seconds| json!({"Type": "Wait", "Seconds": seconds, "Next": "Done"});
    let until = |timestamp: &str| json!({"Type": "Wait", "Timestamp": timestamp, "Next": "Done"});
    let fail = |cause: &str| json!({"Type": "Fail", "Error": "E", "Cause": cause});
    let cases = [
        (
            choice("{% 1 %}"),
            "evaluation failed S Choices[0]/Condition States.QueryEvaluationError",
        ),
        (
            choice("{% $states.input.x %}"),
            "evaluation failed S Choices[0]/Condition States.QueryEvaluationError",
        ),
        (
            wait(json!(-1)),
            "evaluation failed S Seconds States.QueryEvaluationError",
        ),
        (
            wait(json!("{% 0.5 %}")),
            "evaluation failed S Seconds States.QueryEvaluationError",
        ),
        (
            wait(json!("{% 100000000 %}")),
            "evaluation failed S Seconds States.QueryEvaluationError",
        ),
        (
            until("tomorrow"),
            "evaluation failed S Timestamp States.QueryEvaluationError",
        ),
        (
            until("{% 7 %}"),
            "evaluation failed S Timestamp States.QueryEvaluationError",
        ),
        (
            wait(json!("{% '1' %}")),
            "evaluation failed S Seconds States.QueryEvaluationError",
        ),
        (
            fail("{% 1 %}"),
            "evaluation failed S Cause States.QueryEvaluationError",
        ),
        (choice("{% $states.input = {} %}"), "exited S > {} {}"),
        (wait(json!("{% 1.0 %}")), "exited S > {} {}"),
        (fail("{% 'a' & 'b' %}"), "execution failed E"),
    ];
    for (state, expected) in cases {
        let host = Scripted::new([]);
        host.run(&machine("S", json!({"S": state})), json!({}))
            .await;
        assert_eq!(host.events.borrow()[1], expected, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fail_state_says_why() {
    let states = json!({
        "Ask": task(json!({"Assign": {"why": "{% $states.result.Payload %}"}, "Next": "No"})),
        "No": {"Type": "Fail", "Error": "{% $why.late ? 'Late' : 'Never' %}", "Cause": "{% $string($why.reason) %}"},
    });
    for (answer, ending) in [
        (
            json!({"late": true, "reason": "slow"}),
            failed("Late", "slow"),
        ),
        (json!({"late": false, "reason": 5}), failed("Never", "5")),
    ] {
        let host = Scripted::new([Does::Answers(answer)]);
        assert_eq!(
            host.run(&machine("Ask", states.clone()), json!({})).await,
            ending
        );
        let events = host.events.borrow();
        assert_eq!(
            events.len(),
            7,
            "a Fail state is entered and never left: {events:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_has_only_so_much_time() {
    let everything = json!([{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]);
    let hangs = json!({"Ask": task(json!({"TimeoutSeconds": 2000, "Catch": everything}))});
    let waits = json!({"Ask": {"Type": "Wait", "Seconds": 2000, "Next": "Done"}});
    for states in [hangs, waits] {
        let host = Scripted::new([Does::Hangs]);
        assert_eq!(
            host.run(&machine("Ask", states), json!({})).await,
            Ending::TimedOut
        );
        assert!((host.seconds() - 1000.0).abs() < f64::EPSILON);
        assert_eq!(host.events.borrow().last().unwrap(), "execution timed out");
    }
}

/// The state machine's time is counted anew, the input and the variables are those the state had.
#[tokio::test(start_paused = true)]
async fn a_redrive_begins_where_a_state_was_entered() {
    let states = json!({
        "First": task(json!({"Assign": {"a": "{% $states.result.Payload.a %}"}, "Next": "Second"})),
        "Second": task(json!({
            "Arguments": {"FunctionName": "f", "Payload": ["{% $states.input.a %}", "{% $a %}"]},
            "TimeoutSeconds": 900,
        })),
    });
    let machine = machine("First", states);
    let host = Scripted::new([Does::Answers(json!({"a": 1})), Does::Hangs, Does::Hangs]);
    let timed_out = failed("States.Timeout", "");
    assert_eq!(host.run(&machine, json!({})).await, timed_out);
    let position = host.positions.borrow().last().unwrap().clone();
    assert_eq!(position.state, "Second");
    assert_eq!(machine.run(position.clone(), &host).await, timed_out);
    assert_eq!(
        machine.run(position, &host).await,
        Ending::Succeeded { output: json!({}) }
    );
    let payloads: Vec<_> = host
        .invoked
        .borrow()
        .iter()
        .map(|(_, _, payload)| payload.clone())
        .collect();
    assert_eq!(payloads[1..], [json!([1, 1]), json!([1, 1]), json!([1, 1])]);
}

#[tokio::test(start_paused = true)]
async fn more_than_256_kib_is_too_much() {
    let large = "x".repeat(262_144);
    let all = json!([{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]);
    let named = json!([{"ErrorEquals": ["States.DataLimitExceeded"], "Next": "Caught"}]);
    let half = "x".repeat(140_000);
    let cases = [
        ("a result", task(json!({"Catch": all})), json!(large), false),
        (
            "a result that is named",
            task(json!({"Catch": named})),
            json!(large),
            true,
        ),
        (
            "arguments",
            task(json!({"Arguments": {"FunctionName": "f", "Payload": large}, "Catch": all})),
            json!(1),
            false,
        ),
        (
            "an output",
            task(
                json!({"Output": ["{% $states.result.Payload %}", "{% $states.result.Payload %}"], "Catch": all}),
            ),
            json!(half),
            false,
        ),
        (
            "variables",
            task(json!({"Assign": {"a": half, "b": half}, "Catch": all})),
            json!(1),
            false,
        ),
        (
            "not enough",
            task(json!({"Assign": {"a": half}})),
            json!("x".repeat(262_142)),
            true,
        ),
    ];
    for (what, state, answer, goes_on) in cases {
        let host = Scripted::new([Does::Answers(answer)]);
        let ending = host
            .run(&machine("Ask", json!({"Ask": state})), json!({}))
            .await;
        match ending {
            Ending::Succeeded { .. } => assert!(goes_on, "{what}"),
            Ending::Failed(failure) => {
                assert!(!goes_on, "{what}");
                assert_eq!(failure.error, "States.DataLimitExceeded", "{what}");
            }
            Ending::TimedOut => panic!("{what}"),
        }
    }
}
