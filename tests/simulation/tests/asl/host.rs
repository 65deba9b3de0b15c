//! Surroundings that answer as they are told, in virtual time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::time::Duration;

use exuvia_simulation::asl::{Ending, Event, Execution, Failure, Host, Machine, Position};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What a function does when it is invoked.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Answers(Value),
    Fails(&'static str),
    Hangs,
}

/// Answers in turn; when there are none left, `{}`. To be used in tokio's paused time.
pub(crate) struct Scripted {
    started: Instant,
    script: RefCell<VecDeque<Does>>,
    /// So many seconds after a task began to wait for its token, it comes back with that.
    pub(crate) answers: RefCell<VecDeque<(u64, Does)>>,
    /// Tokens that there were.
    tokens: Cell<u32>,
    /// In the words of this file: what was recorded.
    pub(crate) events: RefCell<Vec<String>>,
    /// Seconds after the start at which a function was invoked, its name and its payload.
    pub(crate) invoked: RefCell<Vec<(f64, String, Value)>>,
    pub(crate) positions: RefCell<Vec<Position>>,
}

impl Scripted {
    pub(crate) fn new(script: impl IntoIterator<Item = Does>) -> Scripted {
        Scripted {
            started: Instant::now(),
            script: RefCell::new(script.into_iter().collect()),
            answers: RefCell::default(),
            tokens: Cell::default(),
            events: RefCell::default(),
            invoked: RefCell::default(),
            positions: RefCell::default(),
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    pub(crate) async fn run(&self, machine: &Machine, input: Value) -> Ending {
        machine.run(machine.start(execution(), input), self).await
    }
}

impl Host for Scripted {
    fn now(&self) -> Timestamp {
        execution().start_time + self.started.elapsed()
    }

    async fn sleep(&self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }

    fn jitter(&self, most: Duration) -> Duration {
        most / 2
    }

    async fn invoke(&self, _state: &str, function: &str, payload: Value) -> Result<Value, Failure> {
        self.invoked
            .borrow_mut()
            .push((self.seconds(), function.to_owned(), payload));
        let does = self.script.borrow_mut().pop_front();
        done(does.unwrap_or(Does::Answers(json!({})))).await
    }

    fn token(&self) -> String {
        self.tokens.set(self.tokens.get() + 1);
        format!("token-{}", self.tokens.get())
    }

    async fn answer(&self, _token: &str) -> Result<Value, Failure> {
        let answer = self.answers.borrow_mut().pop_front();
        let (seconds, does) = answer.unwrap_or((0, Does::Hangs));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        done(does).await
    }

    fn record(&self, event: Event<'_>) {
        if let Event::StateEntered { position, .. } = event {
            self.positions.borrow_mut().push(position.clone());
        }
        let text = match event {
            Event::StateEntered { position, kind } => {
                format!("{kind:?} {} < {}", position.state, sorted(&position.input))
            }
            Event::TaskScheduled { function, payload } => {
                format!("scheduled {function} {}", sorted(payload))
            }
            Event::TaskStarted => "started".to_owned(),
            Event::TaskSubmitted { output } => format!("submitted {}", sorted(&output["Payload"])),
            Event::TaskSucceeded { output } => {
                format!(
                    "succeeded {}",
                    sorted(output.get("Payload").unwrap_or(output))
                )
            }
            Event::TaskFailed { failure } => format!("failed {}", failure.error),
            Event::TaskTimedOut { failure } => format!("timed out {}", failure.error),
            Event::EvaluationFailed {
                state,
                location,
                failure,
            } => {
                format!("evaluation failed {state} {location} {}", failure.error)
            }
            Event::StateExited {
                name,
                output,
                assigned,
                ..
            } => {
                let assigned: BTreeMap<_, _> = assigned
                    .iter()
                    .map(|(name, value)| (name, &**value))
                    .collect();
                format!("exited {name} > {} {}", sorted(output), json!(assigned))
            }
            Event::ExecutionSucceeded { output } => {
                format!("execution succeeded {}", sorted(output))
            }
            Event::ExecutionFailed { failure } => format!("execution failed {}", failure.error),
            Event::ExecutionTimedOut => "execution timed out".to_owned(),
        };
        self.events.borrow_mut().push(text);
    }
}

async fn done(does: Does) -> Result<Value, Failure> {
    match does {
        Does::Answers(answer) => Ok(answer),
        Does::Fails(error) => Err(Failure {
            error: error.to_owned(),
            cause: "why".to_owned(),
        }),
        Does::Hangs => pending().await,
    }
}

/// With its fields in the order of their names, whatever order they are kept in.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields
                .iter()
                .map(|(name, value)| (name, sorted(value)))
                .collect();
            json!(fields)
        }
        other => other.clone(),
    }
}

pub(crate) fn execution() -> Execution {
    Execution {
        id: "arn:aws:states:eu-west-1:111111111111:execution:deploy:one".to_owned(),
        name: "one".to_owned(),
        start_time: "2026-11-21T10:00:00.25Z".parse().unwrap(),
        role_arn: "arn:aws:iam::111111111111:role/deploy".to_owned(),
        state_machine_id: "arn:aws:states:eu-west-1:111111111111:stateMachine:deploy".to_owned(),
    }
}

/// A machine that begins with the first of these states, and has `Done` (Succeed) and `Caught` (a Wait for no time,
/// and `Done`) besides.
pub(crate) fn machine(start_at: &str, states: Value) -> Machine {
    parse(&definition(start_at, states)).unwrap()
}

pub(crate) fn definition(start_at: &str, mut states: Value) -> Value {
    states["Done"] = json!({"Type": "Succeed"});
    states["Caught"] = json!({"Type": "Wait", "Seconds": 0, "Next": "Done"});
    json!({"QueryLanguage": "JSONata", "StartAt": start_at, "TimeoutSeconds": 1000, "States": states})
}

pub(crate) fn parse(definition: &Value) -> Result<Machine, exuvia_simulation::asl::ParseError> {
    Machine::parse(&definition.to_string(), &BTreeMap::new())
}

/// A task with these fields besides those that it must have.
pub(crate) fn task(fields: Value) -> Value {
    let mut task = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": "f", "Payload": {}},
        "Output": "{% $states.result.Payload %}",
        "TimeoutSeconds": 60,
        "Next": "Done",
    });
    if let Value::Object(fields) = fields {
        task.as_object_mut().unwrap().extend(fields);
    }
    task
}
