//! An execution's history, as far as a report needs it:
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>.

use jiff::Timestamp;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts from 1.
    pub id: i64,
    pub at: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Entered {
        state: String,
        /// Whether it is a Choice, which takes no time.
        is_choice: bool,
    },
    Exited {
        state: String,
        /// `Null` if it is left out or no JSON.
        output: Value,
    },
    /// A function failed, or did not answer in time.
    Failed { error: String, cause: String },
    /// A function answered.
    Answered,
    /// The execution has ended.
    Ended,
    /// It goes on from where it had ended.
    Redriven,
    /// Whatever else there is.
    Other,
}

impl What {
    /// Of an event's type, with the details that it has: the state's name, its output, and an error with its cause.
    pub fn of(kind: &str, details: Details<'_>) -> Self {
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match kind {
            "ExecutionSucceeded" | "ExecutionFailed" | "ExecutionAborted" | "ExecutionTimedOut" => {
                Self::Ended
            }
            "ExecutionRedriven" => Self::Redriven,
            "TaskSucceeded" | "LambdaFunctionSucceeded" => Self::Answered,
            "TaskFailed"
            | "TaskTimedOut"
            | "TaskStartFailed"
            | "TaskSubmitFailed"
            | "LambdaFunctionFailed"
            | "LambdaFunctionTimedOut"
            | "EvaluationFailed" => Self::Failed {
                error: owned(details.error),
                cause: owned(details.cause),
            },
            _ if kind.ends_with("StateEntered") => Self::Entered {
                state: owned(details.state),
                is_choice: kind == "ChoiceStateEntered",
            },
            _ if kind.ends_with("StateExited") => Self::Exited {
                state: owned(details.state),
                output: details
                    .output
                    .and_then(|output| serde_json::from_str(output).ok())
                    .unwrap_or_default(),
            },
            _ => Self::Other,
        }
    }
}

/// What an event may say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    pub state: Option<&'a str>,
    pub output: Option<&'a str>,
    pub error: Option<&'a str>,
    pub cause: Option<&'a str>,
}
