//! A queue whose messages a function is given.

use std::time::Duration;

use aws_config::SdkConfig;
use exuvia_core::error::StepError;

use crate::error::failed;
use crate::{Lazy, lazily};

pub struct Queue {
    client: Lazy<aws_sdk_sqs::Client>,
    url: String,
}

impl Queue {
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self {
            client: lazily(config, aws_sdk_sqs::Client::new),
            url,
        }
    }

    /// Has a message that could not be handled given again after a while, and not after the queue's own time.
    pub async fn give_again_after(&self, receipt: &str, wait: Duration) -> Result<(), StepError> {
        let seconds = i32::try_from(wait.as_secs()).unwrap_or(i32::MAX);
        let change = self.client.change_message_visibility();
        let change = change.queue_url(&self.url).receipt_handle(receipt);
        let changed = change.visibility_timeout(seconds).send().await;
        changed.map_err(|error| failed("ChangeMessageVisibility", error))?;
        Ok(())
    }
}
