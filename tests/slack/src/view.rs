//! What a reader of the channel sees, as a page: for people, who look at it, and for pictures of it.

use askama::Template;
use serde_json::Value;

use crate::workspace::Message;

#[derive(Template)]
#[template(path = "channel.html")]
struct Channel {
    messages: Vec<Shown>,
}

struct Shown {
    html: String,
    is_changed: bool,
    replies: Vec<String>,
}

/// The channel with all that was said in it, the threads open.
pub(crate) fn page(messages: &[Message]) -> String {
    let standing = || messages.iter().filter(|message| !message.is_deleted);
    let of_thread = |ts: &str| {
        let replies = standing().filter(|message| message.thread_ts.as_deref() == Some(ts));
        replies.map(shown).collect()
    };
    let shown = standing()
        .filter(|message| message.thread_ts.is_none())
        .map(|message| Shown {
            html: shown(message),
            is_changed: message.updates > 0,
            replies: of_thread(&message.ts),
        });
    let channel = Channel {
        messages: shown.collect(),
    };
    channel
        .render()
        .unwrap_or_else(|error| format!("the page cannot be made: {error}"))
}

fn shown(message: &Message) -> String {
    message.blocks.iter().map(block).collect()
}

fn block(block: &Value) -> String {
    let several = |name: &str| -> Vec<String> {
        let parts = block[name].as_array().into_iter().flatten();
        parts.map(text).collect()
    };
    match block["type"].as_str() {
        Some("header") => format!("<h3>{}</h3>", text(&block["text"])),
        Some("section") => {
            let mut html = String::new();
            if block["text"].is_object() {
                html.extend(["<div class=\"text\">", &text(&block["text"]), "</div>"]);
            }
            let fields = several("fields");
            if !fields.is_empty() {
                let fields = fields.iter().map(|field| format!("<div>{field}</div>"));
                html.push_str("<div class=\"fields\">");
                html.extend(fields);
                html.push_str("</div>");
            }
            html
        }
        Some("context") => {
            let parts = several("elements");
            let parts = parts.iter().map(|part| format!("<span>{part}</span>"));
            format!("<div class=\"context\">{}</div>", parts.collect::<String>())
        }
        Some("divider") => "<hr>".to_owned(),
        other => format!("<p>{}</p>", escaped(&format!("{other:?}"))),
    }
}

fn text(part: &Value) -> String {
    let text = part["text"].as_str().unwrap_or_default();
    if part["type"] == "mrkdwn" {
        html_of(text)
    } else {
        escaped(text).replace('\n', "<br>")
    }
}

/// mrkdwn as a page shows it. In it `&`, `<` and `>` are entities already, but for those of links.
fn html_of(mrkdwn: &str) -> String {
    let mut html = String::new();
    for (index, part) in mrkdwn.split("```").enumerate() {
        if index % 2 == 1 {
            let output = part.trim_matches('\n').replace('"', "&quot;");
            html.extend(["<pre>", &output, "</pre>"]);
            continue;
        }
        for (index, part) in part.split('`').enumerate() {
            if index % 2 == 1 {
                html.extend(["<code>", &part.replace('"', "&quot;"), "</code>"]);
            } else {
                html += &inline(part);
            }
        }
    }
    html
}

fn inline(mrkdwn: &str) -> String {
    let mut html = String::new();
    let mut rest = mrkdwn;
    while let Some((before, after)) = rest.split_once('<') {
        html += &marked(before);
        let Some((link, after)) = after.split_once('>') else {
            break;
        };
        let (url, label) = link.split_once('|').unwrap_or((link, link));
        let (url, label) = (url.replace('"', "&quot;"), label.replace('"', "&quot;"));
        html.extend(["<a href=\"", &url, "\">", &label, "</a>"]);
        rest = after;
    }
    html + &marked(rest)
}

/// Bold, as far as messages use it: `*whole words*`.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('*').enumerate() {
        let is_bold = index % 2 == 1;
        html += if is_bold { "<b>" } else { "" };
        html += &part.replace('"', "&quot;").replace('\n', "<br>");
        html += if is_bold { "</b>" } else { "" };
    }
    html
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_shown_as_its_blocks_are() {
        let message = Message {
            channel: "C1".to_owned(),
            ts: "1.1".to_owned(),
            thread_ts: None,
            broadcast: false,
            text: String::new(),
            blocks: vec![
                json!({"type": "header", "text": {"type": "plain_text", "text": "a <b> & *c*"}}),
                json!({"type": "section", "text": {"type": "mrkdwn", "text": "It &lt;failed&gt; *now*\n```\n1 &lt; 2\n```\n`aws`"}}),
                json!({"type": "context", "elements": [{"type": "mrkdwn", "text": "<https://a.example?b=1&amp;c=2|Report>"}]}),
            ],
            parsed: vec![],
            updates: 1,
            is_deleted: false,
        };
        let reply = Message {
            ts: "1.2".to_owned(),
            thread_ts: Some("1.1".to_owned()),
            blocks: vec![
                json!({"type": "section", "text": {"type": "plain_text", "text": "<script>"}}),
            ],
            ..message.clone()
        };
        let page = page(&[message, reply]);
        for part in [
            "<h3>a &lt;b&gt; &amp; *c*</h3>",
            "It &lt;failed&gt; <b>now</b><br><pre>1 &lt; 2</pre><br><code>aws</code>",
            "<a href=\"https://a.example?b=1&amp;c=2\">Report</a>",
            "<div class=\"text\">&lt;script&gt;</div>",
            "(edited)",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script"));
    }
}
