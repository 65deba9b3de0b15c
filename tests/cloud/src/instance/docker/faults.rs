//! What is to go wrong with the machines of an app, for tests.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Read at launch from `<state_dir>/faults/<app>-<environment>.json`, where there is such a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct Faults {
    /// The disk has no more than this (and is in memory).
    pub(super) disk_mib: Option<u64>,
    /// Until then there is no way to AWS.
    pub(super) network_after_seconds: u64,
    /// Until then the metadata service takes requests and does not answer them.
    pub(super) metadata_after_seconds: u64,
    /// S3 answers with this error code where an object is asked for by its version.
    pub(super) s3_refuses_with: Option<String>,
    /// What S3 gives for an object that is asked for by its version has another byte in it.
    pub(super) s3_corrupts: bool,
    /// dockerd finds something in its configuration that it cannot start with.
    pub(super) docker_is_misconfigured: bool,
}

impl Faults {
    pub(in super::super) fn of(state_dir: &Path, app: &str, environment: &str) -> io::Result<Self> {
        let path = state_dir.join(format!("faults/{app}-{environment}.json"));
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| io::Error::other(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}
