//! The ledger bucket: manifests, the live record, locks, boot reports and outcomes.
//!
//! Conditional writes: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>. Their
//! refusals are not modelled by the SDK and are told by code and status.

use aws_config::SdkConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::approval::Asked;
use exuvia_core::build::{self, BuildId, Order, Report};
use exuvia_core::error::StepError;
use exuvia_core::manifest::{self, BootReport, Live, Manifest, Recovery};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::removal::Removed;
use exuvia_core::retain::{Retained, retained_key};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{failed, is, status};
use crate::keys::SigningKey;
use crate::{Lazy, lazily};

pub struct Ledger {
    pub(crate) client: Lazy<aws_sdk_s3::Client>,
    pub(crate) bucket: String,
}

/// Under which condition an object is written or deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Only<'a> {
    /// Nothing is there.
    IfAbsent,
    /// What was read is still there.
    IfMatch(&'a str),
}

/// An object and the `ETag` that it had when it was read.
#[derive(Clone, Debug)]
pub struct Tagged<T> {
    pub value: T,
    pub etag: String,
}

/// An object as it was read.
struct Stored {
    bytes: Vec<u8>,
    etag: String,
    signature: Option<String>,
}

impl Ledger {
    pub fn new(config: &SdkConfig, bucket: String) -> Self {
        Self {
            client: lazily(config, aws_sdk_s3::Client::new),
            bucket,
        }
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    pub async fn manifest(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Manifest, StepError> {
        let found = self.find_manifest(place, release).await?;
        found.ok_or_else(|| StepError::ReleaseNotFound {
            place: place.clone(),
            release,
        })
    }

    pub async fn find_manifest(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Option<Manifest>, StepError> {
        let found = self.get(&manifest::manifest_key(place, release)).await?;
        Ok(found.map(|found| found.value))
    }

    /// A manifest, and whether it bears a signature. One that bears a wrong one is an error, as is another release's
    /// in its place.
    pub async fn verified_manifest(
        &self,
        place: &Place,
        release: ReleaseNumber,
        key: &SigningKey,
    ) -> Result<(Manifest, bool), StepError> {
        let name = manifest::manifest_key(place, release);
        let found = self.get_object(&name).await?;
        let found = found.ok_or_else(|| StepError::ReleaseNotFound {
            place: place.clone(),
            release,
        })?;
        let manifest: Manifest = self.parse(&name, &found.bytes)?;
        let checked = manifest.check_is_of(place, release);
        let wrong = match &found.signature {
            _ if checked.is_err() => checked.err(),
            Some(signature) if !key.has_signed(&found.bytes, signature).await? => {
                Some("is not what the pipeline signed: somebody has written over it".to_owned())
            }
            _ => None,
        };
        match wrong {
            None => Ok((manifest, found.signature.is_some())),
            Some(problem) => Err(StepError::ManifestNotTrusted {
                place: place.clone(),
                release,
                problem: format!(
                    "{problem}. Make the version before it of s3://{}/{name} the newest again, or upload a version of the app",
                    self.bucket
                ),
            }),
        }
    }

    /// Writes a manifest with its signature, once. `false` if there is one of that number already.
    pub async fn create_manifest(
        &self,
        manifest: &Manifest,
        key: &SigningKey,
    ) -> Result<bool, StepError> {
        let name = manifest::manifest_key(&manifest.place(), manifest.release);
        let body = serialize(&name, manifest)?;
        let signature = key.sign(&body).await?;
        let put = self
            .put_object(&name, body)
            .metadata(manifest::SIGNATURE, signature);
        let written = self.write(&name, put, Some(Only::IfAbsent)).await?;
        Ok(written.is_some())
    }

    /// The releases whose manifests come after that one, in order; all of them after `None`.
    pub async fn releases_after(
        &self,
        place: &Place,
        release: Option<ReleaseNumber>,
    ) -> Result<Vec<ReleaseNumber>, StepError> {
        let prefix = manifest::releases_prefix(place);
        let start = release.map(|release| manifest::manifest_key(place, release));
        let keys = self.list(&prefix, start).await?;
        Ok(keys
            .iter()
            .filter_map(|key| manifest::release_of_key(place, key))
            .collect())
    }

    pub async fn live(&self, place: &Place) -> Result<Option<Tagged<Live>>, StepError> {
        self.get(&manifest::live_key(place)).await
    }

    /// Makes a release the live one, if the record is still what was read.
    pub async fn swap_live(
        &self,
        place: &Place,
        read: Option<&str>,
        live: &Live,
    ) -> Result<(), StepError> {
        let key = manifest::live_key(place);
        let only = read.map_or(Only::IfAbsent, Only::IfMatch);
        match self.put(&key, live, Some(only)).await? {
            Some(_) => Ok(()),
            // Only the holder of the lock writes it: a change in between means that this is no longer the holder,
            // or that this very write had already been done.
            None => Err(changed(format!("PutObject {key}"))),
        }
    }

    /// Deletes the record of what is live, if it is still what was read: nothing is any more.
    pub async fn delete_live(&self, place: &Place, read: &str) -> Result<(), StepError> {
        let key = manifest::live_key(place);
        if self.delete(&key, read).await? {
            return Ok(());
        }
        // As of `swap_live`: the next try finds which of the two it was.
        Err(changed(format!("DeleteObject {key}")))
    }

    /// The last removal of a place.
    pub async fn removed(&self, place: &Place) -> Result<Option<Tagged<Removed>>, StepError> {
        self.get(&manifest::removed_key(place)).await
    }

    /// Notes how far a removal has come, if the record is still what was read; it as it is then read.
    pub async fn note_removed(
        &self,
        place: &Place,
        read: Option<&str>,
        removed: Removed,
    ) -> Result<Tagged<Removed>, StepError> {
        let key = manifest::removed_key(place);
        let only = read.map_or(Only::IfAbsent, Only::IfMatch);
        match self.put(&key, &removed, Some(only)).await? {
            Some(etag) => Ok(Tagged {
                value: removed,
                etag,
            }),
            None => Err(changed(format!("PutObject {key}"))),
        }
    }

    /// What is kept beside what is live.
    pub async fn retained(&self, place: &Place) -> Result<Option<Tagged<Retained>>, StepError> {
        self.get(&retained_key(place)).await
    }

    /// Notes what is kept, if the record is still what was read.
    pub async fn note_retained(
        &self,
        place: &Place,
        read: Option<&str>,
        retained: &Retained,
    ) -> Result<(), StepError> {
        let key = retained_key(place);
        let only = read.map_or(Only::IfAbsent, Only::IfMatch);
        match self.put(&key, retained, Some(only)).await? {
            Some(_) => Ok(()),
            None => Err(changed(format!("PutObject {key}"))),
        }
    }

    /// Deletes that record, if it is still what was read; else it is another's by now.
    pub async fn forget_retained(&self, place: &Place, read: &str) -> Result<(), StepError> {
        self.delete(&retained_key(place), read).await.map(drop)
    }

    /// The deploy that asked for approval last.
    pub async fn asked(&self, place: &Place) -> Result<Option<Asked>, StepError> {
        let found = self.get(&manifest::approval_key(place)).await?;
        Ok(found.map(|found| found.value))
    }

    /// Notes that a deploy asks for approval.
    pub async fn note_asked(&self, place: &Place, asked: &Asked) -> Result<(), StepError> {
        self.amend(&manifest::approval_key(place), asked).await
    }

    /// What instances of a release said of their failed boots; at most the first 20.
    pub async fn boot_reports(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Vec<BootReport>, StepError> {
        let keys = self
            .list(&manifest::boot_prefix(place, release), None)
            .await?;
        let mut reports = Vec::new();
        for key in keys.iter().take(20) {
            // An instance writes it, and an instance may be anybody's: what cannot be read is a failed boot too.
            match self.get::<BootReport>(key).await {
                Ok(Some(report)) => reports.push(report.value),
                Ok(None) => {}
                Err(StepError::Unreadable { problem, .. }) => reports.push(BootReport {
                    instance_id: key
                        .rsplit('/')
                        .next()
                        .unwrap_or_default()
                        .replace(".json", ""),
                    step: "boot".to_owned(),
                    error: format!("its boot report cannot be read: {problem}"),
                    output: Vec::new(),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    /// What puts an execution in order, or has: it is over, even if it is redriven.
    pub async fn recovery(
        &self,
        place: &Place,
        execution_name: &str,
    ) -> Result<Option<Recovery>, StepError> {
        let found = self
            .get(&manifest::recovered_key(place, execution_name))
            .await?;
        Ok(found.map(|found| found.value))
    }

    /// Pins what is to be built, with its signature, once: an earlier try of the same build has written the same.
    pub async fn create_order(
        &self,
        place: &Place,
        order: &Order,
        key: &SigningKey,
    ) -> Result<(), StepError> {
        let name = build::order_key(place, &order.build);
        let body = serialize(&name, order)?;
        let signature = key.sign(&body).await?;
        let put = self
            .put_object(&name, body)
            .metadata(manifest::SIGNATURE, signature);
        self.write(&name, put, Some(Only::IfAbsent)).await.map(drop)
    }

    /// What the builder of a build has reported, or why that cannot be read: an instance writes it, and an instance may
    /// be anybody's.
    pub async fn report(
        &self,
        place: &Place,
        build: &BuildId,
    ) -> Result<Option<Result<Report, String>>, StepError> {
        match self.get(&build::report_key(place, build)).await {
            Ok(found) => Ok(found.map(|found| Ok(found.value))),
            Err(StepError::Unreadable { problem, .. }) => Ok(Some(Err(problem))),
            Err(error) => Err(error),
        }
    }

    /// Notes that a recovery puts a build in order, once.
    pub async fn record_recovery(
        &self,
        place: &Place,
        build: &BuildId,
        recovery: Recovery,
    ) -> Result<(), StepError> {
        let key = build::recovered_key(place, build);
        self.record(&key, recovery).await.map(drop)
    }

    /// What puts a build in order, or has: it is over, even if it is redriven.
    pub async fn recovery_of(
        &self,
        place: &Place,
        build: &BuildId,
    ) -> Result<Option<Recovery>, StepError> {
        let found = self.get(&build::recovered_key(place, build)).await?;
        Ok(found.map(|found| found.value))
    }

    /// Records something under a key, once; what is there now, from this call or from an earlier one.
    pub async fn record<T>(&self, key: &str, value: T) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
    {
        if self.put(key, &value, Some(Only::IfAbsent)).await?.is_some() {
            return Ok(value);
        }
        let found = self.get(key).await?;
        Ok(found.map_or(value, |found| found.value))
    }

    /// Writes over a record.
    pub async fn amend<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StepError> {
        self.put(key, value, None).await.map(drop)
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<Tagged<T>>, StepError> {
        let Some(found) = self.get_object(key).await? else {
            return Ok(None);
        };
        let value = self.parse(key, &found.bytes)?;
        let etag = found.etag;
        Ok(Some(Tagged { value, etag }))
    }

    fn parse<T: DeserializeOwned>(&self, key: &str, bytes: &[u8]) -> Result<T, StepError> {
        serde_json::from_slice(bytes).map_err(|error| StepError::Unreadable {
            what: format!("s3://{}/{key}", self.bucket),
            problem: error.to_string(),
        })
    }

    async fn get_object(&self, key: &str) -> Result<Option<Stored>, StepError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is(&error, "NoSuchKey") => return Ok(None),
            Err(error) => return Err(failed(format!("GetObject {key}"), error)),
        };
        let etag = answer.e_tag().unwrap_or_default().to_owned();
        let metadata = answer.metadata();
        let signature = metadata.and_then(|metadata| metadata.get(manifest::SIGNATURE).cloned());
        let body = answer
            .body
            .collect()
            .await
            .map_err(|error| StepError::AwsUnavailable {
                action: format!("GetObject {key}"),
                problem: error.to_string(),
            })?;
        Ok(Some(Stored {
            bytes: body.into_bytes().to_vec(),
            etag,
            signature,
        }))
    }

    /// Writes an object; its `ETag`, or `None` if the condition did not hold.
    pub(crate) async fn put<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        only: Option<Only<'_>>,
    ) -> Result<Option<String>, StepError> {
        let body = serialize(key, value)?;
        self.write(key, self.put_object(key, body), only).await
    }

    pub(crate) fn put_object(&self, key: &str, body: Vec<u8>) -> PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(body))
    }

    pub(crate) async fn write(
        &self,
        key: &str,
        put: PutObjectFluentBuilder,
        only: Option<Only<'_>>,
    ) -> Result<Option<String>, StepError> {
        let put = match only {
            None => put,
            Some(Only::IfAbsent) => put.if_none_match("*"),
            Some(Only::IfMatch(etag)) => put.if_match(etag),
        };
        match put.send().await {
            Ok(answer) => Ok(Some(answer.e_tag().unwrap_or_default().to_owned())),
            Err(error) if only.is_some() && lost(&error) => Ok(None),
            Err(error) => Err(failed(format!("PutObject {key}"), error)),
        }
    }

    /// Deletes an object if it still is what was read; `false` if it is not.
    pub(crate) async fn delete(&self, key: &str, etag: &str) -> Result<bool, StepError> {
        let delete = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .if_match(etag);
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if lost(&error) => Ok(false),
            Err(error) => Err(failed(format!("DeleteObject {key}"), error)),
        }
    }

    /// All keys with a prefix, in order, after that one.
    async fn list(&self, prefix: &str, after: Option<String>) -> Result<Vec<String>, StepError> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(after)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(format!("ListObjectsV2 {prefix}"), error))?;
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(ToOwned::to_owned)),
            );
        }
        Ok(keys)
    }
}

/// A conditional write was refused: worth another try, which reads first.
fn changed(action: String) -> StepError {
    StepError::AwsUnavailable {
        action,
        problem: "it changed since it was read".to_owned(),
    }
}

fn serialize<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StepError> {
    serde_json::to_vec(value).map_err(|error| StepError::Unreadable {
        what: key.to_owned(),
        problem: error.to_string(),
    })
}

/// Whether a conditional write was refused because its condition did not hold: 412, or 404 for an `If-Match` on
/// what is not there. (409 is a race of two such writes: try again.)
fn lost<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> bool {
    is(error, "PreconditionFailed") || matches!(status(error), Some(404 | 412))
}
