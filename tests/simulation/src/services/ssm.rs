//! SSM's Parameter Store.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::services::{Request, Response, wire};

/// Parameters of the type String, by name.
#[derive(Clone, Debug, Default)]
pub struct Ssm {
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    value: String,
    version: u64,
    modified: Timestamp,
}

impl Ssm {
    pub fn put(&mut self, name: &str, value: String, now: Timestamp) {
        let version = self.parameters.get(name).map_or(1, |old| old.version + 1);
        let parameter = Parameter {
            value,
            version,
            modified: now,
        };
        self.parameters.insert(name.to_owned(), parameter);
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(|found| found.value.as_str())
    }

    pub fn delete(&mut self, name: &str) {
        self.parameters.remove(name);
    }

    pub fn answer(&self, _request: &Request) -> Response {
        wire::json_error(501, "NotImplemented", "")
    }
}
