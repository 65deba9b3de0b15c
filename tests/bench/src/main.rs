//! Measures one part and writes down what it found, or makes the page of what was found.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Parser};
use exuvia_bench::{deploys, functions, load, page};
use serde::Serialize;

#[derive(Parser)]
#[command(version, about)]
enum Command {
    /// Deploys in the simulation, in virtual time
    Deploys {
        #[command(flatten)]
        options: deploys::Options,
        #[command(flatten)]
        output: Output,
    },
    /// The functions as Lambda starts them: size, start, first call, each invocation, memory
    Functions {
        #[command(flatten)]
        options: functions::Options,
        #[command(flatten)]
        output: Output,
    },
    /// Deploys in real time, with traffic and many at once, against the local AWS that runs at speed 1
    Load {
        #[command(flatten)]
        options: load::Options,
        #[command(flatten)]
        output: Output,
    },
    /// The page of what was found
    Page {
        /// Where the parts' JSON is; a part that is not there is left out
        #[arg(long, default_value = "target/bench")]
        found: PathBuf,
        /// Where to write performance.md, and performance/ with its plots
        #[arg(long, default_value = "docs")]
        output: PathBuf,
    },
}

#[derive(Args)]
struct Output {
    /// Where to write what was found, as JSON
    #[arg(long)]
    output: PathBuf,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Deploys { options, output } => {
            let found = deploys::measure(&options, |what| eprintln!("  {what}"))?;
            output.write(&found)?;
            print!("{}", deploys::page::section(&found)?.markdown);
        }
        Command::Functions { options, output } => {
            let found = functions::measure(&options)?;
            output.write(&found)?;
            print!("{}", functions::page::section(&found)?.markdown);
        }
        Command::Load { options, output } => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let found = runtime.block_on(load::measure(&options))?;
            output.write(&found)?;
            print!("{}", load::page::section(&found).markdown);
        }
        Command::Page { found, output } => page::write(&found, &output)?,
    }
    Ok(())
}

impl Output {
    fn write(&self, found: &impl Serialize) -> Result<()> {
        let path: &Path = &self.output;
        let text = serde_json::to_string_pretty(found)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
