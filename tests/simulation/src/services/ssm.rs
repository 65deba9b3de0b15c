//! SSM's Parameter Store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::services::wire::{self, JsonError};
use crate::services::{Request, Response};

/// Parameters of the type String, by name.
#[derive(Clone, Debug, Default)]
pub struct Ssm {
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    value: String,
    version: u64,
    modified_at: Timestamp,
}

impl Ssm {
    pub fn put(&mut self, name: &str, value: String, now: Timestamp) {
        let version = self.parameters.get(name).map_or(1, |old| old.version + 1);
        let parameter = Parameter {
            value,
            version,
            modified_at: now,
        };
        self.parameters.insert(name.to_owned(), parameter);
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(|found| found.value.as_str())
    }

    pub fn delete(&mut self, name: &str) {
        self.parameters.remove(name);
    }

    /// `GetParameter`, by the name alone:
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>.
    pub fn answer(&self, request: &Request) -> Response {
        let operations: [(&str, &[&str]); 1] = [("AmazonSSM.GetParameter", &["Name"])];
        wire::json_1_1(request, &operations, |_, parameters| {
            let name = &parameters["Name"];
            let Some(found) = self.parameters.get(name) else {
                return Err(JsonError {
                    status: 400,
                    code: "ParameterNotFound",
                    message: format!("Parameter {name} not found."),
                });
            };
            Ok(json!({ "Parameter": {
                "Name": name,
                "Type": "String",
                "DataType": "text",
                "Value": found.value,
                "Version": found.version,
                "LastModifiedDate": found.modified_at.as_second(),
            }}))
        })
    }
}
