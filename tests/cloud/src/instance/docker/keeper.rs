//! The keeper of a machine's process 1: outside its process namespace, as long as one boot.

use std::fs;
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::unshare;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::super::machine::Description;
use super::super::rootfs;
use super::{Failure, INIT, Start, cgroups, check};

/// Its standard input is a pipe that nobody writes to; process 1 has it as well, and ends when it ends.
pub(super) fn keep(description: &Path, start: Start) -> Result<i32, Failure> {
    let parent = parent_id();
    // From here on a signal waits until it is taken. A child inherits that, and takes it back.
    let signals = SigSet::all();
    signals.thread_block()?;
    let described: Description = serde_json::from_slice(&fs::read(description)?)?;
    unshare(check::NAMESPACES).map_err(|error| format!("no namespaces: {error}"))?;
    let mut init = Command::new("/proc/self/exe")
        .arg(INIT)
        .arg(description)
        .arg(start.name())
        .spawn()?;
    let pid = Pid::from_raw(i32::try_from(init.id())?);
    let status = loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = init.try_wait()? {
                    break status;
                }
            }
            Ok(Signal::SIGTERM) => {
                // It may be gone already, and then SIGCHLD is on its way.
                let _ = kill(pid, Signal::SIGTERM);
            }
            // One of a terminal, say, which concerns the machine no more than a Ctrl-C does a computer.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    cgroups::remove(&described.spec.id);
    if parent_id() != parent {
        // Nobody else does.
        let _ = rootfs::remove_all(description.parent().unwrap_or(description));
    }
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
