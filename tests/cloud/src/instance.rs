//! EC2 instances as real processes: each boots as the real boot script would, from its tags, and runs what the
//! artifact of its release holds, isolated on a rootfs of its own, with an address of its own.

mod boot;
mod command;
mod container;
mod layers;
mod ledger;
mod log;
mod machine;
mod rootfs;
mod work;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::{fs, io, process, thread};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use container::container_main_if_asked;
use machine::{Machine, Stop};

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
    /// How many times faster than real the cloud's time runs; delays shrink by it, within reason.
    pub speed: f64,
}

/// What is launched: the part of `RunInstances` that a boot depends on.
#[derive(Clone, Debug)]
pub struct Spec {
    /// `i-...`
    pub id: String,
    pub tags: BTreeMap<String, String>,
    pub launch_template_id: String,
    pub launch_template_version: String,
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
    Shutdown(oneshot::Sender<()>),
}

/// All machines. They die when this is dropped, and when this process does, however it does.
pub struct Machines {
    orders: mpsc::UnboundedSender<Order>,
}

impl Machines {
    /// # Errors
    /// If the state directory cannot be written to.
    pub fn new(settings: Settings, events: mpsc::UnboundedSender<Event>) -> io::Result<Self> {
        // The program that runs now, even if a newer build has replaced its file.
        Self::with_program(settings, events, PathBuf::from("/proc/self/exe"))
    }

    /// With another `program` to hold containers: one whose `main` begins with
    /// [`container_main_if_asked`].
    ///
    /// # Errors
    /// As [`Machines::new`].
    pub fn with_program(
        settings: Settings,
        events: mpsc::UnboundedSender<Event>,
        program: PathBuf,
    ) -> io::Result<Self> {
        let Settings {
            state_dir,
            endpoint,
            speed,
        } = settings;
        let instances = state_dir.join("instances");
        fs::create_dir_all(&instances)?;
        remove_leftovers(&instances)?;
        let site = machine::Site {
            // Containers run with another working directory.
            instances: fs::canonicalize(instances)?,
            s3: ledger::client(&endpoint),
            pace: machine::Pace::new(speed),
            program,
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        // A process that asked to die with its parent dies with the parent's THREAD that started it. So one
        // thread starts every container, and it lives as long as there are machines.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("machines".to_owned())
            .spawn(move || runtime.block_on(obey(inbox, site, events)))?;
        Ok(Self { orders })
    }

    /// Launches a machine; what becomes of it is told in events.
    pub fn launch(&self, spec: Spec) {
        self.order(Order::Launch(spec));
    }

    /// Stops the container as `docker stop` does, then the machine. Not an error if there is none.
    pub fn terminate(&self, id: &str) {
        self.order(Order::Terminate(id.to_owned()));
    }

    /// Kills every machine, and returns when they are gone.
    pub async fn shutdown(&self) {
        let (done, when_done) = oneshot::channel();
        self.order(Order::Shutdown(done));
        // An error here means that the thread is gone already, and every machine with it.
        let _ = when_done.await;
    }

    fn order(&self, order: Order) {
        // As in `shutdown`: without the thread there are no machines to order about.
        let _ = self.orders.send(order);
    }
}

/// What a run that was killed left behind, apart from the logs.
fn remove_leftovers(instances: &Path) -> io::Result<()> {
    for instance in fs::read_dir(instances)? {
        rootfs::remove_all(&instance?.path().join("work"))?;
    }
    Ok(())
}

async fn obey(
    mut inbox: mpsc::UnboundedReceiver<Order>,
    site: machine::Site,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut stops: HashMap<String, watch::Sender<Stop>> = HashMap::new();
    let mut machines = JoinSet::new();
    // Two runs at once on one machine begin in different places.
    let mut ports = Ports::beginning_at(process::id());
    let mut shutdown = None;
    loop {
        let order = tokio::select! {
            order = inbox.recv() => order,
            Some(gone) = machines.join_next() => {
                if let Ok(id) = gone {
                    stops.remove(&id);
                    let _ = events.send(Event::Died { id });
                }
                continue;
            }
        };
        match order {
            Some(Order::Launch(spec)) => {
                let id = spec.id.clone();
                let launched = ports
                    .next()
                    .and_then(|addr| Ok((addr, Machine::new(&site, spec, addr)?)));
                let event = match launched {
                    Ok((addr, machine)) => {
                        let (stop, stopped) = watch::channel(Stop::No);
                        stops.insert(id.clone(), stop);
                        machines.spawn(machine.live(stopped));
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
                if let Some(stop) = stops.get(&id) {
                    stop.send_replace(Stop::Gently);
                }
            }
            Some(Order::Shutdown(done)) => {
                shutdown = Some(done);
                break;
            }
            None => break,
        }
    }
    for stop in stops.values() {
        stop.send_replace(Stop::AtOnce);
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
}

impl Ports {
    fn beginning_at(seed: u32) -> Self {
        let offset = seed.wrapping_mul(97) % u32::try_from(PORTS.len()).unwrap_or(1);
        Self {
            next: PORTS.start + u16::try_from(offset).unwrap_or(0),
        }
    }

    fn next(&mut self) -> io::Result<SocketAddr> {
        for _ in PORTS {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.next += 1;
            if self.next == PORTS.end {
                self.next = PORTS.start;
            }
            if TcpListener::bind(addr).is_ok() {
                return Ok(addr);
            }
        }
        Err(io::Error::other(format!(
            "no port from {} to {} is free on 127.0.0.1; stop what holds them",
            PORTS.start, PORTS.end
        )))
    }
}
