//! What a history tells, read from its JSON.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Difference;
use crate::asl::{Event, Failure, Kind, Variables};

/// An event of a history.
pub(super) struct Told {
    pub(super) event: u64,
    pub(super) time: Timestamp,
    pub(super) what: What,
}

pub(super) enum What {
    StateEntered {
        kind: Kind,
        name: String,
        input: Value,
    },
    /// `None` where it is not told.
    TaskScheduled {
        function: Option<String>,
        payload: Option<Value>,
    },
    TaskStarted,
    TaskSubmitted,
    TaskSucceeded {
        output: Value,
    },
    TaskFailed(Failure),
    TaskTimedOut,
    EvaluationFailed(Failure),
    /// `assigned` is `None` where it is not told.
    StateExited {
        kind: Kind,
        name: String,
        output: Value,
        assigned: Option<Variables>,
    },
    ExecutionSucceeded {
        output: Value,
    },
    ExecutionFailed(Failure),
    ExecutionTimedOut,
    ExecutionAborted,
}

/// Reads all but what is the same in every history: `ExecutionStarted` (of which the input is compared) and
/// `TaskStarted` and `TaskSubmitted`, which ministack does not write.
pub(super) fn read(history: &[Value], input: &Value) -> Result<Vec<Told>, Difference> {
    let mut told = Vec::new();
    for (index, event) in history.iter().enumerate() {
        let number = event["id"].as_u64().unwrap_or(index as u64 + 1);
        let unreadable = |came: &str| Difference {
            event: number,
            told: event.to_string(),
            came: came.to_owned(),
        };
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ExecutionStarted" {
            let started = json(&event["executionStartedEventDetails"]["input"]);
            if started.is_some_and(|started| !super::same(&started, input)) {
                return Err(unreadable(&format!("the input {input}")));
            }
        }
        if ["ExecutionStarted", "TaskStarted", "TaskSubmitted"].contains(&kind) {
            continue;
        }
        let time =
            time(&event["timestamp"]).ok_or_else(|| unreadable("a time that it cannot read"))?;
        let what =
            What::read(kind, event).ok_or_else(|| unreadable("an event that it cannot read"))?;
        let aborted = matches!(what, What::ExecutionAborted);
        told.push(Told {
            event: number,
            time,
            what,
        });
        if aborted {
            // ministack lets the state that an execution is stopped in come to its end, and writes that, too.
            break;
        }
    }
    Ok(told)
}

impl What {
    fn read(name: &str, event: &Value) -> Option<What> {
        if let Some(kind) = name.strip_suffix("StateEntered") {
            let details = &event["stateEnteredEventDetails"];
            return Some(What::StateEntered {
                kind: Kind::named(kind)?,
                name: details["name"].as_str()?.to_owned(),
                input: json(&details["input"])?,
            });
        }
        if let Some(kind) = name.strip_suffix("StateExited") {
            let details = &event["stateExitedEventDetails"];
            return Some(What::StateExited {
                kind: Kind::named(kind)?,
                name: details["name"].as_str()?.to_owned(),
                output: json(&details["output"])?,
                assigned: match &details["assignedVariables"] {
                    Value::Object(assigned) => {
                        let assigned = assigned
                            .iter()
                            .map(|(name, value)| Some((name.clone(), Arc::new(json(value)?))));
                        Some(assigned.collect::<Option<_>>()?)
                    }
                    _ => None,
                },
            });
        }
        Some(match name {
            "TaskScheduled" => {
                let parameters =
                    json(&event["taskScheduledEventDetails"]["parameters"]).unwrap_or_default();
                What::TaskScheduled {
                    function: parameters["FunctionName"].as_str().map(str::to_owned),
                    payload: parameters.get("Payload").cloned(),
                }
            }
            "TaskSucceeded" => What::TaskSucceeded {
                output: json(&event["taskSucceededEventDetails"]["output"])?,
            },
            // ministack has this for a time-out, too, with a cause where AWS has none. What follows of it is as it would
            // be for an error that a function answered.
            "TaskFailed" => What::TaskFailed(failure(&event["taskFailedEventDetails"])),
            "TaskTimedOut" => What::TaskTimedOut,
            "EvaluationFailed" => {
                What::EvaluationFailed(failure(&event["evaluationFailedEventDetails"]))
            }
            "ExecutionSucceeded" => What::ExecutionSucceeded {
                output: json(&event["executionSucceededEventDetails"]["output"])?,
            },
            "ExecutionFailed" => {
                What::ExecutionFailed(failure(&event["executionFailedEventDetails"]))
            }
            "ExecutionTimedOut" => What::ExecutionTimedOut,
            "ExecutionAborted" => What::ExecutionAborted,
            _ => return None,
        })
    }
}

impl What {
    /// What a history would tell of an event.
    pub(super) fn of(event: &Event) -> What {
        match *event {
            Event::StateEntered { position, kind } => What::StateEntered {
                kind,
                name: position.state.clone(),
                input: Value::clone(&position.input),
            },
            Event::TaskScheduled { function, payload } => What::TaskScheduled {
                function: Some(function.to_owned()),
                payload: Some(payload.clone()),
            },
            Event::TaskStarted => What::TaskStarted,
            Event::TaskSubmitted { .. } => What::TaskSubmitted,
            Event::TaskSucceeded { output } => What::TaskSucceeded {
                output: output.clone(),
            },
            Event::TaskFailed { failure } => What::TaskFailed(failure.clone()),
            Event::TaskTimedOut { .. } => What::TaskTimedOut,
            Event::EvaluationFailed { failure, .. } => What::EvaluationFailed(failure.clone()),
            Event::StateExited {
                name,
                kind,
                output,
                assigned,
            } => What::StateExited {
                kind,
                name: name.to_owned(),
                output: output.clone(),
                assigned: Some(assigned.clone()),
            },
            Event::ExecutionSucceeded { output } => What::ExecutionSucceeded {
                output: output.clone(),
            },
            Event::ExecutionFailed { failure } => What::ExecutionFailed(failure.clone()),
            Event::ExecutionTimedOut => What::ExecutionTimedOut,
        }
    }
}

impl Kind {
    fn named(name: &str) -> Option<Kind> {
        [
            Kind::Task,
            Kind::Choice,
            Kind::Wait,
            Kind::Succeed,
            Kind::Fail,
        ]
        .into_iter()
        .find(|kind| format!("{kind:?}") == name)
    }
}

/// What is empty may be left out.
fn failure(details: &Value) -> Failure {
    let text = |name: &str| details[name].as_str().unwrap_or_default().to_owned();
    Failure {
        error: text("error"),
        cause: text("cause"),
    }
}

/// Values are told as their JSON text.
fn json(text: &Value) -> Option<Value> {
    serde_json::from_str(text.as_str()?).ok()
}

/// As the AWS CLI prints it, or in seconds since 1970.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        #[allow(clippy::cast_possible_truncation)] // years from now
        Value::Number(seconds) => {
            Timestamp::from_microsecond((seconds.as_f64()? * 1e6).round() as i64).ok()
        }
        _ => None,
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::StateEntered { kind, name, input } => {
                write!(f, "{kind:?}StateEntered `{name}` with {input}")
            }
            What::TaskScheduled {
                function: Some(function),
                payload: Some(payload),
            } => {
                write!(f, "TaskScheduled of {function} with {payload}")
            }
            What::TaskScheduled { .. } => write!(f, "TaskScheduled"),
            What::TaskStarted => write!(f, "TaskStarted"),
            What::TaskSubmitted => write!(f, "TaskSubmitted"),
            What::TaskSucceeded { output } => write!(f, "TaskSucceeded with {output}"),
            What::TaskFailed(failure) => {
                write!(f, "TaskFailed with {}: {}", failure.error, failure.cause)
            }
            What::TaskTimedOut => write!(f, "TaskTimedOut"),
            What::EvaluationFailed(failure) => write!(f, "EvaluationFailed: {}", failure.cause),
            What::StateExited {
                kind,
                name,
                output,
                assigned,
            } => {
                write!(f, "{kind:?}StateExited `{name}` with {output}")?;
                match assigned {
                    Some(assigned) => write!(f, ", assigned {}", super::text(assigned)),
                    None => Ok(()),
                }
            }
            What::ExecutionSucceeded { output } => write!(f, "ExecutionSucceeded with {output}"),
            What::ExecutionFailed(failure) => {
                write!(
                    f,
                    "ExecutionFailed with {}: {}",
                    failure.error, failure.cause
                )
            }
            What::ExecutionTimedOut => write!(f, "ExecutionTimedOut"),
            What::ExecutionAborted => write!(f, "ExecutionAborted"),
        }
    }
}
