//! The execution's input: what a person pastes into the console, and what the trigger sends for an upload.
//!
//! ```json
//! {"app":"hello","environment":"qa","artifact":{"key":"hello/qa/3f2a1c.tar.gz","versionId":"..."}}
//! {"app":"hello","environment":"qa","version":"3f2a1c"}
//! {"app":"hello","environment":"qa","release":41}
//! {"app":"hello","environment":"qa"}
//! {"app":"hello","environment":"qa","version":"3f2a1c","strategy":{"type":"canary","percent":10,"holdSeconds":300,"bakeSeconds":60}}
//! {"app":"hello","environment":"qa","version":"3f2a1c","approval":true}
//! {"app":"hello","environment":"qa","version":"3f2a1c","retainMinutes":60}
//! {"app":"hello","environment":"qa","renew":{"olderThanHours":24}}
//! {"app":"hello","environment":"qa","operation":"remove"}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::approval::Approval;
use crate::artifact::{ENDINGS, Upload, check_version};
use crate::fleet::hex;
use crate::name::{Place, ReleaseNumber, Version};
use crate::retain;
use crate::target::Strategy;

/// What a deploy is asked to put live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This very object.
    Artifact {
        key: String,
        version: Version,
        version_id: Option<String>,
    },
    /// The newest object of that version.
    Version(Version),
    /// An earlier release again: its artifact and its config.
    Release(ReleaseNumber),
    /// The live release's artifact again, on fresh instances, with the newest config.
    Live,
    /// The live release again as it is, on fresh instances, if it has run for long enough and nothing else is going on.
    Renewal(Renew),
    /// Not a deploy: take the app out of the environment.
    Removal,
    /// Not a deploy: put things in order after an execution that was cut off.
    Recovery { execution: String },
}

/// When what is live is due to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Renew {
    /// It has run for so long; 0 for any time.
    pub older_than_hours: u32,
}

/// The only `operation` there is.
const REMOVE: &str = "remove";

/// A year: what is longer is a mistake.
const MOST_HOURS: u32 = 8_760;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub place: Place,
    pub source: Source,
    /// How the traffic is to move, where that is not as the target says.
    pub strategy: Option<Strategy>,
    /// Whether somebody must approve first, where that is not as the target says.
    pub approval: Option<Approval>,
    /// For how long the old fleet is kept afterwards, where that is not as the target says.
    pub retain_minutes: Option<u32>,
}

/// What is wrong with an execution's input, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the execution's input: {0}. {EXAMPLES}")]
pub struct InvalidRequest(pub String);

const EXAMPLES: &str = "Right would be {\"app\":\"hello\",\"environment\":\"qa\"} for the live release again, with \"version\":\"...\", \"release\":41 or \"artifact\":{\"key\":\"...\",\"versionId\":\"...\"} for another, or with \"operation\":\"remove\" to take the app out of the environment";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact: Option<ArtifactFields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew: Option<Renew>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strategy: Option<Strategy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retain_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recover: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArtifactFields {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

impl Request {
    pub fn parse(input: &Value) -> Result<Self, InvalidRequest> {
        let wrong = |text: String| InvalidRequest(text);
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
        // An upload is judged by its key first: that is what its sender chose and can mend.
        let uploaded = fields
            .artifact
            .as_ref()
            .map(|artifact| {
                Upload::parse(&artifact.key).map_err(|error| {
                    wrong(format!("artifact.key {:?}: {error}", cut(&artifact.key)))
                })
            })
            .transpose()?;
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
        let given: Vec<&str> = [
            ("artifact", fields.artifact.is_some()),
            ("version", fields.version.is_some()),
            ("release", fields.release.is_some()),
            ("renew", fields.renew.is_some()),
            ("operation", fields.operation.is_some()),
            ("recover", fields.recover.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is)| is.then_some(name))
        .collect();
        if given.len() > 1 {
            return Err(wrong(format!(
                "{} exclude each other; give one",
                given.join(" and ")
            )));
        }
        let source = if let Some(ArtifactFields { key, version_id }) = fields.artifact {
            match uploaded {
                Some(Upload::Artifact { place: of_key, version }) if of_key == place => {
                    Source::Artifact { key, version, version_id }
                }
                Some(Upload::Artifact { place: of_key, .. }) => {
                    return Err(wrong(format!("artifact.key belongs to {of_key}, but app and environment say {place}")));
                }
                Some(Upload::Source { .. }) => return Err(wrong("artifact.key names a source, not an artifact; start the state machine of the builds with it, which makes the artifact".into())),
                _ => return Err(wrong("artifact.key names settings, not an artifact; leave artifact out to redeploy with the newest settings".into())),
            }
        } else if let Some(version) = fields.version {
            let version = version.parse().map_err(|error| wrong(format!("{error}")))?;
            check_version(&version).map_err(|error| wrong(error.to_string()))?;
            Source::Version(version)
        } else if let Some(release) = fields.release {
            Source::Release(
                ReleaseNumber::try_from(release).map_err(|error| wrong(error.to_string()))?,
            )
        } else if let Some(renew) = fields.renew {
            if renew.older_than_hours > MOST_HOURS {
                return Err(wrong(format!(
                    "renew.olderThanHours is {}; give 0 to {MOST_HOURS} hours",
                    renew.older_than_hours
                )));
            }
            Source::Renewal(renew)
        } else if let Some(operation) = fields.operation {
            if operation != REMOVE {
                return Err(wrong(format!(
                    "operation is {:?}; the only one is {REMOVE:?}, and a deploy is asked for without any",
                    cut(&operation)
                )));
            }
            Source::Removal
        } else if let Some(execution) = fields.recover {
            Source::Recovery { execution }
        } else {
            Source::Live
        };
        let given = (fields.strategy.as_ref(), fields.approval);
        check_overrides(given, fields.retain_minutes, &source)?;
        Ok(Self {
            place,
            source,
            strategy: fields.strategy,
            approval: fields.approval,
            retain_minutes: fields.retain_minutes,
        })
    }

    /// The input that asks for this: what the trigger and the recovery start executions with.
    pub fn to_input(&self) -> Value {
        let mut fields = Fields {
            app: Some(self.place.app.to_string()),
            environment: Some(self.place.environment.to_string()),
            artifact: None,
            version: None,
            release: None,
            renew: None,
            strategy: self.strategy.clone(),
            approval: self.approval,
            retain_minutes: self.retain_minutes,
            operation: None,
            recover: None,
        };
        match &self.source {
            Source::Artifact {
                key, version_id, ..
            } => {
                fields.artifact = Some(ArtifactFields {
                    key: key.clone(),
                    version_id: version_id.clone(),
                });
            }
            Source::Version(version) => fields.version = Some(version.to_string()),
            Source::Release(release) => fields.release = Some(release.get()),
            Source::Renewal(renew) => fields.renew = Some(*renew),
            Source::Removal => fields.operation = Some(REMOVE.to_owned()),
            Source::Recovery { execution } => fields.recover = Some(execution.clone()),
            Source::Live => {}
        }
        serde_json::to_value(fields).unwrap_or_default()
    }

    /// The app and environment that an input, however wrong, seems to be about: for the notice of its refusal.
    pub fn place_of(input: &Value) -> Option<Place> {
        let text = |name: &str| input.get(name).and_then(Value::as_str);
        if let (Some(app), Some(environment)) = (text("app"), text("environment")) {
            return Place::new(app, environment).ok();
        }
        let key = input.get("artifact")?.get("key")?.as_str()?;
        let mut parts = key.split('/');
        Place::new(parts.next()?, parts.next()?).ok()
    }
}

/// What is given in a target's place must be good, and something must be deployed by it that is not to be as it was.
fn check_overrides(
    (strategy, approval): (Option<&Strategy>, Option<Approval>),
    retain_minutes: Option<u32>,
    source: &Source,
) -> Result<(), InvalidRequest> {
    let given = [
        (
            "strategy",
            strategy.is_some(),
            strategy.and_then(Strategy::problem),
        ),
        (
            "approval",
            approval.is_some(),
            approval.and_then(Approval::problem),
        ),
        (
            "retainMinutes",
            retain_minutes.is_some(),
            retain_minutes.and_then(retain::problem),
        ),
    ];
    let without = match source {
        Source::Renewal(_) => Some("renew"),
        Source::Removal => Some("operation"),
        Source::Recovery { .. } => Some("recover"),
        _ => None,
    };
    for (name, _, problem) in given.into_iter().filter(|(_, is_given, _)| *is_given) {
        if let Some((field, problem)) = problem {
            return Err(InvalidRequest(format!("{field} {problem}")));
        }
        if let Some(without) = without {
            return Err(InvalidRequest(format!(
                "{without} and {name} exclude each other; give one"
            )));
        }
    }
    Ok(())
}

/// The input for an upload whose key cannot be read: Validate refuses it, by the same words, where people look.
pub fn input_for_unreadable_key(key: &str, version_id: Option<&str>) -> Value {
    let mut artifact = serde_json::json!({ "key": key });
    if let Some(version_id) = version_id {
        artifact["versionId"] = version_id.into();
    }
    serde_json::json!({ "artifact": artifact })
}

/// The name of the execution that an upload starts: the same for every delivery of its event, and known to whoever has
/// uploaded: `upload-hello_qa_3f2a1c-` and a digest of the object's version.
///
/// No app or environment has an underscore in its name, and any other character that is neither a letter nor a digit
/// becomes a hyphen. So the names of one place begin as those of no other do, and a policy can tell them apart
/// (`UploaderPolicy` in `infra/app.yaml`). `infra/deploy-action/deploy.sh` makes the same name.
///
/// Step Functions takes 80 characters of `[0-9A-Za-z_-]` and remembers them for 90 days:
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadName(String);

/// What the names of executions begin with that an upload started.
const UPLOAD: &str = "upload-";
/// Characters of a name that tell what was uploaded: the longest place with a slash behind it has 50.
const READABLE: usize = 52;
/// Hexadecimal digits of a name, which tell the uploads of one key apart.
const DIGEST: usize = 20;

impl UploadName {
    /// `which` tells the object's version: its version id.
    pub fn of(bucket: &str, key: &str, which: &str) -> Self {
        let digest = Sha256::digest(format!("{bucket}\n{key}\n{which}"));
        let readable: String = ENDINGS
            .iter()
            .find_map(|ending| key.strip_suffix(ending))
            .unwrap_or(key)
            .chars()
            .map(|c| match c {
                '/' => '_',
                c if c.is_ascii_alphanumeric() => c,
                _ => '-',
            })
            .take(READABLE)
            .collect();
        Self(format!("{UPLOAD}{readable}-{}", &hex(&digest)[..DIGEST]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an execution of this name was started by an upload, not by a person.
    pub fn is_one(name: &str) -> bool {
        name.starts_with(UPLOAD)
    }
}

impl From<UploadName> for String {
    fn from(name: UploadName) -> Self {
        name.0
    }
}

/// The name of the execution that cleans up after one that was cut off at that time: the same for every delivery
/// of that event, another when an execution that was redriven is cut off again.
pub fn recovery_name(execution: &str, stopped_at: &str) -> String {
    let digest = Sha256::digest(format!("{execution}\n{stopped_at}"));
    format!("{RECOVERY}{}", &hex(&digest)[..32])
}

/// Whether an execution of this name was started by the end of another, not by a person.
pub fn is_recovery(name: &str) -> bool {
    name.starts_with(RECOVERY)
}

/// What the names of executions begin with that clean up after another.
const RECOVERY: &str = "recover-";

pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(crate) fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn each_way_to_ask_is_read_and_written_alike() {
        for input in [
            json!({"app":"hello","environment":"qa","artifact":{"key":"hello/qa/3f2a1c.tar.gz","versionId":"x"}}),
            json!({"app":"hello","environment":"qa","artifact":{"key":"hello/qa/3f2a1c.tar"}}),
            json!({"app":"hello","environment":"qa","version":"3f2a1c"}),
            json!({"app":"hello","environment":"qa","release":41}),
            json!({"app":"hello","environment":"qa"}),
            json!({"app":"hello","environment":"qa","renew":{"olderThanHours":24}}),
            json!({"app":"hello","environment":"qa","version":"3f2a1c","strategy":{"type":"canary","percent":10,"holdSeconds":300,"bakeSeconds":60}}),
            json!({"app":"hello","environment":"qa","strategy":{"type":"steps","steps":[{"weight":5,"holdSeconds":60},{"weight":100,"holdSeconds":60}]}}),
            json!({"app":"hello","environment":"qa","version":"3f2a1c","approval":true}),
            json!({"app":"hello","environment":"qa","release":41,"approval":false}),
            json!({"app":"hello","environment":"qa","approval":{"timeoutSeconds":900}}),
            json!({"app":"hello","environment":"qa","version":"3f2a1c","retainMinutes":60}),
            json!({"app":"hello","environment":"qa","operation":"remove"}),
            json!({"app":"hello","environment":"qa","recover":"arn:aws:states:x"}),
        ] {
            assert_eq!(Request::parse(&input).unwrap().to_input(), input);
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (input, says) in [
            (json!([]), "it is an array, not a JSON object"),
            (json!({}), "app is missing"),
            (json!({"app":"hello"}), "environment is missing"),
            (
                json!({"app":"hello","environment":"qa","realese":41}),
                "unknown field `realese`",
            ),
            (
                json!({"app":"hello","environment":"qa","release":"41"}),
                "release: invalid type: string",
            ),
            (
                json!({"app":"hello","environment":"qa","release":0}),
                "release \"0\" is not valid",
            ),
            (
                json!({"app":"hello","environment":"qa","release":-1}),
                "release: invalid value",
            ),
            (
                json!({"app":"Hello","environment":"qa"}),
                "app \"Hello\" is not valid",
            ),
            (json!({"app":7,"environment":"qa"}), "app: invalid type"),
            (
                json!({"app":"hello","environment":"qa","version":"a b"}),
                "version \"a b\" is not valid",
            ),
            (
                json!({"app":"hello","environment":"qa","version":"a","release":1}),
                "version and release exclude each other",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":true}),
                "renew: invalid type: boolean",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":{}}),
                "renew: missing field `olderThanHours`",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":{"olderThanDays":7}}),
                "renew.olderThanDays: unknown field `olderThanDays`",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":{"olderThanHours":-1}}),
                "renew.olderThanHours: invalid value",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":{"olderThanHours":9000}}),
                "renew.olderThanHours is 9000; give 0 to 8760 hours",
            ),
            (
                json!({"app":"hello","environment":"qa","renew":{"olderThanHours":1},"version":"a"}),
                "version and renew exclude each other",
            ),
            (
                json!({"app":"hello","environment":"qa","artifact":"x"}),
                "artifact: invalid type",
            ),
            (
                json!({"app":"hello","environment":"qa","artifact":{"key":"hello/qa/v1.zip"}}),
                "artifact.key \"hello/qa/v1.zip\"",
            ),
            (
                json!({"app":"hello","environment":"qa","artifact":{"key":"other/qa/v1.tar"}}),
                "belongs to other/qa",
            ),
            (
                json!({"app":"hello","environment":"qa","artifact":{"key":"hello/qa/config.env"}}),
                "names settings",
            ),
            (
                json!({"app":"hello","environment":"qa","artifact":{"key":"hello/qa/v1.src.tar.gz"}}),
                "names a source",
            ),
            (
                json!({"app":"hello","environment":"qa","version":"v1.src"}),
                "\"v1.src\" ends in .src",
            ),
            (
                json!({"artifact":{"key":"x.zip"}}),
                "artifact.key \"x.zip\": the key has 1 parts",
            ),
        ] {
            let error = Request::parse(&input).unwrap_err().to_string();
            assert!(error.contains(says), "{input}: {error}");
        }
    }

    #[test]
    fn the_only_operation_is_to_remove() {
        for (more, says) in [
            (
                json!({"operation": "delete"}),
                "operation is \"delete\"; the only one is \"remove\"",
            ),
            (
                json!({"operation": "Remove"}),
                "operation is \"Remove\"; the only one is \"remove\"",
            ),
            (
                json!({"operation": true}),
                "operation: invalid type: boolean",
            ),
            (
                json!({"operation": "remove", "artifact": {"key": "hello/qa/v1.tar"}}),
                "artifact and operation exclude each other",
            ),
            (
                json!({"operation": "remove", "version": "v1"}),
                "version and operation exclude each other",
            ),
            (
                json!({"operation": "remove", "release": 4}),
                "release and operation exclude each other",
            ),
            (
                json!({"operation": "remove", "renew": {"olderThanHours": 1}}),
                "renew and operation exclude each other",
            ),
            (
                json!({"operation": "remove", "recover": "arn:aws:states:x"}),
                "operation and recover exclude each other",
            ),
        ] {
            let mut input = json!({"app": "hello", "environment": "qa"});
            for (name, value) in more.as_object().unwrap() {
                input[name] = value.clone();
            }
            let error = Request::parse(&input).unwrap_err().to_string();
            assert!(error.contains(says), "{input}: {error}");
        }
    }

    #[test]
    fn what_is_given_in_a_targets_place_is_checked_before_anything_is_touched() {
        for (more, says) in [
            (
                json!({"strategy":{"type":"canary","percent":0,"holdSeconds":1,"bakeSeconds":1}}),
                "strategy.percent is 0; use 1 to 99 percent",
            ),
            (json!({"strategy":"canary"}), "strategy: invalid type"),
            (
                json!({"renew":{"olderThanHours":1},"strategy":{"type":"allAtOnce","bakeSeconds":1}}),
                "renew and strategy exclude each other",
            ),
            (
                json!({"approval":"yes"}),
                "approval: it is a string; use true, false or {\"timeoutSeconds\":3600}",
            ),
            (
                json!({"approval":{"timeout":60}}),
                "approval: unknown field `timeout`, expected `timeoutSeconds`",
            ),
            (
                json!({"approval":{"timeoutSeconds":86_400}}),
                "approval.timeoutSeconds is 86400; use 60 to 43200 seconds",
            ),
            (
                json!({"renew":{"olderThanHours":1},"approval":true}),
                "renew and approval exclude each other",
            ),
            (
                json!({"operation":"remove","approval":true}),
                "operation and approval exclude each other",
            ),
            (
                json!({"retainMinutes":"60"}),
                "retainMinutes: invalid type: string",
            ),
            (
                json!({"retainMinutes":-1}),
                "retainMinutes: invalid value: integer `-1`",
            ),
            (
                json!({"retainMinutes":1_201}),
                "retainMinutes is 1201; use 0 to 1200 minutes",
            ),
            (
                json!({"renew":{"olderThanHours":1},"retainMinutes":60}),
                "renew and retainMinutes exclude each other",
            ),
        ] {
            let mut input = json!({"app":"hello","environment":"qa"});
            for (name, value) in more.as_object().unwrap() {
                input[name] = value.clone();
            }
            let error = Request::parse(&input).unwrap_err().to_string();
            assert!(error.contains(says), "{input}: {error}");
        }
    }

    #[test]
    fn a_refused_input_is_still_known_by_its_place() {
        let place = |input| Request::place_of(&input).map(|place| place.to_string());
        assert_eq!(
            place(json!({"app":"hello","environment":"qa","x":1})).unwrap(),
            "hello/qa"
        );
        assert_eq!(
            place(input_for_unreadable_key("hello/qa/x.zip", None)).unwrap(),
            "hello/qa"
        );
        assert_eq!(place(input_for_unreadable_key("x.zip", Some("1"))), None);
    }

    #[test]
    fn an_upload_names_its_execution_once() {
        let name = UploadName::of("b", "hello/qa/v1.tar.gz", "id1");
        // As infra/deploy-action/deploy.sh has it.
        assert_eq!(name.as_str(), "upload-hello_qa_v1-2c93e1253ce81f11730e");
        assert_eq!(name, UploadName::of("b", "hello/qa/v1.tar.gz", "id1"));
        assert_ne!(name, UploadName::of("b", "hello/qa/v1.tar.gz", "id2"));
        assert!(UploadName::is_one(name.as_str()) && !UploadName::is_one("6b1f"));
    }

    #[test]
    fn the_names_of_one_place_begin_as_those_of_no_other() {
        let of_hello = |key: &str| {
            let name = UploadName::of("b", key, "id");
            name.as_str().starts_with("upload-hello_qa_")
        };
        for (key, ours) in [
            ("hello/qa/v1.tar.gz", true),
            ("hello/qa/config.env", true),
            ("hello/qa/v1.src.tar.gz", true),
            // Refused, but uploaded by who may upload for hello in qa.
            ("hello/qa/more/v1.tar.gz", true),
            ("hello-qa/v1/x.tar.gz", false),
            ("hello/qa-v1/x.tar.gz", false),
            ("hello_qa_v1.tar.gz", false),
            ("hello_qa/x/v1.tar.gz", false),
            ("hello/qa_x/v1.tar.gz", false),
            ("hello//qa/v1.tar.gz", false),
        ] {
            assert_eq!(of_hello(key), ours, "{key}");
        }
        // However long they are, app and environment are told whole.
        let (app, environment) = ("a".repeat(32), "e".repeat(16));
        let name = UploadName::of("b", &format!("{app}/{environment}/3f2a1c.tar.gz"), "id");
        let begins = format!("upload-{app}_{environment}_3f-");
        assert!(name.as_str().starts_with(&begins), "{name:?}");
        assert_eq!(name.as_str().len(), 80);
    }

    proptest! {
        #[test]
        fn names_are_what_step_functions_takes(key in ".*") {
            let name = UploadName::of("bucket", &key, "id");
            prop_assert!(name.as_str().len() <= 80);
            prop_assert!(name.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
        }

        #[test]
        fn no_input_panics(key in ".*", app in ".*", version in ".*") {
            let _ = Request::parse(&json!({"app": app, "environment": "qa", "version": version}));
            let input = input_for_unreadable_key(&key, None);
            let _ = (Request::parse(&input), Request::place_of(&input));
        }
    }
}
