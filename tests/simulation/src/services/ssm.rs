//! SSM's Parameter Store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::services::wire::{self, JsonError};
use crate::services::{Request, Response};

/// Parameters of the types `String` and `SecureString`, by name.
#[derive(Clone, Debug, Default)]
pub struct Ssm {
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    value: String,
    is_secret: bool,
    version: u64,
    modified_at: Timestamp,
}

impl Ssm {
    pub fn put(&mut self, name: &str, value: String, now: Timestamp) {
        self.write(name, value, false, now);
    }

    /// A `SecureString`.
    pub fn put_secret(&mut self, name: &str, value: String, now: Timestamp) {
        self.write(name, value, true, now);
    }

    fn write(&mut self, name: &str, value: String, is_secret: bool, now: Timestamp) {
        let version = self.parameters.get(name).map_or(1, |old| old.version + 1);
        let parameter = Parameter {
            value,
            is_secret,
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

    /// `GetParameter`: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html>.
    pub fn answer(&self, request: &Request) -> Response {
        let operations: [(&str, &[&str]); 1] = [("AmazonSSM.GetParameter", &["Name"])];
        let (request, decrypts) = without_decryption(request);
        wire::json_1_1(&request, &operations, |_, parameters| {
            let name = &parameters["Name"];
            let Some(found) = self.parameters.get(name) else {
                return Err(JsonError {
                    status: 400,
                    code: "ParameterNotFound",
                    message: format!("Parameter {name} not found."),
                });
            };
            let (kind, value) = match found.is_secret {
                true if decrypts => ("SecureString", found.value.as_str()),
                true => ("SecureString", "AQICAHencrypted"),
                false => ("String", found.value.as_str()),
            };
            Ok(json!({ "Parameter": {
                "Name": name,
                "Type": kind,
                "DataType": "text",
                "Value": value,
                "Version": found.version,
                "LastModifiedDate": found.modified_at.as_second(),
            }}))
        })
    }
}

/// A request without `WithDecryption`, the one parameter that is no text, and what that said.
fn without_decryption(request: &Request) -> (Request, bool) {
    let mut request = request.clone();
    let Ok(mut parameters) = serde_json::from_slice::<Map<String, Value>>(request.body()) else {
        return (request, false);
    };
    let decrypts = parameters.remove("WithDecryption") == Some(Value::Bool(true));
    *request.body_mut() = Value::from(parameters).to_string().into_bytes();
    (request, decrypts)
}
