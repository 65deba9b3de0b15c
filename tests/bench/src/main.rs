//! Measures one part and writes what it found down.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use exuvia_bench::load;

#[derive(Parser)]
#[command(version, about)]
enum Part {
    /// Deploys in real time, with traffic and many at once, against the local AWS that runs at speed 1
    Load {
        #[command(flatten)]
        options: load::Options,
        /// Where to write what was found, as JSON
        #[arg(long)]
        output: PathBuf,
    },
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match Part::parse() {
        Part::Load { options, output } => {
            let found = runtime.block_on(load::measure(&options))?;
            std::fs::write(&output, serde_json::to_vec_pretty(&found)?)
                .with_context(|| format!("cannot write {}", output.display()))?;
            print!("{}", load::page::section(&found).markdown);
        }
    }
    Ok(())
}
