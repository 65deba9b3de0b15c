//! Measures one part and writes what it found down.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use exuvia_bench::deploys;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Deploys in the simulation, in virtual time.
    Deploys {
        /// Where to write what was found, as JSON.
        #[arg(long)]
        output: PathBuf,
        /// How many deploys for each boot, and rollbacks of each kind.
        #[arg(long, value_name = "N", default_value_t = deploys::Options::default().deploys)]
        deploys: usize,
        /// How many instances an app has.
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = deploys::Options::default().instances)]
        instances: Vec<u32>,
        /// How many apps are deployed at once.
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = deploys::Options::default().apps)]
        apps: Vec<usize>,
        /// How many versions of one app are uploaded at once.
        #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = deploys::Options::default().uploads)]
        uploads: Vec<usize>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().part {
        Part::Deploys {
            output,
            deploys,
            instances,
            apps,
            uploads,
        } => {
            let options = deploys::Options {
                deploys,
                instances,
                apps,
                uploads,
            };
            let found = deploys::measure(&options, |what| eprintln!("  {what}"))?;
            let text = serde_json::to_string_pretty(&found)?;
            std::fs::write(&output, text).with_context(|| output.display().to_string())?;
            println!("{}", deploys::page::section(&found)?.markdown);
            Ok(())
        }
    }
}
