//! Starts a deploy, or a build, for an upload: an S3 `Object Created` event, by way of `EventBridge`.
//!
//! Events are delivered at least once and in any order:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>. The execution's name is a digest of
//! the object's version, so that a repeat starts nothing.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use exuvia_aws::workflow::{Started, Workflow};
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::artifact::Upload;
use exuvia_core::build::request::{BuildRequest, What};
use exuvia_core::error::StepError;
use exuvia_core::request::{Request, Source, UploadName, input_for_unreadable_key};
use serde::{Deserialize, Serialize};

pub struct Handler {
    workflow: Workflow,
    state_machine: String,
    build_state_machine: String,
}

/// The part of the event's detail that matters:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>.
#[derive(Debug, Deserialize, Serialize)]
pub struct ObjectCreated {
    bucket: Bucket,
    object: Object,
}

#[derive(Debug, Deserialize, Serialize)]
struct Bucket {
    name: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Object {
    key: String,
    #[serde(default)]
    size: u64,
    version_id: Option<String>,
    /// Orders the events of one key; stands in for a version id that an event lacks.
    sequencer: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The execution that was started for it, now or before.
    execution: Option<String>,
    repeated: bool,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            workflow: Workflow::new(config),
            state_machine: settings.get("STATE_MACHINE_ARN")?,
            build_state_machine: settings.get("BUILD_STATE_MACHINE_ARN")?,
        })
    }

    pub async fn handle(
        &self,
        event: EventBridgeEvent<ObjectCreated>,
    ) -> Result<Output, StepError> {
        let ObjectCreated { bucket, object } = event.detail;
        // What the S3 console makes for a folder: a mark for its own display, not an upload.
        if object.key.ends_with('/') && object.size == 0 {
            return Ok(Output {
                execution: None,
                repeated: false,
            });
        }
        let version_id = object.version_id;
        let mut state_machine = &self.state_machine;
        let input = match Upload::parse(&object.key) {
            Ok(Upload::Source { place, version }) => {
                state_machine = &self.build_state_machine;
                BuildRequest {
                    place,
                    what: What::Source {
                        key: object.key.clone(),
                        version,
                        version_id: version_id.clone(),
                    },
                }
                .to_input()
            }
            Ok(Upload::Artifact { place, version }) => Request {
                place,
                source: Source::Artifact {
                    key: object.key.clone(),
                    version,
                    version_id: version_id.clone(),
                },
                strategy: None,
                approval: None,
                retain_minutes: None,
            }
            .to_input(),
            Ok(Upload::Config { place }) => Request {
                place,
                source: Source::Live,
                strategy: None,
                approval: None,
                retain_minutes: None,
            }
            .to_input(),
            // Validate refuses it where everybody looks, with a notice.
            Err(_) => input_for_unreadable_key(&object.key, version_id.as_deref()),
        };
        let which = version_id.or(object.sequencer).unwrap_or_default();
        let name = UploadName::of(&bucket.name, &object.key, &which);
        let started = self
            .workflow
            .start(state_machine, name.as_str(), &input)
            .await?;
        Ok(Output {
            execution: Some(name.into()),
            repeated: started == Started::Before,
        })
    }
}
