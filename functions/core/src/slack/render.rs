//! Notices as Slack shows them: blocks, within its limits.
//!
//! <https://docs.slack.dev/reference/block-kit/blocks>. Links are links in a text and no buttons: a button, even one that
//! only opens a page, is reported to the app that made it, and one without a server to answer gets a warning beside it
//! (<https://github.com/slackapi/node-slack-sdk/issues/869>).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::notice::{About, Alarm, Kind, Notice};
use super::text::{self, Part};

/// A message, but for where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What a notification on a phone says, as it shows no blocks.
    pub text: String,
    pub blocks: Vec<Value>,
}

/// Of a header, and of a section's text.
const HEADER: usize = 150;
const TEXT: usize = 3000;
/// Of the message's own text about the state: the rest is in its thread.
const SUMMARY: usize = 1200;
const FIELD: usize = 300;
/// Of five, which are a section together.
const STEP: usize = 590;
/// Slack takes up to 40,000, and asks for no more than 4,000; for a notification it is long already.
const NOTIFICATION: usize = 400;
const CELLS: u32 = 10;

/// The message of an execution, as it stands.
pub fn message(notice: &Notice) -> Message {
    let mut blocks = vec![header(notice)];
    blocks.extend(section(&summary(notice, SUMMARY)));
    blocks.extend(fields(notice));
    blocks.extend(context(notice));
    Message {
        text: notification(notice),
        blocks,
    }
}

/// A notice's text, in the thread below the message.
pub fn reply(notice: &Notice) -> Message {
    // As plain text: nothing in it is formatting.
    let title = plain(&titled(notice), FIELD);
    let mut blocks = vec![json!({"type": "section", "text": title})];
    blocks.extend(section(&summary(notice, TEXT)));
    blocks.extend(details(notice));
    Message {
        text: notification(notice),
        blocks,
    }
}

/// Everything in one message, which will never change.
pub fn alone(notice: &Notice) -> Message {
    let mut blocks = vec![header(notice)];
    blocks.extend(section(&summary(notice, TEXT)));
    blocks.extend(details(notice));
    blocks.extend(fields(notice));
    blocks.extend(context(notice));
    Message {
        text: notification(notice),
        blocks,
    }
}

/// An alarm on the pipeline itself.
pub fn alarm(alarm: &Alarm) -> Message {
    let (emoji, state) = match alarm.new_state_value.as_str() {
        "ALARM" => ("🚨", "alarm"),
        "OK" => ("🟢", "is over"),
        _ => ("⚪", "has no data"),
    };
    let title = format!("{emoji} {}: {state}", text::plain(&alarm.alarm_name));
    let mut blocks = vec![json!({"type": "header", "text": plain(&title, HEADER)})];
    let described = [&alarm.alarm_description, &alarm.new_state_reason];
    for described in described
        .into_iter()
        .flatten()
        .filter(|described| !text::plain(described).is_empty())
    {
        blocks.push(json!({"type": "section", "text": plain(&text::plain(described), TEXT)}));
    }
    Message {
        text: text::escape(&title, NOTIFICATION),
        blocks,
    }
}

fn emoji(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "🚀",
        Kind::Waiting => "⏳",
        Kind::Progressing => "🔵",
        Kind::WaitingForApproval => "✋",
        Kind::Succeeded => "✅",
        Kind::Built => "📦",
        Kind::Removed => "🗑️",
        Kind::Superseded | Kind::Skipped => "⏭️",
        Kind::Rejected => "⛔",
        Kind::RolledBack => "🔴",
        Kind::BuildFailed | Kind::BuildTimedOut | Kind::BuilderLost => "❌",
        Kind::NeedsAttention => "🚨",
    }
}

fn titled(notice: &Notice) -> String {
    let emoji = match (notice.about, notice.kind) {
        (About::Build, Kind::Started) => "🔨",
        (_, kind) => emoji(kind),
    };
    format!("{emoji} {}", text::plain(&notice.title))
}

fn notification(notice: &Notice) -> String {
    let title = text::escape(&titled(notice), NOTIFICATION / 2);
    let summary = summary(notice, NOTIFICATION / 2 - 1).replace('\n', " ");
    format!("{title} {summary}").trim_end().to_owned()
}

/// What a description says, without the output in it.
fn summary(notice: &Notice, most: usize) -> String {
    let parts = text::parts(&notice.description).into_iter();
    let texts: Vec<&str> = parts
        .filter_map(|part| {
            if let Part::Text(text) = part {
                Some(text)
            } else {
                None
            }
        })
        .collect();
    let all = texts.join("\n");
    // They are in the context.
    let said = if notice.facts.execution_link.is_some() {
        text::without_links(&all)
    } else {
        &all
    };
    text::mrkdwn(said, most)
}

/// What is only read by whoever wants to know more: output, the cause if the description has another, what to do next.
fn details(notice: &Notice) -> Vec<Value> {
    let mut blocks = Vec::new();
    let outputs = text::parts(&notice.description).into_iter();
    let output = outputs
        .filter_map(|part| {
            if let Part::Output(text) = part {
                Some(text)
            } else {
                None
            }
        })
        .next_back();
    if let Some(cause) = notice
        .facts
        .cause
        .as_deref()
        .filter(|cause| !says(&notice.description, cause))
    {
        blocks.extend(section(&text::output(&text::plain(cause), TEXT / 2)));
    }
    blocks.extend(output.and_then(|output| section(&text::output(output, TEXT))));
    let (most, of_section) = match notice.kind {
        // The token in it may have 2,048 characters.
        Kind::WaitingForApproval => (TEXT - 10, 1),
        _ => (STEP, 5),
    };
    let steps = notice
        .next_steps
        .iter()
        .map(|step| text::mrkdwn(step.trim(), most));
    let steps: Vec<String> = steps
        .filter(|step| !step.is_empty())
        .take(5)
        .map(|step| format!("→ {step}"))
        .collect();
    let sections = steps.chunks(of_section);
    blocks.extend(sections.filter_map(|steps| section(&steps.join("\n"))));
    blocks
}

/// Whether a description has a cause in it already.
fn says(description: &str, cause: &str) -> bool {
    let description = description
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    // Marks of formatting are told as others there.
    let comparable = |text: &str| -> String {
        let letters = text.chars().filter(|letter| letter.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    let cause: String = comparable(cause).chars().take(100).collect();
    comparable(&description).contains(&cause)
}

fn header(notice: &Notice) -> Value {
    json!({"type": "header", "text": plain(&titled(notice), HEADER)})
}

/// `emoji` has the colour; without it Slack shows its name.
fn plain(text: &str, most: usize) -> Value {
    json!({"type": "plain_text", "text": text::cut(text, most), "emoji": true})
}

/// `verbatim`: what looks like an address or a channel is no link.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// A section must have a text.
fn section(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "section", "text": mrkdwn(text)}))
}

fn fields(notice: &Notice) -> Option<Value> {
    let facts = &notice.facts;
    let mut fields = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            fields.push(mrkdwn(&format!("*{name}*\n{value}")));
        }
    };
    if let (Some(healthy), Some(wanted)) = (facts.healthy, facts.wanted) {
        add(
            "Instances",
            format!("{}  {healthy} of {wanted} healthy", bar(healthy, wanted)),
        );
    }
    if let Some(percent) = facts.traffic {
        add("Traffic", format!("{}  {percent} %", bar(percent, 100)));
    }
    let versioned = |version: &Option<String>, release: &Option<String>| {
        let version = text::code(version.as_deref().unwrap_or_default(), FIELD);
        let release = text::code(release.as_deref().unwrap_or_default(), 30);
        match (version.is_empty(), release.is_empty()) {
            (_, true) => version,
            (true, false) => format!("release {release}"),
            (false, false) => format!("{version}  release {release}"),
        }
    };
    add("Version", versioned(&facts.version, &facts.release));
    // Of a release that has replaced it, it would be the one before.
    if facts.live != facts.release && !matches!(notice.kind, Kind::Succeeded | Kind::Removed) {
        add("Live", versioned(&facts.live_version, &facts.live));
    }
    (!fields.is_empty()).then(|| json!({"type": "section", "fields": fields}))
}

/// Full only if it is all, and empty only if it is nothing.
fn bar(part: u32, whole: u32) -> String {
    let cells = match (part, whole) {
        (0, _) => 0,
        (part, whole) if part >= whole => CELLS,
        (part, whole) => u32::try_from(u64::from(part) * u64::from(CELLS) / u64::from(whole))
            .unwrap_or(CELLS)
            .clamp(1, CELLS - 1),
    };
    let cell = |index| if index < cells { '▰' } else { '▱' };
    (0..CELLS).map(cell).collect()
}

fn context(notice: &Notice) -> Option<Value> {
    let facts = &notice.facts;
    let mut elements = Vec::new();
    if let Some(by) = facts
        .by
        .as_deref()
        .map(text::plain)
        .filter(|by| !by.is_empty())
    {
        // As plain text: nothing in a name is formatting.
        elements.push(json!({"type": "plain_text", "text": text::cut(&format!("by {by}"), FIELD), "emoji": false}));
    }
    if let Some(lasted) = facts.since.and_then(|since| lasted(since, notice.at)) {
        let words = if notice.kind.stage() == 0 {
            format!("{lasted} so far")
        } else {
            format!("after {lasted}")
        };
        elements.push(mrkdwn(&words));
    }
    let links = [
        (&facts.execution_link, "Execution"),
        (&facts.report_link, "Report"),
    ];
    let links: Vec<String> = links
        .into_iter()
        .filter_map(|(url, label)| text::link(url.as_deref()?, label))
        .collect();
    // A URL of 3,000 characters does not leave room for another.
    elements.extend(
        links
            .into_iter()
            .filter(|link| text::length(link) <= TEXT)
            .map(|link| mrkdwn(&link)),
    );
    (!elements.is_empty()).then(|| json!({"type": "context", "elements": elements}))
}

/// A time as a person tells it; nothing if a clock has jumped.
fn lasted(since: Timestamp, at: Timestamp) -> Option<String> {
    let seconds = at.duration_since(since).as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match seconds {
        ..0 => None,
        0..60 => Some(format!("{seconds} s")),
        60..3600 => Some(format!("{minutes} min {} s", seconds % 60)),
        _ => Some(format!("{hours} h {minutes} min")),
    }
}

#[cfg(test)]
mod tests;
