//! The model in real time: does what falls due when it falls due, and turns effects into deeds.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{Mutex, Notify, mpsc};
use tracing::{info, warn};

use crate::{
    balancer::Balancer,
    clock::Clock,
    ec2::{self, Ec2},
    instance::{self, Machines},
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
    /// Something changed, so something may be due earlier than thought.
    changed: Notify,
}

struct State {
    cloud: Cloud,
    published: Vec<routes::Listener>,
}

impl Runtime {
    /// Starts to drive `cloud`. `events` is what `machines` tells.
    pub fn start(
        cloud: Cloud,
        clock: Clock,
        state_dir: PathBuf,
        machines: Machines,
        balancer: Balancer,
        ec2: Ec2,
        events: mpsc::UnboundedReceiver<instance::Event>,
    ) -> Self {
        let runtime = Self(Arc::new(Inner {
            clock,
            state_dir,
            state: Mutex::new(State {
                cloud,
                published: Vec::new(),
            }),
            machines,
            balancer,
            ec2,
            changed: Notify::new(),
        }));
        tokio::spawn(runtime.clone().drive(events));
        runtime
    }

    /// Answers one request of AWS's query protocol. What it changes is in effect when this returns: routes as well.
    pub async fn answer(&self, service: Service, body: &str) -> Answer {
        let subnets = match self.consult_ec2(body).await {
            Ok(subnets) => subnets,
            Err(error) => return wire::refusal(service, &error),
        };
        let mut state = self.0.state.lock().await;
        state.cloud.at(self.0.clock.now());
        if let Err(error) = check_listener_port(&state.published, body) {
            return wire::refusal(service, &error);
        }
        for ec2::Subnet { id, zone, vpc } in subnets {
            state.cloud.learn_subnet(&id, &zone, &vpc);
        }
        let answer = wire::answer(&mut state.cloud, service, body);
        let turned = self.turn(&mut state).await;
        self.0.changed.notify_one();
        match turned {
            Ok(()) => answer,
            Err(error) => {
                let mut error =
                    Error::new("InternalFailure", format!("The load balancer: {error}"));
                error.status = 500;
                wire::refusal(service, &error)
            }
        }
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
        let mut summary = state.cloud.at(self.0.clock.now()).summary();
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
        let mut state = self.0.state.lock().await;
        let cloud = state.cloud.at(self.0.clock.now());
        match event {
            instance::Event::Started { id, addr } => {
                info!(id, %addr, "instance started");
                cloud.instance_started(&id, addr);
            }
            instance::Event::LaunchFailed { id, reason } => {
                warn!(id, reason, "instance could not be launched");
                cloud.launch_failed(&id, &reason);
            }
            instance::Event::Died { id } => {
                info!(id, "instance ended");
                cloud.instance_died(&id);
            }
        }
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
        let mut state = self.0.state.lock().await;
        state
            .cloud
            .at(self.0.clock.now())
            .target_checked(check.id, &outcome);
        drop(state);
        self.0.changed.notify_one();
    }
}

fn spec(launch: Launch) -> instance::Spec {
    instance::Spec {
        id: launch.id,
        tags: launch.tags,
        launch_template_id: launch.launch_template,
        launch_template_version: launch.launch_template_version,
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
