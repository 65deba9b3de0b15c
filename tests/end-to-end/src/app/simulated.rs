//! What the simulation's interpreter of the workflow makes of what happened here.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::operation::describe_state_machine::DescribeStateMachineOutput;
use aws_sdk_sfn::primitives::DateTime;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use exuvia_simulation::asl::replay::replay;
use exuvia_simulation::asl::{Execution, Machine};
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::App;
use crate::setting;

impl App {
    /// Asserts of each execution of this app that has ended: the interpreter, given what the functions answered, goes
    /// the same way.
    pub(super) async fn goes_as_simulated(&self) {
        let deployed = self
            .sfn
            .describe_state_machine()
            .state_machine_arn(setting("EXUVIA_STATE_MACHINE_ARN"))
            .send()
            .await
            .unwrap();
        // What is deployed has its substitutions in it.
        let machine = Machine::parse(deployed.definition(), &[].into()).unwrap();
        let mut compared = 0;
        for arn in self.executions().await {
            let described = self
                .sfn
                .describe_execution()
                .execution_arn(&arn)
                .send()
                .await
                .unwrap();
            if !self.is_of_this_app(&described) || *described.status() == ExecutionStatus::Running {
                continue;
            }
            let input = serde_json::from_str(described.input().unwrap()).unwrap();
            let history = self.history(&arn).await;
            if let Err(difference) =
                replay(&machine, execution(&described, &deployed), input, &history)
            {
                panic!("the interpreter goes another way than {arn}: {difference}");
            }
            compared += 1;
        }
        assert!(compared > 0, "no execution of this app was found");
    }

    /// By its input, of which a refused one may have no more than a part.
    fn is_of_this_app(&self, described: &DescribeExecutionOutput) -> bool {
        let input = described.input().unwrap_or_default();
        let input: Value = serde_json::from_str(input).unwrap_or_default();
        let key = input["artifact"]["key"].as_str().unwrap_or_default();
        input["app"] == self.place.app.as_str() || key.starts_with(&format!("{}/", self.place))
    }

    /// All that is recorded of an execution, payloads and variables as well.
    pub async fn history(&self, arn: &str) -> Vec<Value> {
        let mut events = self
            .sfn
            .get_execution_history()
            .execution_arn(arn)
            .max_results(1000)
            .into_paginator()
            .items()
            .send();
        let mut history = Vec::new();
        while let Some(event) = events.next().await {
            history.push(as_json(&event.unwrap()));
        }
        history
    }
}

fn execution(
    described: &DescribeExecutionOutput,
    deployed: &DescribeStateMachineOutput,
) -> Execution {
    Execution {
        id: described.execution_arn().to_owned(),
        name: described.name().unwrap().to_owned(),
        start_time: time(described.start_date()),
        role_arn: deployed.role_arn().to_owned(),
        state_machine_id: described.state_machine_arn().to_owned(),
    }
}

/// It comes as a fraction of seconds, which is that of milliseconds but for the error of its binary form.
fn time(at: &DateTime) -> Timestamp {
    let nanos = i32::try_from(at.subsec_nanos()).unwrap();
    let time = Timestamp::new(at.secs(), nanos).unwrap();
    time.round(Unit::Millisecond).unwrap()
}

/// As the AWS CLI prints it: of an SDK's types only requests become JSON.
fn as_json(event: &HistoryEvent) -> Value {
    let entered = event.state_entered_event_details();
    let exited = event.state_exited_event_details();
    let task_failed = event.task_failed_event_details();
    let evaluation_failed = event.evaluation_failed_event_details();
    let failed = event.execution_failed_event_details();
    json!({
        "id": event.id(),
        "type": event.r#type().as_str(),
        "timestamp": time(event.timestamp()),
        "executionStartedEventDetails": event.execution_started_event_details().map(|details| json!({
            "input": details.input(),
        })),
        "stateEnteredEventDetails": entered.map(|details| json!({
            "name": details.name(),
            "input": details.input(),
        })),
        "stateExitedEventDetails": exited.map(|details| json!({
            "name": details.name(),
            "output": details.output(),
            "assignedVariables": details.assigned_variables(),
        })),
        "taskScheduledEventDetails": event.task_scheduled_event_details().map(|details| json!({
            "parameters": details.parameters(),
        })),
        "taskSucceededEventDetails": event.task_succeeded_event_details().map(|details| json!({
            "output": details.output(),
        })),
        "taskFailedEventDetails": task_failed.map(|details| json!({
            "error": details.error(),
            "cause": details.cause(),
        })),
        "evaluationFailedEventDetails": evaluation_failed.map(|details| json!({
            "error": details.error(),
            "cause": details.cause(),
        })),
        "executionSucceededEventDetails": event.execution_succeeded_event_details().map(|details| json!({
            "output": details.output(),
        })),
        "executionFailedEventDetails": failed.map(|details| json!({
            "error": details.error(),
            "cause": details.cause(),
        })),
    })
}
