//! The keeper: outside the container's process namespace, between it and the machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio, exit};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::{Gid, Pid, Uid, getpgid, getpgrp, getppid, setpgid};

use super::{Container, Failure, INIT, Isolation, not_allowed};

/// Starts the container's first process, passes signals on to it, and returns its exit code, where a signal
/// counts 128 more than its number, as docker counts.
pub(super) fn keep(container: &Container, description: &OsStr) -> Result<i32, Failure> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It may have died before that was set.
    if getppid().as_raw().unsigned_abs() != container.parent {
        exit(0);
    }
    // From here on a signal waits until `wait` takes it. The child inherits that, and takes it back.
    let signals = SigSet::all();
    signals.thread_block()?;
    let isolation = isolate()?;
    if isolation == Isolation::Chroot {
        println!(
            "exuvia: namespaces are not allowed here; the container is kept apart by chroot alone"
        );
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(INIT)
        .arg(description)
        .arg(isolation.name())
        // Never written to: when it closes, the keeper is gone.
        .stdin(Stdio::piped())
        .spawn()?;
    let code = wait(&mut child, &signals)?;
    kill_the_rest();
    Ok(code)
}

fn isolate() -> Result<Isolation, Failure> {
    let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let root = Uid::effective().is_root();
    if root && unshare(namespaces).is_ok() {
        return Ok(Isolation::Root);
    }
    let (uid, gid) = (Uid::effective(), Gid::effective());
    match unshare(namespaces | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            // user_namespaces(7): without privileges one id can be mapped, one's own, and groups only after this.
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
            Ok(Isolation::User)
        }
        Err(_) if root => Ok(Isolation::Chroot),
        Err(error) => Err(not_allowed("unshare", error)),
    }
}

fn wait(child: &mut Child, signals: &SigSet) -> Result<i32, Failure> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        let signal = match signals.wait() {
            Ok(signal) => signal,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if signal != Signal::SIGCHLD {
            // It may be gone already, and then SIGCHLD is on its way.
            let _ = kill(pid, signal);
            continue;
        }
        if let Some(status) = child.try_wait()? {
            let by_signal = status.signal().map_or(0, |signal| 128 + signal);
            return Ok(status.code().unwrap_or(by_signal));
        }
    }
}

/// Where there is no process namespace, what the command started may still run, in this process' group. This
/// process leaves the group (which keeps its number, as this process has it) and kills it.
fn kill_the_rest() {
    let group = getpgrp();
    if getpgid(Some(getppid())).is_ok_and(|parent| setpgid(Pid::from_raw(0), parent).is_ok()) {
        let _ = killpg(group, Signal::SIGKILL);
    }
}
