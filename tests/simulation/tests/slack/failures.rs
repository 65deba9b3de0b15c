//! What fails comes back from the queue, later each time, and what was told stays told.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use exuvia_simulation::slack::{CONVERSATION, Stage, bot, notice};
use exuvia_slack_stand_in::{Behaviour, CHANNEL, TOKEN};
use serde_json::json;

use crate::{always, comes_back, messages, next, tell, with, with_bot, with_webhook};

/// What a process logs, as Lambda is told to take it: from INFO on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn what_is_no_notice_comes_back_and_holds_nothing_up() {
    let (stage, process) = with_bot().await;
    let (log, _guard) = Log::begin();
    let batch = [
        "hello".to_owned(),
        notice("started", 0).to_string(),
        "{}".to_owned(),
    ];
    assert_eq!(process.give(&batch, 1).await.unwrap(), [0, 2]);
    assert_eq!(messages(&stage).0.len(), 1);
    assert_eq!(
        stage.given_back(),
        [("receipt-0".to_owned(), 15), ("receipt-2".to_owned(), 15)]
    );
    assert!(
        log.text()
            .contains("metadata.additionalContext.kind must be there"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_token_that_was_changed_is_taken_up() {
    let (stage, process) = with_bot().await;
    let (log, _guard) = Log::begin();
    tell(&process, &[notice("started", 0)]).await;
    stage.slack.workspace().token = "xoxb-000000000000-another".to_owned();
    assert!(comes_back(&process, &notice("progressing", 10)).await);
    let said = log.text();
    assert!(
        said.contains("Slack refused the credential (token_revoked)")
            && said.contains("SlackParameter"),
        "{said}"
    );
    assert!(!said.contains("xoxb-0"), "{said}");

    stage.put_credential(
        &json!({"botToken": "xoxb-000000000000-another", "channel": CHANNEL}).to_string(),
    );
    tell(&process, &[notice("progressing", 10)]).await;
    assert_eq!(messages(&stage).0[0].updates, 1);
    // And by the process that still knows the old one, in one go.
    stage.slack.workspace().token = TOKEN.to_owned();
    stage.put_credential(&bot());
    tell(&process, &[notice("succeeded", 20)]).await;
}

#[tokio::test]
async fn a_credential_that_is_none_is_said_without_saying_it() {
    for (credential, named) in [
        (None, "/slack/deploys is not there"),
        (
            Some("https://example.com/hidden"),
            "must hold the URL of an incoming webhook",
        ),
        (
            Some(r#"{"botToken": "xoxb-hidden-hidden"}"#),
            "lacks the field channel",
        ),
        // Good, and unknown to Slack.
        (
            Some(r#"{"botToken": "xoxb-hidden-hidden", "channel": "C0000000001"}"#),
            "invalid_auth",
        ),
        (
            Some("https://hooks.slack.com/services/T0/B0/hidden"),
            "no_service",
        ),
    ] {
        let stage = Stage::new(credential).await.unwrap();
        let process = stage.process().await.unwrap();
        let (log, _guard) = Log::begin();
        assert!(
            comes_back(&process, &notice("succeeded", 1)).await,
            "{named}"
        );
        assert!(
            log.text().contains(named) && !log.text().contains("hidden"),
            "{named}: {}",
            log.text()
        );
        assert!(messages(&stage).0.is_empty());
    }
}

#[tokio::test]
async fn what_a_person_can_mend_is_told_when_it_is_mended() {
    for (channel, named) in [
        ("C0000000003", "/invite @app"),
        ("C0000000004", "archived"),
        ("C0000000009", "channel_not_found"),
    ] {
        let (stage, process) =
            with(&json!({"botToken": TOKEN, "channel": channel}).to_string()).await;
        let (log, _guard) = Log::begin();
        assert!(comes_back(&process, &notice("succeeded", 1)).await);
        assert!(log.text().contains(named), "{named}: {}", log.text());
        assert_eq!(stage.record(CONVERSATION).unwrap().get("busy"), None);

        stage.put_credential(&bot());
        let process = stage.process().await.unwrap();
        tell(&process, &[notice("succeeded", 1)]).await;
        let (in_channel, threads) = messages(&stage);
        assert_eq!((in_channel.len(), threads.len()), (1, 1));
    }
}

#[tokio::test]
async fn slack_is_waited_for_if_it_says_for_how_long() {
    for (stage, process) in [with_bot().await, with_webhook().await] {
        next(&stage, [Behaviour::RateLimited(1)]);
        let begun = Instant::now();
        tell(&process, &[notice("superseded", 1)]).await;
        assert!(begun.elapsed().as_millis() >= 1000);
        assert_eq!(messages(&stage).0.len(), 1);

        // Too long to wait here.
        next(&stage, [Behaviour::RateLimited(120)]);
        assert!(comes_back(&process, &notice("needsAttention", 2)).await);
        assert_eq!(stage.given_back(), [("receipt-0".to_owned(), 120)]);
        tell(&process, &[notice("needsAttention", 2)]).await;
    }
}

/// The stand-in takes bursts of four, as Slack takes some, and one a second after that.
#[tokio::test]
async fn many_deploys_at_once_are_told_one_after_the_other() {
    let (stage, process) = with_webhook().await;
    let several: Vec<String> = (0..7)
        .map(|index| {
            let mut message = notice("succeeded", index);
            let execution = &mut message["metadata"]["additionalContext"]["execution"];
            *execution = format!("{}{index}", execution.as_str().unwrap()).into();
            message.to_string()
        })
        .collect();
    assert_eq!(process.give(&several, 1).await.unwrap(), [0; 0]);
    assert_eq!(messages(&stage).0.len(), 7);
}

#[tokio::test]
async fn a_slack_that_fails_is_tried_again_later_each_time() {
    for behaviour in [
        Behaviour::Down,
        Behaviour::Status(500),
        Behaviour::Status(503),
        Behaviour::Status(302),
        Behaviour::Error("internal_error".to_owned()),
    ] {
        let (stage, process) = with_bot().await;
        always(&stage, Some(behaviour.clone()));
        let batch: Vec<String> = ["started", "succeeded"]
            .map(|kind| notice(kind, 1).to_string())
            .into();
        for (tries, seconds) in [(1, 15), (2, 30), (3, 60), (20, 900)] {
            assert_eq!(
                process.give(&batch, tries).await.unwrap(),
                [0, 1],
                "{behaviour:?}"
            );
            let given_back = stage.given_back();
            assert!(
                given_back.iter().all(|(_, after)| *after == seconds),
                "{given_back:?}"
            );
        }
        // The second of a batch is not tried after the first has found nobody.
        assert_eq!(stage.slack.workspace().requests, 4, "{behaviour:?}");
        always(&stage, None);
        assert_eq!(process.give(&batch, 5).await.unwrap(), [0; 0]);
        let (channel, threads) = messages(&stage);
        assert_eq!((channel.len(), threads.len()), (1, 1), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_slack_that_hangs_is_given_up() {
    let (stage, process) = with_webhook().await;
    always(&stage, Some(Behaviour::Slow(60)));
    let begun = Instant::now();
    let batch: Vec<String> = ["superseded", "needsAttention", "skipped"]
        .map(|kind| notice(kind, 1).to_string())
        .into();
    assert_eq!(process.give(&batch, 1).await.unwrap(), [0, 1, 2]);
    let seconds = begun.elapsed().as_secs();
    assert!((10..13).contains(&seconds), "{seconds} s");
    assert_eq!(stage.slack.workspace().requests, 1);
}

#[tokio::test]
async fn of_a_notice_that_was_told_in_part_the_rest_is_told() {
    let (stage, process) = with_bot().await;
    tell(&process, &[notice("started", 0)]).await;
    // The message is changed; its thread is not answered.
    next(&stage, [Behaviour::Slow(0), Behaviour::Status(500)]);
    assert!(comes_back(&process, &notice("skipped", 10)).await);
    tell(&process, &[notice("skipped", 10)]).await;
    let (channel, threads) = messages(&stage);
    assert_eq!(
        (channel.len(), channel[0].updates, threads.len()),
        (1, 1, 1)
    );

    // It is changed, and the answer is lost.
    let (stage, process) = with_bot().await;
    tell(&process, &[notice("started", 0)]).await;
    next(&stage, [Behaviour::DoneAndDown]);
    assert!(comes_back(&process, &notice("rolledBack", 20)).await);
    assert!(!comes_back(&process, &notice("rolledBack", 20)).await);
    let (channel, threads) = messages(&stage);
    // Changing it again to the same is no harm.
    assert_eq!(
        (channel.len(), channel[0].updates, threads.len()),
        (1, 2, 1)
    );
}

/// What can happen, and is written down in docs/operations.md: Slack has the message, and the ledger does not know.
#[tokio::test]
async fn a_function_that_dies_after_posting_is_followed_by_one_more_message_at_most() {
    let (stage, process) = with_bot().await;
    // The claim is written, the record of what was said is not.
    stage.deny(Some(("PutObject", 2)));
    assert!(comes_back(&process, &notice("started", 0)).await);
    assert_eq!(messages(&stage).0.len(), 1);
    stage.deny(None);
    // Nobody may take over while the first could still be at it: what it says would come twice.
    assert!(comes_back(&process, &notice("started", 0)).await);
    assert_eq!(
        stage.given_back().last(),
        Some(&("receipt-0".to_owned(), 10))
    );
    assert_eq!(messages(&stage).0.len(), 1);

    let mut record = stage.record(CONVERSATION).unwrap();
    record["busy"]["until"] = "2026-01-01T00:00:00Z".into();
    stage.write_record(CONVERSATION, &record);
    tell(
        &process,
        &[
            notice("started", 0),
            notice("progressing", 5),
            notice("superseded", 10),
        ],
    )
    .await;
    let (channel, threads) = messages(&stage);
    assert_eq!(
        (
            channel.len(),
            channel[0].updates,
            channel[1].updates,
            threads.len()
        ),
        (2, 0, 2, 1)
    );
}

#[tokio::test]
async fn without_its_ledger_nothing_is_posted() {
    let (stage, process) = with_bot().await;
    stage.deny(Some(("PutObject", 1)));
    assert!(comes_back(&process, &notice("started", 0)).await);
    assert_eq!(stage.slack.workspace().requests, 0);
    // Nor is a message lost of which the queue cannot be told to wait.
    stage.deny(Some(("ChangeMessageVisibility", 1)));
    next(&stage, [Behaviour::Down]);
    assert!(comes_back(&process, &notice("started", 0)).await);
}
