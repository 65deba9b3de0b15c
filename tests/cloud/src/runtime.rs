//! The model in real time: does what falls due when it falls due, and turns effects into deeds.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, Notify, mpsc};
use tracing::{info, warn};

use crate::{
    authority::{self, Authority},
    balancer::Balancer,
    clock::Clock,
    ec2::{self, Ec2},
    instance::{self, Machines},
    journal::{self, Entry, Input, Journal, Replayed},
    model::{Check, CheckOutcome, Cloud, Effect, Error, Launch},
    probe, routes,
    wire::{self, Answer, Service},
};

/// However fast the cloud's time goes, an instance gets this long in real time to answer a health check.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// With nothing due, the driver still looks around this often.
const IDLE: Duration = Duration::from_mins(1);

/// The running cloud. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    clock: Clock,
    state_dir: PathBuf,
    state: Mutex<State>,
    machines: Machines,
    balancer: Balancer,
    ec2: Ec2,
    authority: Authority,
    /// Something changed, so something may be due earlier than thought.
    changed: Notify,
}

struct State {
    cloud: Cloud,
    journal: Journal,
    published: Vec<routes::Listener>,
    seated: routes::Seated,
}

impl State {
    /// Writes down what came in, and only then tells it to the model; the answer, if it was a request.
    fn tell(&mut self, at: Timestamp, input: Input) -> io::Result<Option<Answer>> {
        let entry = Entry::new(at, input);
        self.journal.write(&entry)?;
        Ok(entry.tell(&mut self.cloud))
    }

    /// Performs a request that may change something.
    fn change(
        &mut self,
        now: Timestamp,
        subnets: Vec<ec2::Subnet>,
        service: Service,
        body: &str,
    ) -> io::Result<Answer> {
        for ec2::Subnet { id, zone, vpc } in subnets {
            self.tell(now, Input::Subnet { id, zone, vpc })?;
        }
        let form = body.to_owned();
        let answer = self.tell(now, Input::Request { service, form })?;
        answer.ok_or_else(|| io::Error::other("a request without an answer"))
    }
}

impl Runtime {
    /// Drives the cloud from where its journal ends. `events` is what `machines` tells.
    ///
    /// # Errors
    /// If the journal cannot be written, or a listener's port is taken.
    pub async fn start(
        (journal, mut replayed): (Journal, Replayed),
        clock: Clock,
        state_dir: PathBuf,
        machines: Machines,
        balancer: Balancer,
        (ec2, authority): (Ec2, Authority),
        events: mpsc::UnboundedReceiver<instance::Event>,
    ) -> anyhow::Result<Self> {
        let open = replayed.open(clock.now());
        let state = State {
            cloud: replayed.cloud,
            journal,
            published: Vec::new(),
            seated: routes::Seated::new(),
        };
        let runtime = Self(Arc::new(Inner {
            clock,
            state_dir,
            state: Mutex::new(state),
            machines,
            balancer,
            ec2,
            authority,
            changed: Notify::new(),
        }));
        runtime.reconcile(open, &replayed.running).await?;
        tokio::spawn(runtime.clone().drive(events));
        Ok(runtime)
    }

    /// Makes the model and the world agree again after a time in which nobody listened: instances have ended, or
    /// were launched and never heard of, and health checks were not answered.
    async fn reconcile(
        &self,
        mut open: Vec<Effect>,
        running: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let mut state = self.0.state.lock().await;
        let now = self.0.clock.now();
        let found = self.0.machines.found();
        for id in running.iter().filter(|id| !found.contains_key(*id)) {
            info!(id, "instance ended meanwhile");
            state.tell(now, Input::Died { id: id.clone() })?;
        }
        for (id, address) in found.iter().filter(|(id, _)| !running.contains(*id)) {
            if open.iter().any(|effect| journal::launches(effect, id)) {
                let (id, address) = (id.clone(), *address);
                state.tell(now, Input::Started { id, address })?;
            } else {
                warn!(id, "nobody knows this instance");
                self.0.machines.terminate(id);
            }
        }
        open.retain(|effect| !found.keys().any(|id| journal::launches(effect, id)));
        for effect in open {
            self.perform(effect);
        }
        self.turn(&mut state)
            .await
            .map_err(|error| anyhow::anyhow!("the load balancer: {error}"))
    }

    /// Answers one request of AWS's query protocol. What it changes is in effect when this returns: routes as well.
    pub async fn answer(&self, access_key: &str, service: Service, body: &str) -> Answer {
        if let Err(error) = self.authorize(access_key, service, body).await {
            return wire::refusal(service, &error);
        }
        let subnets = match self.consult_ec2(body).await {
            Ok(subnets) => subnets,
            Err(error) => return wire::refusal(service, &error),
        };
        let mut state = self.0.state.lock().await;
        let now = self.0.clock.now();
        if let Err(error) = check_listener_port(&state.published, body) {
            return wire::refusal(service, &error);
        }
        let answer = if wire::only_looks(body) {
            wire::answer(state.cloud.look_at(now), service, body)
        } else {
            match state.change(now, subnets, service, body) {
                Ok(answer) => answer,
                Err(error) => return failure(service, &format!("The journal: {error}")),
            }
        };
        let turned = self.turn(&mut state).await;
        self.0.changed.notify_one();
        match turned {
            Ok(()) => answer,
            Err(error) => failure(service, &format!("The load balancer: {error}")),
        }
    }

    /// Asked before anything else, as AWS does.
    async fn authorize(&self, access_key: &str, service: Service, body: &str) -> Result<(), Error> {
        if access_key == authority::ROOT {
            return Ok(());
        }
        let asked = {
            let mut state = self.0.state.lock().await;
            authority::asked(service, body, state.cloud.look_at(self.0.clock.now()))
        };
        self.0.authority.authorize(access_key, &asked).await
    }

    /// What EC2 knows of the things of its own that a request names, or its refusal.
    async fn consult_ec2(&self, body: &str) -> Result<Vec<ec2::Subnet>, Error> {
        let action = wire::parameter(body, "Action").unwrap_or_default();
        match action.as_str() {
            "CreateLoadBalancer" => self.0.ec2.subnets(body).await,
            "CreateAutoScalingGroup" | "UpdateAutoScalingGroup" => {
                self.0.ec2.check_launch_template(body).await?;
                self.0.ec2.subnets(body).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The model's summary, with where each instance's log is.
    pub async fn summary(&self) -> Value {
        let mut state = self.0.state.lock().await;
        let mut summary = state.cloud.look_at(self.0.clock.now()).summary();
        let groups = summary["groups"].as_array_mut().into_iter().flatten();
        for instance in
            groups.flat_map(|group| group["instances"].as_array_mut().into_iter().flatten())
        {
            let id = instance["id"].as_str().unwrap_or_default();
            let log = self.0.state_dir.join("instances").join(id).join("log");
            instance["log"] = log.to_string_lossy().into();
        }
        summary
    }

    /// Starts instances again, as EC2 does when it is asked to; not an error if there are none of these ids.
    ///
    /// # Errors
    /// Where instances cannot be.
    pub fn reboot(&self, ids: &[String]) -> Result<(), Error> {
        if ids.iter().all(|id| self.0.machines.reboot(id)) {
            return Ok(());
        }
        Err(Error::new(
            "UnsupportedOperation",
            "Instances that are processes do not boot: start the local AWS with --docker",
        ))
    }

    /// Ends every instance, and returns when they are gone.
    pub async fn shutdown(&self) {
        self.0.machines.shutdown().await;
    }

    async fn drive(self, mut events: mpsc::UnboundedReceiver<instance::Event>) {
        loop {
            let due = {
                let mut state = self.0.state.lock().await;
                if let Err(error) = self.turn(&mut state).await {
                    warn!(%error, "the load balancer does not listen as it should");
                }
                state.cloud.next_due()
            };
            let rest = due.map_or(IDLE, |due| self.0.clock.until(due).min(IDLE));
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.0.changed.notified() => {}
                Some(event) = events.recv() => self.hear(event).await,
            }
        }
    }

    async fn hear(&self, event: instance::Event) {
        let input = match event {
            instance::Event::Started { id, addr } => {
                info!(id, %addr, "instance started");
                Input::Started { id, address: addr }
            }
            instance::Event::LaunchFailed { id, reason } => {
                warn!(id, reason, "instance could not be launched");
                Input::LaunchFailed { id, reason }
            }
            instance::Event::Died { id } => {
                info!(id, "instance ended");
                Input::Died { id }
            }
        };
        self.feed_back(input).await;
    }

    async fn feed_back(&self, input: Input) {
        let mut state = self.0.state.lock().await;
        let entry = Entry::new(self.0.clock.now(), input);
        if let Err(error) = state.journal.write(&entry) {
            // It has happened, whether it can be written down or not.
            warn!(%error, "the journal cannot be written: if this is killed, it will not know what happened");
        }
        entry.tell(&mut state.cloud);
    }

    /// Moves the model to now, does what it wants done, and publishes its routes if they changed.
    async fn turn(&self, state: &mut State) -> Result<(), String> {
        for effect in state.cloud.advance(self.0.clock.now()) {
            self.perform(effect);
        }
        let listeners = state.cloud.listeners();
        if listeners != state.published {
            state.published.clone_from(&listeners);
            self.0
                .balancer
                .update(listeners)
                .await
                .map_err(|error| error.to_string())?;
        }
        let seated = state.cloud.seated();
        if seated != state.seated {
            state.seated.clone_from(&seated);
            self.0.balancer.cut_others(seated);
        }
        Ok(())
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::LaunchInstance(launch) => {
                info!(
                    id = launch.id,
                    group = launch.group,
                    zone = launch.availability_zone,
                    "launch"
                );
                self.0.machines.launch(spec(launch));
            }
            Effect::TerminateInstance { id } => {
                info!(id, "terminate");
                self.0.machines.terminate(&id);
            }
            Effect::CheckTarget(check) => {
                tokio::spawn(self.clone().check(check));
            }
        }
    }

    async fn check(self, check: Check) {
        let timeout = self.0.clock.real(check.timeout).max(LEAST_TIMEOUT);
        let outcome = probe::probe(check.address, &check.path, timeout, &check.matcher).await;
        let outcome = match outcome {
            probe::Outcome::Passed => CheckOutcome::Passed,
            probe::Outcome::WrongCode(code) => CheckOutcome::WrongCode(code),
            probe::Outcome::TimedOut => CheckOutcome::TimedOut,
            probe::Outcome::Refused(_) => CheckOutcome::Failed,
        };
        let check = check.id;
        self.feed_back(Input::Checked { check, outcome }).await;
        self.0.changed.notify_one();
    }
}

fn failure(service: Service, message: &str) -> Answer {
    let mut error = Error::new("InternalFailure", message);
    error.status = 500;
    wire::refusal(service, &error)
}

fn spec(launch: Launch) -> instance::Spec {
    instance::Spec {
        id: launch.id,
        tags: launch.tags,
        launch_template_id: launch.launch_template,
        launch_template_version: launch.launch_template_version,
        availability_zone: launch.availability_zone,
        port: launch.port,
    }
}

/// A listener's port is a real port of this machine: a request for one that is not free is refused.
fn check_listener_port(published: &[routes::Listener], body: &str) -> Result<(), Error> {
    let action = wire::parameter(body, "Action");
    if !matches!(action.as_deref(), Some("CreateListener" | "ModifyListener")) {
        return Ok(());
    }
    let port = wire::parameter(body, "Port").and_then(|port| port.parse::<u16>().ok());
    let Some(port) = port.filter(|port| !published.iter().any(|listener| listener.port == *port))
    else {
        return Ok(());
    };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(|error| {
        Error::new(
            "InvalidConfigurationRequest",
            format!(
                "This local AWS cannot listen on 127.0.0.1:{port} ({error}): choose another port for the listener, \
                 or stop what holds this one"
            ),
        )
    })
}
