//! What becomes of a notice in Slack: read ([`notice`]), compared with what its conversation shows already
//! ([`thread`]), made into blocks ([`render`]), and what Slack's answer means ([`answer`]).

pub mod answer;
pub mod credential;
pub mod notice;
pub mod render;
pub mod text;
pub mod thread;

/// The environment variable that names another server in place of Slack's hosts. For tests: the template never sets it.
pub const SERVER: &str = "SLACK_API";
