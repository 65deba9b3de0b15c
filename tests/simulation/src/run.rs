//! Runs one schedule to its end, when nothing happens any more.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::approvals;
use crate::executions;
use crate::fault::{Fault, Schedule};
use crate::kit::Kit;
use crate::watch::Watch;
use crate::world::{Deed, Estate, Seen, World};

/// After so long an execution that still runs has no end: waiting for a lock alone may take four hours.
const LONGEST: Duration = Duration::from_hours(8);

/// How long groups may take to be as large as they should, once no execution runs.
const SETTLING: Duration = Duration::from_mins(30);

/// What a schedule led to.
pub struct Outcome {
    pub estate: Estate,
    pub seen: Seen,
    pub watch: Watch,
    pub took: Duration,
}

/// Runs what opens a scenario and what goes wrong in it, on a copy of an estate.
pub async fn run(
    kit: &Rc<Kit>,
    estate: Estate,
    opening: &[Fault],
    schedule: &Schedule,
    tells: bool,
) -> Outcome {
    // The SDK's and our own randomness: the same line takes the same course.
    fastrand::seed(schedule.seed);
    let mut all = schedule.clone();
    all.faults.splice(0..0, opening.iter().cloned());
    run_in(kit, Arc::new(World::new(estate, &all, tells))).await
}

/// Runs what is to happen in a world, and what follows from it.
pub async fn run_in(kit: &Rc<Kit>, world: Arc<World>) -> Outcome {
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            spawn_local(drive(Rc::clone(kit), Arc::clone(&world)));
            loop {
                sleep(Duration::from_secs(5)).await;
                if world.is_quiet() {
                    break;
                }
                if world.elapsed() > LONGEST {
                    let mut state = world.state();
                    let running = state
                        .estate
                        .executions
                        .iter()
                        .filter(|one| one.is_running());
                    let who: Vec<String> = running.map(|one| one.who.clone()).collect();
                    state.violated("I8", format!("{} still run", who.join(", ")));
                    break;
                }
            }
            let ended = Instant::now();
            while !is_settled(&world) && ended.elapsed() < SETTLING {
                sleep(Duration::from_secs(15)).await;
            }
        })
        .await;
    let took = world.elapsed();
    drop(tasks);
    let (estate, seen, watch) = world.end();
    Outcome {
        estate,
        seen,
        watch,
        took,
    }
}

/// Has what an estate tells of its executions reported.
pub async fn report(kit: &Rc<Kit>, estate: Estate) -> Outcome {
    fastrand::seed(1);
    let nothing = Schedule {
        scenario: String::new(),
        seed: 1,
        faults: Vec::new(),
    };
    let began = Instant::now();
    let world = Arc::new(World::new(estate, &nothing, true));
    let tasks = LocalSet::new();
    let reported = executions::report(Rc::clone(kit), Arc::clone(&world));
    tasks.run_until(reported).await;
    drop(tasks);
    let (estate, seen, watch) = world.end();
    Outcome {
        estate,
        seen,
        watch,
        took: began.elapsed(),
    }
}

/// Whether every group is what it should be.
fn is_settled(world: &World) -> bool {
    let survey = world.state().estate.cloud.survey();
    survey.groups.iter().all(|group| {
        let healthy = |id: &String| {
            let mut targets = survey.target_groups.iter().flat_map(|group| &group.targets);
            targets.any(|(target, state)| target == id && state == "healthy")
        };
        let serving = group
            .instances
            .iter()
            .filter(|(id, state)| *state == "InService" && healthy(id));
        !group.is_deleting
            && usize::try_from(group.desired) == Ok(serving.count())
            && usize::try_from(group.desired) == Ok(group.instances.len())
    })
}

/// Does what is due when it is due, and what others ask to be done.
async fn drive(kit: Rc<Kit>, world: Arc<World>) {
    loop {
        let (deeds, due) = world.turn();
        if !deeds.is_empty() {
            for deed in deeds {
                perform(&kit, &world, deed);
            }
            continue;
        }
        match due {
            Some(due) => {
                tokio::select! {
                    () = sleep_until(world.instant(due)) => {}
                    () = world.changed.notified() => {}
                }
            }
            None => world.changed.notified().await,
        }
    }
}

fn perform(kit: &Rc<Kit>, world: &Arc<World>, deed: Deed) {
    let (kit, its_world) = (Rc::clone(kit), Arc::clone(world));
    match deed {
        Deed::Run(index) => {
            let task = spawn_local(executions::run(kit, its_world, index));
            world.state().running.insert(index, task.abort_handle());
        }
        Deed::DeliverUpload(upload) => {
            spawn_local(executions::deliver_upload(kit, its_world, upload));
        }
        Deed::DeliverStatus(index) => {
            spawn_local(executions::deliver_status(kit, its_world, index));
        }
        Deed::Answer(token, habit) => {
            spawn_local(approvals::answer(its_world, token, habit));
        }
        Deed::Suffer(action) => world.state().suffer(action),
    }
}
