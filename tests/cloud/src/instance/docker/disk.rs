//! A machine's disk: at first it holds what this computer's holds, and whatever is written to it stays there.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::super::container;
use super::Failure;

const NOTHING: Option<&str> = None;
/// What a machine has of its own, or all have together; nothing of this computer is mounted below these.
const APART: [&str; 7] = [
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/lib/docker",
    "/var/run",
];

/// Mounts it, in a mount namespace of one's own, and makes it the root. `mib` limits it, and then it is in memory
/// and lost with the namespace.
pub(super) fn enter(disk: &Path, mib: Option<u64>) -> Result<(), Failure> {
    let apart = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, apart, NOTHING)?;
    fs::create_dir_all(disk)?;
    if let Some(mib) = mib {
        let size = format!("size={mib}m,mode=755");
        mount(
            Some("tmpfs"),
            disk,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(size.as_str()),
        )?;
    }
    let [changes, work, docker, tmp, root] =
        ["changes", "work", "docker", "tmp", "root"].map(|name| disk.join(name));
    for directory in [&changes, &work, &docker, &tmp, &root] {
        fs::create_dir_all(directory)?;
    }
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))?;
    let others = mounts()?;
    let options = overlay(Path::new("/"), &changes, &work);
    mount(
        Some("overlay"),
        &root,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(|error| format!("the disk cannot be mounted ({options}): {error}"))?;
    let bind = |from: &Path, to: &str, flags: MsFlags| -> Result<(), Failure> {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(&to)?;
        mount(Some(from), &to, NOTHING, MsFlags::MS_BIND | flags, NOTHING)
            .map_err(|error| format!("{} cannot be mounted: {error}", from.display()))?;
        Ok(())
    };
    for other in others.iter().filter(|other| !disk.starts_with(other)) {
        read_only(other, &root)?;
    }
    bind(Path::new("/dev"), "dev", MsFlags::MS_REC)?;
    bind(Path::new("/sys"), "sys", MsFlags::MS_REC)?;
    // Neither of docker's file systems can lie on another of their kind.
    bind(&docker, "var/lib/docker", MsFlags::empty())?;
    bind(&tmp, "tmp", MsFlags::empty())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("proc"),
        &root.join("proc"),
        Some("proc"),
        flags,
        NOTHING,
    )?;
    mount(
        Some("tmpfs"),
        &root.join("run"),
        Some("tmpfs"),
        flags,
        Some("mode=755"),
    )?;
    container::make_root(&root)
}

/// The options of an overlay mount. <https://docs.kernel.org/filesystems/overlayfs.html>
pub(super) fn overlay(lower: &Path, upper: &Path, work: &Path) -> String {
    let escaped = |path: &Path| {
        let text = path.to_string_lossy();
        text.replace('\\', r"\\")
            .replace(':', r"\:")
            .replace(',', r"\,")
    };
    format!(
        "lowerdir={},upperdir={},workdir={}",
        escaped(lower),
        escaped(upper),
        escaped(work)
    )
}

/// An overlay of `/` shows no file system that is mounted further down.
fn read_only(path: &Path, root: &Path) -> Result<(), Failure> {
    let to = root.join(path.strip_prefix("/")?);
    match mount(Some(path), &to, NOTHING, MsFlags::MS_BIND, NOTHING) {
        // Another mount lies over it.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => return Ok(()),
        bound => bound.map_err(|error| format!("{}: {error}", path.display()))?,
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(NOTHING, &to, NOTHING, flags, NOTHING)
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Where something is mounted besides `/` and what a machine has of its own.
fn mounts() -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| Some(unescaped(line.split(' ').nth(4)?)))
        .filter(|path| path != Path::new("/"))
        .filter(|path| !APART.iter().any(|apart| path.starts_with(apart)))
        .collect();
    mounts.sort();
    mounts.dedup();
    Ok(mounts)
}

/// `\040` for a blank, and so on (proc_pid_mountinfo(5)).
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let (b'\\', Some(code)) = (first, code) {
            bytes.push(code);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_literally() {
        assert_eq!(
            unescaped(r"/mnt/two\040words\134"),
            Path::new(r"/mnt/two words\")
        );
        assert_eq!(unescaped("/mnt"), Path::new("/mnt"));
        let options = overlay(Path::new("/"), Path::new("/a:b,c"), Path::new(r"/w\"));
        assert_eq!(options, r"lowerdir=/,upperdir=/a\:b\,c,workdir=/w\\");
    }
}
