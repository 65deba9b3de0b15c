//! Requests at a steady rate, by oha: <https://github.com/hatoo/oha>.
//!
//! oha tells totals of a run and no course of it, so it runs in slices, one begun as the one before stops sending: a slice
//! lets its last requests finish, so none is cut off.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::apps::App;
use super::root;

const VERSION: &str = "1.16.0";
/// For so long a slice sends requests.
const SLICE: Duration = Duration::from_secs(5);
/// After so many seconds there is no answer.
const PATIENCE: &str = "30s";

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Manner {
    /// On connections that are kept.
    KeptAlive,
    /// Each on a connection of its own.
    NewConnections,
    /// Each of which takes seconds, so that many are under way whatever happens.
    Long,
}

impl Manner {
    pub const ALL: [Self; 3] = [Self::KeptAlive, Self::NewConnections, Self::Long];

    fn path(self) -> &'static str {
        match self {
            Self::KeptAlive | Self::NewConnections => "/",
            Self::Long => "/slow?millis=4000",
        }
    }

    /// Requests a second.
    pub fn rate(self) -> u32 {
        match self {
            Self::KeptAlive | Self::NewConnections => 20,
            Self::Long => 4,
        }
    }

    /// As many may be under way at once.
    fn workers(self) -> u32 {
        match self {
            Self::KeptAlive | Self::NewConnections => 10,
            Self::Long => 40,
        }
    }
}

/// What oha tells of one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slice {
    pub manner: Manner,
    pub began: Timestamp,
    /// When the last answer was there.
    pub ended: Timestamp,
    /// How often which status came.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by what oha says of them.
    pub errors: BTreeMap<String, u64>,
    /// Milliseconds from when a request was to be sent until its answer.
    pub median: f64,
    pub p99: f64,
}

impl Slice {
    pub fn requests(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.lost_without_answer()
    }

    /// Those without an answer, and those that something else than the app answered: it says 200 to all that is asked here.
    pub fn lost(&self) -> u64 {
        let others = self.statuses.iter().filter(|(status, _)| **status != 200);
        others.map(|(_, count)| count).sum::<u64>() + self.lost_without_answer()
    }

    fn lost_without_answer(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// What is read of its output.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<u16, u64>,
    error_distribution: BTreeMap<String, u64>,
}

fn directory() -> PathBuf {
    root().join(".local/oha")
}

fn program() -> PathBuf {
    directory().join("bin/oha")
}

/// Installs it, unless it is there.
pub(super) async fn install() -> Result<()> {
    let there = Command::new(program()).arg("--version").output().await;
    let says = there.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if says.is_ok_and(|says| says == format!("oha {VERSION}")) {
        return Ok(());
    }
    eprintln!("installing oha {VERSION} (some minutes, once)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let installed = Command::new(cargo)
        .args(["install", "oha", "--version", VERSION, "--locked", "--root"])
        .arg(directory())
        .arg("--quiet")
        // As released it is optimised across all crates, which takes longer than it is used here.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .stdin(Stdio::null())
        .status()
        .await
        .context("cannot run cargo")?;
    ensure!(installed.success(), "oha {VERSION} cannot be installed");
    Ok(())
}

/// Asks an app in this manner until `stop` is told; every slice.
pub(super) async fn ask(
    app: App,
    manner: Manner,
    mut stop: watch::Receiver<bool>,
) -> Result<Vec<Slice>> {
    let mut running = JoinSet::new();
    let mut next = tokio::time::interval(SLICE);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = next.tick() => { running.spawn(slice(app.clone(), manner)); }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    let mut slices = Vec::new();
    while let Some(slice) = running.join_next().await {
        slices.push(slice??);
    }
    slices.sort_by_key(|slice| slice.began);
    Ok(slices)
}

async fn slice(app: App, manner: Manner) -> Result<Slice> {
    let mut oha = Command::new(program());
    oha.args(["--no-tui", "--output-format", "json"])
        .args(["-q", &manner.rate().to_string()])
        .args(["-c", &manner.workers().to_string()])
        .args(["-z", &format!("{}s", SLICE.as_secs()), "-t", PATIENCE])
        .args([
            "--latency-correction",
            "--wait-ongoing-requests-after-deadline",
        ])
        .args(["--host", &app.host, "--redirect", "0"]);
    if manner == Manner::NewConnections {
        oha.arg("--disable-keepalive");
    }
    oha.arg(format!("{}{}", app.url(), manner.path()));
    let began = Timestamp::now();
    let output = oha.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.context("cannot run oha")?;
    let ended = Timestamp::now();
    ensure!(
        output.status.success(),
        "oha: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let told: Told = serde_json::from_slice(&output.stdout).context("oha tells something else")?;
    let millis = |name: &str| {
        let seconds = told.latency_percentiles.get(name).copied().flatten();
        seconds.map_or(0.0, |seconds| seconds * 1000.0)
    };
    Ok(Slice {
        manner,
        began,
        ended,
        median: millis("p50"),
        p99: millis("p99"),
        statuses: told.status_code_distribution,
        errors: told.error_distribution,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_from_what_is_answered() {
        let slice = |statuses: &[(u16, u64)], errors: &[(&str, u64)]| Slice {
            manner: Manner::KeptAlive,
            began: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            statuses: statuses.iter().copied().collect(),
            errors: errors
                .iter()
                .map(|(error, count)| ((*error).to_owned(), *count))
                .collect(),
            median: 1.0,
            p99: 1.0,
        };
        for (slice, requests, lost) in [
            (slice(&[(200, 100)], &[]), 100, 0),
            (slice(&[(200, 97), (502, 2), (404, 1)], &[]), 100, 3),
            (slice(&[(200, 97)], &[("connection closed", 3)]), 100, 3),
            (slice(&[], &[("timeout", 4)]), 4, 4),
        ] {
            assert_eq!((slice.requests(), slice.lost()), (requests, lost));
        }
    }
}
