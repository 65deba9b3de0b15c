//! The pipeline's KMS keys: one encrypts, the other signs.

use aws_config::SdkConfig;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyState, MessageType, SigningAlgorithmSpec};
use aws_smithy_types::base64;
use exuvia_core::error::StepError;
use sha2::{Digest, Sha256};

use crate::error::{failed, is};
use crate::{Lazy, lazily};

pub struct Keys(Lazy<aws_sdk_kms::Client>);

impl Keys {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, aws_sdk_kms::Client::new))
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

/// The pipeline's signing key: what it has signed was planned by it, and by nobody who can merely write to the ledger.
pub struct SigningKey {
    client: Lazy<aws_sdk_kms::Client>,
    arn: String,
}

impl SigningKey {
    pub fn new(config: &SdkConfig, arn: String) -> Self {
        Self {
            client: lazily(config, aws_sdk_kms::Client::new),
            arn,
        }
    }

    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The signature of those bytes, in DER, as base64.
    pub async fn sign(&self, bytes: &[u8]) -> Result<String, StepError> {
        let answer = self
            .client
            .sign()
            .key_id(&self.arn)
            .message(digest(bytes))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .send()
            .await;
        let answer = answer.map_err(|error| failed(format!("Sign with {}", self.arn), error))?;
        let signature = answer.signature().map(AsRef::<[u8]>::as_ref);
        Ok(base64::encode(signature.unwrap_or_default()))
    }

    /// Whether that is a signature of those bytes with this key.
    pub async fn has_signed(&self, bytes: &[u8], signature: &str) -> Result<bool, StepError> {
        let Ok(signature) = base64::decode(signature) else {
            return Ok(false);
        };
        let verify = self
            .client
            .verify()
            .key_id(&self.arn)
            .message(digest(bytes))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .signature(Blob::new(signature));
        match verify.send().await {
            Ok(answer) => Ok(answer.signature_valid()),
            Err(error) if is(&error, "KMSInvalidSignatureException") => Ok(false),
            Err(error) => Err(failed(format!("Verify with {}", self.arn), error)),
        }
    }
}

fn digest(bytes: &[u8]) -> Blob {
    Blob::new(Sha256::digest(bytes).to_vec())
}
