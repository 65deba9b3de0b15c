//! A machine from outside: its power switch, and where it is plugged in.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::ec2::Ec2;

use super::super::log::Log;
use super::super::machine::{Description, Stop, stopped};
use super::network::Network;
use super::{KEEPER, Start, USER_DATA, cgroups};

/// Is the machine until it is stopped. SIGHUP is an order to boot again.
pub(in super::super) async fn live(
    described: Description,
    description: &Path,
    log: &Log,
    mut stop: watch::Receiver<Stop>,
) {
    let ended = run(&described, description, log, &mut stop).await;
    cgroups::remove(&described.spec.id);
    if let Err(error) = ended {
        log.line(&format!("the machine does not work: {error}"));
        stopped(&mut stop).await;
    }
}

async fn run(
    described: &Description,
    description: &Path,
    log: &Log,
    stop: &mut watch::Receiver<Stop>,
) -> io::Result<()> {
    let mut reboots = signal(SignalKind::hangup())?;
    let spec = &described.spec;
    let aws = described.endpoint.trim_start_matches("http://");
    let aws: SocketAddr = aws.parse().map_err(io::Error::other)?;
    let user_data = Ec2::at(&described.endpoint)
        .user_data(&spec.launch_template_id, &spec.launch_template_version)
        .await
        .map_err(io::Error::other)?;
    write(&description.with_file_name(USER_DATA), &user_data)?;
    let role = Authority::at(&described.endpoint)
        .of_instances(&spec.launch_template_id, &spec.launch_template_version)
        .await
        .map_err(io::Error::other)?;
    let network = Network::start(spec.clone(), role, described.faults.clone(), aws).await?;
    // One that is no target is not reached from outside.
    if let Some(port) = spec.port {
        let listener = TcpListener::bind(described.addr).await?;
        tokio::spawn(network.clone().publish(listener, port));
    }
    let mut start = Start::First;
    loop {
        let mut child = network.spawn(keeper(description, start)).await?;
        let keeper = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let lifeline = child.stdin.take();
        let mut ended = tokio::task::spawn_blocking(move || child.wait());
        let order = tokio::select! {
            order = stopped(stop) => order,
            _ = reboots.recv() => Stop::No,
            _ = &mut ended => {
                log.line("the machine has halted");
                stopped(stop).await;
                return Ok(());
            }
        };
        if order != Stop::AtOnce {
            log.line(if order == Stop::No {
                "the machine boots again"
            } else {
                "the machine shuts down"
            });
            let _ = kill(keeper, Signal::SIGTERM);
            tokio::select! {
                _ = &mut ended => {}
                _ = stop.wait_for(|order| *order == Stop::AtOnce) => {}
            }
        }
        drop(lifeline);
        if !ended.is_finished() {
            let _ = ended.await;
        }
        if order != Stop::No || *stop.borrow() != Stop::No {
            return Ok(());
        }
        start = Start::Again;
    }
}

fn keeper(description: &Path, start: Start) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(KEEPER)
        .arg(description)
        .arg(start.name())
        // Never written to: when it closes, this process is gone.
        .stdin(Stdio::piped())
        // What ends this process' group must not end the one that tidies up.
        .process_group(0);
    command
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}
