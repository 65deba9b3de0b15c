//! KMS: keys that are enabled or not.

use std::collections::BTreeMap;

use crate::services::{Request, Response, wire};

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

    pub fn is_enabled(&self, arn: &str) -> bool {
        self.enabled.get(arn).copied().unwrap_or_default()
    }

    pub fn answer(&self, _request: &Request) -> Response {
        wire::json_error(501, "NotImplemented", "")
    }
}
