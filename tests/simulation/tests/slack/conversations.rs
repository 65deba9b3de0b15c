//! What is told, once, in whatever order it comes.

use exuvia_simulation::slack::{CONVERSATION, Stage, bot, notice};
use exuvia_slack_stand_in::CHANNEL;
use serde_json::{Value, json};

use crate::{comes_back, messages, tell, webhook, with, with_bot, with_webhook};

#[tokio::test]
async fn a_deploy_is_one_message_that_changes() {
    let (stage, process) = with_bot().await;
    tell(&process, &[notice("started", 3)]).await;
    let (channel, _) = messages(&stage);
    assert!(
        channel[0]
            .read()
            .contains("hello/qa: v2 (release 43) started"),
        "{}",
        channel[0].read()
    );
    assert!(channel[0].read().contains("3 s so far"));
    tell(
        &process,
        &[notice("progressing", 60), notice("succeeded", 141)],
    )
    .await;

    let (channel, threads) = messages(&stage);
    let [message] = &channel[..] else {
        panic!("{channel:#?}")
    };
    assert_eq!((message.channel.as_str(), message.updates), (CHANNEL, 2));
    let text = message.read();
    for part in [
        "✅ hello/qa: v2 (release 43) succeeded",
        "It is succeeded.",
        "▰▰▰▰▰▱▱▱▱▱  1 of 2 healthy",
        "after 2 min 21 s",
        "by ci",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        message.parsed,
        [
            "https://console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/x|Execution"
        ]
    );
    let [reply] = &threads[..] else {
        panic!("{threads:#?}")
    };
    assert_eq!(reply.thread_ts.as_ref(), Some(&message.ts));
    assert!(!reply.broadcast);
    assert_eq!(stage.slack.workspace().refused, [""; 0]);

    let record = stage.record(CONVERSATION).unwrap();
    assert_eq!(
        record["told"],
        json!(["started-3", "progressing-60", "succeeded-141"])
    );
    assert_eq!(
        record["message"],
        json!({"channel": CHANNEL, "ts": message.ts})
    );
    assert_eq!(record.get("busy"), None);
    assert!(!record.to_string().contains("xoxb"), "{record}");
}

#[tokio::test]
async fn what_went_wrong_is_shown_in_the_channel_again() {
    let (stage, process) = with_bot().await;
    let mut failed = notice("rolledBack", 90);
    failed["content"]["description"] =
        "The container ended with 1.\n```\nlistening\npanic\n```".into();
    failed["content"]["nextSteps"] = json!(["Mend it and upload a new version"]);
    tell(
        &process,
        &[notice("started", 0), failed, notice("needsAttention", 95)],
    )
    .await;
    let (channel, threads) = messages(&stage);
    assert_eq!(
        (channel.len(), channel[0].updates, threads.len()),
        (1, 2, 2)
    );
    assert!(threads.iter().all(|reply| reply.broadcast));
    let reply = threads[0].read();
    assert!(
        reply.contains("```\nlistening\npanic\n```") && reply.contains("→ Mend it"),
        "{reply}"
    );
    assert!(!channel[0].read().contains("panic"));
}

#[tokio::test]
async fn what_is_given_again_or_late_changes_nothing() {
    let told = ["started", "progressing", "rolledBack", "needsAttention"];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let (stage, process) = with_bot().await;
        for index in order {
            let message = notice(told[index], i64::try_from(index).unwrap() * 10).to_string();
            // Twice in one batch, and once more.
            let both = [message.clone(), message.clone()];
            assert_eq!(process.give(&both, 1).await.unwrap(), [0; 0]);
            assert_eq!(process.give(&[message], 2).await.unwrap(), [0; 0]);
        }
        let (channel, threads) = messages(&stage);
        assert_eq!((channel.len(), threads.len()), (1, 2), "{order:?}");
        assert!(
            channel[0].read().contains("🚨"),
            "{order:?}: {}",
            channel[0].read()
        );
        let mut texts: Vec<bool> = threads
            .iter()
            .map(|reply| reply.read().contains("rolledBack"))
            .collect();
        texts.sort_unstable();
        assert_eq!(texts, [false, true], "{order:?}");
    }
}

#[tokio::test]
async fn two_invocations_at_once_post_once() {
    let stage = Stage::new(Some(&bot())).await.unwrap();
    let (one, other) = (
        stage.process().await.unwrap(),
        stage.process().await.unwrap(),
    );
    let first = [notice("started", 0).to_string()];
    let (of_one, of_other) = tokio::join!(one.give(&first, 1), other.give(&first, 1));
    assert_eq!((of_one.unwrap(), of_other.unwrap()), (vec![], vec![]));
    let (channel, _) = messages(&stage);
    assert_eq!((channel.len(), channel[0].updates), (1, 0));

    let (later, last) = (
        [notice("progressing", 10).to_string()],
        [notice("succeeded", 20).to_string()],
    );
    let (of_one, of_other) = tokio::join!(one.give(&last, 1), other.give(&later, 1));
    assert_eq!((of_one.unwrap(), of_other.unwrap()), (vec![], vec![]));
    let (channel, threads) = messages(&stage);
    assert_eq!((channel.len(), threads.len()), (1, 1));
    assert!(
        channel[0].read().contains("succeeded"),
        "{}",
        channel[0].read()
    );
}

#[tokio::test]
async fn deploys_of_others_have_messages_of_their_own() {
    let channels = json!({"hello/production": "#others"});
    let mut credential: Value = serde_json::from_str(&bot()).unwrap();
    credential["channels"] = channels;
    let (stage, process) = with(&credential.to_string()).await;
    let mut other = notice("started", 0);
    other["metadata"]["additionalContext"]["environment"] = "production".into();
    tell(&process, &[notice("started", 0), other]).await;
    let (channel, _) = messages(&stage);
    let channels: Vec<&str> = channel
        .iter()
        .map(|message| message.channel.as_str())
        .collect();
    assert_eq!(channels, [CHANNEL, "C0000000002"]);
}

#[tokio::test]
async fn a_webhook_hears_how_it_ended_once() {
    let (stage, process) = with_webhook().await;
    tell(&process, &[notice("started", 0), notice("progressing", 5)]).await;
    assert_eq!(stage.slack.workspace().requests, 0);
    let mut failed = notice("rolledBack", 90);
    failed["content"]["description"] = "It ended.\n```\npanic\n```".into();
    tell(
        &process,
        &[
            failed.clone(),
            failed,
            notice("needsAttention", 95),
            notice("started", 0),
        ],
    )
    .await;
    let (channel, threads) = messages(&stage);
    assert_eq!((channel.len(), threads.len()), (2, 0));
    let text = channel[0].read();
    assert!(
        text.contains("🔴 hello/qa: v2 (release 43) rolledBack") && text.contains("panic"),
        "{text}"
    );
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_posted_anew() {
    let (stage, process) = with_bot().await;
    tell(&process, &[notice("started", 0)]).await;
    stage.slack.workspace().messages[0].is_deleted = true;
    tell(&process, &[notice("progressing", 10)]).await;
    // Now between the message's change and its thread: the message of an outcome that was shown, but not told.
    let mut record = stage.record(CONVERSATION).unwrap();
    record["shown"]["kind"] = "succeeded".into();
    record["shown"]["id"] = "succeeded-20".into();
    record["shown"]["at"] = "2030-01-01T00:00:00Z".into();
    stage.write_record(CONVERSATION, &record);
    stage.slack.workspace().messages[1].is_deleted = true;
    tell(&process, &[notice("succeeded", 20)]).await;
    let (channel, threads) = messages(&stage);
    assert_eq!((channel.len(), threads.len()), (3, 1));
    assert_eq!(threads[0].thread_ts.as_ref(), Some(&channel[2].ts));
}

#[tokio::test]
async fn alarms_and_builds_are_told_too() {
    for credential in [bot(), webhook()] {
        let (stage, process) = with(&credential).await;
        let alarm = json!({
            "AlarmName": "exuvia-DeadLettersAlarm", "AlarmDescription": "An upload started no deploy.",
            "NewStateValue": "ALARM", "NewStateReason": "1 datapoint > 0", "AWSAccountId": "0",
        });
        let mut built = notice("built", 60);
        built["metadata"]["additionalContext"]["about"] = "build".into();
        tell(&process, &[alarm, built]).await;
        let (channel, _) = messages(&stage);
        assert_eq!(channel.len(), 2);
        assert!(
            channel[0]
                .read()
                .contains("🚨 exuvia-DeadLettersAlarm: alarm"),
            "{}",
            channel[0].read()
        );
        assert!(channel[1].read().contains("📦"), "{}", channel[1].read());
    }
}

#[tokio::test]
async fn a_clock_that_jumps_does_no_harm() {
    let (stage, process) = with_bot().await;
    tell(
        &process,
        &[notice("progressing", 50), notice("succeeded", -7200)],
    )
    .await;
    let (channel, _) = messages(&stage);
    let text = channel[0].read();
    assert!(
        text.contains("succeeded") && !text.contains("after"),
        "{text}"
    );
    assert!(!comes_back(&process, &notice("progressing", 60)).await);
    assert_eq!(messages(&stage).0[0].updates, 1);
}
