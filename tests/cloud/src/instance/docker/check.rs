//! Whether this computer can have such machines, and if not, what to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

use super::{CHECK, Failure};

/// What a machine uses of this computer besides what is everywhere, and the package that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("ip", "iproute2"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("setsid", "util-linux"),
];
pub(super) const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC);

/// Whether machines with docker can be had here.
///
/// # Errors
/// What is in the way, and what to do.
pub fn check() -> Result<(), String> {
    // In a process of its own, as it leaves the namespaces that this one is in.
    let output = Command::new("/proc/self/exe")
        .arg(CHECK)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.trim().trim_start_matches("exuvia: ").to_owned())
}

pub(super) fn main() -> Result<i32, Failure> {
    if !Uid::effective().is_root() {
        return Err("instances with docker need root, for namespaces and mounts: run it with sudo, or without --docker".into());
    }
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !on_path(program))
        .collect();
    if !missing.is_empty() {
        let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
        let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        return Err(format!(
            "instances with docker need {}, which is not on PATH; on Debian or Ubuntu: apt-get install {}",
            programs.join(" and "),
            packages.join(" ")
        )
        .into());
    }
    unshare(NAMESPACES | CloneFlags::CLONE_NEWNET)
        .map_err(|error| not_allowed("namespaces", error))?;
    let directory = std::env::temp_dir().join(format!("exuvia-check-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let mounted = try_overlay(&directory);
    // Its mounts go with this process, but must not be in the way here.
    let _ = nix::mount::umount2(&directory, nix::mount::MntFlags::MNT_DETACH);
    fs::remove_dir_all(&directory)?;
    mounted.map_err(|error| not_allowed("overlay mounts", error))?;
    Ok(0)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn try_overlay(directory: &Path) -> nix::Result<()> {
    let none: Option<&str> = None;
    let apart = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, apart, none)?;
    let tmpfs = Some("tmpfs");
    mount(tmpfs, directory, tmpfs, MsFlags::empty(), none)?;
    for part in ["upper", "work", "root"] {
        fs::create_dir(directory.join(part)).map_err(|_| nix::errno::Errno::EIO)?;
    }
    let options = super::disk::overlay(
        Path::new("/"),
        &directory.join("upper"),
        &directory.join("work"),
    );
    let root = directory.join("root");
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )?;
    nix::mount::umount2(&root, nix::mount::MntFlags::MNT_DETACH)
}

fn not_allowed(what: &str, error: nix::Error) -> Failure {
    format!(
        "this computer does not allow {what} ({error}), which instances with docker need: in a container, start that \
         with --privileged; else run it on a machine or a virtual machine of your own, or without --docker"
    )
    .into()
}
