//! What is published to the topic gets to Slack, by way of the queue, the function and its role.

use std::time::{Duration, Instant};

use exuvia_end_to_end::{client, config, setting};
use serde_json::{Value, json};

const EXECUTION: &str = "arn:aws:states:us-east-1:000000000000:execution:exuvia-deploy:told-1";

/// Publishes a notice as `notify` does.
async fn publish(kind: &str, at: &str) {
    let notice = json!({
        "version": "1.0", "source": "custom", "id": format!("{kind}-told-1"),
        "content": {
            "textType": "client-markdown", "title": format!("told/test: v1 (release 1) {kind}"),
            "description": "It is told.", "nextSteps": [], "keywords": [kind],
        },
        "metadata": {
            "threadId": "told-test-000001", "summary": "x", "eventType": format!("exuvia.{kind}"), "relatedResources": [EXECUTION],
            "additionalContext": {
                "kind": kind, "about": "deploy", "app": "told", "environment": "test", "execution": EXECUTION, "at": at,
            },
        },
    });
    let sns = aws_sdk_sns::Client::new(&config().await);
    let publish = sns.publish().topic_arn(setting("EXUVIA_TOPIC_ARN"));
    publish.message(notice.to_string()).send().await.unwrap();
}

/// What Slack has of it once there are so many messages.
async fn conversation(count: usize) -> Vec<Value> {
    let url = format!("{}/conversation", setting("EXUVIA_SLACK_URL"));
    let begun = Instant::now();
    loop {
        let (_, body) = client::read(&url).await;
        let all: Vec<Value> = serde_json::from_str(&body).unwrap();
        let is_of_it = |message: &Value| message["text"].as_str().unwrap().contains("told/test: ");
        let told: Vec<Value> = all.into_iter().filter(is_of_it).collect();
        if told.len() >= count {
            return told;
        }
        // Other scenarios are told of in the same channel, which takes a message a second.
        assert!(begun.elapsed() < Duration::from_mins(3), "{told:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_notice_gets_to_slack() {
    publish("started", "2026-11-21T10:00:00Z").await;
    let told = conversation(1).await;
    assert!(
        told[0]["text"].as_str().unwrap().contains("started"),
        "{told:#?}"
    );
    publish("succeeded", "2026-11-21T10:02:00Z").await;
    publish("started", "2026-11-21T10:00:00Z").await;
    let told = conversation(2).await;
    let [message, reply] = &told[..] else {
        panic!("{told:#?}")
    };
    assert!(
        message["text"].as_str().unwrap().contains("✅"),
        "{told:#?}"
    );
    assert_eq!(
        (&message["updates"], &reply["thread_ts"]),
        (&json!(1), &message["ts"])
    );
}
