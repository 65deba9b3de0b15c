//! The container's first process, until it becomes the image's command.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::unistd::{
    Gid, Uid, chdir, chroot, dup2_stdin, execve, pivot_root, read, setgroups, setresgid, setresuid,
};

use super::super::rootfs::Rootfs;
use super::{Container, Failure, Isolation, User, not_allowed};

/// Name, and the numbers of Linux' allocated devices list.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const NOTHING: Option<&str> = None;

pub(super) fn become_command(container: &Container, isolation: Isolation) -> Result<i32, Failure> {
    die_with_the_keeper()?;
    // The keeper's; the command would never hear that it is to stop.
    SigSet::empty().thread_set_mask()?;
    // Open before the rootfs is all there is.
    let mut failure = File::create(&container.failure)?;
    dup2_stdin(File::open("/dev/null")?)?;
    umask(Mode::from_bits_truncate(0o022));
    let entered = match isolation {
        Isolation::Root | Isolation::User => enter_by_mounts(&container.rootfs),
        Isolation::Chroot => enter_by_chroot(&container.rootfs),
    };
    let outcome = entered.and_then(|()| {
        become_user(&container.user, isolation)?;
        // The kernel forgets it when a process changes its user.
        set_pdeathsig(Signal::SIGKILL)?;
        // And when a command with a set-user-id bit starts, which therefore has no effect.
        set_no_new_privs()?;
        chdir(&container.working_dir).map_err(|error| {
            format!(
                "the image's WORKDIR {} cannot be entered: {error}",
                container.working_dir.display()
            )
        })?;
        Ok(())
    });
    let error = match outcome {
        Ok(()) => start(container),
        Err(error) => error,
    };
    failure.write_all(error.to_string().as_bytes())?;
    failure.flush()?;
    Ok(super::NOT_STARTED)
}

/// Standard input is a pipe that the keeper holds open. If it is closed by now, the keeper died before its death
/// could have been noticed.
fn die_with_the_keeper() -> Result<(), Failure> {
    set_pdeathsig(Signal::SIGKILL)?;
    let stdin = io::stdin();
    fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    match read(&stdin, &mut [0]) {
        Err(Errno::EAGAIN) => Ok(()),
        _ => Err("its keeper is gone".into()),
    }
}

fn enter_by_mounts(rootfs: &Path) -> Result<(), Failure> {
    let step = |what: &'static str| move |error: Errno| not_allowed(what, error);
    let apart = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, apart, NOTHING).map_err(step("mount /"))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    // A root must be a mount.
    mount(Some(rootfs), rootfs, NOTHING, bind, NOTHING).map_err(step("mount the rootfs"))?;

    let inside = Rootfs::new(rootfs.to_owned());
    inside.make_top_directory("dev")?;
    inside.make_top_directory("proc")?;
    let dev = rootfs.join("dev");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), &dev, Some("tmpfs"), flags, Some("mode=755"))
        .map_err(step("mount /dev"))?;
    for (name, _, _) in DEVICES {
        let from = Path::new("/dev").join(name);
        if from.exists() {
            let to = dev.join(name);
            File::create(&to)?;
            mount(Some(&from), &to, NOTHING, bind, NOTHING).map_err(step("mount a device"))?;
        }
    }
    furnish(&dev)?;
    let proc = rootfs.join("proc");
    let flags = flags | MsFlags::MS_NODEV;
    mount(Some("proc"), &proc, Some("proc"), flags, NOTHING)
        // Inside another container, where parts of /proc are masked, the kernel allows only the same one again.
        .or_else(|_| mount(Some("/proc"), &proc, NOTHING, bind, NOTHING))
        .map_err(step("mount /proc"))?;

    make_root(rootfs)
}

/// Makes a mount the root of this process' mount namespace; nothing of what was there before is reached any more.
pub(in super::super) fn make_root(root: &Path) -> Result<(), Failure> {
    let step = |what: &'static str| move |error: Errno| not_allowed(what, error);
    chdir(root)?;
    // pivot_root(2): onto the same directory, so that the old root lies over the new one and is then taken away.
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH).map_err(step("unmount the old root"))?,
        // A machine that runs from its initramfs cannot change its root.
        Err(Errno::EINVAL) => chroot(".").map_err(step("chroot"))?,
        Err(error) => return Err(not_allowed("pivot_root", error)),
    }
    chdir("/")?;
    Ok(())
}

fn enter_by_chroot(rootfs: &Path) -> Result<(), Failure> {
    Rootfs::new(rootfs.to_owned()).make_top_directory("dev")?;
    let dev = rootfs.join("dev");
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let mode = Mode::from_bits_truncate(0o666);
        // Where even that is not allowed there is no device; most programs need none.
        if mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor)).is_ok() {
            fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        }
    }
    chroot(rootfs).map_err(|error| not_allowed("chroot", error))?;
    chdir("/")?;
    Ok(())
}

/// What programs expect in /dev besides devices.
fn furnish(dev: &Path) -> io::Result<()> {
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    let shm = dev.join("shm");
    fs::create_dir(&shm)?;
    fs::set_permissions(&shm, Permissions::from_mode(0o1777))
}

fn become_user(user: &User, isolation: Isolation) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if isolation != Isolation::User {
        let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        // In some containers nobody may change groups; without any to enter, that is no loss.
        let changed = setgroups(&groups).or_else(|error| match error {
            Errno::EPERM if groups.is_empty() => Ok(()),
            other => Err(other),
        });
        changed
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid))
            .map_err(|error| {
                format!("the container cannot run as user {uid}:{gid} here: {error}")
            })?;
        return Ok(());
    }
    if uid.is_root() && gid.as_raw() == 0 {
        return Ok(());
    }
    // Only one id is there, called 0 so far (mounting needs root's powers); it is given the other name.
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| not_allowed("unshare", error))?;
    fs::write("/proc/self/uid_map", format!("{uid} 0 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} 0 1"))?;
    Ok(())
}

/// Returns only if the command cannot be started. By `execve`, as `execvp` would give a file that is no program
/// to the shell.
fn start(container: &Container) -> Failure {
    let program = &container.program;
    let error = match exec(container) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    match error.downcast_ref() {
        Some(Errno::ENOEXEC) => format!(
            "{program} is not a program for this machine ({}): it is built for another architecture, or a script \
             without #!",
            std::env::consts::ARCH
        )
        .into(),
        Some(Errno::ENOENT) => format!(
            "{program} is in the image, but not the interpreter or dynamic loader that it asks for; build it \
             statically or add that"
        )
        .into(),
        _ => format!("{program} cannot be started: {error}").into(),
    }
}

fn exec(container: &Container) -> Result<Infallible, Failure> {
    let program = CString::new(container.program.as_str())?;
    let arguments = container.arguments.iter();
    let arguments: Vec<CString> = arguments
        .map(|argument| CString::new(argument.as_str()))
        .collect::<Result<_, _>>()?;
    let environment = container.environment.iter();
    let environment: Vec<CString> = environment
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<_, _>>()?;
    // Rust's runtime ignores it, and a program inherits what is ignored.
    sigpipe::reset();
    Ok(execve(&program, &arguments, &environment)?)
}
