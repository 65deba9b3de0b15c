//! How soon the old version has all the traffic again, and how soon one hears of it.

use std::time::Duration;

use anyhow::Context;
use exuvia_core::target::Strategy;
use exuvia_simulation::executions::Execution;
use exuvia_simulation::run::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lab::{self, App, JITTER, Lab};

/// Boots, in seconds.
const BOOT: u32 = 60;

/// What goes wrong, and where it is seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// An instance reports that its boot failed.
    BootReport,
    /// A target with all the traffic turns unhealthy.
    UnhealthyInBake,
    /// A target with a tenth of the traffic turns unhealthy.
    UnhealthyInCanary,
    /// An alarm fires while the new version has all the traffic.
    Alarm,
}

pub const FAILURES: [Failure; 4] = [
    Failure::BootReport,
    Failure::UnhealthyInBake,
    Failure::UnhealthyInCanary,
    Failure::Alarm,
];

/// One rollback, in seconds since the first evidence.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RolledBack {
    /// How long the workflow waits at the time of the evidence, from look to look.
    pub pause: f64,
    /// Until it is looked.
    pub look: f64,
    /// Looks until the rollback: one, if the first that could see the evidence acts on it.
    pub looks: u32,
    /// Until the rule gives everything to the old version, and names no other.
    pub traffic: f64,
    /// Until the notice is published.
    pub notice: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failing {
    pub failure: Failure,
    pub deploys: Vec<RolledBack>,
}

pub fn measure(lab: &Lab, count: usize) -> anyhow::Result<Vec<Failing>> {
    let failing = |failure| {
        let app = app(failure);
        let mut estate = lab::estate(&app, 1)?;
        let now = estate.now;
        for alarm in &app.alarms {
            estate.services.cloudwatch.set_alarm(alarm, false, now);
        }
        let estate = lab::with_releases(lab, estate, 1, 2)?;
        let deploys = (0..count as u64).map(|seed| {
            let mut estate = estate.clone();
            // A boot that fails does so whenever it does.
            let percent = if failure == Failure::BootReport {
                50
            } else {
                JITTER
            };
            lab::boot(&mut estate, app.boot, percent, seed);
            if let Some(boots) = &mut estate.machines.boots {
                boots.ill_after = Duration::from_millis(boots.random.u64(60_000..120_000));
            }
            let began = estate.now;
            // Some time in the bake.
            let fires = fastrand::Rng::with_seed(seed).u64(150_000..300_000);
            let alarm = format!("alarm-fires:hello-5xx@{fires}ms");
            let events = match failure {
                Failure::BootReport => vec!["upload:broken@0s"],
                Failure::UnhealthyInBake | Failure::UnhealthyInCanary => {
                    vec!["upload:sick-later@0s"]
                }
                Failure::Alarm => vec!["upload:good@0s", &alarm],
            };
            let outcome = lab.run(estate, seed, true, &events)?;
            lab::expect(&outcome, "FAILED")?;
            let milestones = &outcome.seen.milestones;
            let evidence = match failure {
                Failure::BootReport => milestones.reported,
                Failure::UnhealthyInBake | Failure::UnhealthyInCanary => milestones.unhealthy,
                Failure::Alarm => Some(began + Duration::from_millis(fires)),
            };
            let evidence = evidence.with_context(|| format!("{failure:?}: nothing was seen"))?;
            read(&outcome, evidence).with_context(|| format!("{failure:?}, seed {seed}"))
        });
        Ok(Failing {
            failure,
            deploys: deploys.collect::<anyhow::Result<_>>()?,
        })
    };
    FAILURES.into_iter().map(failing).collect()
}

fn app(failure: Failure) -> App {
    let bake_seconds = 300;
    App {
        strategy: match failure {
            Failure::UnhealthyInCanary => Strategy::Canary {
                percent: 10,
                hold_seconds: 300,
                bake_seconds,
            },
            _ => Strategy::AllAtOnce { bake_seconds },
        },
        alarms: match failure {
            Failure::Alarm => vec!["hello-5xx".to_owned()],
            _ => Vec::new(),
        },
        ..App::booting(BOOT)
    }
}

fn read(outcome: &Outcome, evidence: Timestamp) -> anyhow::Result<RolledBack> {
    let deploys = outcome.estate.executions.iter();
    let deploy = deploys.rev().find(|one| !one.is_recovery());
    let entered = entered(deploy.context("no execution")?);
    let is_look = |state: &str| ["Check Health", "Evaluate"].contains(&state);
    let looks = entered.iter().filter(|(state, _)| is_look(state));
    let (before, after): (Vec<Timestamp>, Vec<Timestamp>) = looks
        .map(|(_, at)| *at)
        .partition(|looked| *looked < evidence);
    // One that was under way may have seen it.
    let first = after.first().or(before.last());
    let first = first.context("it was never looked")?;
    let last = before.iter().rev().find(|looked| *looked < first);
    let waits = ["Wait For Boot", "Bake"];
    let mut wait = entered.iter().filter(|(state, at)| {
        waits.contains(&state.as_str()) && at <= first && last.is_none_or(|last| at >= last)
    });
    let (_, began) = wait.next_back().context("there was no wait")?;
    let back = entered.iter().find(|(state, _)| state == "Roll Back");
    let (_, back) = back.context("it was not rolled back")?;
    let traffic = outcome.seen.milestones.traffic.iter();
    let mut alone = traffic.filter(|(at, weights)| at >= back && weights.len() == 1);
    let (alone, _) = alone.next().context("the rule still names both")?;
    let published = outcome.estate.services.sns.published.iter();
    let mut notices = published.filter(|one| one.at > *back);
    let notice = notices.next().context("nobody was told")?;
    Ok(RolledBack {
        pause: lab::seconds(*began, *first),
        look: lab::seconds(evidence, *first).max(0.0),
        looks: u32::try_from(after.len().max(1))?,
        traffic: lab::seconds(evidence, *alone),
        notice: lab::seconds(evidence, notice.at),
    })
}

/// The states that an execution entered, and when.
fn entered(execution: &Execution) -> Vec<(String, Timestamp)> {
    let events = execution.history.iter().filter_map(|event| {
        let name = event["stateEnteredEventDetails"]["name"].as_str()?;
        let at = Duration::from_secs_f64(event["timestamp"].as_f64()?);
        Some((name.to_owned(), Timestamp::UNIX_EPOCH + at))
    });
    events.collect()
}
