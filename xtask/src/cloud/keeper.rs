//! What keeps a local AWS up, as a process of its own: `xtask up --keep DIRECTORY`.
//!
//! ministack and exuvia-cloud are its children and end with it, however it ends; so do the instances, which hold the
//! other end of a pipe of its, and Slack's stand-in, which it is itself. exuvia-cloud goes on from its journal when it is started again. ministack has its
//! state in memory, so that without it there is nothing to go on with.

use std::convert::Infallible;
use std::fs::File;
use std::io::{IsTerminal as _, PipeReader, PipeWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{Instances, READY_WITHIN, State, forget_other_aws, read};
use crate::process::{self, Lifetime};
use crate::{compile, image, tools, up};

const MINISTACK: &str = "ministack";
const FRONT: &str = "exuvia-cloud";
/// The process ids, its own among them, for those who look for it and for what it left if it was killed.
const PIDS: &str = "pids.json";
/// What it says in its log once the local AWS can be used.
pub(super) const READY: &str = "the local AWS is ready";
/// What ended so soon after its start may do so again; so often in a row, and it will.
const SOON: Duration = Duration::from_secs(5);
const OFTEN: u32 = 5;
/// Between such an end and the next start; longer with each in a row.
const PAUSE: Duration = Duration::from_millis(100);
/// What exuvia-cloud may take to end its instances.
const GRACE: Duration = Duration::from_secs(5);
/// What the keeper may take to end all.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Starts both as the directory's state says, and exuvia-cloud again whenever it ends.
///
/// # Errors
/// Whenever it returns: ministack ended, or exuvia-cloud did so again and again.
pub(crate) async fn keep(directory: &Path) -> Result<()> {
    let Err(error) = watch(directory).await;
    // `main` writes it to the log.
    tell_terminal(&format!("{error:#}"));
    Err(error)
}

/// Whether one keeps up the local AWS in this directory.
pub(super) fn is_running(directory: &Path) -> bool {
    Pids::read(directory).is_some_and(|pids| process::is_running(pids.keeper, directory))
}

/// Ends the one that keeps up the local AWS in this directory, and all that it started.
pub(super) fn stop(directory: &Path) {
    if let Some(pids) = Pids::read(directory) {
        process::end_group(pids.keeper, directory, ENDS_WITHIN);
        // If it was killed, it could not.
        pids.end(directory);
    }
}

async fn watch(directory: &Path) -> Result<Infallible> {
    let state = read(directory)?.context("there is no state.json to go by")?;
    let slack = ([127, 0, 0, 1], state.slack_port).into();
    let _slack = exuvia_slack_stand_in::Slack::listen(slack)
        .await
        .with_context(|| format!("cannot be Slack on {slack}"))?;
    let mut parts = Parts::start(&state, directory)?;
    parts.ministack.ready(state.ministack_port, "").await?;
    parts.front_is_ready().await?;
    eprintln!("{READY}");

    let mut started = Instant::now();
    let mut in_a_row = 0;
    loop {
        let status = tokio::select! {
            status = parts.ministack.child.wait() => {
                if let Some(group) = parts.running.pids.ministack {
                    // The functions that it kept warm.
                    let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
                }
                bail!(
                    "ministack ended ({}), and what was in S3, Lambda and Step Functions is lost with it: the local \
                     AWS ends. Its log is {}. `cargo xtask up` starts a new one",
                    status?,
                    parts.ministack.log.display()
                )
            }
            status = parts.front.child.wait() => status?,
        };
        let ended = Instant::now();
        in_a_row = if ended.duration_since(started) < SOON {
            in_a_row + 1
        } else {
            0
        };
        if in_a_row == OFTEN {
            bail!(
                "exuvia-cloud ended soon after its start, {OFTEN} times in a row ({status}): the local AWS ends. Its \
                 log, {}, ends with\n{}",
                parts.front.log.display(),
                process::tail(&parts.front.log)
            );
        }
        sleep(PAUSE * in_a_row).await;
        started = Instant::now();
        parts.start_front_again()?;
        let line = match parts.front_is_ready().await {
            Ok(()) => format!(
                "exuvia-cloud ended ({status}); started again after {:.1} s, it goes on where it was",
                ended.elapsed().as_secs_f64()
            ),
            Err(error) => {
                format!("exuvia-cloud ended ({status}); started again, it fails: {error:#}")
            }
        };
        eprintln!("{line}");
        tell_terminal(&line);
    }
}

/// For whoever sits before the terminal that it was started from.
fn tell_terminal(line: &str) {
    let mut terminal = std::io::stdout();
    if terminal.is_terminal() {
        // It may have been closed since.
        let _ = writeln!(terminal, "\nlocal AWS: {line}");
    }
}

/// A program that runs, and where its log of this run begins.
struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
    begins: u64,
}

impl Part {
    fn start(name: &'static str, mut command: Command, directory: &Path) -> Result<Self> {
        let path = directory.join(name).with_extension("log");
        let log = File::options().create(true).append(true).open(&path)?;
        let begins = log.metadata()?.len();
        let child = command
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn();
        Ok(Self {
            name,
            child: child.with_context(|| format!("cannot start {name}"))?,
            log: path,
            begins,
        })
    }

    fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits until it listens on the port and has said so.
    async fn ready(&mut self, port: u16, says: &str) -> Result<()> {
        let name = self.name;
        let log = self.log.display();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{name} ended at once ({status}); its log, {log}, ends with\n{}",
                    process::tail(&self.log)
                );
            }
            let text = std::fs::read(&self.log).unwrap_or_default();
            let text = text
                .get(usize::try_from(self.begins)?..)
                .unwrap_or_default();
            let said = String::from_utf8_lossy(text).contains(says);
            if said
                && tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .is_ok()
            {
                return Ok(());
            }
            if began.elapsed() > READY_WITHIN {
                bail!(
                    "{name} was not ready after {} s; its log: {log}",
                    READY_WITHIN.as_secs()
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Both; they end when this is dropped.
struct Parts<'a> {
    state: &'a State,
    directory: &'a Path,
    ministack: Part,
    front: Part,
    /// Dropped after the two: what is not reaped yet would look as if it still ran.
    running: Running<'a>,
    /// Instances end when nobody has the end to write to any more.
    lifeline: (PipeReader, PipeWriter),
}

impl<'a> Parts<'a> {
    fn start(state: &'a State, directory: &'a Path) -> Result<Self> {
        let lifeline = std::io::pipe()?;
        let mut running = Running {
            directory,
            pids: Pids {
                keeper: i32::try_from(std::process::id())?,
                ministack: None,
                front: None,
            },
        };
        running.save()?;
        let ministack = Part::start(MINISTACK, ministack(state, directory), directory)?;
        running.pids.ministack = ministack.pid();
        running.save()?;
        let front = front(state, directory, lifeline.0.try_clone()?);
        let front = Part::start(FRONT, front, directory)?;
        running.pids.front = front.pid();
        running.save()?;
        Ok(Self {
            state,
            directory,
            ministack,
            front,
            running,
            lifeline,
        })
    }

    /// With the same arguments, on the same port.
    fn start_front_again(&mut self) -> Result<()> {
        let front = front(self.state, self.directory, self.lifeline.0.try_clone()?);
        self.front = Part::start(FRONT, front, self.directory)?;
        self.running.pids.front = self.front.pid();
        self.running.save()
    }

    async fn front_is_ready(&mut self) -> Result<()> {
        let port = self.state.cloud_port;
        self.front.ready(port, "exuvia-cloud ready on").await
    }
}

/// What is kept in [`PIDS`].
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Pids {
    keeper: i32,
    ministack: Option<i32>,
    front: Option<i32>,
}

impl Pids {
    fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(directory.join(PIDS)).ok()?).ok()
    }

    fn end(self, directory: &Path) {
        if let Some(front) = self.front {
            // It ends its instances when it is asked to end.
            process::end_group(front, directory, GRACE);
        }
        if let Some(ministack) = self.ministack {
            process::end_group(ministack, directory, Duration::ZERO);
        }
    }
}

/// The processes; the two others end when this is dropped.
struct Running<'a> {
    directory: &'a Path,
    pids: Pids,
}

impl Running<'_> {
    fn save(&self) -> Result<()> {
        image::write_whole(&self.directory.join(PIDS), &serde_json::to_vec(&self.pids)?)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.pids.end(self.directory);
    }
}

fn ministack(state: &State, directory: &Path) -> Command {
    let epoch = state.epoch.duration_since(jiff::Timestamp::UNIX_EPOCH);
    let mut command = process::service(tools::python_tool("python"), Lifetime::Tied);
    forget_other_aws(&mut command);
    command
        .arg(tools::root().join("xtask/python/local_aws.py"))
        .arg(format!("{:.6}", epoch.as_secs_f64()))
        .arg(state.speed.to_string())
        .arg(directory)
        // The functions inherit all this: their calls go to exuvia-cloud.
        .envs(state.client_environment())
        .env(exuvia_core::slack::SERVER, state.slack())
        .env("GATEWAY_PORT", state.ministack_port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("SFN_WAIT_SCALE", (1.0 / f64::from(state.speed)).to_string())
        // Functions, instances and uploaders may do what their roles and policies allow, and no more.
        .env("AUTH", "true")
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env("TMPDIR", directory.join("tmp"));
    command
}

fn front(state: &State, directory: &Path, lifeline: PipeReader) -> Command {
    let mut command = process::service(compile::cloud_binary(), Lifetime::Tied);
    forget_other_aws(&mut command);
    command
        .args(["--listen", &format!("127.0.0.1:{}", state.cloud_port)])
        .args([
            "--upstream",
            &format!("http://127.0.0.1:{}", state.ministack_port),
        ])
        .args(["--speed", &state.speed.to_string()])
        .args(["--epoch", &state.epoch.to_string()])
        .arg("--state-dir")
        .arg(directory.join("cloud"))
        .arg("--instances-live-with-stdin")
        .stdin(lifeline);
    if state.instances == Instances::Docker {
        command.arg("--docker").env("PATH", up::path_of_machines());
    }
    command
}
