//! What deploys take and cost, in virtual time: the real state machine and the real functions, in the simulation.

pub mod apps;
pub mod cost;
pub mod counted;
pub mod growth;
pub mod lab;
pub mod overhead;
pub mod page;
pub mod peers;
mod plot;
pub mod prices;
pub mod quotas;
pub mod rollback;

use serde::{Deserialize, Serialize};

use apps::{AtOnce, Contended};
use cost::Billed;
use growth::Grown;
use lab::Lab;
use overhead::Booting;
use rollback::Failing;

/// All that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    pub overhead: Vec<Booting>,
    pub rollbacks: Vec<Failing>,
    pub growth: Vec<Grown>,
    pub cost: Billed,
    /// Without AWS's limits of requests.
    pub unlimited: Vec<AtOnce>,
    /// With them.
    pub limited: Vec<AtOnce>,
    pub contended: Vec<Contended>,
}

/// How much is measured.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Deploys for each boot, and rollbacks of each kind
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub deploys: usize,
    /// How many instances an app has
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = growth::INSTANCES)]
    pub instances: Vec<u32>,
    /// How many apps are deployed at once
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = apps::APPS)]
    pub apps: Vec<usize>,
    /// How many versions of one app are uploaded at once
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = apps::UPLOADS)]
    pub uploads: Vec<usize>,
}

/// Measures all of it, and tells how far it is.
pub fn measure(options: &Options, tell: impl Fn(&str)) -> anyhow::Result<Found> {
    let lab = Lab::new()?;
    tell("overhead");
    let overhead = overhead::measure(&lab, options.deploys)?;
    tell("rollbacks");
    let rollbacks = rollback::measure(&lab, options.deploys)?;
    tell("growth");
    let growth = growth::measure(&lab, &options.instances)?;
    tell("cost");
    let cost = cost::measure(&lab)?;
    let at_once = |limited| {
        let apps = options.apps.iter().map(|apps| {
            tell(&format!("{apps} apps at once"));
            apps::measure(*apps, limited)
        });
        apps.collect::<anyhow::Result<Vec<AtOnce>>>()
    };
    tell("one app, many uploads");
    let contended = options
        .uploads
        .iter()
        .map(|uploads| apps::contend(*uploads));
    Ok(Found {
        overhead,
        rollbacks,
        growth,
        cost,
        contended: contended.collect::<anyhow::Result<_>>()?,
        unlimited: at_once(false)?,
        limited: at_once(true)?,
    })
}
