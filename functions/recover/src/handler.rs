//! Puts things in order after an execution that was stopped, timed out or failed where it should not: starts the
//! same state machine on its way back.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::build::request::{BuildRequest, What};
use exuvia_core::error::{ENDINGS, ROLL_BACK_FAILED, StepError, TERMINATE_FAILED};
use exuvia_core::request::{Request, Source, recovery_name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub struct Handler {
    workflow: Workflow,
    state_machine: String,
    build_state_machine: String,
}

/// The part of the event's detail that matters:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    execution_arn: String,
    state_machine_arn: String,
    /// Milliseconds since 1970; absent while it runs.
    stop_date: Option<Value>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The execution that was started to clean up, if one is due.
    recovery: Option<String>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            workflow: Workflow::new(config),
            state_machine: settings.get("STATE_MACHINE_ARN")?,
            build_state_machine: settings.get("BUILD_STATE_MACHINE_ARN")?,
        })
    }

    pub async fn handle(&self, event: EventBridgeEvent<StatusChange>) -> Result<Output, StepError> {
        let StatusChange {
            execution_arn,
            state_machine_arn,
            stop_date,
        } = event.detail;
        let nothing = Output { recovery: None };
        // The event says that it has ended. What describes it may be behind; then the event is tried again.
        let lags = |problem: &str| StepError::AwsUnavailable {
            action: format!("DescribeExecution {execution_arn}"),
            problem: format!("it has ended, and {problem}"),
        };
        let Some(described) = self.workflow.describe(&execution_arn).await? else {
            return Err(lags("is not known yet"));
        };
        let ended = stop_date.as_ref().and_then(Value::as_i64);
        let ended = ended.and_then(|date| Timestamp::from_millisecond(date).ok());
        // What was redriven since goes on by itself.
        if described.is_running() && described.redriven < ended {
            return Err(lags("is still described as running"));
        }
        let ended_itself = described
            .error
            .as_deref()
            .is_some_and(|error| ENDINGS.contains(&error));
        if ended_itself || described.is_running() || described.status == "SUCCEEDED" {
            return Ok(nothing);
        }
        let input = described
            .input
            .and_then(|input| serde_json::from_str(&input).ok());
        let is_build = state_machine_arn == self.build_state_machine;
        let state_machine = if is_build {
            &self.build_state_machine
        } else {
            &self.state_machine
        };
        let of_input = if is_build {
            recovery_of_build
        } else {
            recovery_of_deploy
        };
        // What cannot be read as a request was never let past the first state.
        let Some(due) = input.and_then(|input| of_input(&input, &execution_arn)) else {
            return Ok(nothing);
        };
        // It has been tried once more: now a person has to look at what the notice names.
        let left_undone = if is_build {
            TERMINATE_FAILED
        } else {
            ROLL_BACK_FAILED
        };
        if due.was_recovery && described.error.as_deref() == Some(left_undone) {
            return Ok(nothing);
        }
        let stopped_at = stop_date.map(|date| date.to_string()).unwrap_or_default();
        let name = recovery_name(&execution_arn, &stopped_at);
        self.workflow
            .start(state_machine, &name, &due.input)
            .await?;
        Ok(Output {
            recovery: Some(name),
        })
    }
}

/// What is to be started after an execution that was cut off.
struct Due {
    input: Value,
    /// Whether it was a recovery itself: after one that was cut off comes another for the same execution.
    was_recovery: bool,
}

fn recovery_of_deploy(input: &Value, execution: &str) -> Option<Due> {
    let Request { place, source, .. } = Request::parse(input).ok()?;
    let (execution, was_recovery) = match source {
        Source::Recovery { execution } => (execution, true),
        _ => (execution.to_owned(), false),
    };
    let source = Source::Recovery { execution };
    Some(Due {
        input: Request {
            place,
            source,
            strategy: None,
            approval: None,
            retain_minutes: None,
        }
        .to_input(),
        was_recovery,
    })
}

fn recovery_of_build(input: &Value, execution: &str) -> Option<Due> {
    let BuildRequest { place, what } = BuildRequest::parse(input).ok()?;
    let (execution, was_recovery) = match what {
        What::Recovery { execution } => (execution, true),
        What::Source { .. } => (execution.to_owned(), false),
    };
    let what = What::Recovery { execution };
    Some(Due {
        input: BuildRequest { place, what }.to_input(),
        was_recovery,
    })
}
