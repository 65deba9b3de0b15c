//! The topic that notices are published to.

use aws_config::SdkConfig;
use aws_sdk_sns::types::MessageAttributeValue;
use exuvia_core::announcement::Announcement;
use exuvia_core::error::StepError;

use crate::error::failed;
use crate::{Lazy, lazily};

pub struct Topic {
    client: Lazy<aws_sdk_sns::Client>,
    arn: String,
}

impl Topic {
    pub fn new(config: &SdkConfig, arn: String) -> Self {
        Self {
            client: lazily(config, aws_sdk_sns::Client::new),
            arn,
        }
    }

    /// Publishes a notice and returns SNS's message id.
    pub async fn publish(&self, notice: &impl Announcement) -> Result<String, StepError> {
        // SNS refuses a subject with line breaks or of more than 100 characters (Publish).
        let subject: String = notice
            .title()
            .chars()
            .filter(char::is_ascii)
            .take(99)
            .collect();
        let mut publish = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .subject(subject)
            .message(notice.message().to_string());
        for (name, value) in notice.attributes() {
            let Some(value) = value else { continue };
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value);
            let value = value.build().map_err(|error| StepError::Unreadable {
                what: format!("the notice's attribute {name}"),
                problem: error.to_string(),
            })?;
            publish = publish.message_attributes(name, value);
        }
        let answer = publish.send().await;
        let answer = answer.map_err(|error| failed(format!("Publish to {}", self.arn), error))?;
        Ok(answer.message_id().unwrap_or_default().to_owned())
    }
}
