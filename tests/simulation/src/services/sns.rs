//! SNS: what was published, in order.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::services::{Kms, Request, Response, wire};

/// Topics that are encrypted with one key.
#[derive(Clone, Debug)]
pub struct Sns {
    topics: Vec<String>,
    kms_key: String,
    pub published: Vec<Published>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub at: Timestamp,
    /// The topic's ARN.
    pub topic: String,
    pub subject: Option<String>,
    pub message: String,
    pub attributes: BTreeMap<String, String>,
    pub message_id: String,
}

impl Sns {
    /// Topics by ARN, and the ARN of the key that they are encrypted with.
    pub fn new(topics: impl IntoIterator<Item = String>, kms_key: String) -> Self {
        Self {
            topics: topics.into_iter().collect(),
            kms_key,
            published: Vec::new(),
        }
    }

    pub fn answer(&mut self, _request: &Request, _now: Timestamp, _keys: &Kms) -> Response {
        wire::json_error(501, "NotImplemented", "")
    }
}
