//! Whether Slack would take a message: <https://docs.slack.dev/reference/block-kit/blocks>,
//! <https://docs.slack.dev/reference/block-kit/composition-objects/text-object>.

use serde_json::{Map, Value};

use crate::mrkdwn;

/// Why not: the error's name, and the detail as Slack gives it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) error: &'static str,
    pub(crate) detail: String,
}

/// Undocumented: seen from about 13,200 characters on (<https://github.com/slackapi/bolt-js/issues/2509>).
const ALL_BLOCKS: usize = 13_000;

type Checked = Result<(), Wrong>;

fn wrong(error: &'static str, detail: impl Into<String>) -> Wrong {
    Wrong {
        error,
        detail: detail.into(),
    }
}

fn blocks(at: &str, detail: &str) -> Wrong {
    wrong(
        "invalid_blocks",
        format!("[ERROR] {detail} [json-pointer:{at}]"),
    )
}

/// The text and blocks of a message; `most` is what the method takes of the text. What Slack would parse of it.
pub(crate) fn message(arguments: &Map<String, Value>, most: usize) -> Result<Vec<String>, Wrong> {
    let text = match arguments.get("text") {
        None => {
            return Err(wrong(
                "no_text",
                "a message with blocks needs a text as well, for notifications",
            ));
        }
        Some(Value::String(text)) if !text.trim().is_empty() => text,
        Some(Value::String(_)) => return Err(wrong("no_text", "the text is empty")),
        Some(_) => return Err(wrong("invalid_arguments", "text must be a string")),
    };
    if length(text) > most {
        return Err(wrong(
            "msg_too_long",
            format!("the text has {} characters of at most {most}", length(text)),
        ));
    }
    let mut found = mrkdwn::parsed(text).map_err(|problem| wrong("invalid_arguments", problem))?;
    let Some(given) = arguments.get("blocks") else {
        return Ok(found);
    };
    let given = given
        .as_array()
        .ok_or_else(|| wrong("invalid_blocks_format", "blocks must be an array"))?;
    if given.len() > 50 {
        return Err(blocks("/blocks", "no more than 50 items allowed"));
    }
    let mut checker = Checker {
        found: Vec::new(),
        characters: 0,
        ids: Vec::new(),
    };
    for (index, block) in given.iter().enumerate() {
        checker.block(&format!("/blocks/{index}"), block)?;
    }
    if checker.characters > ALL_BLOCKS {
        return Err(wrong(
            "msg_blocks_too_long",
            format!("{} characters", checker.characters),
        ));
    }
    found.append(&mut checker.found);
    Ok(found)
}

/// As JavaScript counts.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

struct Checker {
    found: Vec<String>,
    characters: usize,
    ids: Vec<String>,
}

impl Checker {
    fn block(&mut self, at: &str, block: &Value) -> Checked {
        let block = block
            .as_object()
            .ok_or_else(|| blocks(at, "must be an object"))?;
        let kind = block
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if let Some(id) = block.get("block_id") {
            let id = id.as_str().filter(|id| (1..=255).contains(&length(id)));
            let id =
                id.ok_or_else(|| blocks(at, "block_id must be a string of 1 to 255 characters"))?;
            if self.ids.iter().any(|other| other == id) {
                return Err(blocks(at, "block_id must be unique"));
            }
            self.ids.push(id.to_owned());
        }
        match kind {
            "header" => {
                only(at, block, &["text"])?;
                self.text(at, block.get("text"), &["plain_text"], 150)
            }
            "divider" => only(at, block, &[]),
            "section" => {
                only(at, block, &["text", "fields", "accessory", "expand"])?;
                if block.get("text").is_none() && block.get("fields").is_none() {
                    return Err(blocks(at, "text or fields must be there"));
                }
                if let Some(text) = block.get("text") {
                    self.text(at, Some(text), &["plain_text", "mrkdwn"], 3000)?;
                }
                if let Some(accessory) = block.get("accessory") {
                    self.button(&format!("{at}/accessory"), accessory)?;
                }
                let Some(fields) = block.get("fields") else {
                    return Ok(());
                };
                for (index, field) in several(at, fields, "fields", 10)?.iter().enumerate() {
                    self.text(
                        &format!("{at}/fields/{index}"),
                        Some(field),
                        &["plain_text", "mrkdwn"],
                        2000,
                    )?;
                }
                Ok(())
            }
            "context" => {
                only(at, block, &["elements"])?;
                let elements = block.get("elements").unwrap_or(&Value::Null);
                for (index, element) in several(at, elements, "elements", 10)?.iter().enumerate() {
                    self.text(
                        &format!("{at}/elements/{index}"),
                        Some(element),
                        &["plain_text", "mrkdwn"],
                        3000,
                    )?;
                }
                Ok(())
            }
            "actions" => {
                only(at, block, &["elements"])?;
                let elements = block.get("elements").unwrap_or(&Value::Null);
                for (index, element) in several(at, elements, "elements", 25)?.iter().enumerate() {
                    self.button(&format!("{at}/elements/{index}"), element)?;
                }
                Ok(())
            }
            other => Err(blocks(at, &format!("unsupported type: {other}"))),
        }
    }

    fn button(&mut self, at: &str, button: &Value) -> Checked {
        let button = button
            .as_object()
            .filter(|button| button.get("type").is_some_and(|kind| kind == "button"));
        let button = button.ok_or_else(|| {
            blocks(
                at,
                "unsupported type of element: this stand-in knows buttons",
            )
        })?;
        only(
            at,
            button,
            &[
                "text",
                "action_id",
                "url",
                "value",
                "style",
                "accessibility_label",
            ],
        )?;
        self.text(at, button.get("text"), &["plain_text"], 75)?;
        for (name, most) in [
            ("action_id", 255),
            ("url", 3000),
            ("value", 2000),
            ("accessibility_label", 75),
        ] {
            let is_good = |value: &Value| value.as_str().is_some_and(|text| length(text) <= most);
            if !button.get(name).is_none_or(is_good) {
                return Err(blocks(
                    at,
                    &format!("{name} must be a string of at most {most} characters"),
                ));
            }
        }
        let styles = ["primary", "danger"];
        if !button
            .get("style")
            .is_none_or(|style| styles.iter().any(|known| style == known))
        {
            return Err(blocks(at, "style must be primary or danger"));
        }
        Ok(())
    }

    fn text(&mut self, at: &str, text: Option<&Value>, kinds: &[&str], most: usize) -> Checked {
        let object = text
            .and_then(Value::as_object)
            .ok_or_else(|| blocks(at, "a text object must be there"))?;
        let kind = object
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !kinds.contains(&kind) {
            return Err(blocks(
                at,
                &format!("the type of a text must be one of {kinds:?} here, not {kind}"),
            ));
        }
        let option = if kind == "mrkdwn" {
            "verbatim"
        } else {
            "emoji"
        };
        only(at, object, &["text", option])?;
        if !object.get(option).is_none_or(Value::is_boolean) {
            return Err(blocks(at, &format!("{option} must be a boolean")));
        }
        let text = object.get("text").and_then(Value::as_str);
        let text = text.ok_or_else(|| blocks(at, "text must be a string"))?;
        if text.is_empty() || text.trim().is_empty() {
            return Err(blocks(at, "must be more than 0 characters"));
        }
        if length(text) > most {
            return Err(blocks(
                at,
                &format!("must be less than {} characters", most + 1),
            ));
        }
        if text
            .chars()
            .any(|letter| letter.is_control() && letter != '\n')
        {
            return Err(blocks(at, "has control characters"));
        }
        self.characters += length(text);
        if kind == "mrkdwn" {
            let found = mrkdwn::parsed(text);
            self.found
                .extend(found.map_err(|problem| blocks(at, &problem))?);
        }
        Ok(())
    }
}

fn several<'a>(
    at: &str,
    value: &'a Value,
    name: &str,
    most: usize,
) -> Result<&'a Vec<Value>, Wrong> {
    let array = value
        .as_array()
        .filter(|array| (1..=most).contains(&array.len()));
    array.ok_or_else(|| blocks(at, &format!("{name} must be an array of 1 to {most}")))
}

fn only(at: &str, object: &Map<String, Value>, known: &[&str]) -> Checked {
    let other = object.keys().find(|name| {
        !known.contains(&name.as_str()) && !["type", "block_id"].contains(&name.as_str())
    });
    match other {
        Some(other) => Err(blocks(at, &format!("invalid additional property: {other}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(value: &Value) -> Result<Vec<String>, &'static str> {
        message(value.as_object().unwrap(), 40_000).map_err(|wrong| wrong.error)
    }

    #[allow(clippy::needless_pass_by_value)] // so that a row is short
    fn with(block: Value) -> Value {
        json!({"text": "t", "blocks": [block]})
    }

    fn mrkdwn(text: &str) -> Value {
        json!({"type": "mrkdwn", "text": text})
    }

    #[test]
    fn what_slack_takes() {
        for good in [
            json!({"text": "t"}),
            with(json!({"type": "divider"})),
            with(
                json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(150), "emoji": true}}),
            ),
            with(json!({"type": "section", "text": mrkdwn(&"x".repeat(3000)), "block_id": "b"})),
            with(
                json!({"type": "section", "fields": [mrkdwn("a"), {"type": "plain_text", "text": "<b>"}]}),
            ),
            with(json!({"type": "context", "elements": vec![mrkdwn("a"); 10]})),
            with(
                json!({"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x"}, "url": "https://a.example"}]}),
            ),
            json!({"text": "t", "blocks": vec![json!({"type": "divider"}); 50]}),
        ] {
            assert_eq!(checked(&good), Ok(vec![]), "{good}");
        }
        let linked =
            with(json!({"type": "section", "text": mrkdwn("<!channel> <https://a.example|x>")}));
        assert_eq!(
            checked(&linked).unwrap(),
            ["!channel", "https://a.example|x"]
        );
    }

    #[test]
    #[allow(clippy::too_many_lines)] // a table
    fn what_slack_refuses() {
        let text = json!({"type": "plain_text", "text": "x"});
        for (bad, error) in [
            (json!({"blocks": []}), "no_text"),
            (json!({"text": " "}), "no_text"),
            (json!({"text": 7}), "invalid_arguments"),
            (json!({"text": "a < b"}), "invalid_arguments"),
            (json!({"text": "x".repeat(40_001)}), "msg_too_long"),
            (json!({"text": "t", "blocks": {}}), "invalid_blocks_format"),
            (
                json!({"text": "t", "blocks": vec![json!({"type": "divider"}); 51]}),
                "invalid_blocks",
            ),
            (
                json!({"text": "t", "blocks": vec![json!({"type": "section", "text": mrkdwn(&"x".repeat(3000))}); 5]}),
                "msg_blocks_too_long",
            ),
            (with(json!({"type": "rich"})), "invalid_blocks"),
            (
                with(json!({"type": "divider", "color": "red"})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "header", "text": mrkdwn("x")})),
                "invalid_blocks",
            ),
            (
                with(
                    json!({"type": "header", "text": {"type": "plain_text", "text": "h".repeat(151)}}),
                ),
                "invalid_blocks",
            ),
            // An emoji is two.
            (
                with(
                    json!({"type": "header", "text": {"type": "plain_text", "text": "🚀".repeat(76)}}),
                ),
                "invalid_blocks",
            ),
            (with(json!({"type": "section"})), "invalid_blocks"),
            (
                with(json!({"type": "section", "text": mrkdwn("")})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "section", "text": mrkdwn("a & b")})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "section", "text": mrkdwn("a\u{7}")})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "section", "text": mrkdwn(&"x".repeat(3001))})),
                "invalid_blocks",
            ),
            (
                with(
                    json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": true}}),
                ),
                "invalid_blocks",
            ),
            (
                with(
                    json!({"type": "section", "text": {"type": "mrkdwn", "text": "x", "verbatim": "yes"}}),
                ),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "section", "fields": vec![text.clone(); 11]})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "section", "fields": [mrkdwn(&"x".repeat(2001))]})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "context", "elements": vec![text.clone(); 11]})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "context", "elements": []})),
                "invalid_blocks",
            ),
            (
                with(json!({"type": "divider", "block_id": "b".repeat(256)})),
                "invalid_blocks",
            ),
            (
                with(
                    json!({"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x".repeat(76)}}]}),
                ),
                "invalid_blocks",
            ),
            (
                with(
                    json!({"type": "actions", "elements": [{"type": "button", "text": text, "url": "x".repeat(3001)}]}),
                ),
                "invalid_blocks",
            ),
        ] {
            assert_eq!(checked(&bad), Err(error), "{bad}");
        }
    }
}
