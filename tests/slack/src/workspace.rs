//! A workspace with a few channels, an app that is a member of one of them, and what was said there.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::check::{self, Wrong};
use crate::limit::{self, Limits};

/// The bot's token. Others are refused.
pub const TOKEN: &str = "xoxb-000000000000-standin";
/// The path of the webhook, which posts to [`CHANNEL`].
pub const WEBHOOK: &str = "/services/T00000000/B00000000/standin";
/// `#deploys`, where the bot is.
pub const CHANNEL: &str = "C0000000001";

/// Of channels: the id, the name, and what keeps the bot from posting there.
const CHANNELS: [(&str, &str, Option<&str>); 4] = [
    (CHANNEL, "deploys", None),
    ("C0000000002", "others", None),
    ("C0000000003", "foreign", Some("not_in_channel")),
    ("C0000000004", "old", Some("is_archived")),
];

/// What the next request meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Behaviour {
    /// The connection ends without an answer.
    Down,
    /// No answer for so many seconds; what was asked for is done at once.
    Slow(u64),
    /// This status, and a body that is no answer.
    Status(u16),
    /// 429, with these seconds.
    RateLimited(u64),
    /// An error by its name: of the Web API in its way, of a webhook with the status and as the text.
    Error(String),
    /// It is done, and the connection ends without an answer.
    DoneAndDown,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    pub channel: String,
    pub ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    pub broadcast: bool,
    pub text: String,
    pub blocks: Vec<Value>,
    /// What Slack parsed in it: links, and mentions that would call somebody.
    pub parsed: Vec<String>,
    pub updates: u32,
    pub is_deleted: bool,
}

impl Message {
    /// All texts in its blocks, a line each.
    pub fn read(&self) -> String {
        let mut lines = Vec::new();
        for block in &self.blocks {
            let several = ["fields", "elements"]
                .iter()
                .filter_map(|name| block[*name].as_array())
                .flatten();
            let texts = several
                .chain([block])
                .filter_map(|part| part["text"]["text"].as_str().or(part["text"].as_str()));
            lines.extend(texts.map(str::to_owned));
        }
        lines.join("\n")
    }
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
    pub(crate) delay_seconds: u64,
}

#[derive(Debug)]
pub struct Workspace {
    pub messages: Vec<Message>,
    /// What is to happen to the next requests, one each.
    pub next: VecDeque<Behaviour>,
    /// What happens to all after these.
    pub always: Option<Behaviour>,
    /// The token that is good; another one revokes the first.
    pub token: String,
    /// Requests, and those that were refused with why.
    pub requests: u32,
    pub refused: Vec<String>,
    /// Whether it takes any number of messages at once, as Slack does not.
    pub is_unlimited: bool,
    limits: Limits,
    count: u64,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            next: VecDeque::new(),
            always: None,
            token: TOKEN.to_owned(),
            requests: 0,
            refused: Vec::new(),
            is_unlimited: false,
            limits: Limits::default(),
            count: 0,
        }
    }
}

const COMMON: [&str; 5] = ["channel", "text", "blocks", "parse", "link_names"];
const OF_POST: [&str; 5] = [
    "thread_ts",
    "reply_broadcast",
    "unfurl_links",
    "unfurl_media",
    "mrkdwn",
];

impl Workspace {
    /// `None` if there is to be no answer.
    pub(crate) fn answer(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: &[u8],
        now: Instant,
    ) -> Option<Answer> {
        self.requests += 1;
        let is_webhook = path.starts_with("/services/");
        let behaviour = self.next.pop_front().or_else(|| self.always.clone());
        let plain = |status, body: &str| Answer {
            status,
            retry_after: None,
            body: body.to_owned(),
            delay_seconds: 0,
        };
        let limited = |seconds| Answer {
            retry_after: Some(seconds),
            ..plain(429, "rate_limited")
        };
        let mut delay_seconds = 0;
        match behaviour {
            Some(Behaviour::Down) => return None,
            Some(Behaviour::Status(status)) => return Some(plain(status, "<html>upstream</html>")),
            Some(Behaviour::RateLimited(seconds)) => return Some(limited(seconds)),
            Some(Behaviour::Error(error)) if is_webhook => {
                return Some(plain(status_of(&error), &error));
            }
            Some(Behaviour::Error(error)) => {
                return Some(plain(
                    200,
                    &json!({"ok": false, "error": error}).to_string(),
                ));
            }
            Some(Behaviour::Slow(seconds)) => delay_seconds = seconds,
            Some(Behaviour::DoneAndDown) | None => {}
        }
        let done = self.perform(path, token, body, now);
        let answer = match done {
            Ok(_) if is_webhook => plain(200, "ok"),
            Ok(posted) => plain(200, &posted.to_string()),
            Err(Refusal::Limited(seconds)) => limited(seconds),
            Err(Refusal::Wrong(wrong)) => {
                self.refused
                    .push(format!("{path}: {}: {}", wrong.error, wrong.detail));
                if is_webhook {
                    plain(status_of(wrong.error), wrong.error)
                } else {
                    let told = json!({"ok": false, "error": wrong.error, "response_metadata": {"messages": [wrong.detail]}});
                    plain(200, &told.to_string())
                }
            }
        };
        let answers = behaviour != Some(Behaviour::DoneAndDown);
        answers.then_some(Answer {
            delay_seconds,
            ..answer
        })
    }

    fn perform(
        &mut self,
        path: &str,
        token: Option<&str>,
        body: &[u8],
        now: Instant,
    ) -> Result<Value, Refusal> {
        let arguments: Map<String, Value> = serde_json::from_slice(body).map_err(|_| {
            wrong(
                if path.starts_with("/api/") {
                    "invalid_json"
                } else {
                    "invalid_payload"
                },
                "no JSON object",
            )
        })?;
        match path {
            WEBHOOK => {
                known(
                    &arguments,
                    &["text", "blocks", "unfurl_links", "unfurl_media", "mrkdwn"],
                )?;
                self.limit(CHANNEL, limit::POST, now)?;
                let parsed = check::message(&arguments, 40_000)?;
                Ok(self.add(CHANNEL, &arguments, parsed))
            }
            _ if path.starts_with("/services/") => Err(wrong("no_service", "no such webhook")),
            "/api/chat.postMessage" => {
                self.check_token(token)?;
                known(&arguments, &[&COMMON[..], &OF_POST[..]].concat())?;
                let channel = arguments
                    .get("channel")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let name = channel.strip_prefix('#').unwrap_or(channel);
                let found = CHANNELS
                    .iter()
                    .find(|(id, known, _)| *id == channel || *known == name);
                let (id, _, problem) = *found.ok_or_else(|| wrong("channel_not_found", channel))?;
                if let Some(problem) = problem {
                    return Err(wrong(problem, channel));
                }
                self.limit(id, limit::POST, now)?;
                let parsed = check::message(&arguments, 40_000)?;
                if let Some(thread) = arguments.get("thread_ts") {
                    let thread = thread.as_str().unwrap_or_default();
                    if self.find(id, thread).is_none() {
                        return Err(wrong("thread_not_found", thread));
                    }
                } else if arguments
                    .get("reply_broadcast")
                    .is_some_and(|broadcast| *broadcast != false)
                {
                    return Err(wrong("invalid_arguments", "reply_broadcast is of replies"));
                }
                Ok(self.add(id, &arguments, parsed))
            }
            "/api/chat.update" => {
                self.check_token(token)?;
                known(&arguments, &[&COMMON[..], &["ts"]].concat())?;
                let text = |name: &str| {
                    arguments
                        .get(name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let (channel, ts) = (text("channel"), text("ts"));
                if !CHANNELS.iter().any(|(id, ..)| *id == channel) {
                    return Err(wrong("channel_not_found", &channel));
                }
                self.limit("chat.update", limit::UPDATE, now)?;
                let parsed = check::message(&arguments, 4000)?;
                let message = self
                    .find(&channel, &ts)
                    .ok_or_else(|| wrong("message_not_found", &ts))?;
                message.text = text("text");
                message.blocks = blocks(&arguments);
                message.parsed = parsed;
                message.updates += 1;
                Ok(json!({"ok": true, "channel": channel, "ts": ts, "text": message.text}))
            }
            _ => Err(wrong("unknown_method", path)),
        }
    }

    fn check_token(&self, token: Option<&str>) -> Result<(), Refusal> {
        match token {
            None => Err(wrong("not_authed", "")),
            Some(token) if token == self.token => Ok(()),
            Some(TOKEN) => Err(wrong("token_revoked", "")),
            Some(_) => Err(wrong("invalid_auth", "")),
        }
    }

    fn limit(&mut self, of: &str, limit: (f64, f64), now: Instant) -> Result<(), Refusal> {
        if self.is_unlimited {
            return Ok(());
        }
        self.limits
            .take(of, limit, now)
            .map_or(Ok(()), |seconds| Err(Refusal::Limited(seconds)))
    }

    fn find(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        let mut messages = self.messages.iter_mut();
        messages
            .find(|message| message.channel == channel && message.ts == ts && !message.is_deleted)
    }

    fn add(&mut self, channel: &str, arguments: &Map<String, Value>, parsed: Vec<String>) -> Value {
        self.count += 1;
        let text = |name: &str| {
            arguments
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let message = Message {
            channel: channel.to_owned(),
            ts: format!("1700000000.{:06}", self.count),
            thread_ts: text("thread_ts"),
            broadcast: arguments
                .get("reply_broadcast")
                .is_some_and(|broadcast| *broadcast == true),
            text: text("text").unwrap_or_default(),
            blocks: blocks(arguments),
            parsed,
            updates: 0,
            is_deleted: false,
        };
        let told = json!({"ok": true, "channel": channel, "ts": message.ts, "message": {"text": message.text}});
        self.messages.push(message);
        told
    }
}

enum Refusal {
    Wrong(Wrong),
    Limited(u64),
}

impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

fn wrong(error: &'static str, detail: &str) -> Refusal {
    Refusal::Wrong(Wrong {
        error,
        detail: detail.to_owned(),
    })
}

fn blocks(arguments: &Map<String, Value>) -> Vec<Value> {
    arguments
        .get("blocks")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn known(arguments: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match arguments
        .keys()
        .find(|name| !known.contains(&name.as_str()))
    {
        Some(other) => Err(wrong(
            "invalid_arguments",
            &format!("there is no argument {other}"),
        )),
        None => Ok(()),
    }
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>
fn status_of(error: &str) -> u16 {
    match error {
        "action_prohibited" | "invalid_token" | "posting_to_general_channel_denied" => 403,
        "no_service" | "no_team" | "channel_not_found" => 404,
        "channel_is_archived" => 410,
        "rollup_error" => 500,
        _ => 400,
    }
}
