//! An execution, as the Step Functions console shows it.

use std::time::{Duration, Instant};

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use serde_json::Value;

/// Longer than any deploy of these tests takes, in real time.
const PATIENCE: Duration = Duration::from_mins(8);

#[derive(Clone, Debug)]
pub struct Execution {
    pub client: aws_sdk_sfn::Client,
    pub arn: String,
}

impl Execution {
    pub fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap()
    }

    pub async fn status(&self) -> String {
        self.describe().await.status().as_str().to_owned()
    }

    pub async fn input(&self) -> Value {
        serde_json::from_str(self.describe().await.input().unwrap()).unwrap_or_default()
    }

    async fn describe(&self) -> DescribeExecutionOutput {
        let describe = self.client.describe_execution();
        describe.execution_arn(&self.arn).send().await.unwrap()
    }

    /// Waits until it has ended; its status, and the error of a failed one.
    pub async fn end(&self) -> String {
        let began = Instant::now();
        loop {
            let described = self.describe().await;
            match described.status() {
                ExecutionStatus::Running => {}
                ExecutionStatus::Failed => return described.error().unwrap_or_default().to_owned(),
                other => return other.as_str().to_owned(),
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} has not ended; it went {:?}",
                self.name(),
                self.path().await
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The states that it entered, in order.
    pub async fn path(&self) -> Vec<String> {
        self.history().await.iter().filter_map(entered).collect()
    }

    async fn history(&self) -> Vec<HistoryEvent> {
        let history = self.client.get_execution_history();
        let pages = history.execution_arn(&self.arn).into_paginator();
        let events: Result<_, _> = pages.items().send().collect().await;
        events.unwrap()
    }

    /// Waits until it enters a state.
    pub async fn reaches(&self, state: &str) {
        let began = Instant::now();
        while !self.path().await.iter().any(|name| name == state) {
            let path = self.path().await;
            assert!(
                self.status().await == "RUNNING" || path.iter().any(|name| name == state),
                "{} ended without {state}: {path:?}",
                self.name()
            );
            assert!(
                began.elapsed() < PATIENCE,
                "{} has not come to {state}: {path:?}",
                self.name()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an invocation of this state's function has failed.
    pub async fn fails_at(&self, state: &str) {
        let began = Instant::now();
        loop {
            let mut at = String::new();
            for event in self.history().await {
                at = entered(&event).unwrap_or(at);
                let failed = event.task_failed_event_details().is_some()
                    || event.lambda_function_failed_event_details().is_some();
                if failed && at == state {
                    return;
                }
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{} has not failed at {state}, but is at {at}",
                self.name()
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    pub async fn stop(&self) {
        self.client
            .stop_execution()
            .execution_arn(&self.arn)
            .cause("a person stopped it")
            .send()
            .await
            .unwrap();
    }
}

fn entered(event: &HistoryEvent) -> Option<String> {
    Some(event.state_entered_event_details()?.name().to_owned())
}
