//! The pipeline's KMS key.

use aws_config::SdkConfig;
use aws_sdk_kms::types::KeyState;
use exuvia_core::error::StepError;

use crate::error::failed;

pub struct Keys(aws_sdk_kms::Client);

impl Keys {
    pub fn new(config: &SdkConfig) -> Self {
        Self(aws_sdk_kms::Client::new(config))
    }

    /// Fails unless the key can decrypt now.
    pub async fn check_enabled(&self, key: &str) -> Result<(), StepError> {
        let answer = self.0.describe_key().key_id(key).send().await;
        let answer = answer.map_err(|error| failed(format!("DescribeKey {key}"), error))?;
        let state = answer.key_metadata().and_then(|key| key.key_state());
        match state {
            Some(KeyState::Enabled) => Ok(()),
            other => Err(StepError::KeyUnavailable {
                key: key.to_owned(),
                state: other.map_or("unknown", KeyState::as_str).to_owned(),
            }),
        }
    }
}
