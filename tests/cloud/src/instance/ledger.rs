//! What an instance does with S3: read its release's manifest, fetch what that pins, write a boot report.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::artifact::Pinned;
use exuvia_core::manifest::{BootReport, Manifest, boot_prefix, manifest_key};
use exuvia_core::name::{Place, ReleaseNumber};
use tokio::io::AsyncWriteExt;

/// A client as the AWS CLI on an instance is one, but for the local AWS.
pub(super) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "local"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(200)))
        // The manifest's SHA-256 is what counts.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

/// Where a release's instances read and write.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) bucket: String,
    pub(super) place: Place,
    pub(super) release: ReleaseNumber,
}

impl Ledger {
    pub(super) async fn manifest(&self, s3: &Client) -> Result<Manifest, String> {
        let key = manifest_key(&self.place, self.release);
        let object = get(s3, &self.bucket, &key, None).await?;
        let body = object.body.collect().await.map_err(|error| {
            let error = chain(&error);
            format!("s3://{}/{key} broke off: {error}", self.bucket)
        })?;
        serde_json::from_slice(&body.into_bytes()).map_err(|error| {
            format!(
                "s3://{}/{key} is not a manifest that this version understands: {error}",
                self.bucket
            )
        })
    }

    pub(super) async fn report(&self, s3: &Client, report: &BootReport) -> Result<(), String> {
        let key = format!(
            "{}{}.json",
            boot_prefix(&self.place, self.release),
            report.instance_id
        );
        let body = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        s3.put_object()
            .bucket(&self.bucket)
            .key(&key)
            .content_type("application/json")
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| format!("s3://{}/{key}: {}", self.bucket, chain(&error)))?;
        Ok(())
    }
}

/// Downloads exactly what was pinned, by its version id.
pub(super) async fn download(s3: &Client, pinned: &Pinned, to: &Path) -> Result<(), String> {
    let object = get(s3, &pinned.bucket, &pinned.key, Some(&pinned.version_id)).await?;
    let mut body = object.body;
    let mut file = tokio::fs::File::create(to)
        .await
        .map_err(|error| format!("{} cannot be written: {error}", to.display()))?;
    loop {
        let chunk = body.try_next().await.map_err(|error| {
            let error = chain(&error);
            format!("s3://{}/{} broke off: {error}", pinned.bucket, pinned.key)
        })?;
        let written = match chunk {
            Some(chunk) => file.write_all(&chunk).await,
            None => return file.flush().await.map_err(|error| full(to, &error)),
        };
        written.map_err(|error| full(to, &error))?;
    }
}

fn full(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

async fn get(
    s3: &Client,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<GetObjectOutput, String> {
    s3.get_object()
        .bucket(bucket)
        .key(key)
        .set_version_id(version.map(ToOwned::to_owned))
        .send()
        .await
        .map_err(|error| {
            let version = version.map_or(String::new(), |v| format!(" (version {v})"));
            format!(
                "s3://{bucket}/{key}{version} cannot be read: {}",
                chain(&error)
            )
        })
}

/// The SDK's own text says only "service error"; what happened is further down.
fn chain(error: &dyn Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        source = cause.source();
    }
    parts.join(": ")
}
