//! A stand-in for Slack: incoming webhooks, `chat.postMessage` and `chat.update` over HTTP on loopback.
//!
//! It is stricter than Slack where Slack only mends or ignores what is wrong: an argument that there is not, text that is
//! neither escaped nor a whole link or mention. It can be told to fail, and it tells what was said: as JSON, and as a page that shows the channel as Slack does.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod check;
mod limit;
mod mrkdwn;
mod server;
mod view;
mod workspace;

pub use server::Slack;
pub use workspace::{Behaviour, CHANNEL, Message, TOKEN, WEBHOOK, Workspace};
