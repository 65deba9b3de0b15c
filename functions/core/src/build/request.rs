//! The input of a build's execution: what a person pastes into the console, and what the trigger sends for an upload.
//!
//! ```json
//! {"app":"hello","environment":"qa","source":{"key":"hello/qa/3f2a1c.src.tar.gz","versionId":"..."}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::Upload;
use crate::name::{Place, Version};
use crate::request::{cut, kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    pub place: Place,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Source {
        key: String,
        version: Version,
        /// The newest, if there is none.
        version_id: Option<String>,
    },
    /// Not a build: put things in order after an execution that was cut off.
    Recovery { execution: String },
}

/// What is wrong with an execution's input, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the execution's input: {0}. {EXAMPLE}")]
pub struct InvalidBuild(pub String);

const EXAMPLE: &str = "Right would be {\"app\":\"hello\",\"environment\":\"qa\",\"source\":{\"key\":\"hello/qa/3f2a1c.src.tar.gz\"}}, with a \"versionId\" for another than the newest";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<SourceFields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recover: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SourceFields {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

impl BuildRequest {
    pub fn parse(input: &Value) -> Result<Self, InvalidBuild> {
        let wrong = |text: String| InvalidBuild(text);
        if !input.is_object() {
            return Err(wrong(format!("it is {}, not a JSON object", kind(input))));
        }
        let fields: Fields = serde_path_to_error::deserialize(input).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            wrong(if path == "." {
                inner.to_string()
            } else {
                format!("{path}: {inner}")
            })
        })?;
        let need = |field: &Option<String>, name: &str| {
            field
                .clone()
                .ok_or_else(|| wrong(format!("{name} is missing")))
        };
        let place = Place::new(
            &need(&fields.app, "app")?,
            &need(&fields.environment, "environment")?,
        )
        .map_err(|error| wrong(error.to_string()))?;
        let what = match (fields.source, fields.recover) {
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "source and recover exclude each other; give one".into(),
                ));
            }
            (None, None) => return Err(wrong("source is missing".into())),
            (None, Some(execution)) => What::Recovery { execution },
            (Some(SourceFields { key, version_id }), None) => match Upload::parse(&key) {
                Ok(Upload::Source {
                    place: of_key,
                    version,
                }) if of_key == place => What::Source {
                    key,
                    version,
                    version_id,
                },
                Ok(Upload::Source { place: of_key, .. }) => {
                    return Err(wrong(format!(
                        "source.key belongs to {of_key}, but app and environment say {place}"
                    )));
                }
                Ok(_) => {
                    return Err(wrong(format!(
                        "source.key {:?} names no source; a source's key ends in .src.tar.gz",
                        cut(&key)
                    )));
                }
                Err(error) => return Err(wrong(format!("source.key {:?}: {error}", cut(&key)))),
            },
        };
        Ok(Self { place, what })
    }

    /// The input that asks for this: what the trigger and the recovery start executions with.
    pub fn to_input(&self) -> Value {
        let mut fields = Fields {
            app: Some(self.place.app.to_string()),
            environment: Some(self.place.environment.to_string()),
            source: None,
            recover: None,
        };
        match &self.what {
            What::Source {
                key, version_id, ..
            } => {
                fields.source = Some(SourceFields {
                    key: key.clone(),
                    version_id: version_id.clone(),
                });
            }
            What::Recovery { execution } => fields.recover = Some(execution.clone()),
        }
        serde_json::to_value(fields).unwrap_or_default()
    }

    /// The app and environment that an input, however wrong, seems to be about: for the notice of its refusal.
    pub fn place_of(input: &Value) -> Option<Place> {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        Place::new(text("app")?, text("environment")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_to_ask_is_read_and_written_alike() {
        for input in [
            json!({"app":"hello","environment":"qa","source":{"key":"hello/qa/v1.src.tar.gz","versionId":"x"}}),
            json!({"app":"hello","environment":"qa","source":{"key":"hello/qa/v1.src.tar.gz"}}),
            json!({"app":"hello","environment":"qa","recover":"arn:aws:states:x"}),
        ] {
            assert_eq!(BuildRequest::parse(&input).unwrap().to_input(), input);
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        let of_key = |key: &str| json!({"app":"hello","environment":"qa","source":{"key": key}});
        for (input, says) in [
            (json!("x"), "it is a string, not a JSON object"),
            (json!({}), "app is missing"),
            (json!({"app":"hello"}), "environment is missing"),
            (
                json!({"app":"hello","environment":"qa"}),
                "source is missing",
            ),
            (
                json!({"app":"hello","environment":"qa","version":"v1"}),
                "unknown field `version`",
            ),
            (
                json!({"app":"hello","environment":"qa","source":{"kye":"x"}}),
                "source.kye: unknown field `kye`",
            ),
            (
                json!({"app":"hello","environment":"qa","source":{"key":"x"},"recover":"y"}),
                "source and recover exclude each other",
            ),
            (of_key("hello/qa/v1.zip"), "source.key \"hello/qa/v1.zip\""),
            (of_key("hello/qa/v1.tar.gz"), "names no source"),
            (of_key("hello/qa/config.env"), "names no source"),
            (of_key("other/qa/v1.src.tar.gz"), "belongs to other/qa"),
            (
                json!({"app":"Hello","environment":"qa"}),
                "app \"Hello\" is not valid",
            ),
        ] {
            let error = BuildRequest::parse(&input).unwrap_err().to_string();
            assert!(error.contains(says), "{input}: {error}");
        }
    }
}
