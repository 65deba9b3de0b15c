//! Which schedules are run: every single fault at every point of a scenario, every pair of a kill and another fault,
//! and as many random ones as are asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fault::{AT_CALLS, Action, Fault, Point, Schedule, Visit};
use crate::machines::BEHAVIOURS;
use crate::world::CallMade;

/// The points of a scenario at which something may go wrong: what a run without a fault passes.
///
/// A state that is polled is the same at each visit in which it makes the same calls as at the visit before: of such a
/// row the first and the last stand for all.
pub struct Points {
    pub calls: Vec<CallMade>,
    pub entries: Vec<Visit>,
    pub lasts: Duration,
}

impl Points {
    pub fn of(calls: &[CallMade], entries: &[Visit], lasts: Duration) -> Self {
        let operations = |visit: &Visit| -> Vec<&str> {
            let of_visit = calls.iter().filter(|call| call.visit == *visit);
            of_visit.map(|call| call.operation.as_str()).collect()
        };
        let neighbour = |visit: &Visit, number: u32| Visit {
            number,
            ..visit.clone()
        };
        let stands_for_itself = |visit: &Visit| {
            let same = |number: u32| {
                let other = operations(&neighbour(visit, number));
                !other.is_empty() && other == operations(visit)
            };
            visit.number == 1 || !same(visit.number - 1) || !same(visit.number + 1)
        };
        let visits: BTreeSet<Visit> = calls
            .iter()
            .map(|call| call.visit.clone())
            .filter(stands_for_itself)
            .collect();
        let last = |visit: &Visit| !entries.contains(&neighbour(visit, visit.number + 1));
        let kept = |visit: &&Visit| visit.number <= 1 || visits.contains(visit) || last(visit);
        Self {
            entries: entries.iter().filter(kept).cloned().collect(),
            calls: calls
                .iter()
                .filter(|call| visits.contains(&call.visit))
                .cloned()
                .collect(),
            lasts,
        }
    }
}

/// What may happen to the world at the entry of a state.
fn at_entries() -> Vec<Action> {
    let time = Duration::from_secs;
    let mut all = vec![
        Action::Stop,
        Action::Start("live".to_owned()),
        Action::Start("1".to_owned()),
        Action::Renew(0),
        Action::Remove,
        Action::Strategy("canary".to_owned()),
        Action::RepeatEvent,
        Action::KillInstances(1),
        Action::KillNewInstances(1),
        Action::KillZone("us-east-1a".to_owned()),
        Action::NoCapacity,
        Action::Scale(1),
        Action::Scale(-1),
        Action::ScheduleScaleIn(time(15)),
        Action::DeleteLiveGroup,
        Action::Overwrite,
        Action::DeleteArtifact,
        Action::DeleteConfig,
        Action::Config("LEVEL=debug".to_owned()),
        Action::DisableKey(time(60)),
        Action::TopicFails(time(60)),
        Action::Lag(time(45)),
    ];
    for behaviour in ["good", "broken", "slow", "sick-later", "not-an-image"] {
        all.push(Action::Upload(behaviour.to_owned()));
    }
    all.push(Action::Source("good".to_owned()));
    for service in [
        "s3",
        "autoscaling",
        "elasticloadbalancing",
        "states",
        "sns",
        "monitoring",
    ] {
        all.push(Action::Outage(service.to_owned(), time(20)));
    }
    all
}

/// What an execution suffers that is stopped and then is not left alone.
fn after_a_stop(visit: &Visit) -> Vec<Vec<Fault>> {
    let stop = Fault {
        what: Action::Stop,
        at: Point::Entry(visit.clone()),
    };
    let who = &visit.who;
    let at = |what: Action, state: &str| Fault {
        what,
        at: Point::Entry(Visit {
            who: "r1".to_owned(),
            state: state.to_owned(),
            number: 1,
        }),
    };
    let later = |what: Action, seconds: u64| Fault {
        what,
        at: Point::After(Duration::from_secs(seconds)),
    };
    let redrive = || Action::Redrive(who.clone());
    let upload = || Action::Upload("good".to_owned());
    vec![
        vec![stop.clone(), later(redrive(), 400)],
        vec![stop.clone(), at(redrive(), "Roll Back")],
        vec![stop.clone(), at(redrive(), "Retire New")],
        vec![stop.clone(), later(upload(), 300), later(redrive(), 600)],
        vec![stop.clone(), later(upload(), 300), later(redrive(), 330)],
        vec![stop.clone(), at(upload(), "Validate")],
        vec![stop.clone(), at(upload(), "Roll Back")],
        vec![stop.clone(), at(Action::Stop, "Acquire Lock")],
        vec![stop.clone(), at(Action::Stop, "Roll Back")],
        vec![stop.clone(), at(Action::Stop, "Retire New")],
        vec![stop.clone(), later(Action::RepeatStatusEvent, 200)],
        vec![later(Action::Lag(Duration::from_secs(45)), 0), stop.clone()],
        vec![
            later(Action::LoseStatusEvent, 0),
            stop,
            later(upload(), 300),
        ],
    ]
}

/// A call that waits, while its execution is stopped or another deploy comes: what it then writes comes late.
fn late_writes(call: &CallMade) -> Vec<Vec<Fault>> {
    if is_read(call) || call.visit.who == call.visit.state {
        return Vec::new();
    }
    let at = Point::Call {
        visit: call.visit.clone(),
        call: call.call,
    };
    let here = |what: Action| Fault {
        what,
        at: at.clone(),
    };
    let pause = || here(Action::Pause(Duration::from_secs(6)));
    let at_entry = Fault {
        what: Action::Upload("good".to_owned()),
        at: Point::Entry(call.visit.clone()),
    };
    vec![
        vec![pause(), here(Action::Stop)],
        vec![pause(), here(Action::Upload("good".to_owned()))],
        vec![at_entry, pause()],
    ]
}

fn faults_of(call: &CallMade) -> impl Iterator<Item = Fault> {
    let suits = |what: &Action| *what != Action::Conflict || call.is_conditional_write;
    let at = Point::Call {
        visit: call.visit.clone(),
        call: call.call,
    };
    AT_CALLS
        .into_iter()
        .filter(suits)
        .chain([Action::Stop])
        // What an event has started is no execution that could be stopped.
        .filter(|what| *what != Action::Stop || call.visit.who != call.visit.state)
        .map(move |what| Fault {
            what,
            at: at.clone(),
        })
}

/// Every single fault at every point.
pub fn singles(scenario: &str, points: &Points) -> Vec<Schedule> {
    let of_calls = points
        .calls
        .iter()
        .flat_map(faults_of)
        .map(|fault| vec![fault]);
    let of_entries = points.entries.iter().flat_map(|visit| {
        // Once a fleet is to be shed, somebody may find that it is the better one.
        let is_shed = visit.state.starts_with("Retire") && visit.number <= 2;
        let more = is_shed.then_some(Action::PointBack);
        let alone = at_entries().into_iter().chain(more).map(|what| {
            vec![Fault {
                what,
                at: Point::Entry(visit.clone()),
            }]
        });
        alone.chain(after_a_stop(visit))
    });
    let late = points.calls.iter().flat_map(late_writes);
    of_calls
        .chain(late)
        .chain(of_entries)
        .map(|faults| schedule_of(scenario, faults))
        .collect()
}

/// Operations that change nothing.
fn is_read(call: &CallMade) -> bool {
    ["Get", "Head", "List", "Describe"]
        .iter()
        .any(|verb| call.operation.starts_with(verb))
}

/// The faults of a call that leave the world as no fault of a call beside it does.
///
/// A function that dies before its third call leaves what one leaves that dies after its second, and after a call that
/// only reads what one leaves that dies before it. So it dies, hangs or goes on in a stopped execution before its first
/// call, or after one that has changed something; a lost answer to a read is a connection that broke.
fn distinct_faults_of(call: &CallMade) -> impl Iterator<Item = Fault> {
    let (first, read) = (call.call == 1, is_read(call));
    faults_of(call).filter(move |fault| match fault.what {
        Action::KillBefore | Action::Stop => first,
        Action::KillAfter | Action::Hang | Action::Lose => !read,
        // The SDK's own retry hides these from the step.
        Action::Throttle | Action::ServerError | Action::Reset | Action::Pause(_) => false,
        _ => true,
    })
}

/// Every pair of a kill and another fault, without those that come to the same (see [`distinct_faults_of`]).
pub fn pairs(scenario: &str, points: &Points) -> Vec<Schedule> {
    let of_calls: Vec<Fault> = points.calls.iter().flat_map(distinct_faults_of).collect();
    let of_entries = points.entries.iter().flat_map(|visit| {
        let what = [
            Action::Stop,
            Action::Upload("good".to_owned()),
            Action::KillInstances(1),
            Action::Scale(1),
        ];
        what.into_iter().map(|what| Fault {
            what,
            at: Point::Entry(visit.clone()),
        })
    });
    let kills = of_calls
        .iter()
        .filter(|fault| matches!(fault.what, Action::KillBefore | Action::KillAfter));
    let others: Vec<Fault> = of_calls.iter().cloned().chain(of_entries).collect();
    kills
        .flat_map(|kill| {
            let others = others.iter().filter(move |other| *other != kill);
            others.map(move |other| schedule_of(scenario, vec![kill.clone(), other.clone()]))
        })
        .collect()
}

/// A recovery is cut off as well: every kill, hang and stop of what puts a stopped execution in order. `calls` and
/// `entries` are those of a run with that stop.
pub fn of_recovery(stopped: &Schedule, calls: &[CallMade], entries: &[Visit]) -> Vec<Schedule> {
    let is_its = |visit: &Visit| visit.who == "r1";
    let calls: Vec<CallMade> = calls
        .iter()
        .filter(|call| is_its(&call.visit))
        .cloned()
        .collect();
    let entries: Vec<Visit> = entries
        .iter()
        .filter(|visit| is_its(visit))
        .cloned()
        .collect();
    let points = Points::of(&calls, &entries, Duration::ZERO);
    let of_calls = points.calls.iter().flat_map(distinct_faults_of);
    let of_entries = points.entries.iter().flat_map(|visit| {
        [Action::Stop, Action::Upload("good".to_owned())].map(|what| Fault {
            what,
            at: Point::Entry(visit.clone()),
        })
    });
    of_calls
        .chain(of_entries)
        .map(|fault| {
            let faults = stopped.faults.iter().cloned().chain([fault]).collect();
            schedule_of(&stopped.scenario, faults)
        })
        .collect()
}

/// A scenario's execution stopped at the entry of each of its states.
pub fn stops(scenario: &str, points: &Points) -> Vec<Schedule> {
    let stop = |visit: &Visit| Fault {
        what: Action::Stop,
        at: Point::Entry(visit.clone()),
    };
    points
        .entries
        .iter()
        .map(|visit| schedule_of(scenario, vec![stop(visit)]))
        .collect()
}

fn schedule_of(scenario: &str, faults: Vec<Fault>) -> Schedule {
    Schedule {
        scenario: scenario.to_owned(),
        seed: 1,
        faults,
    }
}

/// A random schedule: several faults, and other deploys meanwhile.
pub fn random(scenario: &str, points: &Points, seed: u64) -> Schedule {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.usize(1..=5);
    let lasts = points.lasts.as_secs();
    let world = at_entries();
    let faults = (0..count)
        .map(|_| {
            if random.bool() && !points.calls.is_empty() {
                let call = &points.calls[random.usize(..points.calls.len())];
                let mut all: Vec<Fault> = faults_of(call).collect();
                let mut fault = all.swap_remove(random.usize(..all.len()));
                // As well of another execution, and of a later try.
                if let Point::Call { visit, call } = &mut fault.at
                    && visit.who != visit.state
                {
                    visit.who = other(&mut random, &visit.who);
                    visit.number += random.u32(0..2);
                    *call += random.u32(0..2);
                }
                return fault;
            }
            let what = match random.u32(..10) {
                0 => Action::StopOther(other(&mut random, "d1")),
                1 => Action::Redrive(other(&mut random, "d1")),
                2 => Action::RepeatStatusEvent,
                3 => Action::DelayEvent(Duration::from_secs(random.u64(5..200))),
                4 => {
                    let any = BEHAVIOURS[random.usize(..BEHAVIOURS.len())];
                    Action::Upload(any.name.to_owned())
                }
                _ => world[random.usize(..world.len())].clone(),
            };
            let is_stop = what == Action::Stop;
            let at = if is_stop || random.bool() {
                let mut visit = points.entries[random.usize(..points.entries.len())].clone();
                visit.who = other(&mut random, &visit.who);
                Point::Entry(visit)
            } else {
                Point::After(Duration::from_millis(random.u64(..lasts * 2_000)))
            };
            Fault { what, at }
        })
        .collect();
    Schedule {
        scenario: scenario.to_owned(),
        seed,
        faults,
    }
}

/// Mostly the same execution.
fn other(random: &mut fastrand::Rng, who: &str) -> String {
    let all = ["d1", "d1", "d2", "d3", "r1", "r1", "r2"];
    if random.u32(..3) > 0 {
        who.to_owned()
    } else {
        all[random.usize(..all.len())].to_owned()
    }
}
