//! How much longer than its instances a deploy takes.

use anyhow::Context;
use exuvia_core::target::Target;
use exuvia_simulation::run::Outcome;
use exuvia_simulation::scenario::PLACE;
use serde::{Deserialize, Serialize};

use super::lab::{self, App, Lab};

/// Boots, in seconds.
pub const BOOTS: [u32; 3] = [5, 60, 240];

/// Releases before the first that is measured.
const BEFORE: usize = 3;

/// How many deploys are measured on one history of releases, each the history of the next.
const IN_A_ROW: usize = 20;

/// One deploy, in seconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Deploy {
    /// From the upload until the group is there.
    pub before: f64,
    /// From then on until all instances are healthy, as the load balancer sees it after one passed check.
    pub boot: f64,
    /// How long they must stay so: the rest of the target's `HealthyThreshold`.
    pub hold: f64,
    /// From the end of that until all traffic is on the new fleet.
    pub after: f64,
    /// How often it was asked whether they are healthy.
    pub polls: u32,
    /// How often the load balancer was asked in them for the health of the targets.
    pub looks: u32,
}

impl Deploy {
    /// What the deployer adds to the time that instances need.
    pub fn overhead(&self) -> f64 {
        self.before + self.after
    }

    /// The same, where the hold is not the instances' time.
    pub fn overhead_with_hold(&self) -> f64 {
        self.overhead() + self.hold
    }
}

/// Deploys of an app that boots in so many seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Booting {
    pub seconds: u32,
    pub deploys: Vec<Deploy>,
}

/// At least so many deploys for each boot.
pub fn measure(lab: &Lab, count: usize) -> anyhow::Result<Vec<Booting>> {
    let booting = |seconds| {
        let app = App::booting(seconds);
        let mut deploys = Vec::new();
        let mut seed = u64::from(seconds) * 1_000;
        while deploys.len() < count {
            seed += 100;
            let estate = lab::estate(&app, seed)?;
            let mut estate = lab::with_releases(lab, estate, seed, BEFORE)?;
            for number in 0..IN_A_ROW.min(count) {
                let outcome = lab.run(
                    estate,
                    seed + 50 + number as u64,
                    false,
                    &["upload:good@0s"],
                )?;
                lab::expect(&outcome, "SUCCEEDED")?;
                deploys.push(read(&outcome)?);
                estate = outcome.estate;
            }
        }
        Ok(Booting { seconds, deploys })
    };
    BOOTS.into_iter().map(booting).collect()
}

/// What there was to see of the newest deploy.
fn read(outcome: &Outcome) -> anyhow::Result<Deploy> {
    let estate = &outcome.estate;
    let uploaded = estate.uploads.last().context("nothing was uploaded")?.at;
    let milestones = &outcome.seen.milestones;
    let (name, fleet) = milestones.fleets.last_key_value().context("no group")?;
    let healthy = fleet.healthy.context("the new fleet is not healthy")?;
    let mut traffic = milestones.traffic.iter();
    let all = traffic.find(|(_, weights)| {
        let (new, others): (Vec<_>, Vec<_>) = weights.iter().partition(|(group, _)| group == name);
        new.iter().any(|(_, weight)| *weight > 0) && others.iter().all(|(_, weight)| *weight == 0)
    });
    let (all, _) = all.context("the traffic never moved")?;
    let target = estate.services.ssm.get(&format!("/exuvia/{PLACE}"));
    let target: Target = serde_json::from_str(target.unwrap_or_default())?;
    let hold = f64::from(target.hold_seconds());
    let execution = estate.executions.last().context("no execution")?;
    let polls = execution
        .path
        .iter()
        .filter(|state| *state == "Check Health");
    let looks = outcome.seen.calls.iter().filter(|call| {
        call.visit.who == execution.who
            && call.visit.state == "Check Health"
            && call.operation == "DescribeTargetHealth"
    });
    Ok(Deploy {
        before: lab::seconds(uploaded, fleet.created),
        boot: lab::seconds(fleet.created, healthy),
        hold,
        after: lab::seconds(healthy, *all) - hold,
        polls: u32::try_from(polls.count())?,
        looks: u32::try_from(looks.count())?,
    })
}
