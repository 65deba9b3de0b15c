//! Tasks that wait for their token, and the people who read of it in a notice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exuvia_core::approval::REFUSED;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::asl::Failure;
use crate::calls::response;
use crate::scenario::between;
use crate::services::Response;
use crate::world::{Deed, State, World};

/// What a task that waits is told.
pub type Answer = Result<Value, Failure>;

/// Tasks by their tokens, those that are over as well.
#[derive(Debug, Default)]
pub struct Tasks(BTreeMap<String, Task>);

#[derive(Debug)]
struct Task {
    /// The index of its execution.
    execution: usize,
    /// Closed when the task is over, however it ended.
    waits: Option<oneshot::Sender<Answer>>,
}

impl Tasks {
    /// A new token of an execution: about as long as one of AWS's.
    pub fn issue(&mut self, execution: usize) -> String {
        let token = format!("AQCEAAAAKgAAAAMAAAAA{:0>640}", self.0.len() + 1);
        let task = Task {
            execution,
            waits: None,
        };
        self.0.insert(token.clone(), task);
        token
    }

    /// From now on its task waits.
    pub fn wait(&mut self, token: &str) -> Option<oneshot::Receiver<Answer>> {
        let (waits, answered) = oneshot::channel();
        self.0.get_mut(token)?.waits = Some(waits);
        Some(answered)
    }

    /// Whether a task waited for that; the index of its execution.
    fn answer(&mut self, token: &str, answer: Answer) -> Option<usize> {
        let task = self.0.get_mut(token)?;
        let waits = task.waits.take()?;
        waits.send(answer).ok().map(|()| task.execution)
    }
}

/// What a person does about each notice that asks for approval, so long after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit {
    pub approves: bool,
    pub after: Duration,
}

impl State {
    /// `SendTaskSuccess` and `SendTaskFailure`:
    /// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskFailure.html>.
    pub(crate) fn send_task(&mut self, operation: &str, body: &Value) -> Response {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let approves = operation == "SendTaskSuccess";
        let answer = if approves {
            Ok(serde_json::from_str(text("output")).unwrap_or_default())
        } else {
            Err(Failure {
                error: text("error").to_owned(),
                cause: text("cause").to_owned(),
            })
        };
        let kind = "application/x-amz-json-1.0";
        let Some(index) = self.tasks.answer(text("taskToken"), answer) else {
            let message = "Task Timed Out: 'Provided task does not exist anymore'";
            let body = json!({ "__type": "TaskTimedOut", "message": message });
            return response(400, kind, body.to_string());
        };
        self.estate.executions[index].approved |= approves;
        response(200, kind, "{}")
    }

    /// A person reads what was published.
    pub(crate) fn read_notice(&mut self, message: &str) {
        let (Some(habit), Ok(message)) = (self.habit, serde_json::from_str::<Value>(message))
        else {
            return;
        };
        // As the commands have it that are to be copied.
        let step = usize::from(!habit.approves);
        let command = message["content"]["nextSteps"][step].as_str();
        let token = between(command.unwrap_or_default(), " --task-token '", "'");
        if !token.is_empty() {
            let token = token.to_owned();
            self.deeds.push(Deed::Answer(token, habit));
        }
    }
}

/// Answers, after a while.
pub async fn answer(world: Arc<World>, token: String, habit: Habit) {
    world.state().under_way += 1;
    tokio::time::sleep(habit.after).await;
    let (operation, body) = if habit.approves {
        (
            "SendTaskSuccess",
            json!({ "taskToken": token, "output": "{}" }),
        )
    } else {
        (
            "SendTaskFailure",
            json!({ "taskToken": token, "error": REFUSED }),
        )
    };
    let elapsed = world.elapsed();
    let mut state = world.state();
    let status = state.send_task(operation, &body).status();
    state.tell(elapsed, || format!("** {operation}: {}", status.as_u16()));
    state.under_way -= 1;
    drop(state);
    world.changed.notify_one();
}
