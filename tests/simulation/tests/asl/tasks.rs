//! What becomes of a task that fails: Retry, then Catch.

use exuvia_simulation::asl::{Ending, Failure};
use serde_json::{Value, json};

use crate::host::{Does, Scripted, machine, task};

use Does::{Answers, Fails, Hangs};

/// Seconds at which a task is invoked, and the state after it or the error of the execution.
async fn run(fields: Value, script: impl IntoIterator<Item = Does>) -> (Vec<f64>, String) {
    let host = Scripted::new(script);
    let ending = host
        .run(&machine("Ask", json!({"Ask": task(fields)})), json!({}))
        .await;
    let times = host
        .invoked
        .borrow()
        .iter()
        .map(|(time, _, _)| *time)
        .collect();
    let next = match ending {
        Ending::Failed(failure) => failure.error,
        _ => host.positions.borrow()[1].state.clone(),
    };
    (times, next)
}

#[tokio::test(start_paused = true)]
async fn what_a_retrier_says_of_time() {
    let cases = [
        (json!({}), vec![0.0, 1.0, 3.0, 7.0], "E"),
        (
            json!({"IntervalSeconds": 2, "BackoffRate": 1.5, "MaxAttempts": 2}),
            vec![0.0, 2.0, 5.0],
            "E",
        ),
        (json!({"MaxAttempts": 0}), vec![0.0], "E"),
        (
            json!({"MaxAttempts": 5, "MaxDelaySeconds": 3}),
            vec![0.0, 1.0, 3.0, 6.0, 9.0, 12.0],
            "Done",
        ),
        (
            json!({"JitterStrategy": "FULL"}),
            vec![0.0, 0.5, 1.5, 3.5],
            "E",
        ),
    ];
    for (mut retrier, times, next) in cases {
        retrier["ErrorEquals"] = json!(["E"]);
        let script = std::iter::repeat_n(Fails("E"), 5);
        assert_eq!(
            run(json!({"Retry": [retrier]}), script).await,
            (times, next.to_owned()),
            "{retrier}"
        );
    }
}

/// Each retrier counts its own attempts; the first that takes an error decides; catchers come after.
#[tokio::test(start_paused = true)]
async fn which_retrier_and_which_catcher() {
    let retry = json!([
        {"ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 1},
        {"ErrorEquals": ["B"], "IntervalSeconds": 10, "MaxAttempts": 1},
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "MaxAttempts": 1},
    ]);
    let catch = json!([
        {"ErrorEquals": ["B"], "Next": "Done"},
        {"ErrorEquals": ["States.ALL"], "Next": "Caught"},
    ]);
    let cases = [
        (vec![Fails("A"), Fails("B")], vec![0.0, 1.0, 11.0], "Done"),
        (vec![Fails("A"), Fails("A")], vec![0.0, 1.0], "Caught"),
        (
            vec![Fails("B"), Fails("A"), Fails("B")],
            vec![0.0, 10.0, 11.0],
            "Done",
        ),
        (vec![Fails("C"), Fails("D")], vec![0.0, 100.0], "Caught"),
        (vec![Fails("States.Runtime")], vec![0.0], "States.Runtime"),
        (
            vec![Fails("States.DataLimitExceeded")],
            vec![0.0],
            "States.DataLimitExceeded",
        ),
    ];
    for (script, times, next) in cases {
        let what = format!("{script:?}");
        assert_eq!(
            run(json!({"Retry": retry, "Catch": catch}), script).await,
            (times, next.to_owned()),
            "{what}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_wildcards_take() {
    let cases = [
        ("States.ALL", "E", true),
        ("States.ALL", "States.Timeout", true),
        ("States.ALL", "States.QueryEvaluationError", true),
        ("States.ALL", "States.Runtime", false),
        ("States.ALL", "States.DataLimitExceeded", false),
        ("States.TaskFailed", "E", true),
        ("States.TaskFailed", "Lambda.Unknown", true),
        ("States.TaskFailed", "States.Timeout", false),
        ("States.Timeout", "States.HeartbeatTimeout", true),
        ("States.HeartbeatTimeout", "States.Timeout", false),
        ("States.Runtime", "States.Runtime", false),
        ("E", "e", false),
    ];
    for (name, error, taken) in cases {
        let catch = json!([{"ErrorEquals": [name], "Next": "Caught"}]);
        let (_, next) = run(json!({"Catch": catch}), [Fails(error)]).await;
        assert_eq!(next == "Caught", taken, "{name} {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_hangs_times_out() {
    let retry = json!([{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]);
    let fields = json!({"TimeoutSeconds": 20, "Retry": retry});
    assert_eq!(
        run(fields.clone(), [Hangs, Answers(json!({}))]).await,
        (vec![0.0, 21.0], "Done".to_owned())
    );
    assert_eq!(
        run(fields, [Hangs, Hangs]).await,
        (vec![0.0, 21.0], "States.Timeout".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_in_the_history_and_the_context() {
    let fields = json!({
        "Arguments": {"FunctionName": "f", "Payload": "{% $states.context.State.RetryCount %}"},
        "TimeoutSeconds": 5,
        "Retry": [{"ErrorEquals": ["E"]}, {"ErrorEquals": ["States.Timeout"]}],
        "Catch": [{
            "ErrorEquals": ["States.ALL"],
            "Output": ["{% $states.errorOutput %}"],
            "Assign": {"error": "{% $states.errorOutput.Error %}"},
            "Next": "Caught",
        }],
        "Assign": {"own": 1},
    });
    let host = Scripted::new([Fails("E"), Hangs, Fails("F")]);
    host.run(&machine("Ask", json!({"Ask": task(fields)})), json!({}))
        .await;
    assert_eq!(
        host.events.borrow()[..12],
        [
            "Task Ask < {}",
            "scheduled f 0",
            "started",
            "failed E",
            "scheduled f 1",
            "started",
            "timed out States.Timeout",
            "scheduled f 2",
            "started",
            "failed F",
            r#"exited Ask > [{"Cause":"why","Error":"F"}] {"error":"F"}"#,
            r#"Wait Caught < [{"Cause":"why","Error":"F"}]"#,
        ]
    );
}

/// A result that cannot be read as the definition means to is retried and caught as any error.
#[tokio::test(start_paused = true)]
async fn an_evaluation_that_fails_is_an_error_of_the_task() {
    let retry = json!([{"ErrorEquals": ["States.QueryEvaluationError"], "MaxAttempts": 1}]);
    let catch = json!([{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]);
    let host = Scripted::new([Answers(json!({"b": 1})), Answers(json!({"b": 2}))]);
    let fields = json!({"Assign": {"a": {"b": ["{% $states.result.Payload.a %}"]}}, "Retry": retry, "Catch": catch});
    let ending = host
        .run(&machine("Ask", json!({"Ask": task(fields)})), json!({}))
        .await;
    let cause = "The JSONata expression '$states.result.Payload.a' specified for the field 'Assign/a/b[0]' returned \
                 nothing (undefined).";
    let output = json!({"Error": "States.QueryEvaluationError", "Cause": cause});
    assert_eq!(ending, Ending::Succeeded { output });
    let events = host.events.borrow();
    let evaluation = "evaluation failed Ask Assign/a/b[0] States.QueryEvaluationError";
    assert_eq!(events[3..5], [r#"succeeded {"b":1}"#, evaluation]);
    assert_eq!(events[7..9], [r#"succeeded {"b":2}"#, evaluation]);
}

/// What a catcher itself cannot evaluate ends the execution: there is nobody left to catch it.
#[tokio::test(start_paused = true)]
async fn a_catcher_that_fails_is_not_caught() {
    let catch = json!([{
        "ErrorEquals": ["States.ALL"],
        "Assign": {"a": "{% $states.errorOutput.Nothing %}"},
        "Next": "Caught",
    }]);
    let host = Scripted::new([Fails("E")]);
    let ending = host
        .run(
            &machine("Ask", json!({"Ask": task(json!({"Catch": catch}))})),
            json!({}),
        )
        .await;
    let cause = "The JSONata expression '$states.errorOutput.Nothing' specified for the field 'Catch[0]/Assign/a' \
                 returned nothing (undefined).";
    let failure = Failure {
        error: "States.QueryEvaluationError".to_owned(),
        cause: cause.to_owned(),
    };
    assert_eq!(ending, Ending::Failed(failure));
}

/// What a task that waits for its token comes to, when, and with which token.
async fn waits(
    fields: Value,
    script: Vec<Does>,
    answers: Vec<(u64, Does)>,
) -> (f64, String, Vec<Value>) {
    let mut task = task(fields);
    task["Resource"] = json!("arn:aws:states:::lambda:invoke.waitForTaskToken");
    task["Arguments"]["Payload"] = json!({"token": "{% $states.context.Task.Token %}"});
    task["Output"] = json!("{% $states.result %}");
    task["TimeoutSeconds"] = json!("{% 30 * 2 %}");
    let host = Scripted::new(script);
    *host.answers.borrow_mut() = answers.into();
    let machine = machine("Ask", json!({"Ask": task}));
    let ending = host.run(&machine, json!({})).await;
    let came = match ending {
        Ending::Failed(failure) => failure.error,
        Ending::Succeeded { output } => output.to_string(),
        Ending::TimedOut => "the execution's time".to_owned(),
    };
    let invoked = host.invoked.borrow();
    let tokens = invoked.iter().map(|(.., payload)| payload["token"].clone());
    (host.seconds(), came, tokens.collect())
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_token_goes_on_by_that() {
    let retry = json!({"Retry": [{"ErrorEquals": ["E"], "IntervalSeconds": 5, "MaxAttempts": 1}]});
    let said = json!({"by": "me"});
    let cases = [
        // What the function says does not count.
        (
            json!({}),
            vec![Answers(json!(1))],
            vec![(20, Answers(said.clone()))],
            (20.0, said.to_string(), 1),
        ),
        (
            json!({}),
            vec![],
            vec![(20, Fails("Refused"))],
            (20.0, "Refused".to_owned(), 1),
        ),
        // The answer may be there before the function is done.
        (
            json!({}),
            vec![Hangs],
            vec![(20, Answers(said.clone()))],
            (20.0, said.to_string(), 1),
        ),
        (
            json!({}),
            vec![],
            vec![],
            (60.0, "States.Timeout".to_owned(), 1),
        ),
        // Nobody was asked; another try has another token, and all the time again.
        (
            json!({}),
            vec![Fails("E")],
            vec![],
            (0.0, "E".to_owned(), 1),
        ),
        (
            retry,
            vec![Fails("E")],
            vec![(50, Answers(said.clone()))],
            (55.0, said.to_string(), 2),
        ),
    ];
    for (fields, script, answers, (seconds, came, tries)) in cases {
        let what = format!("{script:?} {answers:?}");
        let tokens: Vec<Value> = (1..=tries).map(|n| json!(format!("token-{n}"))).collect();
        assert_eq!(
            waits(fields, script, answers).await,
            (seconds, came, tokens),
            "{what}"
        );
    }
}
