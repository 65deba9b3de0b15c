use std::fmt::Write as _;

use serde_json::json;

use super::super::notice::fixtures::{message as told, notice, with};
use super::*;

/// A message as somebody would read it.
fn read(message: &Message) -> String {
    let mut text = format!("[{}]\n", message.text);
    let texts = |value: &Value| value["text"].as_str().unwrap().replace('\n', "\n    ");
    for block in &message.blocks {
        let kind = block["type"].as_str().unwrap();
        let several = block.get("fields").or(block.get("elements"));
        let parts: Vec<String> = match several {
            Some(parts) => parts.as_array().unwrap().iter().map(texts).collect(),
            None => vec![texts(&block["text"])],
        };
        let _ = writeln!(text, "{kind}: {}", parts.join(" | "));
    }
    text
}

fn described(
    kind: &str,
    seconds: i64,
    description: &str,
    steps: &[&str],
    context: &Value,
) -> Notice {
    let mut message = with(told(kind, seconds), context);
    message["content"]["description"] = description.into();
    message["content"]["nextSteps"] = json!(steps);
    notice(&message)
}

#[test]
fn what_is_shown_of_a_deploy() {
    let started = described(
        "started",
        4,
        "Launching a new fleet. v1 (release 42) has the traffic meanwhile.",
        &[],
        &json!({"healthy": "0", "wanted": "2", "traffic": "0"}),
    );
    let progressing = described(
        "progressing",
        95,
        "Half of it is healthy.",
        &[],
        &json!({"healthy": "1", "wanted": "2", "traffic": "20"}),
    );
    let succeeded = described(
        "succeeded",
        141,
        "All traffic is on 2 healthy instances; release 42 is being shed.",
        &["To go back, start an execution with the input `{\"release\":42}`"],
        &json!({"healthy": "2", "wanted": "2", "traffic": "100", "reportLink": "https://console.aws.amazon.com/s3/object/x?region=us-east-1&prefix=y"}),
    );
    let rolled_back = described(
        "rolledBack",
        4000,
        "The container ended with 1. v1 (release 42) has the traffic.\n```\nlistening\npanic: no &lt;database&gt;\n```\n<https://a.example/#/x|Execution> · <https://a.example/?x&amp;y|Report>",
        &["Mend it and upload a new version"],
        &json!({"cause": "the container ended with 1"}),
    );
    let refused = described(
        "rejected",
        1,
        "Nothing was touched.",
        &[],
        &json!({"cause": "config.env is *not* <UTF-8>", "since": null, "by": null, "release": null, "version": null, "live": null, "liveVersion": null, "executionLink": null}),
    );
    let mut all = String::new();
    for (what, message) in [
        ("started", message(&started)),
        ("progressing", message(&progressing)),
        ("succeeded", message(&succeeded)),
        ("succeeded, in the thread", reply(&succeeded)),
        ("rolled back", message(&rolled_back)),
        ("rolled back, in the thread", reply(&rolled_back)),
        ("rolled back, by a webhook", alone(&rolled_back)),
        ("rejected, by a webhook", alone(&refused)),
    ] {
        let _ = writeln!(all, "--- {what}\n{}", read(&message));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_blocks_themselves() {
    let notice = described(
        "progressing",
        95,
        "Half of it.",
        &[],
        &json!({"healthy": "1", "wanted": "2", "traffic": "20"}),
    );
    let blocks = Value::from(message(&notice).blocks);
    assert_eq!(
        blocks[0],
        json!({"type": "header", "text": {"type": "plain_text", "text": "🔵 hello/qa: progressing v2 (release 43)", "emoji": true}})
    );
    assert_eq!(
        blocks[1],
        json!({"type": "section", "text": {"type": "mrkdwn", "text": "Half of it.", "verbatim": true}})
    );
    assert_eq!(
        blocks[2]["fields"][0],
        json!({"type": "mrkdwn", "text": "*Instances*\n▰▰▰▰▰▱▱▱▱▱  1 of 2 healthy", "verbatim": true})
    );
    assert_eq!(
        blocks[3]["elements"][0],
        json!({"type": "plain_text", "text": "by ci", "emoji": false})
    );
}

#[test]
fn bars() {
    for (part, whole, cells) in [
        (0, 2, 0),
        (1, 2, 5),
        (2, 2, 10),
        (3, 2, 10),
        (1, 100, 1),
        (99, 100, 9),
        (0, 0, 0),
        (1, 0, 10),
        (u32::MAX - 1, u32::MAX, 9),
    ] {
        let bar = bar(part, whole);
        assert_eq!(
            bar.chars().filter(|cell| *cell == '▰').count(),
            cells,
            "{part}/{whole}"
        );
        assert_eq!(bar.chars().count(), 10);
    }
}

#[test]
fn how_long_it_took() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    for (seconds, told) in [
        (0, Some("0 s")),
        (59, Some("59 s")),
        (141, Some("2 min 21 s")),
        (7260, Some("2 h 1 min")),
        (-1, None),
        (-5, None),
    ] {
        assert_eq!(
            lasted(at(100), at(100 + seconds)).as_deref(),
            told,
            "{seconds}"
        );
    }
}

#[test]
fn an_alarm_is_shown() {
    let alarm = Alarm {
        alarm_name: "exuvia-DeadLettersAlarm".to_owned(),
        alarm_description: Some("An upload started <nothing>. Look.".to_owned()),
        new_state_value: "ALARM".to_owned(),
        new_state_reason: None,
    };
    insta::assert_snapshot!(read(&super::alarm(&alarm)), @r"
    [🚨 exuvia-DeadLettersAlarm: alarm]
    header: 🚨 exuvia-DeadLettersAlarm: alarm
    section: An upload started <nothing>. Look.
    ");
}

/// Whatever anybody has written into any field.
#[test]
fn hostile_texts_do_nothing_and_fit() {
    let hostile = "<!channel> <@U0> <https://evil.example|good> *lie* `x` ```\n&lt;\u{202e}\u{0}\n\u{1b}[31m> quote :tada: ";
    for text in [
        hostile.to_owned(),
        hostile.repeat(200),
        "&".repeat(20_000),
        "🚀".repeat(20_000),
        "\u{0}".to_owned(),
    ] {
        let mut message = told("rolledBack", 60);
        for field in [
            "id",
            "release",
            "version",
            "live",
            "liveVersion",
            "cause",
            "by",
            "executionLink",
            "reportLink",
        ] {
            if field != "id" {
                message["metadata"]["additionalContext"][field] = text.clone().into();
            }
        }
        message["content"]["title"] = text.clone().into();
        message["content"]["description"] = text.clone().into();
        message["content"]["nextSteps"] = json!([text, text, text, text, text]);
        let notice = notice(&message);
        for (what, message) in [
            ("message", super::message(&notice)),
            ("reply", reply(&notice)),
            ("alone", alone(&notice)),
        ] {
            check(what, &message);
        }
    }
}

/// Within Slack's limits, and without anything that it would parse but links to the web.
fn check(what: &str, message: &Message) {
    assert!(
        !message.text.is_empty() && text::length(&message.text) <= 4000,
        "{what}"
    );
    assert!(
        !message.text.contains("<!") && !message.text.contains("<@"),
        "{what}: {}",
        message.text
    );
    assert!(message.blocks.len() <= 50);
    // Not documented; seen as msg_blocks_too_long from about 13,200 on (https://github.com/slackapi/bolt-js/issues/2509).
    let mut whole = 0;
    for block in &message.blocks {
        let (most, parts) = match (
            block["type"].as_str().unwrap(),
            block.get("fields"),
            block.get("elements"),
        ) {
            ("header", ..) => (150, vec![&block["text"]]),
            ("section", Some(fields), _) => (2000, fields.as_array().unwrap().iter().collect()),
            ("section", ..) => (3000, vec![&block["text"]]),
            ("context", _, Some(elements)) => (3000, elements.as_array().unwrap().iter().collect()),
            other => panic!("{other:?}"),
        };
        assert!((1..=10).contains(&parts.len()));
        for part in parts {
            let text = part["text"].as_str().unwrap();
            whole += text::length(text);
            assert!((1..=most).contains(&text::length(text)), "{what}: {text}");
            assert!(
                !text.contains('\u{202e}') && !text.contains('\u{0}') && !text.contains('\u{1b}'),
                "{what}: {text:?}"
            );
            if part["type"] == "mrkdwn" {
                assert_eq!(part["verbatim"], true);
                let rest = text.replace("<https://", "");
                assert!(!rest.contains('<'), "{what}: {text}");
            }
        }
    }
    assert!(whole < 12_000, "{what}: {whole}");
}

#[test]
fn a_command_with_a_token_is_told_whole() {
    let token = "A".repeat(2_048);
    let command =
        |how: &str| format!("To {how}: `aws stepfunctions send-task --task-token '{token}'`");
    let (yes, no) = (command("approve"), command("refuse"));
    let asks = described(
        "waitingForApproval",
        90,
        "2 instances are healthy.",
        &[&yes, &no],
        &json!({}),
    );
    for message in [reply(&asks), alone(&asks)] {
        let text = read(&message);
        assert!(text.contains(&yes) && text.contains(&no), "{text}");
        let texts = message
            .blocks
            .iter()
            .filter_map(|block| block["text"]["text"].as_str());
        assert!(texts.clone().all(|text| text.chars().count() <= 3_000));
    }
}
