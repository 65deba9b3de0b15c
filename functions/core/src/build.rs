//! Builds: an image made from a source on a fresh instance, the builder, which is gone afterwards. What it makes is
//! uploaded as any artifact is, and that starts the deploy.

pub mod builder;
pub mod notice;
pub mod request;
pub mod step;
pub mod verdict;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artifact::Pinned;
use crate::fleet::{TAG_APP, TAG_ENVIRONMENT, hex, prefix};
use crate::name::{AppName, Environment, Place, Version};

/// On a builder's group and instance instead of a release: what is to be built is pinned under this id.
pub const TAG_BUILD: &str = "exuvia:build";

/// The largest source that is built, in bytes. Prepare reads all of it within the function's time-out to pin its digest.
pub const MOST_SOURCE: u64 = 1 << 30;

/// The metadata of an artifact that a build has uploaded: the id of the build. S3 tells it as `x-amz-meta-...`.
pub const METADATA_BUILD: &str = "exuvia-build";

/// Names a build: a digest of its execution's ARN, so that every try of every step, and a recovery, names it alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildId(String);

/// A build's id as it cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no build's id, which has 12 hexadecimal digits")]
pub struct InvalidBuildId(String);

impl BuildId {
    pub fn of(execution_arn: &str) -> Self {
        Self(hex(&Sha256::digest(execution_arn))[..12].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BuildId {
    type Error = InvalidBuildId;

    fn try_from(text: String) -> Result<Self, InvalidBuildId> {
        let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() == 12 && text.chars().all(digit) {
            Ok(Self(text))
        } else {
            Err(InvalidBuildId(text))
        }
    }
}

impl From<BuildId> for String {
    fn from(id: BuildId) -> Self {
        id.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a builder's Auto Scaling group. It is no fleet's: those end in six digits after the same beginning.
pub fn group_name(place: &Place, build: &BuildId) -> String {
    format!("{}build-{build}", prefix(place))
}

/// The tags by which a builder's group is known as ours. No release: what looks for fleets does not find it.
pub fn tags(place: &Place, build: &BuildId) -> [(&'static str, String); 3] {
    [
        (TAG_APP, place.app.to_string()),
        (TAG_ENVIRONMENT, place.environment.to_string()),
        (TAG_BUILD, build.to_string()),
    ]
}

/// What is to be built, whole: the builder does what this says. Written once, as `build.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub schema: u32,
    pub app: AppName,
    pub environment: Environment,
    pub build: BuildId,
    pub version: Version,
    pub source: Pinned,
    /// Where the image goes.
    pub artifact: Destination,
    /// The ARN of the execution that builds.
    pub execution: String,
    pub created_at: Timestamp,
}

/// The layout of the order that this code writes.
pub const SCHEMA: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    pub bucket: String,
    pub key: String,
}

/// What a builder says of its build, in `report.json`. What it writes is not ours: an unknown field is no reason not to
/// read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub status: Reported,
    /// What it was doing when it failed: `prepare`, `download`, `verify`, `unpack`, `build` or `upload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// One sentence a person can act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last lines of output.
    #[serde(default)]
    pub output: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Made>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reported {
    Built,
    Failed,
}

/// The image that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    pub key: String,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

fn key(place: &Place, build: &BuildId, file: &str) -> String {
    format!("{place}/builds/{build}/{file}.json")
}

/// Where a build is pinned.
pub fn order_key(place: &Place, build: &BuildId) -> String {
    key(place, build, "build")
}

/// Where the builder reports.
pub fn report_key(place: &Place, build: &BuildId) -> String {
    key(place, build, "report")
}

/// Where a recovery notes that it puts a build in order: that one is over, even if its execution is redriven.
pub fn recovered_key(place: &Place, build: &BuildId) -> String {
    key(place, build, "recovered")
}

/// Where the outcome of a build is recorded; `place` is what it could be told of it.
pub fn outcome_key(place: Option<&Place>, build: &BuildId) -> String {
    match place {
        Some(place) => key(place, build, "outcome"),
        None => format!("refused/build-{build}.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::FleetName;

    fn place() -> Place {
        Place::new("hello", "qa").unwrap()
    }

    #[test]
    fn an_execution_has_one_build() {
        let arn = "arn:aws:states:us-east-1:1:execution:exuvia-build:e1";
        let build = BuildId::of(arn);
        assert_eq!(build, BuildId::of(arn));
        assert_ne!(build, BuildId::of(&arn.replace("e1", "e2")));
        assert_eq!(BuildId::try_from(build.to_string()).unwrap(), build);
        for wrong in ["", "0123456789abc", "0123456789aB", "../../../../x"] {
            assert!(BuildId::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_builder_is_taken_for_a_fleet() {
        for number in 0..200 {
            let build = BuildId::of(&number.to_string());
            let name = group_name(&place(), &build);
            assert_eq!(FleetName::of_name(&place(), &name), None, "{name}");
            assert!(name.starts_with("hello-qa-") && name.contains("-build-"));
        }
        let tags = tags(&place(), &BuildId::of("x")).map(|(tag, _)| tag);
        assert!(!tags.contains(&crate::fleet::TAG_RELEASE), "{tags:?}");
    }

    #[test]
    fn a_report_is_read_whoever_wrote_it() {
        let report: Report = serde_json::from_str(
            r#"{"status":"failed","step":"build","error":"no Dockerfile","output":["a"],"at":"later"}"#,
        )
        .unwrap();
        assert_eq!(report.status, Reported::Failed);
        assert!(serde_json::from_str::<Report>(r#"{"status":"done"}"#).is_err());
    }
}
