//! KMS: keys that are enabled or not; some of them sign.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use exuvia_core::fleet::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::services::wire::{self, JsonError};
use crate::services::{Request, Response};

/// Keys, by ARN.
#[derive(Clone, Debug, Default)]
pub struct Kms {
    keys: BTreeMap<String, Key>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    enabled: bool,
    /// Whether it is asymmetric and signs, rather than encrypts.
    signs: bool,
}

const SIGN: &str = "TrentService.Sign";
const VERIFY: &str = "TrentService.Verify";
/// What it answers, with the parameters that each must have.
const OPERATIONS: [(&str, &[&str]); 3] = [
    ("TrentService.DescribeKey", &["KeyId"]),
    (
        SIGN,
        &["KeyId", "Message", "MessageType", "SigningAlgorithm"],
    ),
    (
        VERIFY,
        &[
            "KeyId",
            "Message",
            "MessageType",
            "SigningAlgorithm",
            "Signature",
        ],
    ),
];

impl Kms {
    /// Keys that encrypt, all enabled.
    pub fn new(arns: impl IntoIterator<Item = String>) -> Self {
        let key = Key {
            enabled: true,
            signs: false,
        };
        Self {
            keys: arns.into_iter().map(|arn| (arn, key)).collect(),
        }
    }

    /// With a key that signs.
    #[must_use]
    pub fn with_signing_key(mut self, arn: &str) -> Self {
        let key = Key {
            enabled: true,
            signs: true,
        };
        self.keys.insert(arn.to_owned(), key);
        self
    }

    /// Enables or disables a key, as a person would in the console.
    pub fn set_enabled(&mut self, arn: &str, enabled: bool) {
        if let Some(key) = self.keys.get_mut(arn) {
            key.enabled = enabled;
        }
    }

    /// `None` if there is no such key.
    pub fn is_enabled(&self, arn: &str) -> Option<bool> {
        self.keys.get(arn).map(|key| key.enabled)
    }

    /// Whether that is the signature, as base64, of the bytes with this digest. It is not ECDSA, and always the same for
    /// the same bytes: a schedule must take the same course again.
    pub fn has_signed(&self, arn: &str, digest: &[u8], signature: &str) -> bool {
        self.keys.get(arn).is_some_and(|key| key.signs) && signature == sign(arn, digest)
    }

    /// `DescribeKey`, `Sign` and `Verify`, by ARN or id:
    /// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html>.
    pub fn answer(&self, request: &Request) -> Response {
        wire::json_1_1(request, &OPERATIONS, |operation, parameters| {
            let name = &parameters["KeyId"];
            let found = self.keys.iter().find(|(arn, _)| {
                arn == &name || arn.rsplit_once('/').is_some_and(|(_, id)| id == name)
            });
            let (arn, key) = found.ok_or_else(|| {
                refusal("NotFoundException", format!("Key '{name}' does not exist"))
            })?;
            if operation != SIGN && operation != VERIFY {
                return Ok(json!({ "KeyMetadata": {
                    "Arn": arn,
                    "KeyId": arn.rsplit('/').next(),
                    "Enabled": key.enabled,
                    "KeyState": if key.enabled { "Enabled" } else { "Disabled" },
                }}));
            }
            if !key.enabled {
                return Err(refusal("DisabledException", format!("{arn} is disabled.")));
            }
            if !key.signs {
                let message = format!("{arn} key usage is ENCRYPT_DECRYPT");
                return Err(refusal("InvalidKeyUsageException", message));
            }
            let digest = base64::decode(parameters["Message"].as_str()).unwrap_or_default();
            let asked = (
                parameters["MessageType"].as_str(),
                parameters["SigningAlgorithm"].as_str(),
            );
            if digest.len() != 32 || asked != ("DIGEST", "ECDSA_SHA_256") {
                let message = format!("{asked:?} of {} bytes", digest.len());
                return Err(refusal("ValidationException", message));
            }
            let mut answer = json!({ "KeyId": arn, "SigningAlgorithm": "ECDSA_SHA_256" });
            if operation == SIGN {
                answer["Signature"] = Value::String(sign(arn, &digest));
            } else if self.has_signed(arn, &digest, &parameters["Signature"]) {
                answer["SignatureValid"] = Value::Bool(true);
            } else {
                return Err(refusal("KMSInvalidSignatureException", String::new()));
            }
            Ok(answer)
        })
    }
}

fn sign(arn: &str, digest: &[u8]) -> String {
    let signed = format!("{arn} {}", hex(digest));
    base64::encode(Sha256::digest(signed))
}

fn refusal(code: &'static str, message: String) -> JsonError {
    JsonError {
        status: 400,
        code,
        message,
    }
}
