//! The builder: what a platform engineer has set up to build one app in one environment. Written by
//! `infra/builder.yaml` as the SSM parameter `/exuvia/<app>/<environment>/builder`.

use serde::{Deserialize, Serialize};

use crate::name::Place;
use crate::target::LaunchTemplate;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Builder {
    /// The subnets that a builder is launched into; it needs a way to S3, and to what the Dockerfile asks for.
    pub subnets: Vec<String>,
    pub launch_template: LaunchTemplate,
    /// From launch to the report, at the most.
    pub timeout_seconds: u32,
}

/// What is wrong with a builder: the field, what it is, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("builder {parameter}: {field} {problem}")]
pub struct InvalidBuilder {
    pub parameter: String,
    /// Dotted, as in the JSON; `(document)` for the whole.
    pub field: String,
    pub problem: String,
}

/// The name of the SSM parameter that holds a place's builder.
pub fn parameter_name(place: &Place) -> String {
    format!("/exuvia/{place}/builder")
}

impl Builder {
    pub fn parse(place: &Place, json: &str) -> Result<Self, InvalidBuilder> {
        let wrong = |field: &str, problem: String| InvalidBuilder {
            parameter: parameter_name(place),
            field: field.to_owned(),
            problem,
        };
        let builder: Self =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
                .map_err(|error| {
                    let path = error.path().to_string();
                    let field = if [".", "?"].contains(&path.as_str()) {
                        "(document)"
                    } else {
                        &path
                    };
                    wrong(field, format!("cannot be read: {}", error.into_inner()))
                })?;
        match builder.problem() {
            Some((field, problem)) => Err(wrong(field, problem)),
            None => Ok(builder),
        }
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let LaunchTemplate { id, version } = &self.launch_template;
        if self.subnets.is_empty() {
            let problem = "is empty; name at least one subnet, better one in each zone";
            return Some(("subnets", problem.to_owned()));
        }
        let not_one = |subnet: &&String| !subnet.starts_with("subnet-");
        if let Some(subnet) = self.subnets.iter().find(not_one) {
            return Some((
                "subnets",
                format!("has {subnet:?}; it must begin with \"subnet-\""),
            ));
        }
        if !id.starts_with("lt-") {
            return Some((
                "launchTemplate.id",
                format!("is {id:?}; it must begin with \"lt-\""),
            ));
        }
        if *version == 0 {
            return Some((
                "launchTemplate.version",
                "is 0; use a version's number, from 1 on".to_owned(),
            ));
        }
        // The state machine's own time-out is above that.
        (!(60..=14_400).contains(&self.timeout_seconds)).then(|| {
            (
                "timeoutSeconds",
                format!("is {}; use 60 to 14400 seconds", self.timeout_seconds),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn right() -> Value {
        json!({"subnets": ["subnet-a"], "launchTemplate": {"id": "lt-1", "version": 3}, "timeoutSeconds": 1800})
    }

    #[test]
    fn a_builder_is_read_or_refused_by_its_field() {
        let place = Place::new("hello", "qa").unwrap();
        let parse = |value: &Value| Builder::parse(&place, &value.to_string());
        assert_eq!(parse(&right()).unwrap().timeout_seconds, 1800);
        for (pointer, value, says) in [
            ("/subnets", json!([]), "subnets is empty"),
            ("/subnets", json!(["vpc-1"]), "subnets has \"vpc-1\""),
            (
                "/launchTemplate/id",
                json!("x"),
                "launchTemplate.id is \"x\"",
            ),
            (
                "/launchTemplate/version",
                json!(0),
                "launchTemplate.version is 0",
            ),
            (
                "/launchTemplate/version",
                json!("$Latest"),
                "launchTemplate.version cannot be read",
            ),
            (
                "/timeoutSeconds",
                json!(59),
                "timeoutSeconds is 59; use 60 to 14400",
            ),
            ("/timeoutSeconds", json!(14_401), "timeoutSeconds is 14401"),
        ] {
            let mut builder = right();
            *builder.pointer_mut(pointer).unwrap() = value;
            let error = parse(&builder).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(
                error.starts_with("builder /exuvia/hello/qa/builder: "),
                "{error}"
            );
        }
        let mut more = right();
        more["cpus"] = json!(2);
        let error = parse(&more).unwrap_err().to_string();
        assert!(error.contains("unknown field `cpus`"), "{error}");
    }
}
