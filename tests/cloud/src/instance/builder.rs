//! A builder, where instances are processes and have no docker engine: it can only say so.

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::build::{BuildId, Report, Reported, TAG_BUILD, report_key};
use exuvia_core::fleet::{TAG_APP, TAG_ENVIRONMENT, TAG_LEDGER};
use exuvia_core::name::Place;

use super::log::Log;

const WHY: &str = "this local AWS builds images only with cargo xtask up --docker";

/// Where it reports.
#[derive(Clone, Debug)]
pub(super) struct Builder {
    bucket: String,
    place: Place,
    build: BuildId,
}

impl Builder {
    /// `None` if the tags are not those of a builder.
    pub(super) fn of(tags: &BTreeMap<String, String>) -> Option<Self> {
        let build = tags.get(TAG_BUILD)?.clone();
        Some(Self {
            bucket: tags.get(TAG_LEDGER)?.clone(),
            place: Place::new(tags.get(TAG_APP)?, tags.get(TAG_ENVIRONMENT)?).ok()?,
            build: BuildId::try_from(build).ok()?,
        })
    }

    pub(super) async fn refuse(&self, s3: &Client, log: &Log) {
        log.line(WHY);
        let report = Report {
            status: Reported::Failed,
            step: Some("prepare".to_owned()),
            error: Some(WHY.to_owned()),
            output: Vec::new(),
            artifact: None,
        };
        let put = s3
            .put_object()
            .bucket(&self.bucket)
            .key(report_key(&self.place, &self.build))
            .content_type("application/json")
            .body(ByteStream::from(
                serde_json::to_vec(&report).unwrap_or_default(),
            ));
        if let Err(error) = put.send().await {
            log.line(&format!("the report is not written: {error}"));
        }
    }
}
