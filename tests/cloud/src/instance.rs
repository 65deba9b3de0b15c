//! EC2 instances as real processes: each boots as the real boot script would, from its tags, and runs what the
//! artifact of its release holds, isolated on a rootfs of its own, with an address of its own.

mod boot;
mod builder;
mod command;
mod container;
mod docker;
mod layers;
mod ledger;
mod log;
mod machine;
mod process;
mod rootfs;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use docker::Faults;
pub use docker::check as check_docker;
use log::Log;
use machine::Description;
use process::{Known, Process};

/// Ports are taken from below Linux's ephemeral range (32768 and up), where no outgoing connection takes one
/// between the moment it is found free and the moment that the application listens on it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Instances keep what they have in `<state_dir>/instances/<instance id>/`: the `log`, kept for good, and
    /// `work` while they live.
    pub state_dir: PathBuf,
    /// Where S3 is: `http://127.0.0.1:4566`.
    pub endpoint: String,
    /// Where Auto Scaling is: `http://127.0.0.1:4600`.
    pub scaling: String,
    /// How many times faster than real the cloud's time runs; delays shrink by it, within reason.
    pub speed: f64,
    /// Whose end ends the machines.
    pub lifeline: Lifeline,
    pub kind: Kind,
}

/// Whose end ends the machines, however it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifeline {
    /// This process's.
    Process,
    /// That of the process that holds the other end of this one's standard input: they go on while this process
    /// is started again, which then finds them.
    Stdin,
}

/// What machines are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The image's command on the image's files, by what this program knows of the boot script.
    Process,
    /// The user data of the launch template and a docker engine, in namespaces.
    Docker {
        /// Where all of AWS is: `http://127.0.0.1:4600`.
        endpoint: String,
    },
}

/// What is launched: the part of `RunInstances` that a boot depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// `i-...`
    pub id: String,
    pub tags: BTreeMap<String, String>,
    pub launch_template_id: String,
    pub launch_template_version: String,
    pub availability_zone: String,
    /// On which it is a target. None if it is none.
    pub port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The machine exists and will listen on this address, if its boot and its application succeed. Sent before
    /// its boot, as EC2 calls an instance `running` before it has booted.
    Started { id: String, addr: SocketAddr },
    /// There is no machine.
    LaunchFailed { id: String, reason: String },
    /// The machine is gone, with all its processes: it was terminated, or could not go on.
    Died { id: String },
}

enum Order {
    Launch(Spec),
    Terminate(String),
    Reboot(String),
    Shutdown(oneshot::Sender<()>),
}

/// All machines. They die when this is dropped, unless another [`Lifeline`] keeps them.
pub struct Machines {
    orders: mpsc::UnboundedSender<Order>,
    found: BTreeMap<String, SocketAddr>,
    kind: Kind,
}

impl Machines {
    /// Must be called from within a runtime.
    ///
    /// # Errors
    /// If the state directory cannot be written to.
    pub fn new(settings: Settings, events: mpsc::UnboundedSender<Event>) -> io::Result<Self> {
        // The program that runs now, even if a newer build has replaced its file.
        Self::with_program(settings, events, PathBuf::from("/proc/self/exe"))
    }

    /// With another `program` to be the machines: one whose `main` begins with [`main_if_asked`].
    ///
    /// # Errors
    /// As [`Machines::new`].
    pub fn with_program(
        settings: Settings,
        events: mpsc::UnboundedSender<Event>,
        program: PathBuf,
    ) -> io::Result<Self> {
        let instances = settings.state_dir.join("instances");
        fs::create_dir_all(&instances)?;
        let instances = fs::canonicalize(instances)?;
        let found = process::find(&instances)?;
        let addresses: BTreeMap<String, SocketAddr> = found
            .iter()
            .map(|(described, _)| (described.spec.id.clone(), described.addr))
            .collect();
        remove_leftovers(&instances, &addresses)?;
        let kind = settings.kind.clone();
        let held = match settings.lifeline {
            Lifeline::Process => Some(io::pipe()?),
            Lifeline::Stdin => None,
        };
        let site = Site {
            instances,
            program,
            settings,
            held,
            ports: Ports::skipping(addresses.values().copied().collect()),
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        tokio::spawn(obey(inbox, site, found, events));
        Ok(Self {
            orders,
            found: addresses,
            kind,
        })
    }

    /// The machines that an earlier process launched and that ran when this was made, by their ids. They are under
    /// orders here now, and their end is told as any other's.
    pub fn found(&self) -> &BTreeMap<String, SocketAddr> {
        &self.found
    }

    /// Launches a machine; what becomes of it is told in events.
    pub fn launch(&self, spec: Spec) {
        self.order(Order::Launch(spec));
    }

    /// Stops the container as `docker stop` does, then the machine. Not an error if there is none.
    pub fn terminate(&self, id: &str) {
        self.order(Order::Terminate(id.to_owned()));
    }

    /// Shuts the machine down and starts it again, with what is on its disk. Not an error if there is none; false where
    /// machines have nothing to boot from.
    pub fn reboot(&self, id: &str) -> bool {
        let boots = self.kind != Kind::Process;
        if boots {
            self.order(Order::Reboot(id.to_owned()));
        }
        boots
    }

    /// Kills every machine, and returns when they are gone.
    pub async fn shutdown(&self) {
        let (done, when_done) = oneshot::channel();
        self.order(Order::Shutdown(done));
        // An error here means that they are gone already.
        let _ = when_done.await;
    }

    fn order(&self, order: Order) {
        // As in `shutdown`: if nobody obeys, there are no machines to order about.
        let _ = self.orders.send(order);
    }
}

/// Becomes a machine or a part of a container, and does not return, if this process was started to be one.
///
/// This must come first in `main`, before there is any thread.
pub fn main_if_asked() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = container::main_if_asked(&arguments);
    if let Some(code) = code.or_else(|| docker::main_if_asked(&arguments)) {
        std::process::exit(code);
    }
    if let [asked, description] = arguments.as_slice()
        && asked == process::MACHINE
    {
        let ended = machine::main(Path::new(description));
        if let Err(error) = &ended {
            eprintln!("exuvia: {}: {error}", Path::new(description).display());
        }
        std::process::exit(i32::from(ended.is_err()));
    }
}

/// What machines that ended while nobody looked left behind, apart from the logs.
fn remove_leftovers(instances: &Path, running: &BTreeMap<String, SocketAddr>) -> io::Result<()> {
    for instance in fs::read_dir(instances)? {
        let instance = instance?;
        let id = instance.file_name();
        let id = id.to_string_lossy();
        if !running.contains_key(id.as_ref()) {
            docker::remove_cgroups(&id);
            rootfs::remove_all(&instance.path().join("work"))?;
        }
    }
    Ok(())
}

/// What all machines have in common.
struct Site {
    instances: PathBuf,
    program: PathBuf,
    settings: Settings,
    /// None where the machines share standard input.
    held: Option<(io::PipeReader, io::PipeWriter)>,
    ports: Ports,
}

impl Site {
    fn launch(&mut self, spec: Spec) -> io::Result<(Description, Process)> {
        let addr = self.ports.next()?;
        let directory = self.instances.join(&spec.id);
        let tag = |name: &str| spec.tags.get(name).map_or("", String::as_str);
        let faults = Faults::of(
            &self.settings.state_dir,
            tag("exuvia:app"),
            tag("exuvia:environment"),
        )?;
        let described = Description {
            spec,
            addr,
            endpoint: match &self.settings.kind {
                Kind::Process => self.settings.endpoint.clone(),
                Kind::Docker { endpoint } => endpoint.clone(),
            },
            scaling: self.settings.scaling.clone(),
            docker: self.settings.kind != Kind::Process,
            faults,
            speed: self.settings.speed,
            log: directory.join("log"),
        };
        let Spec {
            id,
            launch_template_id,
            launch_template_version,
            ..
        } = &described.spec;
        fs::create_dir_all(&directory)?;
        let group = described.spec.tags.get("aws:autoscaling:groupName");
        let group = group.map_or(String::new(), |group| format!(", in the group {group}"));
        Log::create(&described.log)?.line(&format!(
            "{id} at {addr}{group}, from launch template {launch_template_id} version {launch_template_version}"
        ));
        let lifeline = match &self.held {
            Some((reader, _)) => Stdio::from(reader.try_clone()?),
            None => Stdio::inherit(),
        };
        let work = directory.join("work");
        let process = Process::start(&self.program, &work, &described, lifeline)?;
        Ok((described, process))
    }
}

/// The machine from now to its end; its id.
async fn follow(described: Description, mut process: Process) -> String {
    process.ended().await;
    let work = process.known.work().to_owned();
    // It may be large.
    let removed = tokio::task::spawn_blocking(move || rootfs::remove_all(&work)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::warn!("something of {} stays behind", described.spec.id);
    }
    if let Ok(log) = Log::create(&described.log) {
        log.line("the machine is terminated");
    }
    described.spec.id
}

async fn obey(
    mut inbox: mpsc::UnboundedReceiver<Order>,
    mut site: Site,
    found: Vec<(Description, Process)>,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut machines = JoinSet::new();
    for (described, process) in found {
        known.insert(described.spec.id.clone(), process.known.clone());
        machines.spawn(follow(described, process));
    }
    let mut shutdown = None;
    loop {
        let order = tokio::select! {
            order = inbox.recv() => order,
            Some(gone) = machines.join_next() => {
                if let Ok(id) = gone {
                    known.remove(&id);
                    let _ = events.send(Event::Died { id });
                }
                continue;
            }
        };
        match order {
            Some(Order::Launch(spec)) => {
                let id = spec.id.clone();
                let event = match site.launch(spec) {
                    Ok((described, process)) => {
                        let addr = described.addr;
                        known.insert(id.clone(), process.known.clone());
                        machines.spawn(follow(described, process));
                        Event::Started { id, addr }
                    }
                    Err(error) => Event::LaunchFailed {
                        id,
                        reason: error.to_string(),
                    },
                };
                let _ = events.send(event);
            }
            Some(Order::Terminate(id)) => {
                if let Some(machine) = known.get(&id) {
                    machine.signal(Signal::SIGTERM);
                }
            }
            Some(Order::Reboot(id)) => {
                if let Some(machine) = known.get(&id) {
                    machine.signal(Signal::SIGHUP);
                }
            }
            Some(Order::Shutdown(done)) => {
                shutdown = Some(done);
                break;
            }
            None => break,
        }
    }
    for machine in known.values() {
        machine.signal(Signal::SIGINT);
    }
    machines.join_all().await;
    if let Some(done) = shutdown {
        let _ = done.send(());
    }
}

/// Gives each machine a port that no machine had before, as an instance gets a fresh address: a late request to
/// a machine that is gone must not reach another.
struct Ports {
    next: u16,
    /// Those of machines that may not listen yet.
    taken: HashSet<SocketAddr>,
}

impl Ports {
    fn skipping(taken: HashSet<SocketAddr>) -> Self {
        // Two runs at once on one machine begin in different places.
        let places = u32::try_from(PORTS.len()).unwrap_or(1);
        let offset = std::process::id().wrapping_mul(97) % places;
        Self {
            next: PORTS.start + u16::try_from(offset).unwrap_or(0),
            taken,
        }
    }

    fn next(&mut self) -> io::Result<SocketAddr> {
        for _ in PORTS {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.next += 1;
            if self.next == PORTS.end {
                self.next = PORTS.start;
            }
            if !self.taken.contains(&addr) && TcpListener::bind(addr).is_ok() {
                return Ok(addr);
            }
        }
        Err(io::Error::other(format!(
            "no port from {} to {} is free on 127.0.0.1; stop what holds them",
            PORTS.start, PORTS.end
        )))
    }
}
