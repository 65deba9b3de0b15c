//! Whether the simulation's net catches: makes one mistake after another in a copy of the tree, and looks for a
//! schedule that violates an invariant with the mistake and none without it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::time::timeout;

use super::{binary, build};
use crate::ui::{Tone, Ui, seconds, wrapped};
use crate::{compile, process, tools};

const LIST: &str = "tests/simulation/mutants/mutants.toml";
/// A mistake that keeps the simulation from ending is not told by an invariant.
const HANGS_AFTER: Duration = Duration::from_mins(15);
/// How many schedules that fail are looked at in a round: what fails without the mistake as well proves nothing.
const CANDIDATES: &str = "5";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// What the line that is changed is for, and which invariant it protects.
    why: String,
    file: PathBuf,
    /// Occurs in the file exactly once.
    find: String,
    replace: String,
    /// The scenario that is likely to show it, which is run before all.
    scenario: Option<String>,
}

/// A schedule that shows a mistake.
#[derive(Debug, PartialEq, Eq)]
struct Caught {
    by: String,
    schedule: String,
    violation: String,
}

/// Where the copies are.
struct Workshop {
    tree: PathBuf,
    target: PathBuf,
    /// The simulation of the tree as it is.
    sound: PathBuf,
}

/// Fails if one survives.
pub(super) async fn run(ui: &Ui, only: Option<&str>) -> Result<ExitCode> {
    let text = std::fs::read_to_string(tools::root().join(LIST)).context(LIST)?;
    let list: List = toml::from_str(&text).context(LIST)?;
    let mut names = BTreeSet::new();
    for mutant in &list.mutant {
        if !names.insert(&mutant.name) {
            bail!("{LIST} has two mutants {}", mutant.name);
        }
        mutant.applied(&read(&tools::root().join(&mutant.file))?)?;
    }
    let mutants: Vec<&Mutant> = list
        .mutant
        .iter()
        .filter(|mutant| only.is_none_or(|only| mutant.name == only))
        .collect();
    if mutants.is_empty() {
        let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        bail!("{LIST} has no such mutant, but {}", names.join(", "));
    }

    let workshop = Workshop::prepare(ui).await?;
    let mut survivors = Vec::new();
    let mut broken = Vec::new();
    for mutant in &mutants {
        match workshop.judge(ui, mutant).await {
            Ok(true) => {}
            Ok(false) => survivors.push(mutant.name.as_str()),
            Err(error) => {
                ui.line(format!("  {} {}: {error:#}", ui.mark(false), mutant.name));
                broken.push(mutant.name.as_str());
            }
        }
    }
    let caught = mutants.len() - survivors.len() - broken.len();
    ui.line(format!(
        "\n{caught} of {} mutants are caught",
        mutants.len()
    ));
    if !broken.is_empty() {
        bail!("could not be judged: {}", broken.join(", "));
    }
    for name in &survivors {
        ui.line(format!("survives: {name}"));
    }
    Ok(if survivors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Mutant {
    /// The file's text with the mistake.
    fn applied(&self, text: &str) -> Result<String> {
        let times = text.matches(&self.find).count();
        if times != 1 || self.find == self.replace {
            let file = self.file.display();
            bail!(
                "the text to find for {} occurs {times} times in {file}",
                self.name
            );
        }
        Ok(text.replacen(&self.find, &self.replace, 1))
    }

    /// The parts of the simulation that are run until one shows it, the likeliest first.
    fn rounds(&self) -> Vec<Vec<&str>> {
        let likely = self.scenario.as_deref().map(|scenario| {
            let mut round = vec!["--every", "3", "--schedules", "0"];
            round.extend(["--scenario", scenario]);
            round
        });
        let all = [
            vec!["--every", "7", "--schedules", "0"],
            vec!["--every", "0", "--schedules", "1500"],
        ];
        likely.into_iter().chain(all).collect()
    }
}

impl Workshop {
    /// Copies the tree, and builds the simulation of it as it is: that compiles all that the mutants share.
    async fn prepare(ui: &Ui) -> Result<Self> {
        let target = tools::root().join("target");
        let workshop = Self {
            tree: target.join("mutants/tree"),
            target: target.join("mutants-target"),
            sound: target.join("mutants/sound"),
        };
        workshop.copy_tree().await?;
        let first = !workshop.target.exists();
        let step = ui.step(
            "Build",
            "the simulation of the tree as it is",
            first.then_some("about ten minutes the first time"),
        );
        build(workshop.cargo(), &step).await?;
        std::fs::copy(binary(&workshop.target), &workshop.sound)?;
        step.done("the simulation of the tree as it is");
        Ok(workshop)
    }

    /// Makes the copy what the files that git does not ignore are now, leaving alone what is the same, so that cargo does too.
    async fn copy_tree(&self) -> Result<()> {
        let mut git = process::tied("git");
        git.current_dir(tools::root()).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let tracked = process::output(git, "git ls-files").await?;
        let tracked: BTreeSet<&Path> = tracked
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(Path::new)
            .filter(|path| tools::root().join(path).is_file())
            .collect();
        for path in &tracked {
            let (from, to) = (tools::root().join(path), self.tree.join(path));
            let content = std::fs::read(&from).with_context(|| from.display().to_string())?;
            if std::fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            if let Some(directory) = to.parent() {
                std::fs::create_dir_all(directory)?;
            }
            std::fs::write(&to, content).with_context(|| to.display().to_string())?;
        }
        remove_others(&self.tree, &self.tree, &tracked)
    }

    fn cargo(&self) -> tokio::process::Command {
        let mut cargo = compile::cargo();
        cargo
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    /// Makes the mistake, runs the simulation, and takes the mistake back. Whether it was caught.
    async fn judge(&self, ui: &Ui, mutant: &Mutant) -> Result<bool> {
        let began = Instant::now();
        let step = ui.step("Mutant", &mutant.name, None);
        let file = self.tree.join(&mutant.file);
        let sound = read(&file)?;
        std::fs::write(&file, mutant.applied(&sound)?)?;
        let built = build(self.cargo(), &step).await;
        std::fs::write(&file, sound)?;
        built?;
        let built_in = seconds(began.elapsed());

        let began = Instant::now();
        let mut schedules = 0;
        for round in mutant.rounds() {
            step.detail(&format!("simulating {}", round.join(" ")));
            let output = self.simulate(&binary(&self.target), &round).await?;
            let printed = String::from_utf8_lossy(&output.stdout);
            schedules += schedules_in(&printed);
            if output.status.success() {
                continue;
            }
            let error = String::from_utf8_lossy(&output.stderr);
            let candidates = caught_in(&printed, &error);
            if candidates.is_empty() {
                bail!("the simulation failed without a violation\n{printed}{error}");
            }
            for caught in candidates {
                let replay = ["--replay", caught.schedule.as_str()];
                if !self.simulate(&self.sound, &replay).await?.status.success() {
                    continue;
                }
                step.done(&format!(
                    "{:<34}{:<5}after {schedules} schedules, in {} (built in {built_in})",
                    mutant.name,
                    caught.by,
                    seconds(began.elapsed())
                ));
                ui.line(format!("      {}", caught.schedule));
                ui.line(format!("      {}", ui.paint(Tone::Dim, &caught.violation)));
                return Ok(true);
            }
        }
        step.ended(
            false,
            &format!("{:<34}survives {schedules} schedules", mutant.name),
        );
        for line in wrapped(&mutant.why, 100) {
            ui.line(format!("      {}", ui.paint(Tone::Dim, &line)));
        }
        Ok(false)
    }

    async fn simulate(&self, binary: &Path, arguments: &[&str]) -> Result<Output> {
        let mut simulation = process::tied(binary);
        simulation.args(arguments).stdin(Stdio::null());
        if !arguments.contains(&"--replay") {
            simulation.args(["--pairs", "0", "--most", CANDIDATES]);
        }
        let output = timeout(HANGS_AFTER, simulation.env("RUST_BACKTRACE", "0").output()).await;
        output
            .context("the simulation does not end")?
            .context("cannot run the simulation")
    }
}

/// Deletes what is in the copy and no longer in the tree.
fn remove_others(root: &Path, directory: &Path, tracked: &BTreeSet<&Path>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(root, &path, tracked)?;
            // Refused unless it is empty now: cargo takes every directory of some for a crate.
            let _ = std::fs::remove_dir(&path);
        } else if !path
            .strip_prefix(root)
            .is_ok_and(|path| tracked.contains(path))
        {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Sums the lines `single faults: 622 schedules (...) in 35.6 s, ...`.
fn schedules_in(printed: &str) -> u64 {
    let ran = printed.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        let (count, _) = rest.split_once(" schedules (")?;
        count.parse::<u64>().ok()
    });
    ran.sum()
}

/// The schedules that fail, as the simulation prints them; or the scenario that fails without a fault.
fn caught_in(printed: &str, error: &str) -> Vec<Caught> {
    let mut all = Vec::new();
    let mut schedule = "";
    for line in printed.lines() {
        if let Some(smallest) = line.strip_prefix("smallest:") {
            schedule = smallest.trim();
        } else if let Some((by, violation)) = violation(line.strip_prefix("violates "))
            && !schedule.is_empty()
        {
            all.push(Caught {
                by: by.to_owned(),
                schedule: std::mem::take(&mut schedule).to_owned(),
                violation: violation.to_owned(),
            });
        }
    }
    for line in error.lines() {
        let Some((scenario, rest)) = line.split_once(" without a fault violates ") else {
            continue;
        };
        if let Some((by, violation)) = violation(Some(rest)) {
            all.push(Caught {
                by: by.to_owned(),
                schedule: scenario.trim_start_matches("Error: ").to_owned(),
                violation: violation.to_owned(),
            });
        }
    }
    all
}

fn violation(text: Option<&str>) -> Option<(&str, &str)> {
    let (by, what) = text?.split_once(':')?;
    Some((by, what.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_found_once_in_its_file() {
        let list: List = toml::from_str(&read(&tools::root().join(LIST)).unwrap()).unwrap();
        assert!(list.mutant.len() >= 20);
        for mutant in &list.mutant {
            let text = read(&tools::root().join(&mutant.file)).unwrap();
            mutant.applied(&text).unwrap();
        }
    }

    #[test]
    fn what_shows_a_mistake_is_read_from_what_the_simulation_prints() {
        let printed = "\
single faults: 622 schedules (620 in which a fault happened) in 35.6 s, 1047 a minute; 1 fail
pairs: 0 schedules (0 in which a fault happened) in 0.0 s, 0 a minute; 0 fail
622 schedules in 35.8 s

found with:   replace seed=1 stop@d1/Bake#1 scale:+1@3s
smallest:     replace seed=1 stop@d1/Bake#1
violates I3:  left over: the group x
violates I1:  at the end 0
";
        let shown = |by: &str, schedule: &str, violation: &str| Caught {
            by: by.to_owned(),
            schedule: schedule.to_owned(),
            violation: violation.to_owned(),
        };
        assert_eq!(schedules_in(printed), 622);
        assert_eq!(
            caught_in(printed, "Error: 1 schedules violate an invariant"),
            [shown(
                "I3",
                "replace seed=1 stop@d1/Bake#1",
                "left over: the group x"
            )]
        );
        assert_eq!(
            caught_in(
                "",
                "Error: first without a fault violates I2: the rule has []"
            ),
            [shown("I2", "first", "the rule has []")]
        );
    }
}
