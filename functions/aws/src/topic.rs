//! The topic that notices are published to.

use aws_config::SdkConfig;
use aws_sdk_sns::types::MessageAttributeValue;
use exuvia_core::error::StepError;
use exuvia_core::notice::Notice;

use crate::error::failed;

pub struct Topic {
    client: aws_sdk_sns::Client,
    arn: String,
}

impl Topic {
    pub fn new(config: &SdkConfig, arn: String) -> Self {
        Self {
            client: aws_sdk_sns::Client::new(config),
            arn,
        }
    }

    /// Publishes a notice and returns SNS's message id. App, environment, kind and release are message attributes,
    /// for subscription filters.
    pub async fn publish(&self, notice: &Notice) -> Result<String, StepError> {
        // SNS refuses a subject with line breaks or of more than 100 characters (Publish).
        let subject: String = notice
            .title
            .chars()
            .filter(char::is_ascii)
            .take(99)
            .collect();
        let mut publish = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .subject(subject)
            .message(notice.to_message().to_string());
        let place = notice.place.as_ref();
        for (name, value) in [
            ("kind", Some(notice.kind.as_str().to_owned())),
            ("app", place.map(|place| place.app.to_string())),
            (
                "environment",
                place.map(|place| place.environment.to_string()),
            ),
            ("release", notice.release.map(|release| release.to_string())),
        ] {
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
