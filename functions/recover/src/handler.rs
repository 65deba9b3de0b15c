//! Puts things in order after an execution that was stopped, timed out or failed where it should not: starts the
//! same state machine on its way back.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::{ENDINGS, ROLL_BACK_FAILED, StepError};
use exuvia_core::request::{Request, Source, recovery_name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub struct Handler {
    workflow: Workflow,
    state_machine: String,
}

/// The part of the event's detail that matters:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    execution_arn: String,
    /// Milliseconds since 1970; absent while it runs.
    stop_date: Option<serde_json::Value>,
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
        })
    }

    pub async fn handle(&self, event: EventBridgeEvent<StatusChange>) -> Result<Output, StepError> {
        let StatusChange {
            execution_arn,
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
        let ended = stop_date.as_ref().and_then(serde_json::Value::as_i64);
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
        // What cannot be read as a request was never let past Validate.
        let Some(Request { place, source }) = input.and_then(|input| Request::parse(&input).ok())
        else {
            return Ok(nothing);
        };
        let failed_itself = described.error.as_deref() == Some(ROLL_BACK_FAILED);
        let execution = match source {
            // It has been tried once more: now a person has to look at what the notice names.
            Source::Recovery { .. } if failed_itself => return Ok(nothing),
            // After a recovery that was cut off itself comes another for the same execution.
            Source::Recovery { execution } => execution,
            _ => execution_arn.clone(),
        };
        let request = Request {
            place,
            source: Source::Recovery { execution },
        };
        let stopped_at = stop_date.map(|date| date.to_string()).unwrap_or_default();
        let name = recovery_name(&execution_arn, &stopped_at);
        self.workflow
            .start(&self.state_machine, &name, &request.to_input())
            .await?;
        Ok(Output {
            recovery: Some(name),
        })
    }
}
