//! A history, run once more: the interpreter is given what the tasks of an execution answered, and must come to each
//! event that its history tells.
//!
//! The history is that of Step Functions (`aws stepfunctions get-execution-history`), or of ministack 1.5.33. Where the
//! latter is known to tell another thing than AWS does, or less, that is said where it is let pass. Sources: ministack's
//! `services/stepfunctions.py`; for AWS, the histories in <https://docs.aws.amazon.com/step-functions/latest/apireference/>
//! and those that were recorded from it in `localstack/localstack`, `tests/aws/services/stepfunctions/v2`.

mod told;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::{Event, Execution, Failure, Host, Machine, Variables};
use told::{Told, What};

/// Where the interpreter does not do what the history tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Difference {
    /// The event's `id`; events are counted from 1.
    pub event: u64,
    /// What the history tells.
    pub told: String,
    /// What the interpreter did.
    pub came: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "event {} is {}, but the interpreter came to {}",
            self.event, self.told, self.came
        )
    }
}

/// Runs an execution again by its history: all events of all pages, oldest first, as JSON.
///
/// The execution must have ended; where it was stopped, its history is followed up to there.
///
/// # Errors
///
/// The first event that is not as told, or that cannot be read.
pub fn replay(
    machine: &Machine,
    execution: Execution,
    input: Value,
    history: &[Value],
) -> Result<(), Difference> {
    let told = told::read(history, &input)?;
    let host = Replay {
        started: execution.start_time,
        limit: machine.timeout_seconds().map(Duration::from_secs),
        told,
        waits: Cell::new(false),
        next: Cell::new(0),
        difference: RefCell::default(),
    };
    {
        // Whatever it waits for is there at once, or never comes: the first time that it waits, it is through.
        let run = pin!(machine.run(machine.start(execution, input), &host));
        let mut context = Context::from_waker(Waker::noop());
        let _ = run.poll(&mut context);
    }
    if let Some(next) = host
        .next()
        .filter(|next| !matches!(next.what, What::ExecutionAborted))
    {
        host.differs(next, "its end".to_owned());
    }
    host.difference.into_inner().map_or(Ok(()), Err)
}

/// Surroundings that know how it went.
struct Replay {
    started: Timestamp,
    /// The state machine's time.
    limit: Option<Duration>,
    told: Vec<Told>,
    /// Whether the task waits for its token: then what its history tells is what came with that.
    waits: Cell<bool>,
    /// The event that comes next.
    next: Cell<usize>,
    /// The first; after it nothing is compared any more.
    difference: RefCell<Option<Difference>>,
}

impl Replay {
    fn next(&self) -> Option<&Told> {
        match *self.difference.borrow() {
            Some(_) => None,
            None => self.told.get(self.next.get()),
        }
    }

    fn differs(&self, told: &Told, came: String) {
        let difference = Difference {
            event: told.event,
            told: told.what.to_string(),
            came,
        };
        self.difference.borrow_mut().get_or_insert(difference);
    }
}

/// Whether an event is the one that is told, as far as it is told.
fn is_told(event: &Event, told: &What) -> bool {
    match (event, told) {
        (
            Event::StateEntered { position, kind },
            What::StateEntered {
                kind: told_kind,
                name,
                input,
            },
        ) => kind == told_kind && position.state == *name && same(&position.input, input),
        // ministack does not tell a task's parameters.
        (
            Event::TaskScheduled { function, payload },
            What::TaskScheduled {
                function: told_function,
                payload: told,
            },
        ) => {
            told_function.as_ref().is_none_or(|told| told == function)
                && told.as_ref().is_none_or(|told| same(payload, told))
        }
        // The failure and the success are what was answered in `invoke`.
        (Event::TaskSucceeded { .. }, What::TaskSucceeded { .. })
        | (Event::TaskFailed { .. }, What::TaskFailed { .. })
        | (Event::TaskTimedOut { .. }, What::TaskTimedOut)
        | (Event::ExecutionTimedOut, What::ExecutionTimedOut) => true,
        // ministack calls it a task that failed, and has other words for the cause.
        (
            Event::EvaluationFailed { failure, .. },
            What::TaskFailed(told) | What::EvaluationFailed(told),
        ) => failure.error == told.error,
        (
            Event::StateExited {
                name,
                kind,
                output,
                assigned,
            },
            What::StateExited {
                kind: told_kind,
                name: told_name,
                output: told_output,
                assigned: told_assigned,
            },
        ) => {
            // ministack does not tell what is assigned.
            kind == told_kind
                && name == told_name
                && same(output, told_output)
                && told_assigned
                    .as_ref()
                    .is_none_or(|told| same_variables(assigned, told))
        }
        (Event::ExecutionSucceeded { output }, What::ExecutionSucceeded { output: told }) => {
            same(output, told)
        }
        (Event::ExecutionFailed { failure }, What::ExecutionFailed(told)) => *failure == told,
        _ => false,
    }
}

impl Host for Replay {
    fn now(&self) -> Timestamp {
        self.next().map_or(self.started, |told| told.time)
    }

    /// Time passes at once, but where it is told that it was not waited for.
    fn sleep(&self, how_long: Duration) -> impl Future<Output = ()> {
        std::future::poll_fn(move |_| match self.next().map(|told| &told.what) {
            None | Some(What::ExecutionAborted) => Poll::Pending,
            Some(What::ExecutionTimedOut) if self.limit != Some(how_long) => Poll::Pending,
            Some(_) => Poll::Ready(()),
        })
    }

    fn jitter(&self, most: Duration) -> Duration {
        most
    }

    async fn invoke(
        &self,
        _state: &str,
        _function: &str,
        _payload: Value,
    ) -> Result<Value, Failure> {
        match self.next().map(|told| &told.what) {
            _ if self.waits.take() => pending().await,
            Some(What::TaskSucceeded { output }) => Ok(output["Payload"].clone()),
            Some(What::TaskFailed(failure)) => Err(failure.clone()),
            _ => pending().await,
        }
    }

    /// Where AWS tells the task's parameters, it stands where this repository's workflows put it.
    fn token(&self) -> String {
        self.waits.set(true);
        let told = match self.next().map(|told| &told.what) {
            Some(What::TaskScheduled { payload, .. }) => payload.as_ref(),
            _ => None,
        };
        let token = told.and_then(|payload| payload.pointer("/approval/taskToken")?.as_str());
        token.unwrap_or_default().to_owned()
    }

    async fn answer(&self, _token: &str) -> Result<Value, Failure> {
        match self.next().map(|told| &told.what) {
            Some(What::TaskSucceeded { output }) => Ok(output.clone()),
            Some(What::TaskFailed(failure)) => Err(failure.clone()),
            _ => pending().await,
        }
    }

    fn record(&self, event: Event<'_>) {
        if let Event::TaskStarted | Event::TaskSubmitted { .. } = event {
            return;
        }
        match self.next() {
            // It is stopped at any time, and what it then is about to do is nowhere told.
            Some(Told {
                what: What::ExecutionAborted,
                ..
            }) => {}
            Some(told) if is_told(&event, &told.what) => self.next.set(self.next.get() + 1),
            Some(told) => self.differs(told, What::of(&event).to_string()),
            None => {
                if let Some(last) = self.told.last() {
                    self.differs(last, format!("{} after it", What::of(&event)));
                }
            }
        }
    }
}

/// JSON has one kind of number; the texts of histories have two.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

fn same_variables(one: &Variables, other: &Variables) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
}

fn text(variables: &Variables) -> String {
    let variables: BTreeMap<&String, &Value> = variables
        .iter()
        .map(|(name, value)| (name, &**value))
        .collect();
    serde_json::to_string(&variables).unwrap_or_default()
}
