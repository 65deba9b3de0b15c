//! Process 1 of a machine: cloud-init and the service manager in one, in so far as the boot script needs them.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::super::machine::Description;
use super::{AWS_PORT, Failure, Faults, Start, USER_DATA, cgroups, disk};

/// First on the machine's PATH: commands that work otherwise where neither systemd nor a mirror is.
const STAND_INS: [(&str, &str); 4] = [
    ("journalctl", include_str!("stand-ins/journalctl")),
    ("systemctl", include_str!("stand-ins/systemctl")),
    ("apt-get", include_str!("stand-ins/packages")),
    ("unattended-upgrade", include_str!("stand-ins/packages")),
];
const BIN: &str = "/opt/exuvia-machine/bin";
/// As the stand-in for systemctl has it: a file for each service that starts with the machine.
const ENABLED: &str = "/opt/exuvia-machine/enabled";
const STOPPING: &str = "/run/exuvia-machine-stops";
const DOCKER_PID: &str = "/run/docker.pid";
/// systemd gives a service 90 s to stop, and dockerd its containers 15 s.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn run(description: &Path, start: Start) -> Result<i32, Failure> {
    set_pdeathsig(Signal::SIGKILL)?;
    // The keeper's; programs that are started here would inherit it.
    SigSet::empty().thread_set_mask()?;
    // Nobody writes to standard input. When it ends, whoever launched the machine is gone.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        exit(0);
    });
    let described: Description = serde_json::from_slice(&fs::read(description)?)?;
    let work = description.parent().unwrap_or(description);
    let user_data = fs::read(work.join(USER_DATA))?;
    disk::enter(&work.join("disk"), described.faults.disk_mib)?;
    // This namespace's alone.
    fs::write("/proc/sys/kernel/hostname", &described.spec.id)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(&described, start, &user_data))
}

/// Starts what the machine starts with, and is process 1 until it is to shut down.
async fn serve(described: &Description, start: Start, user_data: &[u8]) -> Result<i32, Failure> {
    let mut ended = signal(SignalKind::child())?;
    let mut shuts_down = signal(SignalKind::terminate())?;
    let mut user_data_runs = None;
    match start {
        Start::First => {
            furnish(described)?;
            user_data_runs = Some(run_user_data(user_data)?);
        }
        Start::Again => start_services()?,
    }
    loop {
        tokio::select! {
            _ = ended.recv() => {
                for (pid, how) in reap() {
                    if user_data_runs == Some(pid) {
                        println!("exuvia: the user data has ended: {how}");
                        user_data_runs = None;
                    }
                }
            }
            _ = shuts_down.recv() => {
                shut_down();
                return Ok(0);
            }
        }
    }
}

/// What an AMI has on its disk.
fn furnish(described: &Description) -> Result<(), Failure> {
    fs::create_dir_all(BIN)?;
    fs::create_dir_all(ENABLED)?;
    for (name, text) in STAND_INS {
        let path = Path::new(BIN).join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    fs::create_dir_all("/etc/docker")?;
    fs::write(
        "/etc/docker/daemon.json",
        daemon_settings(&described.spec.id, &described.faults).to_string(),
    )?;
    Ok(())
}

/// A machine has one network, and its containers are in it. Logs go where all of AWS is here: what the daemon says
/// of a log driver counts for each container that names the same one.
fn daemon_settings(id: &str, faults: &Faults) -> serde_json::Value {
    let storage = if faults.docker_is_misconfigured {
        "none-such"
    } else {
        ""
    };
    json!({
        "bridge": "none",
        "iptables": false,
        "ip6tables": false,
        "cgroup-parent": cgroups::parent(id),
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "storage-driver": storage,
        "log-driver": "awslogs",
        "log-opts": {
            "awslogs-endpoint": format!("http://127.0.0.1:{AWS_PORT}"),
            "awslogs-group": "/exuvia/other",
        },
    })
}

fn run_user_data(user_data: &[u8]) -> Result<Pid, Failure> {
    use std::io::Write as _;
    // Where cloud-init keeps it.
    let path = Path::new("/var/lib/cloud/instance/scripts/part-001");
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(path)?;
    file.write_all(user_data)?;
    drop(file);
    let child = command(path.as_os_str())
        .spawn()
        .map_err(|error| format!("the user data cannot be run: {error}"))?;
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

fn start_services() -> Result<(), Failure> {
    for service in fs::read_dir(ENABLED)? {
        command("systemctl".as_ref())
            .arg("start")
            .arg(service?.file_name())
            .spawn()?;
    }
    Ok(())
}

/// In a group of its own, with what root's programs find in their environment when a machine starts.
fn command(program: &std::ffi::OsStr) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{BIN}:{path}");
    // Otherwise the program is looked for on this process' PATH.
    let found = Path::new(BIN).join(program);
    let mut command = Command::new(if found.exists() {
        &found
    } else {
        Path::new(program)
    });
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{AWS_PORT}"))
        // Nothing of whoever has this computer: credentials come from the metadata service.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// All processes that have ended. Most are not this one's own children: who loses his parent gets process 1.
fn reap() -> Vec<(Pid, String)> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => ended.push((pid, format!("exit code {code}"))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => ended.push((pid, signal.to_string())),
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(_) => {}
        }
    }
}

/// The daemon stops its containers, each with its own signal and time. The user data may go on as long: the service
/// that it is run by has `KillMode=process`, which is that of cloud-init alone.
fn shut_down() {
    // As the stand-in for systemctl has it. A service is told to stop after that.
    let _ = fs::write(STOPPING, "");
    let daemon = fs::read_to_string(DOCKER_PID).unwrap_or_default();
    let Ok(daemon) = daemon.trim().parse().map(Pid::from_raw) else {
        return;
    };
    let began = Instant::now();
    if kill(daemon, Signal::SIGTERM).is_ok() {
        while kill(daemon, None).is_ok() && began.elapsed() < STOPS_WITHIN {
            reap();
            thread::sleep(Duration::from_millis(20));
        }
    }
    println!(
        "exuvia: docker stopped after {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_misconfigured_is_told_so_by_its_settings() {
        let good = daemon_settings("i-1", &Faults::default());
        assert_eq!(good["cgroup-parent"], "/exuvia/i-1");
        assert_eq!(good["storage-driver"], "");
        let faults = Faults {
            docker_is_misconfigured: true,
            ..Faults::default()
        };
        assert_eq!(
            daemon_settings("i-1", &faults)["storage-driver"],
            "none-such"
        );
    }
}
