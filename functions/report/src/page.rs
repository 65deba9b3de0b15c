//! The pages: pure functions from the documents to HTML that needs nothing else, no script and no network.
//!
//! What people, instances and AWS have said is escaped by the templates, and was cleaned and cut when it came into the
//! documents. Links go to AWS's console and to the pages beside.

mod chart;
mod console;
mod course;
mod sections;
mod wording;

use askama::Template;
use exuvia_core::error::StepError;
use exuvia_core::report::{Index, Report, name_of};

use chart::Clock;
use sections::{Facts, Instances, Past};

pub use console::{execution_link, object_link};

/// What a page tells besides its document.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub index: &'a Index,
    /// The deploy state machine's ARN.
    pub state_machine: &'a str,
    /// The ledger's name.
    pub bucket: &'a str,
}

/// How an outcome is told at a glance: in a word, and in one of few tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) word: &'static str,
    pub(crate) tone: &'static str,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage<'a> {
    report: &'a Report,
    badge: Badge,
    headline: String,
    summary: Vec<String>,
    facts: Facts,
    rows: Vec<course::Row>,
    rows_left_out: usize,
    ticks: Vec<String>,
    health: Option<chart::Health>,
    traffic: Option<chart::Traffic>,
    instances: Instances,
    failures: Vec<sections::Line>,
    settings: Vec<(&'static str, Vec<String>)>,
    cleaned: Vec<sections::Line>,
    notices: Vec<sections::Line>,
    again: Vec<sections::Command>,
    before: Vec<Past>,
}

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage<'a> {
    index: &'a Index,
    entries: Vec<Past>,
}

/// The page of one deploy.
pub fn of_report(report: &Report, around: &Surroundings<'_>) -> Result<String, StepError> {
    let clock = Clock::of(report);
    let (rows, rows_left_out) = course::rows(report, &clock);
    let others = around.index.entries.iter();
    let before = others
        .filter(|entry| entry.started < report.started && entry.execution != report.execution)
        .take(10)
        .map(|entry| Past::of(entry, &report.place, around))
        .collect();
    let page = ReportPage {
        badge: wording::badge(report),
        headline: wording::headline(report),
        summary: wording::summary(report),
        facts: Facts::of(report),
        rows,
        rows_left_out,
        ticks: clock.ticks(),
        health: chart::health(report, &clock),
        traffic: chart::traffic(report, &clock),
        instances: Instances::of(report, &clock),
        failures: sections::failures(report, &clock),
        settings: sections::settings(report),
        cleaned: sections::cleaned(report, &clock),
        notices: sections::notices(report, &clock),
        again: sections::again(report, around),
        before,
        report,
    };
    rendered(&page, name_of(&report.execution))
}

/// The page of all deploys of an app in an environment.
pub fn of_index(index: &Index, around: &Surroundings<'_>) -> Result<String, StepError> {
    let entries = index.entries.iter();
    let page = IndexPage {
        entries: entries
            .map(|entry| Past::of(entry, &index.place, around))
            .collect(),
        index,
    };
    rendered(&page, "the index")
}

fn rendered(page: &impl Template, of: &str) -> Result<String, StepError> {
    page.render().map_err(|error| StepError::Unreadable {
        what: format!("the page of {of}"),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
