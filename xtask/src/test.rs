//! `cargo xtask test`: everything, and one closing line that counts it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cloud::stacks::{self, App};
use crate::cloud::{Instances, LocalCloud, forget_other_aws};
use crate::process::Lifetime;
use crate::ui::{Tone, Ui, seconds};
use crate::{compile, demo, lint, tools, up};

const SPEED: u32 = 10;
/// Some test waits for what never comes.
const HANGS_AFTER: Duration = Duration::from_mins(25);

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

#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Also what needs root and a docker engine: infra/boot.sh on machines with docker, and what can go wrong there
    #[arg(long)]
    docker: bool,
    /// Nothing but that
    #[arg(long, conflicts_with = "docker")]
    only_docker: bool,
}

/// Runs all, whatever fails; lint and the demo count as one each.
pub(crate) async fn run(ui: &Ui, options: Options) -> Result<()> {
    let began = Instant::now();
    let mut total = Counts::default();
    if !options.only_docker {
        total.add(Box::pin(all(ui)).await?);
    }
    if options.docker || options.only_docker {
        heading(ui, "End to end, on machines with docker");
        total.add(match docker(ui).await {
            Ok(counts) => counts,
            Err(error) => report(ui, "the tests with docker", &Err(error)),
        });
    }
    ui.line(format!("\nThat took {}.", seconds(began.elapsed())));
    ui.line(format!("{} passed, {} failed", total.passed, total.failed));
    if total.failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

/// Lint, unit and end-to-end tests, and the demo.
async fn all(ui: &Ui) -> Result<Counts> {
    let mut total = Counts::default();

    heading(ui, "Lint");
    tools::python(ui).await?;
    tools::scanners(ui).await?;
    let linted = tokio::task::spawn_blocking(lint::run).await?;
    total.add(report(ui, "lint", &linted));

    heading(ui, "Tests");
    total.add(cargo_test(ui, "test.log", &["--workspace"], Vec::new()).await?);

    heading(ui, "The reports' pages, in a browser");
    total.add(match pages(ui).await {
        Ok(counts) => counts,
        Err(error) => report(ui, "the tests in a browser", &Err(error)),
    });

    heading(ui, "End to end, in a local AWS");
    match end_to_end(ui).await {
        Ok(counts) => total.add(counts),
        Err(error) => total.add(report(ui, "the end-to-end tests", &Err(error))),
    }

    let directory = tools::local().join("test-demo");
    let demonstrated = Box::pin(demo::run(ui, &directory, SPEED, Instances::Processes)).await;
    total.add(report(ui, "the demo", &demonstrated));
    Ok(total)
}

fn heading(ui: &Ui, text: &str) {
    ui.line(format!("\n{}", ui.paint(Tone::Bold, text)));
}

fn report(ui: &Ui, what: &str, result: &Result<()>) -> Counts {
    if let Err(error) = result {
        ui.line(format!("  {} {what}: {error:#}", ui.mark(false)));
    }
    Counts::one(result.is_ok())
}

/// What a person sees of a deploy.
async fn pages(ui: &Ui) -> Result<Counts> {
    let browser = tools::browser(ui).await?;
    let environment = vec![
        ("EXUVIA_BROWSER", browser.program.display().to_string()),
        (
            "EXUVIA_BROWSER_MODULES",
            browser.modules.display().to_string(),
        ),
    ];
    let arguments = ["--test", "browser", "--", "--ignored"];
    cargo_test(ui, "test-browser.log", &arguments, environment).await
}

async fn end_to_end(ui: &Ui) -> Result<Counts> {
    crate::prepare(ui).await?;
    let cloud = cloud(ui, "test", SPEED, Instances::Processes).await?;
    // They wait most of the time: more of them at once than there are processors.
    let mut counts = scenarios(ui, &cloud, "scenarios", 5).await?;
    // It changes the pipeline under whatever else is being deployed.
    counts.add(scenarios(ui, &cloud, "upgrade", 1).await?);
    Ok(counts)
}

/// Where there are no machines with docker to be had, it says why and counts nothing.
async fn docker(ui: &Ui) -> Result<Counts> {
    crate::prepare(ui).await?;
    if Instances::Docker.check().await.is_err() {
        tools::install_docker(ui).await?;
    }
    if let Err(error) = Instances::Docker.check().await {
        ui.line(format!("  skipped: {error:#}"));
        return Ok(Counts::default());
    }
    let cloud = cloud(ui, "test-docker", SPEED, Instances::Docker).await?;
    scenarios(ui, &cloud, "docker", 8).await
}

/// A local AWS that ends with this process.
pub(crate) async fn cloud(
    ui: &Ui,
    name: &str,
    speed: u32,
    instances: Instances,
) -> Result<LocalCloud> {
    let step = ui.step(
        "Cloud",
        "starting a local AWS and deploying the stacks",
        Some("about 20 s"),
    );
    let directory = tools::local().join(name);
    let mut cloud = LocalCloud::start(&directory, speed, instances, Lifetime::Tied).await?;
    stacks::deploy_pipeline(&mut cloud).await?;
    stacks::deploy_app(&mut cloud, &App::hello()).await?;
    step.done("a local AWS with the pipeline and hello in qa");
    Ok(cloud)
}

/// What a program needs to use a local AWS.
pub(crate) fn environment(cloud: &LocalCloud) -> Result<Vec<(&'static str, String)>> {
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
    let mut environment = up::environment(&cloud.state, network, pipeline);
    up::install_cli()?;
    environment.push(("PATH", up::path_with_cli()));
    let directory = cloud.directory().join("cloud");
    environment.push(("EXUVIA_CLOUD_DIRECTORY", directory.display().to_string()));
    let template = cloud.directory().join(stacks::PACKAGED);
    environment.push(("EXUVIA_PIPELINE_TEMPLATE", template.display().to_string()));
    Ok(environment)
}

/// The tests of one program against a local AWS, so many at once.
async fn scenarios(ui: &Ui, cloud: &LocalCloud, program: &str, at_once: usize) -> Result<Counts> {
    let environment = environment(cloud)?;
    // By its name and not by --package, so that features are those of the whole workspace.
    let at_once = format!("--test-threads={at_once}");
    let arguments = ["--test", program, "--", "--ignored", &at_once];
    cargo_test(ui, &format!("test-{program}.log"), &arguments, environment).await
}

/// Runs `cargo test` and counts. What passes is not worth a line; what fails is shown in full.
///
/// Its output goes to a file and not through a pipe: a process that a test left behind would hold that open.
async fn cargo_test(
    ui: &Ui,
    log: &str,
    arguments: &[&str],
    environment: Vec<(&str, String)>,
) -> Result<Counts> {
    let step = ui.step(
        "Tests",
        "compiling and running",
        Some("minutes, where much is to be compiled"),
    );
    let log = tools::local().join(log);
    std::fs::create_dir_all(tools::local())?;
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut cargo = compile::cargo();
    forget_other_aws(&mut cargo);
    let mut child = cargo
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        .envs(environment)
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot run cargo")?;
    let began = Instant::now();
    let succeeded = loop {
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        if began.elapsed() > HANGS_AFTER {
            child.kill().await?;
            ui.line(format!(
                "stopped: the tests had not ended after {} minutes",
                HANGS_AFTER.as_secs() / 60
            ));
            break false;
        }
        step.detail(&last_line(&log));
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    let output = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    let counts = counts(&output, succeeded);
    let summary = format!("{} passed, {} failed", counts.passed, counts.failed);
    step.ended(succeeded, &summary);
    if !succeeded {
        for line in output.lines().filter(|line| !line.ends_with(" ... ok")) {
            ui.line(line);
        }
    }
    Ok(counts)
}

/// What it is at.
fn last_line(log: &Path) -> String {
    let output = std::fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&output[output.len().saturating_sub(400)..]).into_owned();
    let line = tail.trim_end().lines().last().unwrap_or_default().trim();
    line.chars().take(70).collect()
}

/// Sums the lines `test result: ok. 3 passed; 0 failed; ...`. A test program that crashed prints none: it is one
/// failure, as is a run that failed for another reason (it did not compile, for instance).
fn counts(output: &str, succeeded: bool) -> Counts {
    let mut counts = Counts::default();
    let (mut failed_programs, mut explained) = (0_u64, 0);
    for line in output.lines().map(str::trim) {
        if line.starts_with("error: test failed, to rerun")
            || line.starts_with("error: doctest failed, to rerun")
        {
            failed_programs += 1;
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            continue;
        };
        let passed = number_before(result, " passed");
        let failed = number_before(result, " failed");
        explained += u64::from(failed > 0);
        counts.add(Counts { passed, failed });
    }
    counts.failed += failed_programs.saturating_sub(explained);
    if !succeeded && counts.failed == 0 {
        counts.failed = 1;
    }
    counts
}

fn number_before(text: &str, what: &str) -> u64 {
    let before = text.split(what).next().unwrap_or_default();
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_over_all_runs() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let rerun = "error: test failed, to rerun pass `-p exuvia-core --lib`";
        for (lines, succeeded, passed, failed) in [
            (vec![ok, "", ok], true, 24, 0),
            (vec![ok, bad], false, 15, 2),
            // A test program that crashed prints no result.
            (vec![ok, rerun], false, 12, 1),
            (vec![ok, bad, rerun, rerun], false, 15, 3),
            (vec![ok, bad, rerun], false, 15, 2),
            (vec![], false, 0, 1),
        ] {
            assert_eq!(
                counts(&lines.join("\n"), succeeded),
                Counts { passed, failed }
            );
        }
    }
}
