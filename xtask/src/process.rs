//! Programs that are run: none outlives what it was started for.
//!
//! A program is started through this same binary (`xtask exec`), which asks the kernel to end it when its
//! parent ends, however that ends, and then becomes the program. Only what `cargo xtask up` leaves running is
//! started without that.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getppid, setsid};
use tokio::process::Command;

const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
/// Some programs read one, some the other.
pub(crate) const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOOPBACK: &str = "127.0.0.1,localhost";

/// Whose end ends a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It ends with this process, even if that is killed.
    Tied,
    /// It stays until it is stopped.
    Detached,
}

/// What `xtask exec` was asked to become.
#[derive(clap::Args, Debug)]
pub(crate) struct Exec {
    /// The process whose end is this one's.
    #[arg(long)]
    tied_to: Option<i32>,
    /// Lead a session and process group of its own.
    #[arg(long)]
    session: bool,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the program; only returns if that fails.
pub(crate) fn exec(options: &Exec) -> Result<()> {
    if options.session {
        setsid().context("cannot begin a session")?;
    }
    if let Some(parent) = options.tied_to {
        prctl::set_pdeathsig(Signal::SIGTERM).context("cannot be tied to the parent process")?;
        // It may have gone before the kernel was asked.
        if getppid() != Pid::from_raw(parent) {
            bail!("the process that started this has ended");
        }
    }
    let [program, arguments @ ..] = options.command.as_slice() else {
        bail!("no program to run");
    };
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// No request to the local AWS may go to a proxy, from here or from any program that this starts: begins anew with
/// `NO_PROXY` set, where there is a proxy.
pub(crate) fn without_proxy_on_this_machine() -> Result<()> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !PROXIES.iter().any(is_set) {
        return Ok(());
    }
    let exempt = std::env::var(NO_PROXY[0]).unwrap_or_default();
    if exempt.contains(LOOPBACK) {
        return Ok(());
    }
    let exempt = format!("{LOOPBACK},{exempt}");
    let error = std::process::Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .envs(NO_PROXY.map(|name| (name, &exempt)))
        .exec();
    Err(error).context("cannot begin anew with NO_PROXY")
}

/// A program that ends when this process does. Dropping what it spawns ends it as well.
///
/// To be spawned by the main thread: the kernel takes the end of the spawning thread for the parent's.
pub(crate) fn tied(program: impl Into<OsString>) -> Command {
    through_exec(
        &["--tied-to", &std::process::id().to_string()],
        program.into(),
    )
}

/// A program that leads a process group of its own.
pub(crate) fn service(program: impl Into<OsString>, lifetime: Lifetime) -> Command {
    let this = std::process::id().to_string();
    let mut command = match lifetime {
        Lifetime::Tied => through_exec(&["--session", "--tied-to", &this], program.into()),
        Lifetime::Detached => through_exec(&["--session"], program.into()),
    };
    command.kill_on_drop(false).stdin(Stdio::null());
    command
}

fn through_exec(options: &[&str], program: OsString) -> Command {
    // This very program, also where cargo has meanwhile replaced its file.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("exec")
        .args(options)
        .arg("--")
        .arg(program)
        .kill_on_drop(true);
    command
}

/// Runs to the end and returns what was printed on stdout; what it printed on stderr is in the error.
pub(crate) async fn output(mut command: Command, what: &str) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {what}"))?;
    if !status.success() {
        let stdout = String::from_utf8_lossy(&stdout);
        let stderr = String::from_utf8_lossy(&stderr);
        bail!(
            "{what} failed ({status})\n{}",
            last_lines(&format!("{stdout}{stderr}"), 25)
        );
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// The last lines of a log file, for an error.
pub(crate) fn tail(log: &Path) -> String {
    last_lines(&std::fs::read_to_string(log).unwrap_or_default(), 15)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(count);
    lines[from..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether the process is there and its command line names `mark` (a process id is used again one day).
pub(crate) fn is_running(pid: i32, mark: &Path) -> bool {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mark = mark.as_os_str().as_encoded_bytes();
    !mark.is_empty()
        && command_line
            .windows(mark.len())
            .any(|window| window == mark)
}

/// Ends a process and then all that is left of its group. It gets `grace` to end by itself.
pub(crate) fn end_group(pid: i32, mark: &Path, grace: Duration) {
    if !is_running(pid, mark) {
        return;
    }
    let pid = Pid::from_raw(pid);
    let began = Instant::now();
    if kill(pid, Signal::SIGTERM).is_ok() {
        while began.elapsed() < grace && is_running(pid.as_raw(), mark) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    // A group whose leader has ended is still there as long as it has members.
    while killpg(pid, Signal::SIGKILL) != Err(Errno::ESRCH)
        && has_members(pid)
        && began.elapsed() < grace + Duration::from_secs(1)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process of this group still runs. One that has ended counts as a member until its parent takes note,
/// which may take some parents seconds.
fn has_members(group: Pid) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| {
            // proc_pid_stat(5): pid (name) state ppid pgrp ...
            let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let fields: Vec<&str> = after_name.split(' ').collect();
            matches!(fields.as_slice(), [state, _, pgrp, ..] if *state != "Z" && **pgrp == group.to_string())
        })
}
