//! The ledger's reports: documents that are swapped, and pages that are made of them.

use exuvia_core::error::StepError;
use exuvia_core::manifest::outcome_key;
use exuvia_core::name::Place;
use exuvia_core::report::{Index, Report, data_key, index_key};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{failed, status};
use crate::ledger::{Ledger, Only, Tagged};

/// The user metadata of a page that says of which revision of its document it is made.
const REVISION: &str = "revision";

/// So often a document that others write as well is read and written anew, before the event is to be delivered again.
const TRIES: usize = 8;

impl Ledger {
    /// Brings a report up to date: `renewed` is given what is stored, and says what is to be there, or `None` if that is so.
    /// What is there then.
    pub async fn renew_report(
        &self,
        place: &Place,
        execution_name: &str,
        renewed: impl Fn(Option<&Report>) -> Option<Report>,
    ) -> Result<Option<Report>, StepError> {
        self.renew(&data_key(place, execution_name), renewed).await
    }

    /// The same of the index of a place's reports.
    pub async fn renew_index(
        &self,
        place: &Place,
        renewed: impl Fn(Option<&Index>) -> Option<Index>,
    ) -> Result<Option<Index>, StepError> {
        self.renew(&index_key(place), renewed).await
    }

    async fn renew<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        renewed: impl Fn(Option<&T>) -> Option<T>,
    ) -> Result<Option<T>, StepError> {
        for _ in 0..TRIES {
            // What another version of this wrote, and this cannot read, is written over: all of it is derived.
            let stored: Option<Tagged<Value>> = self.get(key).await?;
            let etag = stored.as_ref().map(|stored| stored.etag.clone());
            let stored: Option<T> =
                stored.and_then(|stored| serde_json::from_value(stored.value).ok());
            let Some(new) = renewed(stored.as_ref()) else {
                return Ok(stored);
            };
            let only = etag.as_deref().map_or(Only::IfAbsent, Only::IfMatch);
            if self.put(key, &new, Some(only)).await?.is_some() {
                return Ok(Some(new));
            }
        }
        Err(contended(key))
    }

    /// Writes a page, unless there is one of this revision of its document, or of a later one.
    pub async fn put_page(&self, key: &str, page: &str, revision: u64) -> Result<(), StepError> {
        for _ in 0..TRIES {
            let head = self
                .client
                .head_object()
                .bucket(&self.bucket)
                .key(key)
                .send();
            let (etag, stored) = match head.await {
                Ok(head) => {
                    let stored = head.metadata().and_then(|metadata| metadata.get(REVISION));
                    let stored: Option<u64> = stored.and_then(|stored| stored.parse().ok());
                    (head.e_tag().map(ToOwned::to_owned), stored)
                }
                // A HEAD has no body, so S3 names no code.
                Err(error) if status(&error) == Some(404) => (None, None),
                Err(error) => return Err(failed(format!("HeadObject {key}"), error)),
            };
            if stored.is_some_and(|stored| stored >= revision) {
                return Ok(());
            }
            let put = self
                .put_object(key, page.as_bytes().to_vec())
                .content_type("text/html; charset=utf-8")
                .metadata(REVISION, revision.to_string());
            let only = etag.as_deref().map_or(Only::IfAbsent, Only::IfMatch);
            if self.write(key, put, Some(only)).await?.is_some() {
                return Ok(());
            }
        }
        Err(contended(key))
    }

    /// The record of an execution's outcome, as Notify wrote it.
    pub async fn outcome(
        &self,
        place: &Place,
        execution_name: &str,
    ) -> Result<Option<Value>, StepError> {
        let found = self.get(&outcome_key(Some(place), execution_name)).await?;
        Ok(found.map(|found| found.value))
    }
}

fn contended(key: &str) -> StepError {
    StepError::AwsUnavailable {
        action: format!("PutObject {key}"),
        problem: format!("others wrote it {TRIES} times in between"),
    }
}
