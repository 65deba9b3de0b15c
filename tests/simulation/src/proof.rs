//! Runs schedules on all processors, and looks into what they led to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};

use crate::explore::Points;
use crate::fault::{Action, Fault, Point, Schedule};
use crate::invariants::{essence, surprise, violations};
use crate::kit::{Kit, machines};
use crate::run::{Outcome, report, run};
use crate::scenario::{Scenario, empty_estate};
use crate::world::{Estate, Violation};

/// What a schedule without a fault comes to, and where one begins.
pub struct Ground {
    scenario: &'static Scenario,
    estate: Estate,
    opening: Vec<Fault>,
    pub points: Points,
    essence: String,
}

/// A schedule that something is wrong with.
#[derive(Clone, Debug)]
pub struct Failing {
    pub schedule: Schedule,
    pub violations: Vec<Violation>,
}

/// One schedule, looked into.
pub struct Examined {
    pub outcome: Outcome,
    pub violations: Vec<Violation>,
}

/// A thread's own virtual time, and its own functions.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    kit: RefCell<Rc<Kit>>,
}

impl Bench {
    pub fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let kit = runtime.block_on(Kit::new(Arc::new(machines()?)))?;
        let kit = RefCell::new(Rc::new(kit));
        Ok(Self { runtime, kit })
    }

    /// Prepares a scenario: deploys what goes before, and runs it once without a fault.
    pub fn ground(&self, scenario: &'static Scenario) -> anyhow::Result<Ground> {
        let without_faults = |seed| Schedule {
            scenario: scenario.name.to_owned(),
            seed,
            faults: Vec::new(),
        };
        let mut estate = empty_estate();
        for what in scenario.before() {
            let at = Point::After(Duration::ZERO);
            let outcome = self.run(estate, &[Fault { what, at }], &without_faults(1), false);
            estate = outcome.estate;
        }
        let opening: Result<Vec<Fault>, _> =
            scenario.opening.iter().map(|text| text.parse()).collect();
        let opening = opening.with_context(|| format!("scenario {}", scenario.name))?;
        let schedule = without_faults(1);
        let outcome = self.run(estate.clone(), &opening, &schedule, false);
        let wrong = violations(&estate, &outcome, &schedule);
        if let Some(wrong) = wrong.first() {
            return Err(anyhow!(
                "{} without a fault violates {}: {}",
                scenario.name,
                wrong.invariant,
                wrong.what
            ));
        }
        if let Some(surprise) = surprise(&estate, &outcome, scenario) {
            return Err(anyhow!("{} without a fault: {surprise}", scenario.name));
        }
        Ok(Ground {
            scenario,
            essence: essence(&estate, &outcome),
            points: Points::of(&outcome.seen.calls, &outcome.seen.entries, outcome.took),
            estate,
            opening,
        })
    }

    /// Runs a schedule on its ground. `tells`: with a timeline.
    pub fn examine(&self, ground: &Ground, schedule: &Schedule, tells: bool) -> Examined {
        let outcome = self.run(ground.estate.clone(), &ground.opening, schedule, tells);
        let mut violations = violations(&ground.estate, &outcome, schedule);
        if ends_the_same(ground, schedule) {
            let essence = essence(&ground.estate, &outcome);
            if essence != ground.essence {
                violations.push(Violation {
                    invariant: "I10",
                    what: format!("without the fault: {}; with it: {essence}", ground.essence),
                });
            }
        }
        Examined {
            outcome,
            violations,
        }
    }

    /// Has everything reported that an outcome tells of; the schedule must have run with a timeline.
    pub fn report(&self, outcome: &Outcome) -> anyhow::Result<Outcome> {
        let kit = Rc::clone(&self.kit.borrow());
        let estate = outcome.estate.clone();
        Ok(self.runtime.block_on(report(&kit, estate)))
    }

    fn run(&self, estate: Estate, opening: &[Fault], schedule: &Schedule, tells: bool) -> Outcome {
        let kit = Rc::clone(&self.kit.borrow());
        let run = run(&kit, estate, opening, schedule, tells);
        let outcome = self.runtime.block_on(run);
        // What one schedule took of the SDK's retry quota, the next must not miss.
        if outcome.seen.tried_again
            && let Ok(fresh) = self.runtime.block_on(Kit::new(Arc::clone(&kit.machines)))
        {
            self.kit.replace(Rc::new(fresh));
        }
        outcome
    }

    /// The smallest schedule that violates the same invariant: without what is not needed.
    pub fn shrink(&self, ground: &Ground, failing: &Failing) -> Failing {
        let mut smallest = failing.clone();
        let Some(invariant) = failing.violations.first().map(|first| first.invariant) else {
            return smallest;
        };
        let mut index = 0;
        while index < smallest.schedule.faults.len() {
            let mut schedule = smallest.schedule.clone();
            schedule.faults.remove(index);
            let violations = self.examine(ground, &schedule, false).violations;
            if violations.iter().any(|found| found.invariant == invariant) {
                smallest = Failing {
                    schedule,
                    violations,
                };
            } else {
                index += 1;
            }
        }
        smallest
    }
}

/// Whether a schedule's faults are of the kind after which everything ends as without them: a step that is run again,
/// in a scenario whose course does not depend on what is quicker.
fn ends_the_same(ground: &Ground, schedule: &Schedule) -> bool {
    let is_timed = [
        "supersede",
        "rollback-in-bake",
        "settings-first",
        "renewal",
        "renewal-gives-way",
        "renewal-in-a-deploy",
        "remove-in-a-deploy",
        "superseded-unapproved",
        "singleton-supersedes",
        "returned-to-in-time",
        "returned-to-in-the-morning",
    ]
    .contains(&ground.scenario.name);
    let is_harmless = |fault: &Fault| {
        matches!(
            fault.what,
            Action::KillBefore
                | Action::KillAfter
                | Action::Hang
                | Action::Throttle
                | Action::ServerError
                | Action::Reset
                | Action::Lose
                | Action::Conflict
        )
    };
    !is_timed && schedule.faults.len() <= 2 && schedule.faults.iter().all(is_harmless)
}

/// The grounds of all scenarios that are asked for.
pub fn grounds<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<BTreeMap<String, Ground>> {
    let bench = Bench::new()?;
    let mut grounds = BTreeMap::new();
    for name in names {
        let scenario = Scenario::named(name).with_context(|| {
            format!("there is no scenario {name}; tests/simulation/src/scenario.rs lists them")
        })?;
        grounds.insert(name.to_owned(), bench.ground(scenario)?);
    }
    Ok(grounds)
}

/// What came of many schedules.
pub struct Proof {
    pub ran: usize,
    /// Schedules of which at least one fault happened.
    pub struck: usize,
    pub failing: Vec<Failing>,
}

/// Runs schedules on all processors, and stops after so many that fail. `progress` is told of each: how many there have
/// been, and what is wrong with it.
pub fn prove(
    grounds: &BTreeMap<String, Ground>,
    schedules: &(dyn Fn(usize) -> Schedule + Sync),
    count: usize,
    most_failing: usize,
    progress: &(dyn Fn(usize, Option<&Failing>) + Sync),
) -> anyhow::Result<Proof> {
    let next = AtomicUsize::new(0);
    let struck = AtomicUsize::new(0);
    let ran = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    let failing = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<()> {
        let bench = Bench::new()?;
        while !enough.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let schedule = schedules(index);
            let ground = grounds
                .get(&schedule.scenario)
                .with_context(|| format!("there is no scenario {}", schedule.scenario))?;
            let Examined {
                outcome,
                violations,
            } = bench.examine(ground, &schedule, false);
            if outcome.seen.suffered > ground.opening.len() {
                struck.fetch_add(1, Ordering::Relaxed);
            }
            let found = (!violations.is_empty()).then_some(Failing {
                schedule,
                violations,
            });
            progress(ran.fetch_add(1, Ordering::Relaxed) + 1, found.as_ref());
            if let Some(found) = found {
                let mut failing = failing.lock().unwrap_or_else(PoisonError::into_inner);
                failing.push(found);
                enough.fetch_or(failing.len() >= most_failing, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    Ok(Proof {
        ran: ran.into_inner(),
        struck: struck.into_inner(),
        failing: failing.into_inner().unwrap_or_else(PoisonError::into_inner),
    })
}
