//! What the reports say of deploys in virtual time is what came of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exuvia_core::name::Place;
use exuvia_core::notice::Kind;
use exuvia_core::report::{Index, Report, data_key, index_key, index_page_key, page_key};
use exuvia_simulation::fault::Schedule;
use exuvia_simulation::proof::{Bench, grounds};
use exuvia_simulation::run::Outcome;
use exuvia_simulation::world::LEDGER;

fn place() -> Place {
    Place::new("hello", "qa").unwrap()
}

/// Runs a schedule of a scenario and has it reported.
fn reported(scenario: &'static str, faults: &str) -> Outcome {
    let grounds = grounds([scenario]).unwrap();
    let bench = Bench::new().unwrap();
    let schedule: Schedule = format!("{scenario} seed=1 {faults}")
        .trim()
        .parse()
        .unwrap();
    let examined = bench.examine(&grounds[scenario], &schedule, true);
    assert!(examined.violations.is_empty(), "{:#?}", examined.violations);
    let reported = bench.report(&examined.outcome).unwrap();
    assert_eq!(reported.seen.dead_letters, [""; 0]);
    reported
}

fn stored(outcome: &Outcome, key: &str) -> Vec<u8> {
    let object = outcome.estate.services.s3.get(LEDGER, key);
    object
        .unwrap_or_else(|| panic!("there is no {key}"))
        .to_vec()
}

/// The reports of what ran, in the order of the executions.
fn reports(outcome: &Outcome) -> Vec<Report> {
    let executions = outcome.estate.executions.iter();
    let told = executions.filter(|one| !one.history.is_empty() && !one.is_build());
    told.map(|one| {
        let page = stored(outcome, &page_key(&place(), &one.name));
        assert!(page.starts_with(b"<!doctype html>"));
        serde_json::from_slice(&stored(outcome, &data_key(&place(), &one.name))).unwrap()
    })
    .collect()
}

#[test]
fn a_deploy_that_replaced_another() {
    let outcome = reported("replace", "");
    let reports = reports(&outcome);
    let [report] = &reports[..] else {
        panic!("{} reports", reports.len())
    };
    assert_eq!(report.outcome, Some(Kind::Succeeded));
    assert_eq!(report.cause, None);
    assert_eq!(report.path.last().unwrap().state, "Succeeded");
    assert_eq!(report.traffic.last().unwrap().weight, 100);
    assert!(report.healthy_at.is_some() && report.from.is_some());
    // As the cloud has it: what it launched for this release is what lives.
    let group = outcome.estate.committed_group().unwrap();
    let survey = outcome.estate.cloud.survey();
    let group = survey.groups.iter().find(|one| one.name == group).unwrap();
    let mut lives: Vec<&str> = report
        .instances
        .iter()
        .map(|life| life.id.as_str())
        .collect();
    let mut instances: Vec<&str> = group.instances.iter().map(|(id, _)| id.as_str()).collect();
    lives.sort_unstable();
    instances.sort_unstable();
    assert_eq!(lives, instances);
    assert!(report.instances.iter().all(|life| life.healthy.is_some()));
    assert!(report.cleaned.iter().all(|shed| shed.done.is_some()) && !report.cleaned.is_empty());
    let titles = report.notices.iter().filter(|told| told.title.is_some());
    assert!(titles.count() >= 2, "{:?}", report.notices);

    let index: Index = serde_json::from_slice(&stored(&outcome, &index_key(&place()))).unwrap();
    let listed = index
        .entries
        .iter()
        .find(|one| one.execution == report.execution);
    assert_eq!(listed.unwrap().outcome, Some(Kind::Succeeded));
    stored(&outcome, &index_page_key(&place()));
}

#[test]
fn a_deploy_that_was_rolled_back() {
    let outcome = reported("rollback-at-boot", "");
    let reports = reports(&outcome);
    let report = reports.last().unwrap();
    assert_eq!(report.outcome, Some(Kind::RolledBack));
    assert!(report.cause.as_ref().is_some_and(|cause| !cause.is_empty()));
    assert!(report.traffic.is_empty(), "{:?}", report.traffic);
    assert!(
        report
            .instances
            .iter()
            .all(|life| life.terminating.is_some())
    );
}

#[test]
fn a_deploy_that_was_stopped_and_its_recovery() {
    let outcome = reported("replace", "stop@d1/Bake#1");
    let reports = reports(&outcome);
    let [stopped, recovery] = &reports[..] else {
        panic!("{} reports", reports.len())
    };
    assert_eq!(stopped.status, "ABORTED");
    assert_eq!(stopped.recovered_by.as_ref(), Some(&recovery.execution));
    assert_eq!(recovery.recovers.as_ref(), Some(&stopped.execution));
    assert_eq!(stopped.outcome, Some(Kind::RolledBack));
    let index: Index = serde_json::from_slice(&stored(&outcome, &index_key(&place()))).unwrap();
    let listed: Vec<&str> = index
        .entries
        .iter()
        .map(|one| one.execution.as_str())
        .collect();
    assert!(listed.contains(&stopped.execution.as_str()));
    assert!(!listed.contains(&recovery.execution.as_str()));
}
