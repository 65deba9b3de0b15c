//! Where a version's bytes are, and the grammar of the keys that they are uploaded under.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{InvalidName, Place, Version};

/// What an upload to the artifacts bucket means.
///
/// ```text
/// <app>/<environment>/<version>.tar.gz   (or .tar, .tar.zst)   deploy this version
/// <app>/<environment>/<version>.src.tar.gz                     build this version, then deploy it
/// <app>/<environment>/config.env                               redeploy the live version with these settings
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upload {
    Artifact { place: Place, version: Version },
    Source { place: Place, version: Version },
    Config { place: Place },
}

/// The endings of an artifact's key, in the order in which a version is looked for.
pub const ENDINGS: [&str; 3] = [".tar.gz", ".tar.zst", ".tar"];

/// The ending of the key of a source: what an image is built from.
pub const SOURCE_ENDING: &str = ".src.tar.gz";

/// What marks a source before the archive's own ending. No version ends in it, so that `v1.src.tar.gz` is the source of
/// `v1`, and never an artifact.
const SOURCE_MARK: &str = ".src";

/// What an upload may say of itself: user metadata of the object (`x-amz-meta-uploaded-by`, `x-amz-meta-uploaded-from`). It
/// is what the uploader says, and nothing rests on it; S3's event knows only the account.
pub const UPLOADED_BY: &str = "uploaded-by";
pub const UPLOADED_FROM: &str = "uploaded-from";

/// Who uploaded an object, and from where, by its metadata: one line to be read, no more.
pub fn uploaded_by<'a>(metadata: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    const MOST: usize = 200;
    let said = |name: &str| -> Option<String> {
        let said: String = metadata(name)?
            .chars()
            .filter(|letter| !letter.is_control())
            .take(MOST)
            .collect();
        Some(said.trim().to_owned()).filter(|said| !said.is_empty())
    };
    match (said(UPLOADED_BY), said(UPLOADED_FROM)) {
        (by, None) => by,
        (None, Some(from)) => Some(from),
        (Some(by), Some(from)) => Some(format!("{by}, from {from}")),
    }
}

/// The name of the app's settings in its prefix.
pub const CONFIG_NAME: &str = "config.env";

/// Why a key is none that Exuvia acts on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error(
        "the key has {0} parts, not three: upload to <app>/<environment>/<version>.tar.gz (or .tar, .tar.zst), to <app>/<environment>/<version>.src.tar.gz, or to <app>/<environment>/config.env"
    )]
    Parts(usize),
    #[error(
        "the key ends in neither .tar.gz, .tar.zst nor .tar, and is not config.env: upload what `docker save` writes to <app>/<environment>/<version>.tar.gz"
    )]
    Ending,
    #[error(transparent)]
    Version(#[from] VersionOfSource),
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// A version that would be taken for a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the version {0:?} ends in .src, which marks what an image is built from: upload a source as <version>.src.tar.gz, and call no version so"
)]
pub struct VersionOfSource(pub String);

/// Fails for a version whose artifact would be taken for a source.
pub fn check_version(version: &Version) -> Result<(), VersionOfSource> {
    if version.as_str().ends_with(SOURCE_MARK) {
        return Err(VersionOfSource(version.to_string()));
    }
    Ok(())
}

impl Upload {
    pub fn parse(key: &str) -> Result<Self, InvalidKey> {
        let parts: Vec<&str> = key.split('/').collect();
        let [app, environment, file] = parts[..] else {
            return Err(InvalidKey::Parts(parts.len()));
        };
        let place = Place::new(app, environment)?;
        if file == CONFIG_NAME {
            return Ok(Self::Config { place });
        }
        if let Some(version) = file.strip_suffix(SOURCE_ENDING) {
            let version = version.parse()?;
            check_version(&version)?;
            return Ok(Self::Source { place, version });
        }
        let version = ENDINGS
            .iter()
            .find_map(|ending| file.strip_suffix(ending))
            .ok_or(InvalidKey::Ending)?;
        let version = version.parse()?;
        check_version(&version)?;
        Ok(Self::Artifact { place, version })
    }

    pub fn place(&self) -> &Place {
        match self {
            Self::Artifact { place, .. } | Self::Source { place, .. } | Self::Config { place } => {
                place
            }
        }
    }
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { place, version } => write!(f, "{place}/{version}"),
            Self::Source { place, version } => write!(f, "{place}/{version} from its source"),
            Self::Config { place } => write!(f, "{place}/{CONFIG_NAME}"),
        }
    }
}

/// The keys under which an artifact of this version may have been uploaded.
pub fn artifact_keys(place: &Place, version: &Version) -> Vec<String> {
    ENDINGS
        .iter()
        .map(|ending| format!("{place}/{version}{ending}"))
        .collect()
}

/// The key that a build uploads its image to.
pub fn built_key(place: &Place, version: &Version) -> String {
    format!("{place}/{version}{}", ENDINGS[0])
}

/// The key that the source of a version is uploaded to.
pub fn source_key(place: &Place, version: &Version) -> String {
    format!("{place}/{version}{SOURCE_ENDING}")
}

pub fn config_key(place: &Place) -> String {
    format!("{place}/{CONFIG_NAME}")
}

/// Exact bytes in a versioned bucket: an object's version, its size and the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pinned {
    pub bucket: String,
    pub key: String,
    /// S3's version id; the one thing that names these bytes for good.
    pub version_id: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the object's bytes as they are stored (compressed), lowercase hex. An instance checks it
    /// before it runs anything. An `ETag` would not do: under KMS it is not a digest of the content.
    pub sha256: String,
    /// When S3 took the object in.
    pub uploaded_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_what_they_mean() {
        for key in [
            "hello/qa/v1.tar.gz",
            "hello/qa/v1.tar",
            "hello/qa/v1.tar.zst",
        ] {
            assert_eq!(
                Upload::parse(key).unwrap().to_string(),
                "hello/qa/v1",
                "{key}"
            );
        }
        assert_eq!(
            Upload::parse("hello/qa/config.env").unwrap().to_string(),
            "hello/qa/config.env"
        );
        assert_eq!(
            Upload::parse("hello/qa/v1.src.tar.gz").unwrap().to_string(),
            "hello/qa/v1 from its source"
        );
        // A version may look like an ending itself; only the last one is taken off.
        assert_eq!(
            Upload::parse("hello/qa/v1.tar.tar.gz").unwrap().to_string(),
            "hello/qa/v1.tar"
        );
    }

    #[test]
    fn keys_outside_the_grammar_are_refused_with_what_would_be_right() {
        for (key, says) in [
            ("", "1 parts"),
            ("v1.tar.gz", "1 parts"),
            ("hello/v1.tar.gz", "2 parts"),
            ("hello/qa/x/v1.tar.gz", "4 parts"),
            ("hello/qa/", "ends in neither"),
            ("hello/qa/v1.zip", "ends in neither"),
            ("hello/qa/.tar.gz", "version \"\""),
            ("hello/qa/v 1.tar.gz", "version \"v 1\""),
            ("Hello/qa/v1.tar.gz", "app \"Hello\""),
            ("hello/QA/v1.tar.gz", "environment \"QA\""),
            ("../qa/v1.tar.gz", "app \"..\""),
            ("hello/qa/v1.src.tar", "\"v1.src\" ends in .src"),
            ("hello/qa/v1.src.tar.zst", "\"v1.src\" ends in .src"),
            ("hello/qa/v1.src.src.tar.gz", "\"v1.src\" ends in .src"),
            ("hello/qa/.src.tar.gz", "version \"\""),
            ("hello/qa/src.zip", "ends in neither"),
        ] {
            let error = Upload::parse(key).unwrap_err().to_string();
            assert!(error.contains(says), "{key}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_key_that_is_built_is_read_back(app in "[a-z][a-z0-9]{0,9}", environment in "[a-z]{1,8}", version in "[A-Za-z0-9][A-Za-z0-9._-]{0,40}") {
            let place = Place::new(&app, &environment).unwrap();
            let version: Version = version.parse().unwrap();
            prop_assume!(check_version(&version).is_ok());
            let source = Upload::Source { place: place.clone(), version: version.clone() };
            prop_assert_eq!(Upload::parse(&source_key(&place, &version)).unwrap(), source);
            for key in artifact_keys(&place, &version) {
                prop_assert_eq!(Upload::parse(&key).unwrap(), Upload::Artifact { place: place.clone(), version: version.clone() });
            }
        }

        #[test]
        fn no_key_panics(key in ".*") {
            let _ = Upload::parse(&key);
        }
    }

    #[test]
    fn who_uploaded_is_one_short_line() {
        let long = "x".repeat(500);
        for (by, from, told) in [
            (None, None, None),
            (Some("alice"), None, Some("alice".to_owned())),
            (
                Some("\u{7}alice\n"),
                Some("https://ci/1"),
                Some("alice, from https://ci/1".to_owned()),
            ),
            (
                Some(" "),
                Some("https://ci/1"),
                Some("https://ci/1".to_owned()),
            ),
            (Some(long.as_str()), None, Some("x".repeat(200))),
        ] {
            let said = uploaded_by(|name| if name == UPLOADED_BY { by } else { from });
            assert_eq!(said, told);
        }
    }
}
