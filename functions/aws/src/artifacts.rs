//! The artifacts bucket: finding, checking and reading what was uploaded.

use std::io::Read;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ServerSideEncryption;
use exuvia_core::archive::{InspectError, Inspection, inspect};
use exuvia_core::artifact::{Pinned, uploaded_by};
use exuvia_core::build::{BuildId, METADATA_BUILD};
use exuvia_core::config::{self, Changes, InvalidConfig};
use exuvia_core::error::StepError;
use exuvia_core::fleet::hex;
use exuvia_core::target::Architecture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_util::io::SyncIoBridge;

use crate::error::{failed, is, status};
use crate::{Lazy, lazily};

/// Unpacked, an image may have this many bytes: more than any instance's disk that this is meant for.
const MOST_UNPACKED: u64 = 64 << 30;

pub struct Artifacts {
    client: Lazy<aws_sdk_s3::Client>,
    bucket: String,
    key_arn: String,
}

/// An object of the bucket, by its version.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: String,
    pub version_id: String,
    /// Bytes.
    pub size: u64,
    pub uploaded_at: Timestamp,
    /// Who uploaded it, as the upload's own metadata has it.
    pub by: Option<String>,
}

impl Artifacts {
    /// `key_arn` is the KMS key that everything in the bucket is to be encrypted with.
    pub fn new(config: &SdkConfig, bucket: String, key_arn: String) -> Self {
        // An archive is read as one stream, for as long as it takes: only a stall may end it.
        let whole = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(Duration::from_secs(20))
            .disable_operation_timeout()
            .disable_operation_attempt_timeout()
            .build();
        let client = lazily(config, |config| {
            let config = aws_sdk_s3::config::Builder::from(config).timeout_config(whole);
            aws_sdk_s3::Client::from_conf(config.build())
        });
        Self {
            client,
            bucket,
            key_arn,
        }
    }

    /// The object of a key, that version or the newest; `None` if there is none.
    ///
    /// Fails if it is not encrypted with the pipeline's key: instances may decrypt with no other.
    pub async fn find(
        &self,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Option<Object>, StepError> {
        let Some(head) = self.head(key, version_id).await? else {
            return Ok(None);
        };
        self.check_encryption(key, &head)?;
        let unreadable = |what: &str| StepError::Unreadable {
            what: format!("s3://{}/{key}", self.bucket),
            problem: format!("S3 told no {what}; is the bucket versioned?"),
        };
        Ok(Some(Object {
            key: key.to_owned(),
            version_id: head
                .version_id()
                .ok_or_else(|| unreadable("version id"))?
                .to_owned(),
            size: head
                .content_length()
                .and_then(|size| u64::try_from(size).ok())
                .ok_or_else(|| unreadable("size"))?,
            uploaded_at: head
                .last_modified()
                .and_then(|time| Timestamp::from_second(time.secs()).ok())
                .ok_or_else(|| unreadable("time of upload"))?,
            by: uploaded_by(|name| head.metadata()?.get(name).map(String::as_str)),
        }))
    }

    async fn head(
        &self,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<Option<HeadObjectOutput>, StepError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .set_version_id(version_id.map(ToOwned::to_owned));
        match head.send().await {
            Ok(head) => Ok(Some(head)),
            // A HEAD has no body, so S3 names no code. 400 answers a malformed version id, 405 a delete marker.
            Err(error) if matches!(status(&error), Some(400 | 404 | 405)) => Ok(None),
            Err(error) => Err(failed(format!("HeadObject {key}"), error)),
        }
    }

    /// Whether the newest object of a key is what that build has uploaded.
    pub async fn is_built_by(&self, key: &str, build: &BuildId) -> Result<bool, StepError> {
        let head = self.head(key, None).await?;
        let by = head.as_ref().and_then(HeadObjectOutput::metadata);
        let by = by.and_then(|metadata| metadata.get(METADATA_BUILD));
        Ok(by.is_some_and(|by| by == build.as_str()))
    }

    fn check_encryption(&self, key: &str, head: &HeadObjectOutput) -> Result<(), StepError> {
        let found = match (head.server_side_encryption(), head.ssekms_key_id()) {
            (
                Some(ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse),
                Some(found),
            ) => found,
            (Some(other), _) => other.as_str(),
            (None, _) => "nothing",
        };
        if same_key(found, &self.key_arn) {
            return Ok(());
        }
        Err(StepError::WrongEncryption {
            key: key.to_owned(),
            expected: self.key_arn.clone(),
            found: found.to_owned(),
        })
    }

    /// Reads an artifact to its end: that it is an image, that `instances` run it (any, if it is not told), and the
    /// digest of its bytes.
    pub async fn inspect(
        &self,
        object: &Object,
        instances: Option<Architecture>,
    ) -> Result<Pinned, StepError> {
        let body = self.get(object).await?;
        let reader = SyncIoBridge::new(body.into_async_read());
        let inspected = run_blocking(move || inspect_all(reader)).await?;
        let invalid = |problem| StepError::InvalidArtifact {
            key: object.key.clone(),
            problem,
        };
        let inspected: Inspection = inspected.map_err(|error| match error {
            InspectError::NotAnImage(problem) => invalid(problem),
            InspectError::Read(error) => StepError::AwsUnavailable {
                action: format!("GetObject {}", object.key),
                problem: error.to_string(),
            },
        })?;
        if let Some(instances) = instances {
            inspected.image.check_runs_on(instances).map_err(invalid)?;
        }
        Ok(self.pin(object, inspected.sha256))
    }

    /// Reads an object to its end for the digest of its bytes.
    pub async fn digest(&self, object: &Object) -> Result<Pinned, StepError> {
        let mut body = self.get(object).await?;
        let mut hash = Sha256::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| StepError::AwsUnavailable {
                action: format!("GetObject {}", object.key),
                problem: error.to_string(),
            })?;
            hash.update(&bytes);
        }
        Ok(self.pin(object, hex(&hash.finalize())))
    }

    /// Reads the app's settings and refuses what docker would not read as meant.
    pub async fn read_config(&self, object: &Object) -> Result<Pinned, StepError> {
        if object.size > config::MAX_SIZE {
            return Err(InvalidConfig::TooLarge(object.size).into());
        }
        let body = self.get(object).await?;
        let bytes = body
            .collect()
            .await
            .map_err(|error| StepError::AwsUnavailable {
                action: format!("GetObject {}", object.key),
                problem: error.to_string(),
            })?;
        let bytes = bytes.into_bytes();
        config::names(&bytes)?;
        Ok(self.pin(object, hex(&Sha256::digest(&bytes))))
    }

    /// Fails if pinned bytes are no longer there.
    pub async fn check_present(&self, pinned: &Pinned) -> Result<(), StepError> {
        match self.find(&pinned.key, Some(&pinned.version_id)).await? {
            Some(_) => Ok(()),
            None => Err(StepError::ArtifactNotFound(format!(
                "{} (version id {}): it was deleted since",
                pinned.key, pinned.version_id
            ))),
        }
    }

    async fn get(&self, object: &Object) -> Result<aws_sdk_s3::primitives::ByteStream, StepError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&object.key)
            .version_id(&object.version_id)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.body),
            Err(error) if is(&error, "NoSuchKey") || is(&error, "NoSuchVersion") => {
                Err(StepError::ArtifactNotFound(object.key.clone()))
            }
            Err(error) => Err(failed(format!("GetObject {}", object.key), error)),
        }
    }

    fn pin(&self, object: &Object, sha256: String) -> Pinned {
        Pinned {
            bucket: self.bucket.clone(),
            key: object.key.clone(),
            version_id: object.version_id.clone(),
            size: object.size,
            sha256,
            uploaded_at: object.uploaded_at,
        }
    }
}

/// The settings of releases, as their manifests pin them.
pub struct PinnedSettings {
    client: Lazy<aws_sdk_s3::Client>,
    bucket: String,
}

impl PinnedSettings {
    pub fn new(config: &SdkConfig, bucket: String) -> Self {
        Self {
            client: lazily(config, aws_sdk_s3::Client::new),
            bucket,
        }
    }

    /// How the second differ from the first; `None` if they are the same file, or if one of them cannot be read: that
    /// people are not told of it keeps no deploy from going on.
    pub async fn changes(
        &self,
        before: Option<&Pinned>,
        after: Option<&Pinned>,
    ) -> Option<Changes> {
        let id = |pinned: Option<&Pinned>| pinned.map(|pinned| pinned.version_id.clone());
        if id(before) == id(after) {
            return None;
        }
        let before = self.read(before).await?;
        let after = self.read(after).await?;
        Some(config::changes(&before, &after))
    }

    async fn read(&self, pinned: Option<&Pinned>) -> Option<Vec<u8>> {
        let Some(pinned) = pinned else {
            return Some(Vec::new());
        };
        let get = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&pinned.key)
            .version_id(&pinned.version_id);
        let body = get.send().await.ok()?.body.collect().await.ok()?;
        Some(body.to_vec())
    }
}

fn inspect_all(reader: impl Read) -> Result<Inspection, InspectError> {
    inspect(reader, MOST_UNPACKED)
}

async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StepError::AwsUnavailable {
            action: "reading the archive".to_owned(),
            problem: error.to_string(),
        })
}

/// Whether two names of a KMS key mean the same: S3 tells an ARN, but may be told a bare id.
fn same_key(one: &str, other: &str) -> bool {
    let id = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    one == other || id(one) == id(other)
}
