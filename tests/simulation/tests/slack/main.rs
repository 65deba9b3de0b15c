//! The function `slack` against Slack's stand-in, with its ledger, its parameter and its queue in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conversations;
mod failures;
mod hostile;

use exuvia_simulation::slack::{Process, Stage, bot};
use exuvia_slack_stand_in::{Behaviour, Message, WEBHOOK};
use serde_json::Value;

/// With a bot's token.
async fn with_bot() -> (Stage, Process) {
    with(&bot()).await
}

/// With a webhook.
async fn with_webhook() -> (Stage, Process) {
    with(&webhook()).await
}

fn webhook() -> String {
    format!("https://hooks.slack.com{WEBHOOK}")
}

async fn with(credential: &str) -> (Stage, Process) {
    let stage = Stage::new(Some(credential)).await.unwrap();
    let process = stage.process().await.unwrap();
    (stage, process)
}

/// Gives one message after the other; none comes back.
async fn tell(process: &Process, messages: &[Value]) {
    for message in messages {
        let given_back = process.give(&[message.to_string()], 1).await.unwrap();
        assert_eq!(given_back, [0; 0], "{message}");
    }
}

/// Gives one message for the first time; whether it came back.
async fn comes_back(process: &Process, message: &Value) -> bool {
    process.give(&[message.to_string()], 1).await.unwrap() == [0]
}

/// What is in the channel, and what is in threads.
fn messages(stage: &Stage) -> (Vec<Message>, Vec<Message>) {
    let all = stage.slack.workspace().messages.clone();
    all.into_iter()
        .partition(|message| message.thread_ts.is_none())
}

fn always(stage: &Stage, behaviour: Option<Behaviour>) {
    stage.slack.workspace().always = behaviour;
}

fn next(stage: &Stage, behaviours: impl IntoIterator<Item = Behaviour>) {
    stage.slack.workspace().next = behaviours.into_iter().collect();
}
