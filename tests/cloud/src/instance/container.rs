//! A container: a command isolated on its rootfs, with this machine's network, as `docker run --net host` has it.
//!
//! Two processes are needed, and both are this program started again with a hidden first argument:
//!
//! - `container`, the keeper, is a child of the machine. It unshares namespaces, starts the other one in them,
//!   passes on the signals it gets, and ends as the container ends.
//! - `container-init` mounts what a container has, makes the rootfs its root, becomes the image's user and then
//!   the image's command: process 1 of its own process namespace. When it ends, the kernel kills the rest.
//!
//! Each dies with the one that started it (`PR_SET_PDEATHSIG`), so nothing survives even a `kill -9`.
//!
//! Root gets mount and process namespaces; anybody else gets them inside a user namespace. Root that may not have
//! them (in most CI containers) still has chroot, and a process group in place of the process namespace.

mod init;
pub(super) use init::make_root;
mod keeper;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};

const KEEPER: &str = "container";
const INIT: &str = "container-init";

/// As `docker run` ends when not the container but docker itself failed.
const NOT_STARTED: i32 = 125;

/// What a container is made of. Written to a file, as it holds settings (secrets) and may be large.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) rootfs: PathBuf,
    /// An absolute path in the rootfs.
    pub(super) program: String,
    /// With the name that the program was called by first.
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) working_dir: PathBuf,
    pub(super) user: User,
    /// Where it is written, outside the rootfs, why the command could not be started.
    pub(super) failure: PathBuf,
    /// The process that this container must not outlive.
    pub(super) parent: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// How a container is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    /// Mount and process namespaces, by root.
    Root,
    /// The same in a user namespace, where this user is root.
    User,
    /// chroot alone.
    Chroot,
}

impl Isolation {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Root, "root"),
        (Self::User, "user"),
        (Self::Chroot, "chroot"),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(isolation, _)| *isolation == self);
        found.map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(isolation, _)| *isolation)
    }
}

/// The command with which this program becomes the keeper of the container described in the file `description`.
pub(super) fn command(description: &Path) -> process::Command {
    // The program that runs now, even if a newer build has replaced its file.
    let mut command = process::Command::new("/proc/self/exe");
    command.arg(KEEPER).arg(description);
    command
}

/// Becomes part of a container, if these arguments ask for it: then, its exit code.
///
/// There must not be any thread yet: a process with threads may not enter a user namespace.
pub(super) fn main_if_asked(arguments: &[OsString]) -> Option<i32> {
    let [asked, description, isolation @ ..] = arguments else {
        return None;
    };
    match asked.to_str() {
        Some(KEEPER) => Some(run(description, |container| {
            keeper::keep(container, description)
        })),
        Some(INIT) => Some(run(description, |container| {
            let isolation = isolation.first().and_then(|name| name.to_str());
            let isolation = isolation.and_then(Isolation::named);
            init::become_command(container, isolation.ok_or("it was started by hand")?)
        })),
        _ => None,
    }
}

type Failure = Box<dyn std::error::Error>;

fn run(description: &OsStr, what: impl FnOnce(&Container) -> Result<i32, Failure>) -> i32 {
    let container: Container = match fs::read(description)
        .map_err(Failure::from)
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
    {
        Ok(container) => container,
        Err(error) => {
            eprintln!("exuvia: {}: {error}", description.display());
            return NOT_STARTED;
        }
    };
    match what(&container) {
        Ok(code) => code,
        Err(error) => {
            if fs::write(&container.failure, error.to_string()).is_err() {
                eprintln!("exuvia: {error}");
            }
            NOT_STARTED
        }
    }
}

/// What to do where isolation is not allowed.
fn not_allowed(what: &str, error: nix::Error) -> Failure {
    format!(
        "this machine does not allow a container to be isolated ({what}: {error}); run exuvia-cloud as root, or \
         allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu \
         kernel.apparmor_restrict_unprivileged_userns=0, in docker --privileged)"
    )
    .into()
}
