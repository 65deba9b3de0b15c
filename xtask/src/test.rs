//! `cargo xtask test`: everything, and one closing line that counts it.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::cloud::LocalCloud;
use crate::cloud::stacks::{self, App};
use crate::process::Lifetime;
use crate::ui::{Step, Tone, Ui, seconds};
use crate::{compile, demo, lint, tools, up};

const SPEED: u32 = 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// A check without parts.
    fn one(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
        }
    }
}

/// Runs all, whatever fails; lint and the demo count as one each.
pub(crate) async fn run(ui: &Ui) -> Result<()> {
    let began = Instant::now();
    let mut total = Counts::default();

    heading(ui, "Lint");
    tools::python(ui).await?;
    let linted = tokio::task::spawn_blocking(lint::run).await?;
    total.add(report(ui, "lint", &linted));

    heading(ui, "Tests");
    total.add(cargo_test(ui, "Tests", &["--workspace"], Vec::new()).await?);

    heading(ui, "End to end, in a local AWS");
    match end_to_end(ui).await {
        Ok(counts) => total.add(counts),
        Err(error) => total.add(report(ui, "the end-to-end tests", &Err(error))),
    }

    let demonstrated = demo::run(ui, &tools::local().join("test-demo"), SPEED).await;
    total.add(report(ui, "the demo", &demonstrated));

    ui.line(format!(
        "\nThat took {}: lint, unit and end-to-end tests, and the demo.",
        seconds(began.elapsed())
    ));
    ui.line(format!("{} passed, {} failed", total.passed, total.failed));
    if total.failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

fn heading(ui: &Ui, text: &str) {
    ui.line(format!("\n{}", ui.paint(Tone::Bold, text)));
}

fn report(ui: &Ui, what: &str, result: &Result<()>) -> Counts {
    if let Err(error) = result {
        ui.line(format!("  {} {what}: {error:#}", ui.paint(Tone::Bad, "✗")));
    }
    Counts::one(result.is_ok())
}

async fn end_to_end(ui: &Ui) -> Result<Counts> {
    crate::prepare(ui).await?;
    let step = ui.step(
        "Cloud",
        "starting a local AWS and deploying the stacks",
        Some("about 20 s"),
    );
    let mut cloud = LocalCloud::start(&tools::local().join("test"), SPEED, Lifetime::Tied).await?;
    stacks::deploy_pipeline(&mut cloud).await?;
    stacks::deploy_app(&mut cloud, &App::hello()).await?;
    step.done("a local AWS with the pipeline and hello in qa");

    let network = cloud
        .state
        .network
        .as_ref()
        .context("there is no load balancer")?;
    let pipeline = cloud
        .state
        .pipeline
        .as_ref()
        .context("there is no pipeline")?;
    let environment = up::environment(&cloud.state, network, pipeline);
    cargo_test(
        ui,
        "Tests",
        &["--workspace", "--tests", "--", "--ignored"],
        environment,
    )
    .await
}

/// Runs `cargo test` and counts. What passes is not worth a line; what fails is shown in full.
async fn cargo_test(
    ui: &Ui,
    name: &str,
    arguments: &[&str],
    environment: Vec<(&str, String)>,
) -> Result<Counts> {
    let step = ui.step(
        name,
        "compiling and running",
        Some("minutes, where much is to be compiled"),
    );
    let mut cargo = compile::cargo();
    cargo
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        .envs(environment);
    let mut child = cargo
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stdout = lines(child.stdout.take().context("cargo has no stdout")?, &step);
    let stderr = lines(child.stderr.take().context("cargo has no stderr")?, &step);
    let (stdout, stderr) = tokio::try_join!(stdout, stderr)?;
    let succeeded = child.wait().await?.success();

    let counts = counts(&stdout, succeeded);
    step.done(&format!(
        "{} passed, {} failed",
        counts.passed, counts.failed
    ));
    if !succeeded {
        for line in stdout
            .iter()
            .filter(|line| !line.ends_with(" ... ok"))
            .chain(&stderr)
        {
            ui.line(line);
        }
    }
    Ok(counts)
}

async fn lines(stream: impl tokio::io::AsyncRead + Unpin, step: &Step) -> Result<Vec<String>> {
    let mut lines = BufReader::new(stream).lines();
    let mut read = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let trimmed = line.trim();
        if ["test ", "Compiling ", "Running "]
            .iter()
            .any(|start| trimmed.starts_with(start))
        {
            step.detail(trimmed.split(" (").next().unwrap_or(trimmed));
        }
        read.push(line);
    }
    Ok(read)
}

/// Sums the lines `test result: ok. 3 passed; 0 failed; ...`. A run that failed without a failed test (it did
/// not compile, it crashed) is one failure.
fn counts(stdout: &[String], succeeded: bool) -> Counts {
    let mut counts = Counts::default();
    for line in stdout
        .iter()
        .filter_map(|line| line.trim().strip_prefix("test result: "))
    {
        let number = |what: &str| {
            let before = line.split(what).next().unwrap_or_default();
            before
                .rsplit(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        counts.add(Counts {
            passed: number(" passed"),
            failed: number(" failed"),
        });
    }
    if !succeeded && counts.failed == 0 {
        counts.failed = 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_over_all_runs() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        for (stdout, succeeded, passed, failed) in [
            (vec![ok, "", ok], true, 24, 0),
            (vec![ok, bad], false, 15, 2),
            // A test binary that crashed prints no result.
            (vec![ok], false, 12, 1),
            (vec![], false, 0, 1),
        ] {
            let stdout: Vec<String> = stdout.into_iter().map(str::to_owned).collect();
            assert_eq!(counts(&stdout, succeeded), Counts { passed, failed });
        }
    }
}
