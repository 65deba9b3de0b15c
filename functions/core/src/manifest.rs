//! What the ledger holds of a release: the manifest, which never changes, and the pointer `live.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::artifact::Pinned;
use crate::name::{AppName, Environment, Place, ReleaseNumber, Version};
use crate::target::Target;

/// The layout of the manifest that this code writes.
pub const SCHEMA: u32 = 1;

/// The user metadata of a manifest's object that holds its signature: ECDSA on P-256 over the SHA-256 digest of the
/// object's exact bytes, in DER, as base64.
pub const SIGNATURE: &str = "signature";

/// A release, whole: an instance that is launched three weeks later runs exactly these bytes with these
/// settings. Written once as `<app>/<environment>/releases/000042.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema: u32,
    pub app: AppName,
    pub environment: Environment,
    pub release: ReleaseNumber,
    pub version: Version,
    pub artifact: Pinned,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Pinned>,
    /// The target as it was read for this release.
    pub target: Target,
    /// The release that was live when this one was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ReleaseNumber>,
    /// The ARN of the execution that made it.
    pub execution: String,
    pub created_at: Timestamp,
}

impl Manifest {
    pub fn place(&self) -> Place {
        Place {
            app: self.app.clone(),
            environment: self.environment.clone(),
        }
    }

    /// Fails unless this is the manifest of that release: a good signature says only that the pipeline planned some
    /// release, and a manifest can be put in another's place together with its signature.
    pub fn check_is_of(&self, place: &Place, release: ReleaseNumber) -> Result<(), String> {
        if self.place() == *place && self.release == release {
            return Ok(());
        }
        Err(format!(
            "is that of release {} of {}, put in its place",
            self.release,
            self.place()
        ))
    }
}

/// `live.json`: the release that the last committed deploy gave the traffic to. The listener rule is the truth
/// for requests; this says which of two fleets a deploy that was cut off had promised to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    pub release: ReleaseNumber,
    pub version: Version,
    /// The execution that committed it.
    pub execution: String,
    pub since: Timestamp,
    /// How long the last releases took from their launch until they were healthy, in seconds, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boots: Vec<u32>,
}

/// `<app>/<environment>/recovered/<execution's name>.json`: an execution that was cut off, and what puts it in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The ARN of the execution that puts it in order.
    pub by: String,
    pub at: Timestamp,
}

/// What an instance wrote to `<app>/<environment>/boot/000042/<instance-id>.json` when its boot failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootReport {
    pub instance_id: String,
    /// What it was doing: `prepare` (the system), `download`, `verify`, `load`, `configure` or `run`.
    pub step: String,
    /// One sentence a person can act on.
    pub error: String,
    /// The last lines of output.
    #[serde(default)]
    pub output: Vec<String>,
}

impl BootReport {
    /// One line for a notice. What an instance says is not ours: control characters go, and it is cut.
    pub fn summary(&self) -> String {
        let clean = |text: &str, most: usize| -> String {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(most)
                .collect()
        };
        let last = self
            .output
            .iter()
            .rev()
            .find(|line| !line.trim().is_empty());
        let last = last.map(|last| format!("; its last line was {:?}", clean(last, 200)));
        format!(
            "instance {} could not {} the release: {}{}",
            clean(&self.instance_id, 32),
            clean(&self.step, 16),
            clean(&self.error, 400),
            last.unwrap_or_default()
        )
    }
}

pub fn manifest_key(place: &Place, release: ReleaseNumber) -> String {
    format!("{place}/releases/{}.json", release.padded())
}

/// What all manifests' keys of a place begin with.
pub fn releases_prefix(place: &Place) -> String {
    format!("{place}/releases/")
}

/// The release whose manifest has this key.
pub fn release_of_key(place: &Place, key: &str) -> Option<ReleaseNumber> {
    key.strip_prefix(&releases_prefix(place))?
        .strip_suffix(".json")?
        .parse()
        .ok()
}

pub fn live_key(place: &Place) -> String {
    format!("{place}/live.json")
}

/// Where the last removal is noted.
pub fn removed_key(place: &Place) -> String {
    format!("{place}/removed.json")
}

pub fn lock_key(place: &Place) -> String {
    format!("{place}/lock.json")
}

pub fn waiting_key(place: &Place) -> String {
    format!("{place}/waiting.json")
}

/// Where it is noted who asked for approval last.
pub fn approval_key(place: &Place) -> String {
    format!("{place}/approval.json")
}

/// What the keys of a release's boot reports begin with.
pub fn boot_prefix(place: &Place, release: ReleaseNumber) -> String {
    format!("{place}/boot/{}/", release.padded())
}

/// Where a recovery notes that it puts an execution in order: that one is over, even if it is redriven.
pub fn recovered_key(place: &Place, execution_name: &str) -> String {
    format!("{place}/recovered/{execution_name}.json")
}

/// Where the final outcome of an execution is recorded; `place` is what it could be told of it.
pub fn outcome_key(place: Option<&Place>, execution_name: &str) -> String {
    match place {
        Some(place) => format!("{place}/outcomes/{execution_name}.json"),
        None => format!("refused/{execution_name}.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let place = Place::new("hello", "qa").unwrap();
        let release = ReleaseNumber::try_from(42).unwrap();
        let key = manifest_key(&place, release);
        assert_eq!(key, "hello/qa/releases/000042.json");
        assert_eq!(release_of_key(&place, &key), Some(release));
        assert_eq!(release_of_key(&place, "hello/qa/releases/x.json"), None);
    }

    #[test]
    fn a_boot_report_is_one_clean_line() {
        let report = BootReport {
            instance_id: "i-1".into(),
            step: "run".into(),
            error: "the container exited with code 1\nthree times".into(),
            output: vec![
                "first".into(),
                "panicked \u{1b}[31mhere".into(),
                String::new(),
            ],
        };
        assert_eq!(
            report.summary(),
            "instance i-1 could not run the release: the container exited with code 1 three times; its last line was \"panicked  [31mhere\""
        );
    }
}
