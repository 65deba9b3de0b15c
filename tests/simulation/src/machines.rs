//! The instances: what each does after its launch is told by the artifact that its release's manifest pins.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use exuvia_cloud::model::{Check, CheckOutcome, Launch};
use exuvia_core::artifact::Pinned;
use exuvia_core::build::{
    BuildId, Made, Order, Report, Reported, TAG_BUILD, order_key, report_key as build_report_key,
};
use exuvia_core::fleet::{TAG_APP, TAG_ENVIRONMENT, TAG_RELEASE, TAG_SIGNING_KEY, hex};
use exuvia_core::manifest::{BootReport, Manifest, SIGNATURE, boot_prefix, manifest_key};
use exuvia_core::name::{Place, ReleaseNumber};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::world::{ARTIFACTS, LEDGER, Services};

/// How an artifact behaves, by the name that a schedule gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    pub name: &'static str,
    /// From the instance's start until the app answers; `None`: it never does.
    answers_after: Option<u64>,
    /// From then on until its health checks fail.
    fails_after: Option<u64>,
    /// From the start until the instance ends by itself.
    dies_after: Option<u64>,
    /// From the start until it writes a boot report.
    reports_after: Option<u64>,
    /// It passes and fails its health checks by turns of so many seconds.
    flaps: Option<u64>,
    /// Percent of its answers that are 5xx.
    pub errors_percent: u32,
    /// How long its answers take.
    pub takes_millis: u32,
}

const PLAIN: Behaviour = Behaviour {
    name: "good",
    answers_after: Some(12),
    fails_after: None,
    dies_after: None,
    reports_after: None,
    flaps: None,
    errors_percent: 0,
    takes_millis: 100,
};

/// All there are, in seconds of virtual time.
pub const BEHAVIOURS: [Behaviour; 12] = [
    PLAIN,
    Behaviour {
        name: "slow",
        answers_after: Some(100),
        ..PLAIN
    },
    Behaviour {
        name: "never",
        answers_after: None,
        ..PLAIN
    },
    Behaviour {
        name: "broken",
        answers_after: None,
        reports_after: Some(15),
        ..PLAIN
    },
    Behaviour {
        name: "sick-later",
        fails_after: Some(25),
        ..PLAIN
    },
    Behaviour {
        name: "dies-later",
        dies_after: Some(45),
        ..PLAIN
    },
    Behaviour {
        name: "reports-later",
        reports_after: Some(45),
        ..PLAIN
    },
    Behaviour {
        name: "loops",
        answers_after: None,
        dies_after: Some(12),
        ..PLAIN
    },
    // It is healthy once, and dies before that proves anything.
    Behaviour {
        name: "gasps",
        dies_after: Some(26),
        ..PLAIN
    },
    Behaviour {
        name: "flaps",
        flaps: Some(25),
        ..PLAIN
    },
    // Health checks see nothing of these.
    Behaviour {
        name: "errs",
        errors_percent: 8,
        ..PLAIN
    },
    Behaviour {
        name: "drags",
        takes_millis: 400,
        ..PLAIN
    },
];

impl Behaviour {
    pub fn named(name: &str) -> Option<Self> {
        BEHAVIOURS.into_iter().find(|known| known.name == name)
    }

    /// Whether its instances stay healthy once they are.
    pub fn is_sound(self) -> bool {
        self.fails_after.is_none()
            && self.dies_after.is_none()
            && self.reports_after.is_none()
            && self.flaps.is_none()
    }

    /// What a health check finds: so long after the start, of one that took so long to boot and falls ill so long after that.
    fn check(
        self,
        age: Duration,
        boot: Option<Duration>,
        ill_after: Option<Duration>,
    ) -> CheckOutcome {
        let boot = self
            .answers_after
            .map(|usual| boot.unwrap_or(Duration::from_secs(usual)));
        let Some(answers) = boot.and_then(|boot| age.checked_sub(boot)) else {
            return CheckOutcome::Failed;
        };
        let sick = self
            .fails_after
            .is_some_and(|usual| answers >= ill_after.unwrap_or(Duration::from_secs(usual)));
        let answers = answers.as_secs();
        let flapping = self.flaps.is_some_and(|turn| (answers / turn) % 2 == 1);
        if sick || flapping {
            CheckOutcome::WrongCode(500)
        } else {
            CheckOutcome::Passed
        }
    }
}

#[derive(Clone, Debug)]
struct Machine {
    zone: String,
    group: String,
    /// `None` if it could not get what the manifest pins: it never runs the app.
    behaviour: Option<Behaviour>,
    /// How long its app takes to answer, if that is not its behaviour's to say.
    boot: Option<Duration>,
    since: Timestamp,
    dead: bool,
}

/// How long instances take from their start until they answer, or report that they cannot, where each takes a little more or less.
#[derive(Clone, Debug)]
pub struct Boots {
    /// From the launch until EC2 has started the instance, at least and at the most.
    pub start: (Duration, Duration),
    pub usual: Duration,
    /// Up to so many percent more or less.
    pub percent: u32,
    /// From the first answer of what falls ill until it does.
    pub ill_after: Duration,
    pub random: fastrand::Rng,
}

impl Boots {
    fn start(&mut self) -> Duration {
        let (least, most) = self.start;
        least + most.saturating_sub(least).mul_f64(self.random.f64())
    }

    fn next(&mut self) -> Duration {
        let most = f64::from(self.percent) / 100.0;
        self.usual
            .mul_f64(1.0 + most * (self.random.f64() * 2.0 - 1.0))
    }
}

/// What is to happen to an instance by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// EC2 has started it.
    Started(String, SocketAddr),
    Died(String),
    /// It answers its group's launch lifecycle hook, by its id: whether it is ready.
    Answered(String, bool),
    /// It writes a boot report: the ledger's key and the report.
    Reported(String, Box<BootReport>),
    /// A builder uploads the image.
    Uploads(String, Box<Built>),
    /// A builder reports: the ledger's key and the report.
    Builds(String, String, Box<Report>),
}

/// What a builder has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    pub key: String,
    pub build: String,
    /// Of the image.
    pub behaviour: Behaviour,
}

/// Seconds from a builder's start until it has built and uploaded, and from then on until it has reported that.
const BUILDS: u64 = 40;
const REPORTS: u64 = 2;

#[derive(Clone, Debug, Default)]
pub struct Machines {
    /// By the artifact's SHA-256.
    behaviours: BTreeMap<String, Behaviour>,
    by_id: BTreeMap<String, Machine>,
    agenda: BTreeMap<(Timestamp, u32), Happening>,
    count: u32,
    /// Artifact digests by group: all instances of a release run the same bytes.
    bytes: BTreeMap<String, String>,
    /// If all that answer take about as long to.
    pub boots: Option<Boots>,
}

impl Machines {
    pub fn learn(&mut self, artifact: &[u8], behaviour: Behaviour) {
        self.behaviours
            .insert(hex(&Sha256::digest(artifact)), behaviour);
    }

    /// An instance is launched, and boots as `infra/boot.sh` has it: it reads its release's manifest and gets the
    /// bytes that this pins.
    ///
    /// # Errors
    /// If it runs other bytes than an instance of the same release before it.
    pub fn launch(
        &mut self,
        launch: &Launch,
        services: &Services,
        now: Timestamp,
    ) -> Result<(), String> {
        self.count += 1;
        let [high, low] = u16::try_from(self.count).unwrap_or(u16::MAX).to_be_bytes();
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 8080));
        let start = self.boots.as_mut().map(Boots::start);
        let start = now + start.unwrap_or(Duration::from_millis(500));
        let id = launch.id.clone();
        self.plan(start, Happening::Started(id.clone(), address));
        if launch.tags.contains_key(TAG_BUILD) {
            self.launch_builder(launch, services, start);
            return Ok(());
        }
        let booted = boot(&launch.tags, services);
        let boot = self.boots.as_mut().map(Boots::next);
        let (behaviour, failure) = match &booted {
            Ok(manifest) => match self.behaviours.get(&manifest.artifact.sha256) {
                Some(behaviour) => (Some(*behaviour), None),
                None => return Err(format!("{id} runs bytes that nobody uploaded")),
            },
            Err(problem) => (None, Some(problem.clone())),
        };
        let is_worker = booted
            .as_ref()
            .is_ok_and(|manifest| manifest.target.is_worker());
        if let Ok(sha256) = booted.map(|manifest| manifest.artifact.sha256) {
            let group = self.bytes.entry(launch.group.clone());
            let first = group.or_insert_with(|| sha256.clone());
            if *first != sha256 {
                return Err(format!(
                    "{id} runs other bytes than others of {}",
                    launch.group
                ));
            }
        }
        let report = |step: &str, error: String| {
            let key = report_key(&launch.tags, &id)?;
            let report = BootReport {
                instance_id: id.clone(),
                step: step.to_owned(),
                error,
                output: vec!["simulated".to_owned()],
            };
            Some(Happening::Reported(key, Box::new(report)))
        };
        let reported = match (failure, behaviour.and_then(|known| known.reports_after)) {
            (Some((step, problem)), _) => {
                report(step, problem).map(|report| (Duration::from_secs(5), report))
            }
            (None, Some(after)) => {
                let after = boot.unwrap_or(Duration::from_secs(after));
                let said = report("run", "the container exited with code 1".to_owned());
                said.map(|report| (after, report))
            }
            (None, None) => None,
        };
        if is_worker && let Some(ready) = behaviour.and_then(|known| known.answers_after) {
            let ready = boot.unwrap_or(Duration::from_secs(ready));
            self.plan(start + ready, Happening::Answered(id.clone(), true));
        }
        if let Some((after, report)) = reported {
            self.plan(start + after, report);
            // As a boot that fails does; an instance that has answered already is in service by then.
            self.plan(start + after, Happening::Answered(id.clone(), false));
        }
        if let Some(after) = behaviour.and_then(|known| known.dies_after) {
            self.plan(
                start + Duration::from_secs(after),
                Happening::Died(id.clone()),
            );
        }
        self.by_id.insert(
            id,
            Machine {
                zone: launch.availability_zone.clone(),
                group: launch.group.clone(),
                behaviour,
                boot,
                since: start,
                dead: false,
            },
        );
        Ok(())
    }

    /// A builder does what its order says, as its source behaves: one of a good image builds that.
    fn launch_builder(&mut self, launch: &Launch, services: &Services, start: Timestamp) {
        let id = launch.id.clone();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut behaviour = None;
        match order(&launch.tags, services) {
            Ok(order) => {
                let known = self.behaviours.get(&order.source.sha256).copied();
                behaviour = known;
                let key = build_report_key(&place_of(&order), &order.build);
                let report = |status, artifact| Report {
                    status,
                    step: Some("build".to_owned()),
                    error: Some("docker cannot build it".to_owned()),
                    output: vec!["simulated".to_owned()],
                    artifact,
                };
                match known {
                    // It hangs, or goes with its instance.
                    Some(known)
                        if known.answers_after.is_none() && known.reports_after.is_none() => {}
                    Some(known) if known.reports_after.is_none() => {
                        let built = Built {
                            key: order.artifact.key.clone(),
                            build: order.build.to_string(),
                            behaviour: known,
                        };
                        let made = Made {
                            key: order.artifact.key,
                            size: None,
                            sha256: None,
                        };
                        let report = report(Reported::Built, Some(made));
                        let uploads = Happening::Uploads(id.clone(), Box::new(built));
                        self.plan(after(BUILDS), uploads);
                        let reports = Happening::Builds(id.clone(), key, Box::new(report));
                        self.plan(after(BUILDS + REPORTS), reports);
                    }
                    _ => {
                        let report = Box::new(report(Reported::Failed, None));
                        self.plan(after(BUILDS), Happening::Builds(id.clone(), key, report));
                    }
                }
            }
            // It could not read its order, or what that pins.
            Err(Some((key, error))) => {
                let report = Report {
                    status: Reported::Failed,
                    step: Some("download".to_owned()),
                    error: Some(error),
                    output: Vec::new(),
                    artifact: None,
                };
                self.plan(
                    after(5),
                    Happening::Builds(id.clone(), key, Box::new(report)),
                );
            }
            Err(None) => {}
        }
        if let Some(dies) = behaviour.and_then(|known| known.dies_after) {
            // Before it has built.
            self.plan(after(dies.min(BUILDS - 5)), Happening::Died(id.clone()));
        }
        self.by_id.insert(
            id,
            Machine {
                zone: launch.availability_zone.clone(),
                group: launch.group.clone(),
                behaviour,
                boot: None,
                since: start,
                dead: false,
            },
        );
    }

    pub fn terminate(&mut self, id: &str) {
        if let Some(machine) = self.by_id.get_mut(id) {
            machine.dead = true;
        }
    }

    pub fn check(&self, check: &Check, now: Timestamp) -> CheckOutcome {
        let machine = self.by_id.get(&check.target);
        match machine.filter(|machine| !machine.dead) {
            Some(Machine {
                behaviour: Some(behaviour),
                since,
                boot,
                ..
            }) => {
                let age = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
                let ill_after = self.boots.as_ref().map(|boots| boots.ill_after);
                behaviour.check(age, *boot, ill_after)
            }
            _ => CheckOutcome::Failed,
        }
    }

    /// Whether an instance is ill by its app's own doing, or dead.
    pub fn is_ill(&self, id: &str) -> bool {
        let Some(machine) = self.by_id.get(id) else {
            return true;
        };
        machine.dead || !machine.behaviour.is_some_and(Behaviour::is_sound)
    }

    /// How the instances of a group behave.
    pub fn behaviour_of(&self, group: &str) -> Option<Behaviour> {
        self.behaviours.get(self.bytes.get(group)?).copied()
    }

    pub fn group_of(&self, id: &str) -> Option<&str> {
        Some(self.by_id.get(id)?.group.as_str())
    }

    /// The instances that run in a group, in a zone of it if one is given.
    pub fn running(&self, group: &str, zone: Option<&str>) -> Vec<String> {
        self.by_id
            .iter()
            .filter(|(_, machine)| !machine.dead && machine.group == group)
            .filter(|(_, machine)| zone.is_none_or(|zone| machine.zone == zone))
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub fn due(&self) -> Option<Timestamp> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that is to have happened by now.
    pub fn next(&mut self, now: Timestamp) -> Option<Happening> {
        loop {
            let entry = self
                .agenda
                .first_entry()
                .filter(|entry| entry.key().0 <= now)?;
            let happening = entry.remove();
            let alive = |id: &String| self.by_id.get(id).is_some_and(|machine| !machine.dead);
            match &happening {
                Happening::Died(id) if alive(id) => {
                    self.terminate(id);
                    return Some(happening);
                }
                Happening::Died(_) => {}
                Happening::Reported(_, report) if !alive(&report.instance_id) => {}
                Happening::Answered(id, _) if !alive(id) => {}
                Happening::Uploads(id, _) | Happening::Builds(id, ..) if !alive(id) => {}
                _ => return Some(happening),
            }
        }
    }

    fn plan(&mut self, at: Timestamp, what: Happening) {
        self.count += 1;
        self.agenda.insert((at, self.count), what);
    }
}

/// What an instance finds when it boots: the manifest of what it runs. It runs nothing that is not signed for its tags.
fn boot(
    tags: &BTreeMap<String, String>,
    services: &Services,
) -> Result<Manifest, (&'static str, String)> {
    let manifest = manifest(tags, services).map_err(|problem| ("verify", problem))?;
    let pinned = [Some(&manifest.artifact), manifest.config.as_ref()];
    for pinned in pinned.into_iter().flatten() {
        fetch(pinned, services).map_err(|problem| ("download", problem))?;
    }
    Ok(manifest)
}

fn manifest(tags: &BTreeMap<String, String>, services: &Services) -> Result<Manifest, String> {
    let (place, release) = identity(tags).ok_or("the instance has no tags of a release")?;
    let key = manifest_key(&place, release);
    let manifest: Manifest = read_signed(&key, tags, services)?;
    manifest
        .check_is_of(&place, release)
        .map_err(|problem| format!("{key} {problem}"))?;
    Ok(manifest)
}

/// Reads what the pipeline has written to the ledger, if it is signed with the key that the tags name.
fn read_signed<T: DeserializeOwned>(
    key: &str,
    tags: &BTreeMap<String, String>,
    services: &Services,
) -> Result<T, String> {
    let content = services.s3.newest(LEDGER, key);
    let content = content.ok_or(format!("there is no {key}"))?;
    let signing_key = tags
        .get(TAG_SIGNING_KEY)
        .ok_or("the instance has no tag of a signing key")?;
    let signature = content.metadata.get(SIGNATURE);
    let digest = Sha256::digest(&content.body);
    if !signature.is_some_and(|signature| services.kms.has_signed(signing_key, &digest, signature))
    {
        return Err(format!("{key} is not signed by the pipeline"));
    }
    serde_json::from_slice(&content.body).map_err(|error| format!("{key}: {error}"))
}

/// Downloads what is pinned.
fn fetch(pinned: &Pinned, services: &Services) -> Result<(), String> {
    if !services.key_is_enabled() {
        return Err(format!(
            "the key that {} is encrypted with is disabled",
            pinned.key
        ));
    }
    let versions = services.s3.versions(ARTIFACTS, &pinned.key);
    let version = versions
        .iter()
        .find(|version| version.id == pinned.version_id);
    let content = version
        .and_then(|version| version.content.as_ref())
        .ok_or_else(|| format!("{} is gone", pinned.key))?;
    if hex(&Sha256::digest(&content.body)) != pinned.sha256 {
        return Err(format!(
            "{} has another digest than its manifest says",
            pinned.key
        ));
    }
    Ok(())
}

/// What a builder is to build, with the source at hand; else what it reports, if it knows where.
fn order(
    tags: &BTreeMap<String, String>,
    services: &Services,
) -> Result<Order, Option<(String, String)>> {
    let identity = || {
        let place = Place::new(tags.get(TAG_APP)?, tags.get(TAG_ENVIRONMENT)?).ok()?;
        Some((place, BuildId::try_from(tags.get(TAG_BUILD)?.clone()).ok()?))
    };
    let (place, build) = identity().ok_or(None)?;
    let failed = |error: String| Some((build_report_key(&place, &build), error));
    let key = order_key(&place, &build);
    let order: Order = read_signed(&key, tags, services).map_err(failed)?;
    fetch(&order.source, services).map_err(failed)?;
    Ok(order)
}

fn place_of(order: &Order) -> Place {
    Place {
        app: order.app.clone(),
        environment: order.environment.clone(),
    }
}

fn identity(tags: &BTreeMap<String, String>) -> Option<(Place, ReleaseNumber)> {
    let place = Place::new(tags.get(TAG_APP)?, tags.get(TAG_ENVIRONMENT)?).ok()?;
    Some((place, tags.get(TAG_RELEASE)?.parse().ok()?))
}

fn report_key(tags: &BTreeMap<String, String>, id: &str) -> Option<String> {
    let (place, release) = identity(tags)?;
    Some(format!("{}{id}.json", boot_prefix(&place, release)))
}
