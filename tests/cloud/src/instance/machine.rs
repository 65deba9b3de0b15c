//! One machine, from its launch to its end: a process of its own, as an instance is a computer of its own.
//!
//! It outlives the cloud that launched it if that is killed, and ends when nobody holds the other end of its standard
//! input any more.

use std::cell::Cell;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use exuvia_core::manifest::BootReport;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::authority::Authority;

use super::boot::{self, Boot, BootFailure, Ready, Step};
use super::builder::Builder;
use super::ledger::{Clients, Ledger};
use super::log::Log;
use super::{Faults, Spec, container, docker};

/// How many lines of the container's output a boot report quotes.
const QUOTED: usize = 20;

/// How often it tries to answer a lifecycle hook, and how long it waits before the next try.
const HOOK_TRIES: u32 = 40;
const HOOK_PAUSE: Duration = Duration::from_secs(2);

/// What a machine's process is told, in a file in the directory that its boot and its container use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) spec: Spec,
    pub(super) addr: SocketAddr,
    /// Where S3 is; where all of AWS is, for a machine with docker.
    pub(super) endpoint: String,
    /// Where Auto Scaling is.
    pub(super) scaling: String,
    pub(super) docker: bool,
    pub(super) faults: Faults,
    pub(super) speed: f64,
    pub(super) log: PathBuf,
}

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
struct Pace {
    speed: f64,
}

impl Pace {
    fn new(speed: f64) -> Self {
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

struct Machine {
    pace: Pace,
    clients: Clients,
    id: String,
    /// Its Auto Scaling group's name.
    group: Option<String>,
    /// Whether its group's launch lifecycle hooks know how its boot went.
    answered: Cell<bool>,
    addr: SocketAddr,
    /// None if the tags do not say: then there is nothing to boot, and nowhere to report it.
    ledger: Result<Ledger, String>,
    /// If it is there to build an image, and not to run one.
    builder: Option<Builder>,
    log: Log,
    /// Where the description is.
    work: PathBuf,
}

/// Is the machine that the file describes, until it ends.
pub(super) fn main(description: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = orders()?;
        let described: Description = serde_json::from_slice(&fs::read(description)?)?;
        if described.docker {
            let log = Log::create(&described.log)?;
            docker::live(described, description, &log, stop).await;
            return Ok(());
        }
        let Description {
            spec,
            addr,
            endpoint,
            scaling,
            speed,
            log,
            ..
        } = described;
        let log = Log::create(&log)?;
        let (template, version) = (&spec.launch_template_id, &spec.launch_template_version);
        let authority = Authority::at(&endpoint);
        let role = authority.of_instances(template, version).await;
        let role = role.inspect_err(|problem| {
            log.line(&format!("the instance has no credentials: {problem}"));
        });
        let machine = Machine {
            pace: Pace::new(speed),
            clients: Clients::new(&endpoint, &scaling, &role?),
            group: spec.tags.get("aws:autoscaling:groupName").cloned(),
            answered: Cell::new(false),
            ledger: boot::ledger(&spec.tags),
            builder: Builder::of(&spec.tags),
            id: spec.id,
            addr,
            log,
            work: description.parent().unwrap_or(Path::new(".")).to_owned(),
        };
        machine.live(stop).await;
        Ok(())
    })
    // What a boot that was cut off still does ends with the process.
}

/// SIGTERM is an order to stop gently. SIGINT is one to stop at once, and so is the end of standard input.
fn orders() -> io::Result<watch::Receiver<Stop>> {
    let mut gently = signal(SignalKind::terminate())?;
    let mut at_once = signal(SignalKind::interrupt())?;
    let (held, mut let_go) = oneshot::channel::<()>();
    thread::spawn(move || {
        // Nothing is ever written to it.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(held);
    });
    let (order, orders) = watch::channel(Stop::No);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = gently.recv() => order.send_replace(Stop::Gently),
                _ = at_once.recv() => break,
                _ = &mut let_go => break,
            };
        }
        order.send_replace(Stop::AtOnce);
        // It stays the last one.
        order.closed().await;
    });
    Ok(orders)
}

impl Machine {
    /// Boots and runs until it is stopped.
    async fn live(self, mut stop: watch::Receiver<Stop>) {
        let booted = tokio::select! {
            booted = self.boot() => booted,
            _ = stopped(&mut stop) => None,
        };
        if let Some(ready) = booted {
            self.run(&ready, &mut stop).await;
        }
        // A machine whose boot failed, or whose container cannot start, stays as it is, as on EC2.
        stopped(&mut stop).await;
    }

    async fn boot(&self) -> Option<Ready> {
        if let Some(builder) = &self.builder {
            builder.refuse(&self.clients.s3, &self.log).await;
            return None;
        }
        let ledger = match &self.ledger {
            Ok(ledger) => ledger,
            Err(error) => {
                self.log.line(&format!("nothing to boot: {error}"));
                return None;
            }
        };
        let boot = Boot {
            clients: &self.clients,
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
        if let Err(error) = ledger.report(&self.clients.s3, &report).await {
            self.log
                .line(&format!("the boot report is not written: {error}"));
        }
        // It answers once.
        if !self.answered.replace(true) {
            self.answer_hooks("ABANDON").await;
        }
    }

    /// As `answer_hooks` of the boot script does: for more than a minute, as the instance may be up before its group waits.
    async fn answer_hooks(&self, result: &str) {
        let Some(group) = &self.group else { return };
        let mut failed = None;
        for _ in 0..HOOK_TRIES {
            match self.clients.answer_hooks(group, &self.id, result).await {
                Ok(()) => return,
                Err(error) => failed = Some(error),
            }
            sleep(self.pace.scaled(HOOK_PAUSE, Duration::from_millis(250))).await;
        }
        let failed = failed.unwrap_or_default();
        self.log.line(&format!(
            "a lifecycle hook could not be told {result}: {failed}"
        ));
    }

    /// Runs the container, again and again, until the machine is stopped or there is no point in it.
    async fn run(&self, ready: &Ready, stop: &mut watch::Receiver<Stop>) {
        let pace = self.pace;
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
            let answering = async {
                if !self.answered.get() {
                    self.answer_hooks("CONTINUE").await;
                    self.answered.set(true);
                }
                std::future::pending::<()>().await;
            };
            let status = tokio::select! {
                status = child.wait() => status,
                () = answering => return,
                _ = stopped(stop) => return self.end(child, ready.stop_signal, stop).await,
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
        Command::from(container::command(description))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Its own group, so that all of it can be killed, and that nobody's Ctrl-C reaches it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn end(&self, mut child: Child, signal: Signal, stop: &mut watch::Receiver<Stop>) {
        let keeper = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let order = *stop.borrow();
        if let (Some(keeper), Stop::Gently) = (keeper, order) {
            self.log
                .line(&format!("stopping the container with {signal}"));
            let _ = kill(keeper, signal);
            tokio::select! {
                ended = timeout(self.pace.ten_seconds(), child.wait()) => match ended {
                    Ok(_) => return,
                    Err(_) => self.log.line("the container did not stop in time and is killed"),
                },
                _ = stop.wait_for(|order| *order == Stop::AtOnce) => {}
            }
        }
        if let Some(keeper) = keeper {
            let _ = killpg(keeper, Signal::SIGKILL);
        }
        let _ = child.wait().await;
    }
}

/// Waits for the order to stop. Whoever could give it being gone is one as well.
pub(super) async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
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
