//! Errors, and which of them a retrier or a catcher takes.

use super::Failure;
use super::template::Evaluation;

pub(super) const TIMEOUT: &str = "States.Timeout";
pub(super) const DATA_LIMIT: &str = "States.DataLimitExceeded";
const RUNTIME: &str = "States.Runtime";
const HEARTBEAT: &str = "States.HeartbeatTimeout";
const QUERY: &str = "States.QueryEvaluationError";

/// Whether an `ErrorEquals` takes an error.
///
/// `States.ALL` does not take what ends an execution whatever its definition says, and nothing takes `States.Runtime`.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html>.
pub(super) fn takes(error_equals: &[String], error: &str) -> bool {
    error != RUNTIME
        && error_equals.iter().any(|name| match name.as_str() {
            "States.ALL" => error != DATA_LIMIT,
            "States.TaskFailed" => error != TIMEOUT,
            TIMEOUT => error == TIMEOUT || error == HEARTBEAT,
            name => name == error,
        })
}

impl Failure {
    pub(super) fn new(error: &str, cause: impl Into<String>) -> Failure {
        Failure {
            error: error.to_owned(),
            cause: cause.into(),
        }
    }

    pub(super) fn evaluation(error: &Evaluation) -> Failure {
        Failure::new(QUERY, error.cause())
    }

    /// Of a state or task whose result, input or output is larger than 256 KiB.
    pub(super) fn too_much(state: &str, what: &str) -> Failure {
        let cause = format!(
            "The state/task '{state}' returned {what} with a size exceeding the maximum number of bytes service limit."
        );
        Failure::new(DATA_LIMIT, cause)
    }
}
