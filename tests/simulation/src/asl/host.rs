//! What the interpreter and its surroundings say to each other.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// What an execution is called, for `$states.context`.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Its ARN.
    pub id: String,
    pub name: String,
    pub start_time: Timestamp,
    pub role_arn: String,
    /// The state machine's ARN; its name is what follows the last colon.
    pub state_machine_id: String,
}

/// The variables that are assigned, by name without the `$`.
pub type Variables = BTreeMap<String, Arc<Value>>;

/// Where an execution is: about to enter a state. A redrive starts from the one of the state that failed.
///
/// Cloning is cheap: the values are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    pub state: String,
    /// What that state gets as `$states.input`.
    pub input: Arc<Value>,
    pub variables: Arc<Variables>,
    pub execution: Arc<Execution>,
    /// What the execution was started with.
    pub execution_input: Arc<Value>,
}

/// How an execution ended. Aborted it is by dropping the future.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Succeeded { output: Value },
    Failed(Failure),
    TimedOut,
}

/// An error as Step Functions knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What `ErrorEquals` is compared with.
    pub error: String,
    pub cause: String,
}

/// The type of a state, as history events are named for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Task,
    Choice,
    Wait,
    Succeed,
    Fail,
}

/// What happened. Each is one event of the execution's history, in its order, but for those that are not the
/// interpreter's: `ExecutionStarted`, `ExecutionRedriven` and `ExecutionAborted`.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    StateEntered {
        /// What a redrive would start from, should this state fail.
        position: &'a Position,
        kind: Kind,
    },
    TaskScheduled {
        function: &'a str,
        payload: &'a Value,
    },
    TaskStarted,
    /// The function has answered, and the task waits for its token; `output` as of `TaskSucceeded`.
    TaskSubmitted {
        output: &'a Value,
    },
    /// `output` is the whole result, the function's answer its `Payload`; or what came with the task's token.
    TaskSucceeded {
        output: &'a Value,
    },
    TaskFailed {
        failure: &'a Failure,
    },
    TaskTimedOut {
        failure: &'a Failure,
    },
    EvaluationFailed {
        state: &'a str,
        failure: &'a Failure,
        /// The field of the state whose expression it was, as in `Arguments/Payload/app`.
        location: &'a str,
    },
    StateExited {
        name: &'a str,
        kind: Kind,
        output: &'a Value,
        /// What this state assigned.
        assigned: &'a Variables,
    },
    ExecutionSucceeded {
        output: &'a Value,
    },
    ExecutionFailed {
        failure: &'a Failure,
    },
    ExecutionTimedOut,
}

/// The interpreter's surroundings. Nothing here needs to be `Send`.
pub trait Host {
    fn now(&self) -> Timestamp;

    /// Ends when `how_long` has passed: a Wait, the time before a retry, or a time limit.
    fn sleep(&self, how_long: Duration) -> impl Future<Output = ()>;

    /// How long it takes to go from state to state.
    fn transition(&self) -> Duration {
        Duration::ZERO
    }

    /// Full jitter: somewhere in `0..=most`.
    fn jitter(&self, most: Duration) -> Duration;

    /// Invokes a function for a task and gives its answer, which becomes the result's `Payload`.
    ///
    /// The future is dropped when the task's or the execution's time is up; whether the function then goes on is for
    /// the host to say.
    fn invoke(
        &self,
        state: &str,
        function: &str,
        payload: Value,
    ) -> impl Future<Output = Result<Value, Failure>>;

    /// The token of a task that waits for it.
    fn token(&self) -> String;

    /// What `SendTaskSuccess` or `SendTaskFailure` says with a token, when it does. Dropping the future is what makes the
    /// token void.
    fn answer(&self, token: &str) -> impl Future<Output = Result<Value, Failure>>;

    fn record(&self, event: Event<'_>);
}
