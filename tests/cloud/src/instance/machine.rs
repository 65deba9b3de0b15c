//! One machine, from its launch to its end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use exuvia_core::manifest::BootReport;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::boot::{Boot, BootFailure, Ready, Step, ledger};
use super::ledger::Ledger;
use super::log::Log;
use super::work::Work;
use super::{Spec, container};

/// How many lines of the container's output a boot report quotes.
const QUOTED: usize = 20;

/// What the order is, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// As `docker stop`.
    Gently,
    /// As a power cut.
    AtOnce,
}

/// Delays as they are when the cloud's time runs faster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    speed: f64,
}

impl Pace {
    pub(super) fn new(speed: f64) -> Self {
        // NaN and anything below 1 would make delays longer than they are meant to be.
        Self {
            speed: if speed > 1.0 { speed } else { 1.0 },
        }
    }

    fn scaled(self, real: Duration, least: Duration) -> Duration {
        real.div_f64(self.speed).max(least)
    }

    /// `docker stop` kills after 10 s; and docker takes a container that ran for 10 s for a good one. A process
    /// does not run faster because the cloud's clock does: it always has a second.
    fn ten_seconds(self) -> Duration {
        self.scaled(Duration::from_secs(10), Duration::from_secs(1))
    }

    /// How long after its first start a container that ends by itself is still a failed boot.
    fn watch(self) -> Duration {
        self.scaled(Duration::from_mins(10), Duration::from_secs(10))
    }

    /// What a time that went by here is in the cloud, in seconds.
    fn cloud_seconds(self, real: Duration) -> f64 {
        (real.as_secs_f64() * self.speed).round()
    }

    /// Between two starts, as docker's `--restart always`: 100 ms, doubled each time, 60 s at most.
    /// <https://docs.docker.com/reference/cli/docker/container/run/#restart>
    fn restart_delay(self, doublings: u32) -> Duration {
        let delay = Duration::from_millis(100 << doublings.min(10)).min(Duration::from_mins(1));
        self.scaled(delay, Duration::from_millis(50))
    }
}

/// What all machines have in common.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) instances: PathBuf,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) pace: Pace,
    pub(super) program: PathBuf,
}

pub(super) struct Machine {
    site: Site,
    id: String,
    addr: SocketAddr,
    /// None if the tags do not say: then there is nothing to boot, and nowhere to report it.
    ledger: Result<Ledger, String>,
    log: Log,
    work: Work,
    when_gone: oneshot::Receiver<()>,
}

impl Machine {
    pub(super) fn new(site: &Site, spec: Spec, addr: SocketAddr) -> io::Result<Self> {
        let directory = site.instances.join(&spec.id);
        let (work, when_gone) = Work::create(directory.join("work"))?;
        let log = Log::create(&directory.join("log"))?;
        log.line(&format!(
            "{} at {addr}, from launch template {} version {}",
            spec.id, spec.launch_template_id, spec.launch_template_version
        ));
        Ok(Self {
            site: site.clone(),
            ledger: ledger(&spec.tags),
            id: spec.id,
            addr,
            log,
            work,
            when_gone,
        })
    }

    /// Boots and runs until it is stopped; returns its id.
    pub(super) async fn live(self, mut stop: watch::Receiver<Stop>) -> String {
        let booted = tokio::select! {
            booted = self.boot() => booted,
            _ = stopped(&mut stop) => None,
        };
        if let Some(ready) = booted {
            self.run(&ready, &mut stop).await;
        }
        // A machine whose boot failed, or whose container cannot start, stays as it is, as on EC2.
        stopped(&mut stop).await;
        self.work.stop();
        // It may be large, and other machines share this thread.
        tokio::task::spawn_blocking(move || drop(self.work));
        // Its end is the signal.
        let _ = self.when_gone.await;
        self.log.line("the machine is terminated");
        self.id
    }

    async fn boot(&self) -> Option<Ready> {
        let ledger = match &self.ledger {
            Ok(ledger) => ledger,
            Err(error) => {
                self.log.line(&format!("nothing to boot: {error}"));
                return None;
            }
        };
        let boot = Boot {
            s3: &self.site.s3,
            ledger,
            work: &self.work,
            log: &self.log,
            instance_id: &self.id,
            addr: self.addr,
        };
        match boot.boot().await {
            Ok(ready) => Some(ready),
            Err(failure) => {
                self.report(failure).await;
                None
            }
        }
    }

    async fn report(&self, failure: BootFailure) {
        let step = failure.step.name();
        self.log.line(&format!("{step} failed: {}", failure.error));
        let Ok(ledger) = &self.ledger else { return };
        let report = BootReport {
            instance_id: self.id.clone(),
            step: step.to_owned(),
            error: failure.error,
            output: self.log.tail(QUOTED),
        };
        if let Err(error) = ledger.report(&self.site.s3, &report).await {
            self.log
                .line(&format!("the boot report is not written: {error}"));
        }
    }

    /// Runs the container, again and again, until the machine is stopped or there is no point in it.
    async fn run(&self, ready: &Ready, stop: &mut watch::Receiver<Stop>) {
        let pace = self.site.pace;
        let (mut restarts, mut exits, mut reported) = (0, 0, false);
        let first = Instant::now();
        loop {
            let started = Instant::now();
            let mut child = match self.start(&ready.container) {
                Ok(child) => child,
                Err(error) => {
                    let error = format!("the container cannot be started: {error}");
                    return self
                        .report(BootFailure {
                            step: Step::Run,
                            error,
                        })
                        .await;
                }
            };
            let status = tokio::select! {
                status = child.wait() => status,
                order = stopped(stop) => return self.end(child, ready.stop_signal, order).await,
            };
            let code = match status {
                Ok(status) => status
                    .code()
                    .map_or("none".to_owned(), |code| code.to_string()),
                Err(error) => error.to_string(),
            };
            if let Ok(error) = fs::read_to_string(&ready.failure)
                && !error.is_empty()
            {
                return self
                    .report(BootFailure {
                        step: Step::Run,
                        error,
                    })
                    .await;
            }
            self.log
                .line(&format!("the container exited with code {code}"));
            let uptime = started.elapsed();
            let was_up = uptime >= pace.ten_seconds();
            exits += 1;
            if was_up {
                restarts = 0;
            }
            // At the start it may take a second try, as when it waits for another service; but what was up and
            // ends by itself, so soon after the boot, will do so again.
            if (was_up || exits == 3) && !reported && first.elapsed() < pace.watch() {
                let error = if was_up {
                    let lived = pace.cloud_seconds(uptime);
                    format!("the container exited with code {code} after {lived} s")
                } else {
                    format!("the container exited with code {code} three times")
                };
                self.report(BootFailure {
                    step: Step::Run,
                    error,
                })
                .await;
                reported = true;
            }
            tokio::select! {
                () = sleep(pace.restart_delay(restarts)) => restarts += 1,
                _ = stopped(stop) => return,
            }
        }
    }

    fn start(&self, description: &Path) -> io::Result<Child> {
        let output = self.log.open()?;
        let errors = output.try_clone()?;
        Command::from(container::command(&self.site.program, description))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Its own group, so that all of it can be killed, and that nobody's Ctrl-C reaches it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn end(&self, mut child: Child, signal: Signal, order: Stop) {
        let keeper = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        if let (Some(keeper), Stop::Gently) = (keeper, order) {
            self.log
                .line(&format!("stopping the container with {signal}"));
            let _ = kill(keeper, signal);
            if timeout(self.site.pace.ten_seconds(), child.wait())
                .await
                .is_ok()
            {
                return;
            }
            self.log
                .line("the container did not stop in time and is killed");
        }
        if let Some(keeper) = keeper {
            let _ = killpg(keeper, Signal::SIGKILL);
        }
        let _ = child.wait().await;
    }
}

/// Waits for the order to stop. Whoever could give it being gone is one as well.
async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
    match stop.wait_for(|order| *order != Stop::No).await {
        Ok(order) => *order,
        Err(_) => Stop::AtOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_shrink_with_the_clock_but_a_process_keeps_its_second() {
        let at = |speed, doublings| Pace::new(speed).restart_delay(doublings).as_millis();
        let delays: Vec<_> = (0..12).map(|n| at(1.0, n)).collect();
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000
            ]
        );
        assert_eq!(
            [at(20.0, 0), at(20.0, 30), at(f64::NAN, 0)],
            [50, 3000, 100]
        );
        assert_eq!(Pace::new(4.0).ten_seconds(), Duration::from_millis(2500));
        assert_eq!(Pace::new(60.0).ten_seconds(), Duration::from_secs(1));
    }
}
