//! This part of docs/performance.md.

mod plot;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use exuvia_core::compare::grouped;

use super::sockets::Event;
use super::{Found, Life, Lost, Manner, Many, Overhead, Phase, Scenario};
use crate::page::{Plot, Section};
use crate::spread::Spread;

/// Of the overhead's median, in seconds.
const OVERHEAD_GOAL: f64 = 3.0;

pub fn section(found: &Found) -> Section {
    let mut text = String::from("## In real time, with traffic\n\n");
    text += &setting(found);
    text += &goals(found);
    let mut plots = Vec::new();
    if !found.lost.is_empty() {
        text += &lost(&found.lost);
    }
    let at_once = found
        .lost
        .iter()
        .find(|lost| lost.scenario == Scenario::AllAtOnce);
    if let Some(svg) = at_once.and_then(plot::latency) {
        let name = "load-latency";
        let alt = "The time of an answer from before a deploy until after it: the median and the 99th percentile of every \
                   slice of five seconds, with the moments of the upload, the shift, the commit and the end";
        let _ = writeln!(text, "![{alt}](performance/{name}.svg)\n");
        plots.push(Plot { name, svg });
    }
    if !found.overhead.is_empty() {
        text += &overhead(&found.overhead);
    }
    if !found.many.is_empty() {
        text += &many(&found.many);
    }
    Section {
        markdown: text,
        plots,
    }
}

fn setting(found: &Found) -> String {
    format!(
        "Measured on {} from {:.0} to {:.0} UTC, on {} processors that everything shares: the local AWS (its time as fast as \
         real time), the functions, all instances, and the clients.\n\n",
        found.began.strftime("%F"),
        found.began.strftime("%H:%M"),
        found.ended.strftime("%H:%M"),
        found.processors,
    )
}

/// What the users met, all scenarios together.
#[derive(Default)]
struct Total {
    requests: u64,
    lost: u64,
    messages: u64,
    lost_messages: u64,
    closed: u64,
    broken: u64,
}

impl Total {
    fn of(all: &[Lost]) -> Self {
        let mut total = Self::default();
        for slice in all.iter().flat_map(|lost| &lost.slices) {
            total.requests += slice.requests();
            total.lost += slice.lost();
        }
        let met = all.iter().flat_map(|lost| &lost.met);
        for met in met.filter(|met| met.life == Life::Limited) {
            match met.event {
                Event::Echoed(_) => total.messages += 1,
                Event::Lost => {
                    total.messages += 1;
                    total.lost_messages += 1;
                }
                Event::Closed => total.closed += 1,
                Event::Broken | Event::Refused => total.broken += 1,
            }
        }
        total
    }
}

fn goals(found: &Found) -> String {
    let mut rows = Vec::new();
    if !found.lost.is_empty() {
        let total = Total::of(&found.lost);
        rows.push((
            "no request is lost".to_owned(),
            format!("{} of {}", grouped(total.lost), grouped(total.requests)),
            total.lost == 0,
        ));
        rows.push((
            "no message of a `WebSocket` is lost, and none breaks, if it lives shorter than a target drains".to_owned(),
            format!(
                "{} of {} messages lost; {} closed by the app, {} broken",
                grouped(total.lost_messages),
                grouped(total.messages),
                grouped(total.closed),
                grouped(total.broken)
            ),
            total.lost_messages + total.broken == 0,
        ));
    }
    if let Some(spread) = Spread::of(found.overhead.iter().map(Overhead::overhead)) {
        rows.push((
            format!(
                "a deploy takes at most {OVERHEAD_GOAL} s more than its instances, at the median"
            ),
            format!("{:.1} s (at most {:.1} s)", spread.median, spread.most),
            spread.median <= OVERHEAD_GOAL,
        ));
    }
    if !found.many.is_empty() {
        let all: usize = found.many.iter().map(|many| many.deploys).sum();
        let failed: usize = found.many.iter().map(failed).sum();
        let most = found.many.iter().map(|many| many.deploys).max();
        rows.push((
            format!("of {} deploys at once none fails", most.unwrap_or(0)),
            format!("{failed} of {all}"),
            failed == 0,
        ));
    }
    let mut text = String::from("| goal | measured | met? |\n| --- | --- | --- |\n");
    for (goal, measured, met) in rows {
        let met = if met { "yes" } else { "**no**" };
        let _ = writeln!(text, "| {goal} | {measured} | {met} |");
    }
    text + "\n"
}

fn lost(all: &[Lost]) -> String {
    let mut text = format!(
        "### What users lose\n\nAn app of two instances for each scenario, with clients from before the upload until after the \
         deploy: {} requests a second on kept connections and as many on new ones, {} a second that take four seconds each, \
         and `WebSockets` that say something twice a second: {} that the app closes after eight seconds, and {} that it never \
         closes. A target drains for 20 s. A request is lost if it has no answer, or one that is not the app's. The requests \
         are oha's, in slices of five seconds; a slice counts as *shifting* if a rule change met any of it. Each cell is lost \
         / asked; of `WebSockets`, lost / said, with what broke.\n\n",
        Manner::KeptAlive.rate(),
        Manner::Long.rate(),
        Life::Limited.clients(),
        Life::Unlimited.clients(),
    );
    for one in all {
        let title = match one.scenario {
            Scenario::AllAtOnce => "All at once",
            Scenario::Canary => "A canary: 20 percent for 20 s, then everything",
            Scenario::RolledBack => {
                "A rollback: the health check of the new version fails once it has traffic"
            }
        };
        let _ = writeln!(text, "#### {title}\n");
        text += &table(None, one, &counted);
        text += "\nMilliseconds until the answer, median / p99 (of a slice, at the median):\n\n";
        text += &table(Some("p99 during / before"), one, &timed);
        text += "\n";
    }
    text + "A `WebSocket` that the app never closes is cut when its target has drained, as an Application Load Balancer does: an \
         app whose connections may live longer than `DrainSeconds` has to close them earlier, or its clients to put up with \
         that once a deploy.\n\n"
}

/// What is measured in one phase of one kind of client.
struct Cell {
    asked: u64,
    lost: u64,
    broken: u64,
    median: Option<f64>,
    p99: Option<f64>,
}

impl Cell {
    fn of_requests(one: &Lost, manner: Manner, phase: Phase) -> Self {
        let slices = one.slices.iter().filter(|slice| {
            slice.manner == manner && one.course.phase(slice.began, slice.ended) == phase
        });
        let slices: Vec<_> = slices.collect();
        let median = |of: fn(&super::Slice) -> f64| {
            Spread::of(slices.iter().map(|slice| of(slice))).map(|spread| spread.median)
        };
        Self {
            asked: slices.iter().map(|slice| slice.requests()).sum(),
            lost: slices.iter().map(|slice| slice.lost()).sum(),
            broken: 0,
            median: median(|slice| slice.median),
            p99: median(|slice| slice.p99),
        }
    }

    fn of_sockets(one: &Lost, life: Life, phase: Phase) -> Self {
        let met = one
            .met
            .iter()
            .filter(|met| met.life == life && one.course.phase(met.at, met.at) == phase);
        let (mut lost, mut broken, mut times) = (0, 0, Vec::new());
        for met in met {
            match met.event {
                Event::Echoed(millis) => times.push(millis),
                Event::Lost => lost += 1,
                Event::Broken | Event::Refused => broken += 1,
                Event::Closed => {}
            }
        }
        let asked = lost + times.len() as u64;
        let spread = Spread::of(times);
        Self {
            asked,
            lost,
            broken,
            median: spread.map(|spread| spread.median),
            p99: spread.map(|spread| spread.p99),
        }
    }
}

/// A row for each kind of client, a column for each phase.
fn table(more: Option<&str>, one: &Lost, row: &dyn Fn(&[Cell]) -> String) -> String {
    let phases = [
        "before",
        "launching",
        "shifting",
        "baking",
        "draining",
        "after",
    ];
    let heads: Vec<&str> = [""].into_iter().chain(phases).chain(more).collect();
    let mut text = format!(
        "| {} |\n|{}\n",
        heads.join(" | "),
        " --- |".repeat(heads.len())
    );
    for manner in Manner::ALL {
        let name = match manner {
            Manner::KeptAlive => "kept connections",
            Manner::NewConnections => "new connections",
            Manner::Long => "long requests",
        };
        let cells = Phase::ALL.map(|phase| Cell::of_requests(one, manner, phase));
        let _ = writeln!(text, "| {name} |{}", row(&cells));
    }
    for life in Life::ALL {
        let name = match life {
            Life::Limited => "`WebSockets` of 8 s",
            Life::Unlimited => "`WebSockets` without end",
        };
        let cells = Phase::ALL.map(|phase| Cell::of_sockets(one, life, phase));
        let _ = writeln!(text, "| {name} |{}", row(&cells));
    }
    text
}

fn counted(cells: &[Cell]) -> String {
    let cell = |cell: &Cell| {
        let broken = if cell.broken == 0 {
            String::new()
        } else {
            format!(", {} broken", cell.broken)
        };
        format!(" {} / {}{broken} |", cell.lost, grouped(cell.asked))
    };
    cells.iter().map(cell).collect()
}

fn timed(cells: &[Cell]) -> String {
    let mut text: String = cells
        .iter()
        .map(|cell| match (cell.median, cell.p99) {
            (Some(median), Some(p99)) => format!(" {median:.1} / {p99:.1} |"),
            _ => " |".to_owned(),
        })
        .collect();
    let during = cells
        .iter()
        .zip(Phase::ALL)
        .filter(|(_, phase)| phase.is_during());
    let worst = during
        .filter_map(|(cell, _)| cell.p99)
        .max_by(f64::total_cmp);
    let before = cells.first().and_then(|cell| cell.p99);
    match (worst, before) {
        (Some(worst), Some(before)) if before > 0.0 => {
            let _ = write!(text, " {:.2} |", worst / before);
        }
        _ => text += " |",
    }
    text
}

fn overhead(all: &[Overhead]) -> String {
    let mut text = String::from(
        "### What a deploy takes besides its instances\n\nFrom the upload until the first moment from which every answer was the \
         new version's, as a client saw it, without the instances' own time: from the group's creation until all targets \
         were healthy, and for as long again as the health check's threshold asks. All of these deploys went on at once, with \
         two instances each, beside those of the requests above. Each replaced the app's first release, so that of its boots \
         one was known; in virtual time there were three, and a long boot is seen sooner then. Seconds, medians.\n\n\
         | the app listens after | deploys | upload to all traffic | the instances' own | overhead | at most | of it before the \
         group is there | of it after the proof |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut boots: Vec<u64> = all.iter().map(|one| one.boot_seconds).collect();
    boots.sort_unstable();
    boots.dedup();
    for boot in boots {
        let these: Vec<&Overhead> = all.iter().filter(|one| one.boot_seconds == boot).collect();
        let median = |of: &dyn Fn(&Overhead) -> f64| {
            Spread::of(these.iter().map(|one| of(one))).map_or(0.0, |spread| spread.median)
        };
        let most =
            Spread::of(these.iter().map(|one| one.overhead())).map_or(0.0, |spread| spread.most);
        let _ = writeln!(
            text,
            "| {boot} s | {} | {:.1} | {:.1} | {:.1} | {most:.1} | {:.1} | {:.1} |",
            these.len(),
            median(&Overhead::total),
            median(&Overhead::own),
            median(&Overhead::overhead),
            median(&Overhead::before),
            median(&|one| one.overhead() - one.before()),
        );
    }
    text + "\n"
}

fn failed(many: &Many) -> usize {
    many.failures.values().sum()
}

#[allow(clippy::cast_precision_loss)] // counts of a few minutes
fn many(all: &[Many]) -> String {
    let mut text = String::from(
        "### Many deploys at once\n\nFirst releases of as many apps, of one instance each, uploaded as fast as 16 hands can, and \
         baked for ten seconds. One of the apps has its stack by CloudFormation; the targets of the others are copies of its \
         SSM parameter, with its launch template. 50 apps share a load balancer, which AWS allows 100 target groups. What \
         instances and exuvia-cloud ask ministack directly is not among the requests.\n\n\
         | deploys | failed | uploaded within | all live within | deploys a minute | median | slowest | requests a second to \
         Auto Scaling and load balancing | to all else | processors used |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for one in all {
        let took = one.took().max(0.001);
        let spread = Spread::of(one.seconds.iter().copied());
        let of = |of: fn(&Spread) -> f64| {
            spread
                .as_ref()
                .map_or_else(String::new, |spread| format!("{:.0} s", of(spread)))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} s | {took:.0} s | {:.1} | {} | {} | {:.1} | {:.1} | {:.0} % |",
            one.deploys,
            failed(one),
            one.uploaded.duration_since(one.began).as_secs_f64(),
            one.seconds.len() as f64 * 60.0 / took,
            of(|spread| spread.median),
            of(|spread| spread.most),
            one.answered as f64 / took,
            one.passed_on as f64 / took,
            one.busy * 100.0,
        );
    }
    text += "\n";
    for one in all {
        for (why, times) in &one.failures {
            let _ = writeln!(text, "- {} at once, {times} times: {why}", one.deploys);
        }
    }
    text
}
