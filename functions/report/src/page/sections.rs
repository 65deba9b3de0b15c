//! What the sections of a page list.

use exuvia_core::name::Place;
use exuvia_core::report::{Entry, How, Life, Report, Shed, Told, name_of, page_key};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::chart::{Bar, Clock, lasted, utc, utc_time};
use super::{Badge, Surroundings, execution_link, object_link, wording};

/// How many instances are drawn.
const MOST_DRAWN: usize = 50;

pub(super) struct Facts {
    pub(super) asked: String,
    pub(super) started: String,
    /// When it ended, or as of when this is.
    pub(super) ended: String,
    pub(super) took: String,
    pub(super) to_healthy: Option<String>,
    pub(super) execution: String,
    pub(super) link: String,
}

impl Facts {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            asked: asked(report.asked.how, report.asked.by.as_deref()),
            started: utc(report.started),
            ended: utc(report.ended.unwrap_or(report.looked_at)),
            took: lasted(report.lasted()),
            to_healthy: report.seconds_to_healthy().map(lasted),
            execution: report.name().to_owned(),
            link: execution_link(&report.execution),
        }
    }
}

fn asked(how: How, by: Option<&str>) -> String {
    let how = match how {
        How::Upload => "an upload",
        How::Hand => "by hand",
        How::Schedule => "the renewal schedule",
        How::Recovery => "the end of a deploy that was cut off",
    };
    by.map_or_else(|| how.to_owned(), |by| format!("{how} ({by})"))
}

/// A moment and what was then.
pub(super) struct Line {
    pub(super) time: String,
    pub(super) offset: String,
    pub(super) what: String,
    pub(super) more: String,
}

impl Line {
    fn new(at: Timestamp, clock: &Clock, what: String, more: String) -> Self {
        Self {
            time: utc_time(at),
            offset: clock.offset(at),
            what,
            more,
        }
    }
}

/// An instance's life: what is not known is a dash.
pub(super) struct Lived {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) launched: String,
    pub(super) in_service: String,
    pub(super) healthy: String,
    pub(super) ended: String,
    pub(super) why: Vec<String>,
    pub(super) bars: Vec<Bar>,
    pub(super) told: String,
}

pub(super) struct Instances {
    pub(super) drawn: Vec<Lived>,
    pub(super) more: usize,
}

impl Instances {
    pub(super) fn of(report: &Report, clock: &Clock) -> Self {
        let until = report.ended.unwrap_or(report.looked_at);
        let drawn = report.instances.iter().take(MOST_DRAWN);
        Self {
            drawn: drawn.map(|life| lived(life, until, clock)).collect(),
            more: report.instances.len().saturating_sub(MOST_DRAWN) + report.instances_left_out,
        }
    }
}

fn lived(life: &Life, until: Timestamp, clock: &Clock) -> Lived {
    let offset = |at: Option<Timestamp>| at.map_or_else(|| "–".to_owned(), |at| clock.offset(at));
    let gone = life.terminated.or(life.terminating);
    let mut bars = Vec::new();
    if let Some(launched) = life.launched {
        let end = gone.unwrap_or(until);
        let draining = life.terminating.unwrap_or(end);
        let healthy = life.healthy.unwrap_or(draining).min(draining);
        let place = |at| clock.place(at);
        for (from, to, tone) in [
            (launched, healthy, "booting"),
            (healthy, draining, "serving"),
            (draining, end, "draining"),
        ] {
            if to > from {
                bars.push(Bar::new(place(from), place(to), tone));
            }
        }
    }
    let mut why = Vec::new();
    why.extend(life.boot_report.clone());
    let last = life.state.iter();
    let unwell = last.filter(|state| *state != "healthy" && !state.starts_with("draining"));
    why.extend(unwell.map(|state| format!("last seen {state}")));
    why.extend(life.reason.clone());
    Lived {
        told: format!(
            "{}: launched {}, healthy {}, ended {}.",
            life.id,
            offset(life.launched),
            offset(life.healthy),
            offset(gone)
        ),
        id: life.id.clone(),
        zone: life.zone.clone().unwrap_or_else(|| "–".to_owned()),
        launched: offset(life.launched),
        in_service: offset(life.in_service),
        healthy: offset(life.healthy),
        ended: offset(gone),
        why,
        bars,
    }
}

pub(super) fn failures(report: &Report, clock: &Clock) -> Vec<Line> {
    let failures = report.launch_failures.iter();
    failures
        .take(MOST_DRAWN)
        .map(|failure| Line::new(failure.at, clock, failure.reason.clone(), String::new()))
        .collect()
}

pub(super) fn settings(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let changes = serde_json::to_value(&report.settings).unwrap_or_default();
    let names = |field: &str| -> Vec<String> {
        let mut names = Vec::new();
        collect(&changes[field], &mut names);
        names
    };
    [
        ("Added", names("added")),
        ("Changed", names("changed")),
        ("Removed", names("removed")),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .collect()
}

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(name) => names.push(name.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, names)),
        Value::Number(more) if more.as_u64() != Some(0) => names.push(format!("and {more} more")),
        _ => {}
    }
}

pub(super) fn cleaned(report: &Report, clock: &Clock) -> Vec<Line> {
    let line = |shed: &Shed| {
        let releases: Vec<String> = shed.releases.iter().map(ToString::to_string).collect();
        let fleets = if releases.len() == 1 {
            "fleet of release"
        } else {
            "fleets of releases"
        };
        let more = match (shed.done, shed.left.as_str()) {
            (Some(done), _) => format!(
                "drained and deleted by {}, after {}",
                clock.offset(done),
                lasted(done.duration_since(shed.began).as_secs())
            ),
            (None, "") => "being drained and deleted".to_owned(),
            (None, left) => format!("not gone at the last look: {left}"),
        };
        let what = format!("The {fleets} {}", releases.join(", "));
        Line::new(shed.began, clock, what, more)
    };
    report.cleaned.iter().map(line).collect()
}

pub(super) fn notices(report: &Report, clock: &Clock) -> Vec<Line> {
    let line = |told: &Told| {
        let what = told.title.clone().or_else(|| told.kind.clone());
        let kind = told.kind.clone().unwrap_or_default();
        Line::new(
            told.at,
            clock,
            what.unwrap_or_else(|| told.id.clone()),
            kind,
        )
    };
    report.notices.iter().map(line).collect()
}

/// A command to copy, and what it does.
pub(super) struct Command {
    pub(super) does: String,
    pub(super) line: String,
}

pub(super) fn again(report: &Report, around: &Surroundings<'_>) -> Vec<Command> {
    let region = around.state_machine.split(':').nth(3).unwrap_or_default();
    let Place { app, environment } = &report.place;
    // Names have no quotes in them, and numbers none: a shell takes it as it is.
    let start = |input: &Value| {
        format!(
            "aws stepfunctions start-execution --region {region} --state-machine-arn {} --input '{input}'",
            around.state_machine
        )
    };
    let release = |number: u32| json!({"app": app, "environment": environment, "release": number});
    let mut commands = Vec::new();
    if let Some(from) = &report.from {
        let number = from.release;
        let does = format!("Go back to release {number}: its artifact and its settings");
        commands.push(Command {
            does,
            line: start(&release(number.get())),
        });
    }
    if let Some(number) = report.release {
        let does = format!("Deploy release {number} again: its artifact and its settings");
        commands.push(Command {
            does,
            line: start(&release(number.get())),
        });
    }
    commands
}

/// A deploy in a list.
pub(super) struct Past {
    pub(super) badge: Badge,
    pub(super) release: String,
    pub(super) version: String,
    /// Beside this page.
    pub(super) page: String,
    pub(super) console: String,
    pub(super) started: String,
    pub(super) took: String,
    pub(super) to_healthy: String,
    pub(super) asked: String,
    pub(super) cause: String,
}

impl Past {
    pub(super) fn of(entry: &Entry, place: &Place, around: &Surroundings<'_>) -> Self {
        let name = name_of(&entry.execution);
        let dash = || "–".to_owned();
        let badge = if entry.needs_attention {
            Badge {
                word: "Needs attention",
                tone: "warn",
            }
        } else {
            wording::of_outcome(entry.outcome, entry.seconds.is_some())
        };
        Self {
            badge,
            release: entry
                .release
                .map_or_else(dash, |release| release.to_string()),
            version: entry
                .version
                .as_ref()
                .map_or_else(dash, ToString::to_string),
            page: format!("{name}.html"),
            console: object_link(around.state_machine, around.bucket, &page_key(place, name)),
            started: utc(entry.started),
            took: entry.seconds.map_or_else(dash, lasted),
            to_healthy: entry.seconds_to_healthy.map_or_else(dash, lasted),
            asked: asked(entry.how, entry.by.as_deref()),
            cause: entry.cause.clone().unwrap_or_default(),
        }
    }
}
