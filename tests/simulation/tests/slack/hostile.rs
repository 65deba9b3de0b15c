//! Texts that want to be more than texts, in every field. The stand-in refuses what is too long, what has control
//! characters, and what is neither escaped nor a whole link; and it tells what Slack would have parsed.

use exuvia_simulation::slack::{EXECUTION, notice};
use exuvia_slack_stand_in::Message;
use serde_json::{Value, json};

use crate::{messages, tell, with_bot, with_webhook};

const TEXTS: [&str; 7] = [
    "<!channel> <!here> <@U00000000> <#C0000000001>",
    "<https://evil.example|Execution> https://evil.example",
    "*it is live* _really_ ~not~ `code` ```block``` > quote",
    "&amp; &lt;!channel&gt; & < >",
    "one\ntwo\r\n\u{0}\u{7}\u{1b}[31mred\u{1b}[0m",
    "\u{202e}desrever\u{202c} \u{200b}hidden\u{feff}",
    "|>|<|",
];

fn with_text(field: &str, text: &str) -> Value {
    let mut message = notice("rolledBack", 30);
    match field {
        "title" | "description" => message["content"][field] = text.into(),
        "nextSteps" => message["content"][field] = json!([text, text]),
        "id" => message[field] = text.into(),
        _ => message["metadata"]["additionalContext"][field] = text.into(),
    }
    message
}

#[tokio::test]
async fn a_text_in_any_field_calls_nobody_and_leads_nowhere() {
    let fields = [
        "id",
        "title",
        "description",
        "nextSteps",
        "release",
        "version",
        "live",
        "liveVersion",
        "cause",
        "by",
        "healthy",
        "wanted",
        "traffic",
        "since",
        "executionLink",
        "reportLink",
    ];
    for (stage, process) in [with_bot().await, with_webhook().await] {
        stage.slack.workspace().is_unlimited = true;
        let mut count = 0;
        for field in fields {
            let long = [TEXTS.concat().repeat(100), "🚀&".repeat(10_000)];
            for text in TEXTS.map(str::to_owned).into_iter().chain(long) {
                count += 1;
                let mut message = with_text(field, &text);
                let execution = format!("{EXECUTION}-{count}");
                message["metadata"]["additionalContext"]["execution"] = execution.into();
                tell(&process, &[message]).await;
                let mut workspace = stage.slack.workspace();
                assert_eq!(workspace.refused, [""; 0], "{field} {text}");
                let told = std::mem::take(&mut workspace.messages);
                assert!(!told.is_empty(), "{field} {text}");
                for message in told {
                    check(field, &text, &message);
                }
            }
        }
    }
}

fn check(field: &str, text: &str, message: &Message) {
    for link in &message.parsed {
        // A notice's own text may have links to the web; a fact may not.
        let is_ours = link.starts_with("https://console.aws.amazon.com/");
        let is_text = ["description", "nextSteps"].contains(&field);
        let may = is_text && link.starts_with("https://evil.example");
        assert!(is_ours || may, "{field} {text}: {link}");
    }
    let shown = message.read() + &message.text;
    let unseen = ['\u{202e}', '\u{200b}', '\u{1b}', '\u{0}'];
    assert!(!shown.contains(unseen), "{field}: {shown:?}");
}

#[tokio::test]
async fn a_cause_of_twenty_kilobytes_is_cut() {
    let (stage, process) = with_bot().await;
    let mut message = with_text("cause", &"no room on the disk & ".repeat(1000));
    message["content"]["description"] = "Something else. ".repeat(2000).into();
    message["content"]["description"] = format!(
        "{}\n```\n{}\n```",
        message["content"]["description"].as_str().unwrap(),
        "line\n".repeat(5000)
    )
    .into();
    tell(&process, &[message]).await;
    let (_, threads) = messages(&stage);
    let text = threads[0].read();
    assert!(
        text.contains('…') && text.contains("no room on the disk &amp; no room"),
        "{text}"
    );
}
