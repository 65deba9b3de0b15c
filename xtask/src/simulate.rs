//! `cargo xtask simulate`: deploys in virtual time, under every fault; and, with `--mutants`, whether that would catch
//! a mistake.

mod mutants;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::ui::{Step, Ui};
use crate::{compile, process, tools};

const BINARY: &str = "exuvia-simulation";
/// That of what runs deploys in virtual time.
pub(crate) const PROFILE: &str = "simulation";

#[derive(clap::Args, Debug)]
#[command(
    override_usage = "cargo xtask simulate [--mutants [NAME]] [OPTIONS OF THE SIMULATION]...",
    after_help = "\
Without options: every single fault at every point of every scenario, every pair of a kill and another fault, and
10000 random schedules. What fails is printed as one line, made as small as it gets. The options of the simulation
itself, all of them listed by `cargo xtask simulate -- --help`:

  cargo xtask simulate --every 7 --pairs 0 --schedules 1000        a part of it, in a minute or two
  cargo xtask simulate --scenario replace --seed 20000             one scenario, other random schedules
  cargo xtask simulate --replay replace seed=1 stop@d1/Bake#1      that schedule again, with all that happened"
)]
pub(crate) struct Options {
    /// Whether the simulation notices mistakes: makes each one that tests/simulation/mutants/mutants.toml lists (or
    /// only that one) in a copy of the tree, and runs the simulation on it until it is caught
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    mutants: Option<String>,
    /// What the simulation is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// The exit code is the simulation's own.
pub(crate) async fn run(ui: &Ui, options: &Options) -> Result<ExitCode> {
    if let Some(name) = &options.mutants {
        if !options.rest.is_empty() {
            bail!("--mutants chooses the simulation's options itself");
        }
        return mutants::run(ui, Some(name.as_str()).filter(|name| !name.is_empty())).await;
    }
    let target = tools::root().join("target");
    let first = !target.join(PROFILE).exists();
    let step = ui.step(
        "Build",
        "the simulation",
        first.then_some("about ten minutes the first time"),
    );
    build(compile::cargo(), &step).await?;
    step.done("the simulation");
    let mut simulation = process::tied(binary(&target));
    simulation.args(arguments(&options.rest));
    let status = simulation
        .status()
        .await
        .context("cannot run the simulation")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A schedule may be given as it is printed, without quotes: what follows `--replay` is one line.
fn arguments(given: &[String]) -> Vec<String> {
    let Some(at) = given.iter().position(|argument| argument == "--replay") else {
        return given.to_vec();
    };
    let (before, line) = given.split_at(at + 1);
    if line.is_empty() {
        return given.to_vec();
    }
    before.iter().cloned().chain([line.join(" ")]).collect()
}

fn binary(target: &Path) -> std::path::PathBuf {
    target.join(PROFILE).join(BINARY)
}

/// Builds the simulation, showing which crate cargo is at.
async fn build(mut cargo: Command, step: &Step) -> Result<()> {
    // By --bin and not by --package: then features are those of the whole workspace, and nothing is compiled twice.
    cargo.args(["build", "--profile", PROFILE, "--bin", BINARY]);
    compile::build(cargo, step).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_needs_no_quotes() {
        for (given, passed) in [
            ("", vec![]),
            ("--seed 7", vec!["--seed", "7"]),
            ("--replay", vec!["--replay"]),
            (
                "--replay first seed=1 stop@d1/Bake#1",
                vec!["--replay", "first seed=1 stop@d1/Bake#1"],
            ),
        ] {
            let given: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
            assert_eq!(arguments(&given), passed);
        }
    }
}
