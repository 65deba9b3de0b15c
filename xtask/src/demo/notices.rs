//! The notices that the deployer publishes, as a subscriber of its topic gets them.

use anyhow::{Context as _, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::cloud::State;
use crate::ui::wrapped;

/// Columns of a notice's text.
const WIDTH: usize = 92;

/// A notice in the schema of Amazon Q Developer in chat applications, as far as it is shown here.
///
/// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Notice {
    pub(crate) content: Content,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) next_steps: Vec<String>,
}

impl Content {
    /// The lines below the title, as a reader of the channel sees them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let steps = self.next_steps.iter().map(|step| format!("→ {step}"));
        let mut in_block = false;
        let mut lines = Vec::new();
        for line in self.description.lines() {
            if line == "```" {
                in_block = !in_block;
            } else if in_block {
                lines.push(format!("│ {}", shown(line)));
            } else {
                lines.extend(wrapped(&shown(line), WIDTH));
            }
        }
        lines.extend(steps.flat_map(|step| wrapped(&shown(&step), WIDTH)));
        lines
    }
}

/// mrkdwn as Slack shows it: of a link its text, of a command the command. (Long addresses help nobody in a terminal.)
fn shown(mrkdwn: &str) -> String {
    let mut rest = mrkdwn;
    let mut told = String::new();
    while let Some((before, link)) = rest.split_once('<') {
        told.push_str(before);
        let Some((link, after)) = link.split_once('>') else {
            break;
        };
        let text = link.split_once('|').map_or(link, |(_, text)| text);
        told.extend(["[", text, "]"]);
        rest = after;
    }
    told.push_str(rest);
    let plain = told.replace('`', "");
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">");
    plain.replace("&amp;", "&")
}

/// A queue that is subscribed to the topic, and read until this is dropped.
pub(crate) struct Notices {
    received: UnboundedReceiver<Result<Notice>>,
    reader: JoinHandle<()>,
}

impl Notices {
    pub(crate) async fn subscribe(state: &State, topic: &str) -> Result<Self> {
        let sdk = state.sdk();
        let queues = aws_sdk_sqs::Client::new(&sdk);
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        let made = queues
            .create_queue()
            .queue_name("demo-notices")
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .context("cannot create a queue")?;
        let queue = made.queue_url().context("the queue has no URL")?.to_owned();
        let attributes = queues
            .get_queue_attributes()
            .queue_url(&queue)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .context("cannot look at the queue")?;
        let arn = attributes
            .attributes()
            .and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn))
            .context("the queue has no ARN")?;
        aws_sdk_sns::Client::new(&sdk)
            .subscribe()
            .topic_arn(topic)
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .context("cannot subscribe to the topic")?;
        let (sender, received) = unbounded_channel();
        let reader = tokio::spawn(async move {
            if let Err(error) = read(&queues, &queue, &sender).await {
                // Nobody listens any more: then nobody misses it.
                let _ = sender.send(Err(error));
            }
        });
        Ok(Self { received, reader })
    }

    /// The next one that has arrived, without waiting.
    pub(crate) fn next(&mut self) -> Result<Option<Notice>> {
        self.received.try_recv().ok().transpose()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(
    queues: &aws_sdk_sqs::Client,
    queue: &str,
    sender: &UnboundedSender<Result<Notice>>,
) -> Result<()> {
    loop {
        let received = queues
            .receive_message()
            .queue_url(queue)
            .wait_time_seconds(1)
            .max_number_of_messages(10)
            .send();
        let received = received.await.context("cannot read the queue of notices")?;
        for message in received.messages() {
            let body = message.body().unwrap_or_default();
            let notice = serde_json::from_str(body)
                .with_context(|| format!("a notice that no chat would show: {body}"));
            sender.send(notice)?;
            let receipt = message.receipt_handle().unwrap_or_default();
            queues
                .delete_message()
                .queue_url(queue)
                .receipt_handle(receipt)
                .send()
                .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_shown_as_slack_shows_it() {
        let content = Content {
            title: "hello/qa: v2 was rolled back".to_owned(),
            description: "It &lt;failed&gt; &amp; ended.\n```\nError: 1 &lt; 2\n```\n<https://a/?b&amp;c|Execution> · <https://d|Report>".to_owned(),
            next_steps: vec!["To go back: `aws --input '{}'`".to_owned()],
        };
        assert_eq!(
            content.lines(),
            [
                "It <failed> & ended.",
                "│ Error: 1 < 2",
                "[Execution] · [Report]",
                "→ To go back: aws --input '{}'",
            ]
        );
    }
}
