//! A machine's process, as the cloud that launched it has it, or one that was started after that was killed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::machine::Description;

/// The first argument that makes this program a machine. The second is the file that describes it.
pub(super) const MACHINE: &str = "machine";
/// Between two looks whether a process that is not this one's child is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a machine's process is known by.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pid: Pid,
    description: PathBuf,
}

pub(super) struct Process {
    pub(super) known: Known,
    /// None if another cloud started it.
    child: Option<Child>,
}

impl Process {
    /// Starts `program` as the machine. It ends when `lifeline` does.
    pub(super) fn start(
        program: &Path,
        work: &Path,
        described: &Description,
        lifeline: Stdio,
    ) -> io::Result<Self> {
        fs::create_dir_all(work)?;
        let description = description_in(work);
        let file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&description)?;
        serde_json::to_writer(file, described)?;
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(&described.log)?;
        let child = Command::new(program)
            .arg(MACHINE)
            .arg(&description)
            .stdin(lifeline)
            .stdout(log.try_clone()?)
            .stderr(log)
            // What ends this program's group does not end it.
            .process_group(0)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| io::Error::other("the machine ended at once"))?;
        Ok(Self {
            known: Known {
                pid: Pid::from_raw(pid),
                description,
            },
            child: Some(child),
        })
    }

    /// Returns when it has ended.
    pub(super) async fn ended(&mut self) {
        match &mut self.child {
            // An error means that it is not there.
            Some(child) => drop(child.wait().await),
            None => {
                while self.known.runs() {
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }
}

impl Known {
    /// The directory that the machine's boot and its container use.
    pub(super) fn work(&self) -> &Path {
        self.description.parent().unwrap_or(&self.description)
    }

    pub(super) fn signal(&self, signal: Signal) {
        if self.runs() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Whether the process is there and still this one: a number is used again one day.
    fn runs(&self) -> bool {
        described_by(self.pid).is_some_and(|description| description == self.description)
    }
}

/// The machines that run in these directories.
pub(super) fn find(instances: &Path) -> io::Result<Vec<(Description, Process)>> {
    let running: HashMap<PathBuf, Pid> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter_map(|pid| Some((described_by(pid)?, pid)))
        .collect();
    let mut found = Vec::new();
    for instance in fs::read_dir(instances)? {
        let description = description_in(&instance?.path().join("work"));
        let Some(pid) = running.get(&description) else {
            continue;
        };
        let known = Known {
            pid: *pid,
            description: description.clone(),
        };
        let described = serde_json::from_slice(&fs::read(description)?)?;
        found.push((described, Process { known, child: None }));
    }
    Ok(found)
}

fn description_in(work: &Path) -> PathBuf {
    work.join("machine.json")
}

/// The file that describes a machine, if the process is one.
fn described_by(pid: Pid) -> Option<PathBuf> {
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut arguments = command_line.split(|byte| *byte == 0).skip(1);
    let asked = arguments.next()?;
    let description = String::from_utf8(arguments.next()?.to_vec()).ok()?;
    (asked == MACHINE.as_bytes()).then(|| description.into())
}
