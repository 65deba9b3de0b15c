//! Whether somebody must approve of a release before it gets traffic, and who waits for that.
//!
//! The deploy waits in a Task of the workflow until its token comes back:
//! <https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token>.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::request::kind;

/// How long is waited where nothing else is said, in seconds.
const DEFAULT_SECONDS: u32 = 3_600;
/// More than the function takes that asks for it, and at most half a day, as an execution ends within a day.
const LEAST_SECONDS: u32 = 60;
const MOST_SECONDS: u32 = 43_200;

/// What `send-task-failure` is given as its error by a person who says no.
pub const REFUSED: &str = "Refused";
/// The same by a newer deploy, which takes the place of the one that waits.
pub const SUPERSEDED: &str = "Superseded";

/// Whether approval is asked for, as a target and an execution's input say it: `true`, `false` or for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Approval {
    Asked(bool),
    Within(Within),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Within {
    /// 60 to 43,200 seconds; then the deploy is rolled back.
    pub timeout_seconds: u32,
}

impl Default for Approval {
    fn default() -> Self {
        Self::Asked(false)
    }
}

// By hand: an error of an untagged enum would not name the field.
impl<'de> Deserialize<'de> for Approval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Value::deserialize(deserializer)? {
            Value::Bool(asked) => Ok(Self::Asked(asked)),
            within @ Value::Object(_) => Within::deserialize(within)
                .map(Self::Within)
                .map_err(D::Error::custom),
            other => Err(D::Error::custom(format!(
                "it is {}; use true, false or {{\"timeoutSeconds\":{DEFAULT_SECONDS}}}",
                kind(&other)
            ))),
        }
    }
}

impl Approval {
    /// How long is waited for it, in seconds; `None` if it is not asked for.
    pub fn seconds(self) -> Option<u32> {
        match self {
            Self::Asked(asked) => asked.then_some(DEFAULT_SECONDS),
            Self::Within(within) => Some(within.timeout_seconds),
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so
    pub(crate) fn is_off(&self) -> bool {
        self.seconds().is_none()
    }

    pub(crate) fn problem(self) -> Option<(&'static str, String)> {
        let wrong = self
            .seconds()
            .filter(|seconds| !(LEAST_SECONDS..=MOST_SECONDS).contains(seconds))?;
        Some((
            "approval.timeoutSeconds",
            format!("is {wrong}; use {LEAST_SECONDS} to {MOST_SECONDS} seconds"),
        ))
    }
}

/// What a Task that waits goes on by, whoever sends it: it needs the permission as well. It is told in the notice, and to no
/// log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskToken(pub String);

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskToken(..)")
    }
}

/// `<app>/<environment>/approval.json`: the deploy that asked last. It is written before anybody is asked, so that a newer
/// deploy finds it; it stays, as a token is of no use once nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The ARN of the execution that waits.
    pub execution: String,
    pub token: TaskToken,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_to_ask_is_read_and_written_alike() {
        for (json, seconds) in [
            (json!(true), Some(3_600)),
            (json!(false), None),
            (json!({"timeoutSeconds": 900}), Some(900)),
        ] {
            let approval: Approval = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(approval.seconds(), seconds);
            assert_eq!(serde_json::to_value(approval).unwrap(), json);
        }
        assert_eq!(Approval::default().seconds(), None);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (json, says) in [
            (json!("yes"), "it is a string; use true, false or"),
            (json!(3600), "it is a number"),
            (json!({}), "missing field `timeoutSeconds`"),
            (
                json!({"timeoutSeconds": 900, "by": "me"}),
                "unknown field `by`",
            ),
            (json!({"timeoutSeconds": "900"}), "invalid type: string"),
        ] {
            let error = serde_json::from_value::<Approval>(json.clone()).unwrap_err();
            assert!(error.to_string().contains(says), "{json}: {error}");
        }
        let problem = |timeout_seconds| Approval::Within(Within { timeout_seconds }).problem();
        for wrong in [0, 59, 43_201] {
            let told = format!("is {wrong}; use 60 to 43200 seconds");
            assert_eq!(problem(wrong), Some(("approval.timeoutSeconds", told)));
        }
        assert_eq!((problem(60), problem(43_200)), (None, None));
    }

    #[test]
    fn a_token_is_not_printed() {
        let asked = Asked {
            execution: "me".to_owned(),
            token: TaskToken("secret".to_owned()),
        };
        assert!(!format!("{asked:?}").contains("secret"));
    }
}
