//! Deploys in the simulation, one after the other, at a steady pace.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use exuvia_cloud::model::Settings;
use exuvia_core::target::{Strategy, Target};
use exuvia_simulation::fault::{Fault, Schedule};
use exuvia_simulation::kit::{Kit, Machines, machines};
use exuvia_simulation::machines::Boots;
use exuvia_simulation::measure::{Measure, Pace, Throttle};
use exuvia_simulation::run::{self, Outcome};
use exuvia_simulation::scenario::{PLACE, estate_with};
use exuvia_simulation::world::{Estate, World};

/// What everything is measured with. A call to AWS from a function takes some tens of milliseconds, and so does Step
/// Functions from state to state; a function that runs already begins in about 10 ms and one that does not in 100 to 200,
/// so that 50 is between; S3 tells of an upload "typically within seconds", and `EventBridge` takes about half a one:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>.
pub const PACE: Pace = Pace {
    call: Duration::from_millis(50),
    transition: Duration::from_millis(30),
    start: Duration::from_millis(50),
    event: Duration::from_millis(500),
};

/// From the launch of an instance until it runs. What the load balancer checks of it, it checks from then on every ten
/// seconds, so that no two deploys see their instances healthy at the same moments.
pub const START: (Duration, Duration) = (Duration::from_secs(8), Duration::from_secs(18));

/// How much longer or shorter than the others of its app an instance boots, in percent.
pub const JITTER: u32 = 5;

/// What an app's stack says, and its image.
#[derive(Clone, Debug)]
pub struct App {
    pub instances: u32,
    pub boot: Duration,
    pub strategy: Strategy,
    pub alarms: Vec<String>,
}

impl App {
    /// An app that boots in so many seconds; its traffic moves all at once, and bakes as `BakeSeconds` of
    /// `infra/app.yaml` has it.
    pub fn booting(seconds: u32) -> Self {
        Self {
            instances: 3,
            boot: Duration::from_secs(seconds.into()),
            strategy: Strategy::AllAtOnce { bake_seconds: 60 },
            alarms: Vec::new(),
        }
    }

    /// A target with this app's values; the rest as `infra/app.yaml` has it.
    pub fn put_into(&self, target: &mut Target) {
        target.capacity.initial = self.instances;
        target.capacity.max = target.capacity.max.max(self.instances);
        target.timeouts.boot_seconds = 600;
        target.timeouts.drain_seconds = 300;
        target.strategy = self.strategy.clone();
        target.alarms.clone_from(&self.alarms);
    }
}

/// A runtime in virtual time, and the functions.
pub struct Lab {
    runtime: tokio::runtime::Runtime,
    machines: Arc<Machines>,
    kit: RefCell<Rc<Kit>>,
    processes: usize,
}

impl Lab {
    pub fn new() -> anyhow::Result<Self> {
        Self::of_processes(1)
    }

    /// With so many processes for the functions, each with a retry quota of its own.
    pub fn of_processes(processes: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let machines = Arc::new(machines()?);
        let kit = runtime.block_on(Kit::of_processes(Arc::clone(&machines), processes))?;
        Ok(Self {
            runtime,
            machines,
            kit: RefCell::new(Rc::new(kit)),
            processes,
        })
    }

    /// Runs what happens, written as in a schedule (`upload:good@0s`), until nothing happens any more.
    pub fn run(
        &self,
        estate: Estate,
        seed: u64,
        tells: bool,
        events: &[&str],
    ) -> anyhow::Result<Outcome> {
        let faults: Result<Vec<Fault>, _> = events.iter().map(|event| event.parse()).collect();
        let schedule = Schedule {
            scenario: String::new(),
            seed,
            faults: faults.map_err(|error| anyhow!("{events:?}: {error}"))?,
        };
        let kit = Rc::clone(&self.kit.borrow());
        let running = run::run(&kit, estate, &[], &schedule, tells);
        let outcome = self.runtime.block_on(running);
        self.renew(&outcome)?;
        Ok(outcome)
    }

    /// Runs what is under way in a world.
    pub fn run_in(&self, world: Arc<World>) -> anyhow::Result<Outcome> {
        let kit = Rc::clone(&self.kit.borrow());
        let outcome = self.runtime.block_on(run::run_in(&kit, world));
        self.renew(&outcome)?;
        Ok(outcome)
    }

    /// In this runtime's time.
    pub fn world(&self, estate: Estate, seed: u64) -> Arc<World> {
        let schedule = Schedule {
            scenario: String::new(),
            seed,
            faults: Vec::new(),
        };
        fastrand::seed(seed);
        let _inside = self.runtime.enter();
        Arc::new(World::new(estate, &schedule, false))
    }

    /// Has everything reported that an outcome tells of; it must have run with a timeline.
    pub fn report(&self, estate: Estate) -> Outcome {
        let kit = Rc::clone(&self.kit.borrow());
        self.runtime.block_on(run::report(&kit, estate))
    }

    /// What one run took of the SDK's retry quota, the next must not miss.
    fn renew(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if outcome.seen.tried_again {
            let kit = Kit::of_processes(Arc::clone(&self.machines), self.processes);
            let fresh = self.runtime.block_on(kit)?;
            self.kit.replace(Rc::new(fresh));
        }
        Ok(())
    }
}

/// An account with room for all that is measured.
pub fn account() -> Settings {
    let mut settings = Settings::default();
    settings.quotas.instances = 10_000;
    settings.quotas.groups = 2_000;
    settings
}

/// An account with one app, nothing of which was deployed yet.
pub fn estate(app: &App, seed: u64) -> anyhow::Result<Estate> {
    let mut estate = estate_with(account());
    estate.measure = Some(Measure {
        pace: PACE,
        throttle: Throttle::default(),
        is_watched: true,
    });
    boot(&mut estate, app.boot, JITTER, seed);
    retarget(&mut estate, PLACE, |target| app.put_into(target))?;
    Ok(estate)
}

/// From now on instances boot in about that time.
pub fn boot(estate: &mut Estate, usual: Duration, percent: u32, seed: u64) {
    estate.machines.boots = Some(Boots {
        start: START,
        usual,
        percent,
        ill_after: Duration::from_mins(1),
        random: fastrand::Rng::with_seed(seed),
    });
}

/// Updates an app's stack.
pub fn retarget(
    estate: &mut Estate,
    place: &str,
    change: impl FnOnce(&mut Target),
) -> anyhow::Result<()> {
    let name = format!("/exuvia/{place}");
    let ssm = &mut estate.services.ssm;
    let text = ssm
        .get(&name)
        .with_context(|| format!("there is no {name}"))?;
    let mut target: Target = serde_json::from_str(text).with_context(|| name.clone())?;
    change(&mut target);
    ssm.put(&name, serde_json::to_string(&target)?, estate.now);
    Ok(())
}

/// Deploys a version that works, so many times.
pub fn with_releases(
    lab: &Lab,
    mut estate: Estate,
    seed: u64,
    count: usize,
) -> anyhow::Result<Estate> {
    for number in 0..count {
        let outcome = lab.run(estate, seed + number as u64, false, &["upload:good@0s"])?;
        expect(&outcome, "SUCCEEDED")?;
        estate = outcome.estate;
    }
    Ok(estate)
}

/// That the newest execution ended so.
pub fn expect(outcome: &Outcome, status: &str) -> anyhow::Result<()> {
    let newest = outcome.estate.executions.last();
    let newest = newest.context("nothing was executed")?;
    ensure!(
        newest.status == status,
        "{} ended as {} after {:?}: {:?}",
        newest.name,
        newest.status,
        newest.path.last(),
        newest.failure
    );
    Ok(())
}

/// Seconds from one moment to another.
pub fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
