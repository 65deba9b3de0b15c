//! Tells what a deploy is or was like: a page in the ledger, and the same as data. It stands beside the workflow: it is
//! invoked by the notices' topic and by the end of each execution, reads what is there, and changes nothing but its pages.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod event;
pub mod page;

use exuvia_aws::fleet::Fleets;
use exuvia_aws::ledger::Ledger;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::notice::Kind;
use exuvia_core::report::{Execution, Index, Report, Told, index_page_key, name_of, page_key};
use exuvia_core::request::Request;
use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::Value;

pub use event::Event;
use event::Heard;
use page::Surroundings;

pub struct Handler {
    workflow: Workflow,
    ledger: Ledger,
    fleets: Fleets,
    state_machine: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The keys of the pages that were brought up to date.
    pages: Vec<String>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            workflow: Workflow::new(config),
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            state_machine: settings.get("STATE_MACHINE_ARN")?,
        })
    }

    pub async fn handle(&self, event: Event) -> Result<Output, StepError> {
        let mut output = Output::default();
        for Heard {
            execution,
            notice,
            at,
        } in event.heard()
        {
            if !self.is_deploy(&execution) {
                continue;
            }
            // Boxed: many calls are in one future.
            let report = Box::pin(self.report(&execution, notice, at, &mut output));
            let Some(report) = report.await? else {
                continue;
            };
            // What a recovery does belongs to the story of what was cut off.
            if let Some(cut_off) = report.recovers.filter(|cut_off| self.is_deploy(cut_off)) {
                Box::pin(self.report(&cut_off, None, at, &mut output)).await?;
            }
        }
        Ok(output)
    }

    /// Whether an execution is one of the deploy state machine's.
    fn is_deploy(&self, execution: &str) -> bool {
        let executions = self.state_machine.replace(":stateMachine:", ":execution:");
        let name = execution.strip_prefix(&format!("{executions}:"));
        // The name becomes part of a key.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        name.is_some_and(|name| !name.is_empty() && name.len() <= 80 && name.chars().all(allowed))
    }

    /// Brings the report of one execution up to date, with its page and the index. `None` if there is nowhere to put it: its
    /// input names no app and environment, or Step Functions has forgotten it.
    async fn report(
        &self,
        execution: &str,
        notice: Option<Told>,
        now: Timestamp,
        output: &mut Output,
    ) -> Result<Option<Report>, StepError> {
        let name = name_of(execution);
        let Some(described) = self.workflow.describe(execution).await? else {
            return Ok(None);
        };
        let input = described.input.clone().unwrap_or_default();
        let parsed: Value = serde_json::from_str(&input).unwrap_or_default();
        let (Some(place), Some(started)) = (Request::place_of(&parsed), described.started) else {
            return Ok(None);
        };
        let events = self.workflow.history(execution).await?;
        let record = self.ledger.outcome(&place, name).await?;
        let outcome = record.as_ref().and_then(|record| record.get("kind"));
        let recovery = self.ledger.recovery(&place, name).await?;
        let known = Execution {
            arn: execution.to_owned(),
            place: place.clone(),
            input,
            status: described.status,
            error: described.error,
            cause: described.cause,
            started,
            ended: described
                .ended
                .and_then(|ended| ended.round(Unit::Millisecond).ok()),
            now,
            outcome: outcome.and_then(|kind| serde_json::from_value::<Kind>(kind.clone()).ok()),
            recovered_by: recovery.map(|recovery| recovery.by),
        };
        let mut report = Report::new(&known, &events);
        if let Some(release) = report.release {
            let mut fleet = self.fleets.lives(&place, release).await?;
            fleet.reports = self.ledger.boot_reports(&place, release).await?;
            report = report.with_fleet(&fleet, &events);
        }
        let recorded = record.as_ref().and_then(Told::of_record);
        for told in recorded.into_iter().chain(notice) {
            report = report.with_notice(told);
        }

        let stored = self
            .ledger
            .renew_report(&place, name, |stored| report.clone().merged(stored))
            .await?;
        let Some(report) = stored else {
            return Ok(None);
        };
        let index = self
            .ledger
            .renew_index(&place, |stored| {
                let new = || Index::new(place.clone());
                // The end of what was cut off is in that one's report.
                if report.recovers.is_some() {
                    return None;
                }
                stored.cloned().unwrap_or_else(new).with(&report)
            })
            .await?;
        let index = index.unwrap_or_else(|| Index::new(place.clone()));

        let around = Surroundings {
            index: &index,
            state_machine: &self.state_machine,
            bucket: self.ledger.bucket(),
        };
        let key = page_key(&place, name);
        let page = page::of_report(&report, &around)?;
        self.ledger.put_page(&key, &page, report.revision).await?;
        output.pages.push(key);
        if index.revision > 0 {
            let key = index_page_key(&place);
            let page = page::of_index(&index, &around)?;
            self.ledger.put_page(&key, &page, index.revision).await?;
            output.pages.push(key);
        }
        Ok(Some(report))
    }
}
