//! Executions of the state machine.

use aws_config::SdkConfig;
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::{
    ExecutionStatus, HistoryEvent, StateEnteredEventDetails, StateExitedEventDetails,
};
use exuvia_core::approval::TaskToken;
use exuvia_core::error::StepError;
use exuvia_core::report::history::{Details, Event, What};
use exuvia_core::request::is_recovery;
use exuvia_core::step::Execution;
use jiff::{Timestamp, Unit};
use serde_json::Value;

use crate::error::{failed, is};
use crate::timestamp;
use crate::{Lazy, lazily};

pub struct Workflow(Lazy<aws_sdk_sfn::Client>);

/// Whether a start was the first of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Now,
    /// An execution of this name was started before: this event was delivered before.
    Before,
}

/// What is known of an execution.
#[derive(Clone, Debug)]
pub struct Described {
    /// Step Functions' word, such as `RUNNING`.
    pub status: String,
    pub started: Option<Timestamp>,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// When it was last redriven, if it ever was.
    pub redriven: Option<Timestamp>,
    pub input: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
}

impl Workflow {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, aws_sdk_sfn::Client::new))
    }

    pub async fn start(
        &self,
        state_machine: &str,
        name: &str,
        input: &Value,
    ) -> Result<Started, StepError> {
        let started = self
            .0
            .start_execution()
            .state_machine_arn(state_machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await;
        match started {
            Ok(_) => Ok(Started::Now),
            Err(error) if is(&error, "ExecutionAlreadyExists") => Ok(Started::Before),
            Err(error) => Err(failed(format!("StartExecution {name}"), error)),
        }
    }

    /// The execution that a recovery is asked for by `asked_by`: it must have ended. A person who names one that has not is
    /// told what is `wrong`; whoever was sent here by the event of its end may have to wait until that is known everywhere.
    /// One that was redriven since goes on by itself, and needs no recovery, whoever asks.
    pub async fn ended(
        &self,
        execution: &str,
        asked_by: &Execution,
        wrong: impl Fn(&str) -> StepError,
    ) -> Result<Described, StepError> {
        let not_over = |problem: &str| {
            if !is_recovery(&asked_by.name) {
                return wrong(problem);
            }
            StepError::AwsUnavailable {
                action: format!("DescribeExecution {execution}"),
                problem: format!("it has ended, but {problem}"),
            }
        };
        let described = self.describe(execution).await?;
        let described = described.ok_or_else(|| not_over("does not exist"))?;
        if described.is_running() && described.redriven.is_some() {
            return Err(wrong("was redriven and goes on by itself"));
        }
        if described.is_running() {
            return Err(not_over("still runs; stop it first"));
        }
        Ok(described)
    }

    /// `None` for an execution that Step Functions no longer knows, as it forgets them after 90 days, or does not know
    /// yet: its answers are eventually consistent.
    pub async fn describe(&self, execution: &str) -> Result<Option<Described>, StepError> {
        let described = self
            .0
            .describe_execution()
            .execution_arn(execution)
            .send()
            .await;
        match described {
            Ok(described) => Ok(Some(Described {
                status: described.status().as_str().to_owned(),
                started: milliseconds(described.start_date()),
                ended: described.stop_date().and_then(timestamp),
                redriven: described.redrive_date().and_then(timestamp),
                input: described.input().map(ToOwned::to_owned),
                error: described.error().map(ToOwned::to_owned),
                cause: described.cause().map(ToOwned::to_owned),
            })),
            Err(error) if is(&error, "ExecutionDoesNotExist") || is(&error, "InvalidArn") => {
                Ok(None)
            }
            Err(error) => Err(failed(format!("DescribeExecution {execution}"), error)),
        }
    }

    /// Ends a Task that waits for its token. One that waits no longer is left alone.
    pub async fn fail_task(
        &self,
        token: &TaskToken,
        error: &str,
        cause: &str,
    ) -> Result<(), StepError> {
        let failed_task = self
            .0
            .send_task_failure()
            .task_token(&token.0)
            .error(error)
            .cause(cause)
            .send()
            .await;
        let is_over = ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"];
        match failed_task {
            Ok(_) => Ok(()),
            Err(error) if is_over.iter().any(|code| is(&error, code)) => Ok(()),
            Err(error) => Err(failed("SendTaskFailure".to_owned(), error)),
        }
    }

    /// All events of an execution, in order.
    pub async fn history(&self, execution: &str) -> Result<Vec<Event>, StepError> {
        let mut pages = self
            .0
            .get_execution_history()
            .execution_arn(execution)
            .include_execution_data(true)
            .max_results(1_000)
            .into_paginator()
            .items()
            .send();
        let mut events = Vec::new();
        while let Some(event) = pages.next().await {
            let event =
                event.map_err(|error| failed(format!("GetExecutionHistory {execution}"), error))?;
            events.extend(read(&event));
        }
        events.sort_by_key(|event| event.id);
        Ok(events)
    }
}

fn read(event: &HistoryEvent) -> Option<Event> {
    let entered = event.state_entered_event_details();
    let exited = event.state_exited_event_details();
    let mut details = Details {
        state: entered
            .map(StateEnteredEventDetails::name)
            .or(exited.map(StateExitedEventDetails::name)),
        output: exited.and_then(|details| details.output()),
        ..Details::default()
    };
    // Each kind of failure has details of its own type.
    macro_rules! failure {
        ($($of:ident),*) => {$(
            if let Some(failure) = event.$of() {
                (details.error, details.cause) = (failure.error(), failure.cause());
            }
        )*};
    }
    failure!(
        task_failed_event_details,
        task_timed_out_event_details,
        task_start_failed_event_details,
        task_submit_failed_event_details,
        lambda_function_failed_event_details,
        lambda_function_timed_out_event_details,
        evaluation_failed_event_details
    );
    Some(Event {
        id: event.id(),
        at: milliseconds(event.timestamp())?,
        what: What::of(event.r#type().as_str(), details),
    })
}

/// Step Functions tells times as a number with a fraction, which is milliseconds and what a float makes of them.
fn milliseconds(date: &DateTime) -> Option<Timestamp> {
    timestamp(date)?.round(Unit::Millisecond).ok()
}

impl Described {
    pub fn is_running(&self) -> bool {
        [
            ExecutionStatus::Running.as_str(),
            ExecutionStatus::PendingRedrive.as_str(),
        ]
        .contains(&self.status.as_str())
    }
}
