//! What grows with the number of instances.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::counted::Counted;
use super::lab::{self, App, Lab};

/// How many instances an app has. A target group takes no more than the last:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>.
pub const INSTANCES: [u32; 4] = [1, 10, 100, 1_000];

/// Seconds that an instance boots.
pub const BOOT: u32 = 240;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grown {
    pub instances: u32,
    /// The deploy that replaces the version before.
    pub deploy: Counted,
    /// Seconds from the start of its execution to its end.
    pub took: f64,
}

pub fn measure(lab: &Lab, instances: &[u32]) -> anyhow::Result<Vec<Grown>> {
    let grown = |instances: &u32| {
        let app = App {
            instances: *instances,
            ..App::booting(BOOT)
        };
        let mut estate = lab::estate(&app, 1)?;
        if let Some(measure) = &mut estate.measure {
            measure.is_watched = false;
        }
        // All boot alike, so that nothing but their number differs.
        if let Some(boots) = &mut estate.machines.boots {
            boots.percent = 0;
            boots.start.1 = boots.start.0;
        }
        let estate = lab::with_releases(lab, estate, 1, 2)?;
        let outcome = lab.run(estate, 3, false, &["upload:good@0s"])?;
        lab::expect(&outcome, "SUCCEEDED")?;
        let execution = outcome.estate.executions.last().context("no execution")?;
        let stopped = execution.stopped.context("it has not ended")?;
        Ok(Grown {
            instances: *instances,
            deploy: Counted::of(&outcome, Some(execution), "trigger"),
            took: lab::seconds(execution.started, stopped),
        })
    };
    instances.iter().map(grown).collect()
}
