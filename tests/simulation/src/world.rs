//! The world of one schedule: AWS and the instances, in virtual time.
//!
//! Virtual time is tokio's paused clock: it moves only when every task waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exuvia_cloud::model::{Cloud, Effect};
use exuvia_cloud::wire;
use exuvia_core::fleet::FleetName;
use exuvia_core::manifest::{Live, live_key, removed_key};
use exuvia_core::name::Place;
use exuvia_core::removal::Removed;
use exuvia_core::target::Order;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::approvals::{Habit, Tasks};
use crate::executions::Execution;
use crate::fault::{Action, Point, Schedule, Visit};
use crate::machines::{Happening, Machines};
use crate::measure::{Measure, Milestones};
use crate::privileges::Privilege;
use crate::recording::Recording;
use crate::scenario::PLACE;
use crate::services::{CloudWatch, Flow, Kms, S3, Sns, Ssm};
use crate::watch::Watch;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";
pub const ARTIFACTS: &str = "exuvia-artifacts";
pub const LEDGER: &str = "exuvia-ledger";
pub const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555";
pub const SIGNING_KEY: &str =
    "arn:aws:kms:us-east-1:000000000000:key/66666666-7777-8888-9999-000000000000";
pub const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:exuvia";
pub const STATE_MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:exuvia-deploy";
pub const BUILD_STATE_MACHINE: &str =
    "arn:aws:states:us-east-1:000000000000:stateMachine:exuvia-build";

/// The services in memory that the functions call, besides the cloud.
#[derive(Clone, Debug)]
pub struct Services {
    pub s3: S3,
    pub ssm: Ssm,
    pub kms: Kms,
    pub sns: Sns,
    pub cloudwatch: CloudWatch,
}

impl Services {
    pub fn key_is_enabled(&self) -> bool {
        self.kms.is_enabled(KEY) == Some(true)
    }
}

/// All that stays when a schedule has ended, so that the next can begin with a copy of it.
#[derive(Clone)]
pub struct Estate {
    pub now: Timestamp,
    pub cloud: Cloud,
    pub services: Services,
    pub machines: Machines,
    pub executions: Vec<Execution>,
    /// Keys of the artifacts that were uploaded, oldest first, with their behaviours' names.
    pub uploads: Vec<Upload>,
    /// Of a worker, in which order its releases take turns.
    pub worker: Option<Order>,
    /// Where it is measured how long a deploy takes and what it costs, instead of what may go wrong with it.
    pub measure: Option<Measure>,
}

impl Estate {
    /// The group of the release that `live.json` names.
    pub fn committed_group(&self) -> Option<String> {
        let place = place()?;
        let live = self.services.s3.get(LEDGER, &live_key(&place))?;
        let live: Live = serde_json::from_slice(live).ok()?;
        Some(FleetName::new(&place, live.release).to_string())
    }

    /// The instances in service of the group of the release that `live.json` names: of a worker, those that do its work.
    pub fn at_work(&self) -> usize {
        let Some(committed) = self.committed_group() else {
            return 0;
        };
        let survey = self.cloud.survey();
        let groups = survey.groups.iter().filter(|group| group.name == committed);
        let instances = groups.flat_map(|group| &group.instances);
        instances.filter(|(_, state)| *state == "InService").count()
    }

    /// Counts the requests since the last time, which went as the rule has it until now.
    pub fn flow(&mut self) {
        if !self.services.cloudwatch.has_load() {
            return;
        }
        let survey = self.cloud.survey();
        let weights = survey.rules.iter().flat_map(|rule| &rule.weights);
        let all: u32 = weights.clone().map(|(_, weight)| u32::from(*weight)).sum();
        let flows = weights.filter_map(|(name, weight)| {
            let group = survey
                .target_groups
                .iter()
                .find(|group| group.name == *name)?;
            let behaviour = self.machines.behaviour_of(name)?;
            Some(Flow {
                target_group_arn: group.arn.clone(),
                share: f64::from(*weight) / f64::from(all.max(1)),
                errors: f64::from(behaviour.errors_percent) / 100.0,
                takes: f64::from(behaviour.takes_millis) / 1_000.0,
            })
        });
        let flows: Vec<Flow> = flows.collect();
        self.services.cloudwatch.flow(&flows, self.now);
    }

    /// Whether nothing is live because somebody asked for that.
    pub fn is_removed(&self) -> bool {
        let s3 = &self.services.s3;
        let Some(place) = place() else { return false };
        let removed = s3.get(LEDGER, &removed_key(&place));
        let removed = removed.and_then(|body| serde_json::from_slice::<Removed>(body).ok());
        let Some(removed) = removed.filter(|_| s3.get(LEDGER, &live_key(&place)).is_none()) else {
            return false;
        };
        let mut executions = self.executions.iter();
        executions.any(|one| one.arn == removed.execution && one.is_removal())
    }
}

pub fn place() -> Option<Place> {
    let (app, environment) = PLACE.split_once('/')?;
    Place::new(app, environment).ok()
}

/// An object that was uploaded to the artifacts bucket.
#[derive(Clone, Debug)]
pub struct Upload {
    pub key: String,
    pub version_id: String,
    pub size: usize,
    pub behaviour: String,
    pub at: Timestamp,
}

/// What is to be done by the task that has everything at hand.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Runs an execution, by its index, from its position on.
    Run(usize),
    /// Delivers the event of an upload.
    DeliverUpload(Upload),
    /// Delivers the event that an execution has ended.
    DeliverStatus(usize),
    /// A person answers a notice that asks for approval.
    Answer(String, Habit),
    Suffer(Action),
}

/// Something that must never be, and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I14`, as in `ARCHITECTURE.md`.
    pub invariant: &'static str,
    pub what: String,
}

/// A call that was made: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallMade {
    pub visit: Visit,
    pub call: u32,
    pub function: String,
    pub service: String,
    pub operation: String,
    pub privilege: Privilege,
    pub is_conditional_write: bool,
    /// When, since the schedule began.
    pub at: Duration,
    pub is_throttled: bool,
}

/// An invocation of a function that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked {
    pub visit: Visit,
    pub function: String,
    /// Without its start.
    pub took: Duration,
    /// When it ended, since the schedule began.
    pub ended: Duration,
}

/// What was seen while a schedule ran.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub calls: Vec<CallMade>,
    /// Invocations that succeeded; only of a world that tells.
    pub recordings: Vec<Recording>,
    pub entries: Vec<Visit>,
    pub invocations: Vec<Invoked>,
    /// Only where it is measured.
    pub milestones: Milestones,
    pub violations: Vec<Violation>,
    /// What happened, for a person who looks for the reason.
    pub timeline: Vec<(Duration, String)>,
    /// Events that a function failed on at every try.
    pub dead_letters: Vec<String>,
    /// Faults that happened.
    pub suffered: usize,
    /// Whether the SDK had reason to try a call again.
    pub tried_again: bool,
}

pub struct State {
    pub estate: Estate,
    pub random: fastrand::Rng,
    pub seen: Seen,
    pub watch: Watch,
    pub deeds: Vec<Deed>,
    /// Executions that run, by index.
    pub running: BTreeMap<usize, AbortHandle>,
    /// Invocations and deliveries under way.
    pub under_way: usize,
    /// Invocations of states' functions, and entries of states, so far.
    visits: BTreeMap<(String, String, bool), u32>,
    faults: Vec<Option<crate::fault::Fault>>,
    /// Services that are down, and until when.
    pub outages: Vec<(String, Timestamp)>,
    /// When scheduled actions of the live group want a single instance.
    pub scale_ins: Vec<Timestamp>,
    /// Tasks that wait for their token.
    pub tasks: Tasks,
    /// What is done about notices that ask for approval; nothing if nobody reads them.
    pub habit: Option<Habit>,
    pub delay_event: Option<Duration>,
    pub lose_status_event: bool,
    /// How many executions there have been of each kind: what a schedule calls them begins with the letters.
    pub counts: BTreeMap<&'static str, u32>,
    tells: bool,
}

pub struct World {
    state: Mutex<State>,
    began: Instant,
    epoch: Timestamp,
    /// Something has changed that the driver may have to act on.
    pub changed: Notify,
}

impl World {
    /// Begins where an estate was left. `tells`: whether a timeline is wanted.
    pub fn new(estate: Estate, schedule: &Schedule, tells: bool) -> Self {
        let epoch = estate.now;
        let watch = Watch::begin(&estate);
        let state = State {
            estate,
            random: fastrand::Rng::with_seed(schedule.seed),
            seen: Seen::default(),
            watch,
            deeds: Vec::new(),
            running: BTreeMap::new(),
            under_way: 0,
            visits: BTreeMap::new(),
            faults: schedule.faults.iter().cloned().map(Some).collect(),
            outages: Vec::new(),
            scale_ins: Vec::new(),
            tasks: Tasks::default(),
            habit: None,
            delay_event: None,
            lose_status_event: false,
            counts: BTreeMap::new(),
            tells,
        };
        Self {
            state: Mutex::new(state),
            began: Instant::now(),
            epoch,
            changed: Notify::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.epoch + self.elapsed()
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The moment on tokio's clock at which it is that time.
    pub fn instant(&self, at: Timestamp) -> Instant {
        let since = at.duration_since(self.epoch);
        self.began + Duration::try_from(since).unwrap_or_default()
    }

    /// The state, with the cloud and the estate's clock moved to now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.estate.now = self.now();
        state
    }

    pub fn tell(&self, text: impl FnOnce() -> String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tell(self.elapsed(), text);
    }

    /// Lets everything happen that is due; returns what is to be done, and when something is due next.
    pub fn turn(&self) -> (Vec<Deed>, Option<Timestamp>) {
        let elapsed = self.elapsed();
        let mut state = self.state();
        state.turn(elapsed);
        state.fire_timed(elapsed);
        let machines = state.estate.machines.due();
        let due = [
            state.estate.cloud.next_due(),
            machines,
            state.next_timed(self.epoch),
        ];
        (
            std::mem::take(&mut state.deeds),
            due.into_iter().flatten().min(),
        )
    }

    /// Whether nothing runs, is under way or is still to come.
    pub fn is_quiet(&self) -> bool {
        let state = self.state();
        state.running.is_empty()
            && state.under_way == 0
            && state.deeds.is_empty()
            && !state
                .faults
                .iter()
                .flatten()
                .any(|fault| matches!(fault.at, Point::After(_)))
    }

    /// Ends the schedule: what was seen, and what is left.
    pub fn end(&self) -> (Estate, Seen, Watch) {
        let mut state = self.state();
        let seen = std::mem::take(&mut state.seen);
        (state.estate.clone(), seen, state.watch.clone())
    }
}

impl State {
    /// Whether somebody wants to know what happened.
    pub fn tells(&self) -> bool {
        self.tells
    }

    pub fn tell(&mut self, at: Duration, text: impl FnOnce() -> String) {
        if self.tells {
            self.seen.timeline.push((at, text()));
        }
    }

    pub fn violated(&mut self, invariant: &'static str, what: String) {
        let known = |violation: &Violation| violation.invariant == invariant;
        // The first of a kind tells the reason; what follows from it does not.
        if self
            .seen
            .violations
            .iter()
            .filter(|seen| known(seen))
            .count()
            < 3
        {
            self.seen.violations.push(Violation { invariant, what });
        }
    }

    /// Moves cloud and instances to now, and looks whether the capacity is there.
    pub fn turn(&mut self, elapsed: Duration) {
        let now = self.estate.now;
        self.estate.flow();
        let due = |at: &Timestamp| *at <= now;
        if self.scale_ins.iter().any(due) {
            self.scale_ins.retain(|at| !due(at));
            if let Some(group) = self.estate.committed_group().filter(|_| !self.is_held()) {
                self.watch.scaled_in(&self.estate, &group, 1);
            }
        }
        loop {
            let effects = self.estate.cloud.advance(now);
            let mut idle = effects.is_empty();
            for effect in effects {
                self.perform(effect, elapsed);
            }
            while let Some(happening) = self.estate.machines.next(now) {
                idle = false;
                self.happen(happening, elapsed);
            }
            if idle {
                break;
            }
        }
        match &self.estate.measure {
            Some(measure) if measure.is_watched => self.seen.milestones.look(&self.estate),
            Some(_) => return,
            None => {}
        }
        if let Some(what) = self.watch.look(&self.estate) {
            self.tell(elapsed, || format!("!! {what}"));
            self.violated("I1", format!("after {}: {what}", told(elapsed)));
        }
        if let Some(what) = self.watch.look_at_singleton(&self.estate) {
            self.tell(elapsed, || format!("!! {what}"));
            self.violated("I14", format!("after {}: {what}", told(elapsed)));
        }
    }

    /// Whether a deploy is between Launch and its end, so that the live fleet may not shrink.
    fn is_held(&self) -> bool {
        let between = [
            "Wait For Boot",
            "Check Health",
            "Healthy?",
            "Wait For Approval",
            "Shift Traffic",
            "Shifted?",
            "Bake",
            "Evaluate",
            "Evaluated?",
        ];
        let mut running = self
            .running
            .keys()
            .map(|index| &self.estate.executions[*index]);
        running.any(|execution| {
            let last = execution.path.last();
            last.is_some_and(|state| between.contains(&state.as_str()))
        })
    }

    fn perform(&mut self, effect: Effect, elapsed: Duration) {
        let now = self.estate.now;
        let Estate {
            cloud,
            services,
            machines,
            ..
        } = &mut self.estate;
        match effect {
            Effect::LaunchInstance(launch) => {
                let launched = machines.launch(&launch, services, now);
                self.tell(elapsed, || {
                    format!("{} launches {}", launch.group, launch.id)
                });
                if let Err(problem) = launched {
                    self.violated("I9", problem);
                }
            }
            Effect::TerminateInstance { id } => {
                if machines.is_ill(&id)
                    && let Some(group) = machines.group_of(&id)
                {
                    self.watch.died(group);
                }
                machines.terminate(&id);
                self.tell(elapsed, || format!("{id} is terminated"));
            }
            Effect::CheckTarget(check) => {
                let outcome = machines.check(&check, now);
                cloud.target_checked(check.id, &outcome);
            }
        }
    }

    fn happen(&mut self, happening: Happening, elapsed: Duration) {
        let now = self.estate.now;
        match happening {
            Happening::Started(id, address) => {
                self.estate.cloud.instance_started(&id, address);
            }
            Happening::Died(id) => {
                if let Some(group) = self.estate.machines.group_of(&id) {
                    self.watch.died(group);
                }
                self.tell(elapsed, || format!("{id} dies"));
                self.estate.cloud.instance_died(&id);
            }
            Happening::Reported(key, report) => {
                self.tell(elapsed, || {
                    format!("{} reports: {}", report.instance_id, report.error)
                });
                if let Ok(report) = serde_json::to_vec(&*report) {
                    self.estate.services.s3.put(LEDGER, &key, report, now);
                }
                self.seen.milestones.reported.get_or_insert(now);
            }
            Happening::Answered(id, is_ready) => {
                let Some(group) = self.estate.machines.group_of(&id) else {
                    return;
                };
                let result = if is_ready { "CONTINUE" } else { "ABANDON" };
                // Of a group without a hook, or one that has been answered, it is refused.
                let form = format!(
                    "Action=CompleteLifecycleAction&Version=2011-01-01&AutoScalingGroupName={group}&\
                     LifecycleHookName=boot&InstanceId={id}&LifecycleActionResult={result}"
                );
                self.ask_cloud(wire::Service::AutoScaling, &form);
            }
            Happening::Uploads(_, made) => {
                self.tell(elapsed, || {
                    format!("build {} uploads {}", made.build, made.key)
                });
                self.upload_built(*made);
            }
            Happening::Builds(_, key, report) => {
                self.tell(elapsed, || format!("{key}: {:?}", report.status));
                if let Ok(report) = serde_json::to_vec(&*report) {
                    self.estate.services.s3.put(LEDGER, &key, report, now);
                }
            }
        }
    }

    /// The number of this invocation of a state's function, or of this entry of a state.
    pub fn visit(&mut self, who: &str, state: &str, is_entry: bool) -> Visit {
        let count = self
            .visits
            .entry((who.to_owned(), state.to_owned(), is_entry));
        let count = count.or_default();
        *count += 1;
        Visit {
            who: who.to_owned(),
            state: state.to_owned(),
            number: *count,
        }
    }

    /// Takes the faults that are due at a point: those of the world go their way, the one of a call is returned.
    pub fn fire(&mut self, point: &Point, elapsed: Duration) -> Option<Action> {
        let mut of_call = None;
        for index in 0..self.faults.len() {
            let due = |fault: &mut crate::fault::Fault| fault.at == *point;
            let Some(fault) = self.faults[index].take_if(due) else {
                continue;
            };
            self.seen.suffered += 1;
            self.tell(elapsed, || format!("** {fault}"));
            if fault.what.concerns_a_call() {
                of_call = Some(fault.what);
            } else if let (Action::Stop, Point::Call { visit, .. } | Point::Entry(visit)) =
                (&fault.what, &fault.at)
            {
                self.deeds
                    .push(Deed::Suffer(Action::StopOther(visit.who.clone())));
            } else {
                self.deeds.push(Deed::Suffer(fault.what));
            }
        }
        of_call
    }

    fn fire_timed(&mut self, elapsed: Duration) {
        let due: Vec<Point> = self
            .faults
            .iter()
            .flatten()
            .map(|fault| fault.at.clone())
            .filter(|at| matches!(at, Point::After(time) if *time <= elapsed))
            .collect();
        for point in due {
            self.fire(&point, elapsed);
        }
    }

    fn next_timed(&self, epoch: Timestamp) -> Option<Timestamp> {
        let times = self
            .faults
            .iter()
            .flatten()
            .filter_map(|fault| match fault.at {
                Point::After(time) => Some(epoch + time),
                _ => None,
            });
        times.min()
    }

    pub fn is_down(&mut self, service: &str) -> bool {
        let now = self.estate.now;
        let (key, before) = ("key".to_owned(), self.outages.len());
        self.outages.retain(|(_, until)| *until > now);
        if self.outages.len() < before && !self.outages.iter().any(|(down, _)| *down == key) {
            self.estate.services.kms.set_enabled(KEY, true);
        }
        self.outages.iter().any(|(down, _)| down == service)
    }

    /// Performs a request of a person's, or of AWS's own, on the cloud.
    pub fn ask_cloud(&mut self, service: wire::Service, form: &str) -> String {
        let now = self.estate.now;
        let cloud = self.estate.cloud.at(now);
        wire::answer(cloud, service, form).body
    }
}

pub fn told(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

/// So much later.
pub fn later(at: Timestamp, time: Duration) -> Timestamp {
    at + SignedDuration::try_from(time).unwrap_or_default()
}
