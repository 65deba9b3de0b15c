//! What an instance does with AWS: read its release's manifest and verify it, fetch what that pins, write a boot report,
//! answer its group's launch lifecycle hooks.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use aws_sdk_autoscaling::types::LifecycleHook;
use aws_sdk_kms::operation::verify::VerifyError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::base64;
use exuvia_core::artifact::Pinned;
use exuvia_core::manifest::{BootReport, Manifest, SIGNATURE, boot_prefix, manifest_key};
use exuvia_core::name::{Place, ReleaseNumber};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::authority::Role;

/// Clients as the AWS CLI on an instance is one, but for the local AWS.
pub(super) struct Clients {
    pub(super) s3: Client,
    kms: aws_sdk_kms::Client,
    scaling: aws_sdk_autoscaling::Client,
}

impl Clients {
    /// With the credentials of the instance's role.
    pub(super) fn new(endpoint: &str, scaling: &str, role: &Role) -> Self {
        let autoscaling = aws_sdk_autoscaling::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(REGION)
            .credentials_provider(credentials(role))
            .endpoint_url(scaling)
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(200)))
            .build();
        let kms = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(REGION)
            .credentials_provider(credentials(role))
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(200)))
            .build();
        Self {
            s3: client(endpoint, role),
            kms: aws_sdk_kms::Client::from_conf(kms),
            scaling: aws_sdk_autoscaling::Client::from_conf(autoscaling),
        }
    }

    /// Tells the launch lifecycle hooks of a group, if it has any, that an instance is to go on, or is not.
    pub(super) async fn answer_hooks(
        &self,
        group: &str,
        instance: &str,
        result: &str,
    ) -> Result<(), String> {
        let hooks = self
            .scaling
            .describe_lifecycle_hooks()
            .auto_scaling_group_name(group)
            .send();
        let hooks = hooks.await.map_err(|error| chain(&error))?;
        let launching = |hook: &&LifecycleHook| {
            hook.lifecycle_transition() == Some("autoscaling:EC2_INSTANCE_LAUNCHING")
        };
        for hook in hooks.lifecycle_hooks().iter().filter(launching) {
            self.scaling
                .complete_lifecycle_action()
                .auto_scaling_group_name(group)
                .set_lifecycle_hook_name(hook.lifecycle_hook_name().map(ToOwned::to_owned))
                .instance_id(instance)
                .lifecycle_action_result(result)
                .send()
                .await
                .map_err(|error| chain(&error))?;
        }
        Ok(())
    }
}

const REGION: Region = Region::from_static("us-east-1");

fn credentials(role: &Role) -> Credentials {
    let token = Some(role.token.clone());
    Credentials::new(
        &role.access_key_id,
        &role.secret_access_key,
        token,
        None,
        "local",
    )
}

fn client(endpoint: &str, role: &Role) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(REGION)
        .credentials_provider(credentials(role))
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
    /// The ARN of the key that its manifest must be signed with.
    pub(super) signing_key: String,
}

/// A manifest as it was downloaded: nothing of it counts before it is verified.
pub(super) struct Unverified {
    key: String,
    bytes: Vec<u8>,
    signature: Option<String>,
}

impl Ledger {
    pub(super) async fn manifest(&self, s3: &Client) -> Result<Unverified, String> {
        let key = manifest_key(&self.place, self.release);
        let object = get(s3, &self.bucket, &key, None).await?;
        let metadata = object.metadata();
        let signature = metadata.and_then(|metadata| metadata.get(SIGNATURE).cloned());
        let body = object.body.collect().await.map_err(|error| {
            let error = chain(&error);
            format!("s3://{}/{key} broke off: {error}", self.bucket)
        })?;
        Ok(Unverified {
            key,
            bytes: body.into_bytes().to_vec(),
            signature,
        })
    }

    /// The manifest, if the pipeline has signed these bytes, and for this instance's release.
    pub(super) async fn verify(
        &self,
        clients: &Clients,
        manifest: Unverified,
    ) -> Result<Manifest, String> {
        let name = format!("s3://{}/{}", self.bucket, manifest.key);
        let signature = manifest.signature.ok_or_else(|| {
            format!("{name} bears no signature, so the pipeline did not write it")
        })?;
        let forged =
            || format!("{name} is not what the pipeline signed; somebody has written over it");
        let signature = base64::decode(signature).map_err(|_| forged())?;
        let verify = clients
            .kms
            .verify()
            .key_id(&self.signing_key)
            .message(Blob::new(Sha256::digest(&manifest.bytes).to_vec()))
            .message_type(MessageType::Digest)
            .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
            .signature(Blob::new(signature));
        match verify.send().await {
            Ok(answer) if answer.signature_valid() => {}
            Ok(_) => return Err(forged()),
            Err(error) => {
                let service = error.as_service_error();
                return Err(
                    if service.is_some_and(VerifyError::is_kms_invalid_signature_exception) {
                        forged()
                    } else {
                        let (key, error) = (&self.signing_key, chain(&error));
                        format!("{name} cannot be verified with {key}: {error}")
                    },
                );
            }
        }
        let read: Manifest = serde_json::from_slice(&manifest.bytes).map_err(|error| {
            format!("{name} is not a manifest that this version understands: {error}")
        })?;
        let checked = read.check_is_of(&self.place, self.release);
        checked.map_err(|problem| format!("{name} {problem}"))?;
        Ok(read)
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
