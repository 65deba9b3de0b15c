//! What waits for approval, and the people who answer.

use std::time::{Duration, Instant};

use super::App;
use crate::execution::Execution;

impl App {
    /// Waits until somebody is asked for approval of a deploy; the token in each of the two commands that answer.
    pub async fn is_asked(&self, execution: &Execution) -> [String; 2] {
        let began = Instant::now();
        loop {
            let notices = self.notices().await;
            let asks = notices.iter().find(|notice| {
                notice.kind == "waitingForApproval" && notice.id.ends_with(execution.name())
            });
            if let Some(asks) = asks {
                let token = |step: &String| {
                    let (_, rest) = step.split_once("--task-token '").unwrap();
                    rest.split_once('\'').unwrap().0.to_owned()
                };
                let steps: Vec<String> = asks.next_steps.iter().map(token).collect();
                return steps.try_into().unwrap();
            }
            assert!(
                began.elapsed() < Duration::from_mins(3),
                "nobody was asked about {}: {:?}",
                execution.name(),
                execution.path().await
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Approves of a deploy as soon as it asks.
    pub async fn approve(&self, execution: &Execution) {
        let [token, _] = self.is_asked(execution).await;
        let approve = self.sfn.send_task_success().task_token(token);
        approve.output("{}").send().await.unwrap();
    }

    /// Refuses it, with a reason.
    pub async fn refuse(&self, execution: &Execution, why: &str) {
        let [_, token] = self.is_asked(execution).await;
        let refuse = self.sfn.send_task_failure().task_token(token);
        refuse.error("Refused").cause(why).send().await.unwrap();
    }
}
