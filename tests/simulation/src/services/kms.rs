//! KMS: keys that are enabled or not.

use std::collections::BTreeMap;

use serde_json::json;

use crate::services::wire::{self, JsonError};
use crate::services::{Request, Response};

/// Keys, by ARN.
#[derive(Clone, Debug, Default)]
pub struct Kms {
    enabled: BTreeMap<String, bool>,
}

impl Kms {
    /// Keys, all enabled.
    pub fn new(arns: impl IntoIterator<Item = String>) -> Self {
        Self {
            enabled: arns.into_iter().map(|arn| (arn, true)).collect(),
        }
    }

    /// Enables or disables a key, as a person would in the console.
    pub fn set_enabled(&mut self, arn: &str, enabled: bool) {
        self.enabled.insert(arn.to_owned(), enabled);
    }

    /// `None` if there is no such key.
    pub fn is_enabled(&self, arn: &str) -> Option<bool> {
        self.enabled.get(arn).copied()
    }

    /// `DescribeKey`, by ARN or id: <https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html>.
    pub fn answer(&self, request: &Request) -> Response {
        wire::json_1_1(request, "TrentService.DescribeKey", "KeyId", |name| {
            let found = self.enabled.iter().find(|(arn, _)| {
                arn.as_str() == name || arn.rsplit_once('/').is_some_and(|(_, id)| id == name)
            });
            let Some((arn, enabled)) = found else {
                return Err(JsonError {
                    status: 400,
                    code: "NotFoundException",
                    message: format!("Key '{name}' does not exist"),
                });
            };
            Ok(json!({ "KeyMetadata": {
                "Arn": arn,
                "KeyId": arn.rsplit('/').next(),
                "Enabled": enabled,
                "KeyState": if *enabled { "Enabled" } else { "Disabled" },
            }}))
        })
    }
}
