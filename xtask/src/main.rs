//! `cargo xtask`: everything that one does in this checkout beside editing.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bench;
mod cloud;
mod compile;
mod demo;
mod image;
mod lint;
mod package;
mod process;
mod releases;
mod simulate;
mod test;
mod tools;
mod ui;
mod up;

use std::process::{ExitCode, Termination};

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use cloud::Instances;
use ui::{Tone, Ui};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Exuvia on one machine: see it, try it, test it"
)]
enum Command {
    /// See it: a local AWS, in which one upload is deployed, one replaces it, and one is rolled back
    Demo {
        /// How many times as fast as real time the local AWS's time runs
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        speed: u32,
        /// Let instances boot by infra/boot.sh and run a docker engine; needs root
        #[arg(long)]
        docker: bool,
    },
    /// Try it: start a local AWS and leave it running, for the AWS CLI or any SDK
    Up(up::Options),
    /// Print what a shell needs to use it: eval "$(cargo xtask env)"
    Env,
    /// End it
    Down,
    /// List what was deployed, as the ledger's reports tell it
    Releases(releases::Options),
    /// Test it: lint, all tests, the end-to-end tests against a local AWS, and the demo
    Test(test::Options),
    /// Prove it: deploys in virtual time, under every fault
    Simulate(simulate::Options),
    /// Measure it: what deploys take and cost, for docs/performance.md
    Bench(bench::Options),
    /// Check format, lints, dependencies, templates and the state machine
    Lint,
    /// Build the functions' zips for AWS
    Package(package::Options),
    /// Make an image tarball of a static binary, without a docker engine
    Image(image::Options),
    #[command(hide = true)]
    Exec(process::Exec),
}

fn main() -> ExitCode {
    let command = Command::parse();
    let ui = Ui::new();
    match run(command, &ui) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\n{} {error:#}", ui.paint(Tone::Bad, "error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, ui: &Ui) -> Result<ExitCode> {
    process::without_proxy_on_this_machine()?;
    let demo = tools::local().join("demo");
    let done = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
    match command {
        Command::Exec(options) => done(process::exec(&options)),
        Command::Image(options) => done(image::run(&options)),
        Command::Lint => interruptible(lint(ui)),
        Command::Package(options) => interruptible(package::run(ui, &options)),
        Command::Env => done(up::env()),
        Command::Down => done(up::down(ui)),
        Command::Demo { speed, docker } => {
            let instances = Instances::with(docker);
            interruptible(demo::run(ui, &demo, speed, instances))
        }
        Command::Up(options) => interruptible(up::up(ui, &options)),
        Command::Releases(options) => interruptible(releases::run(ui, &options)),
        Command::Bench(options) => interruptible(bench::run(ui, &options)),
        Command::Simulate(options) => interruptible(simulate::run(ui, &options)),
        Command::Test(options) => interruptible(test::run(ui, options)),
    }
}

/// Runs it on this thread until it ends or somebody ends it; then all that it holds is dropped, and with that
/// every process that it started ends.
fn interruptible<T: Termination>(work: impl Future<Output = Result<T>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            result = work => result.map(Termination::report),
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
            _ = terminate.recv() => Ok(ExitCode::from(143)),
            _ = hangup.recv() => Ok(ExitCode::from(129)),
        }
    });
    // What still runs on a thread of its own is not worth waiting for.
    runtime.shutdown_background();
    result
}

async fn lint(ui: &Ui) -> Result<()> {
    tools::python(ui).await?;
    tools::scanners(ui).await?;
    tokio::task::spawn_blocking(lint::run).await?
}

/// What every local AWS needs first.
async fn prepare(ui: &Ui) -> Result<()> {
    tools::check_machine().await?;
    tokio::try_join!(tools::python(ui), compile::all(ui)).map(drop)
}
