//! From an execution's history to what happened.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::history::{Event, What};
use super::{
    Asked, MOST_SAMPLES, MOST_STAYS, Released, Report, SCHEMA, Sample, Share, Shed, Stay, Told,
    clean, name_of,
};
use crate::artifact::Upload;
use crate::config::Changes;
use crate::health::Waiting;
use crate::name::{Place, ReleaseNumber, Version};
use crate::notice::Kind;
use crate::step::Why;

/// The states of `statemachine/deploy.asl.json` whose answers tell something.
pub(super) const LAUNCH: &str = "Launch";
const PLAN: &str = "Plan";
const SHIFT: &str = "Shift Traffic";
const COMMIT: &str = "Commit";
const REMOVE: &str = "Remove";
/// What keeps the old fleet for a while, and what ends that.
pub(super) const RETAIN: &str = "Retain";
const GIVE_UP: &str = "Give Up Retained";
const ROLL_BACK: &str = "Roll Back";
const LOOKS: [&str; 2] = ["Check Health", "Evaluate"];
const RETIRE: [&str; 2] = ["Retire Old", "Retire New"];
const ATTENTION: &str = "Announce Attention";
/// By what these answer, or fail with, it is decided how it goes on.
const DECIDE: [&str; 7] = [
    "Acquire Lock",
    PLAN,
    LOOKS[0],
    SHIFT,
    LOOKS[1],
    "Validate",
    LAUNCH,
];

/// All of them.
#[cfg(test)]
pub(super) const STATES: [&str; 14] = [
    "Validate", DECIDE[0], PLAN, LAUNCH, LOOKS[0], SHIFT, LOOKS[1], COMMIT, REMOVE, ROLL_BACK,
    RETIRE[0], ATTENTION, RETAIN, GIVE_UP,
];

/// What Step Functions and the ledger say of an execution, beside its history.
#[derive(Clone, Debug)]
pub struct Execution {
    pub arn: String,
    pub place: Place,
    pub input: String,
    pub status: String,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// As of when this is asked.
    pub now: Timestamp,
    /// Its outcome, where one was recorded.
    pub outcome: Option<Kind>,
    /// The execution that has cleaned up after it.
    pub recovered_by: Option<String>,
}

/// How healthy a fleet was at a moment, and which of its instances were not.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub sample: Sample,
    pub waiting: Vec<Waiting>,
}

/// What the events tell, one after the other.
#[derive(Default)]
struct Story {
    path: Vec<Stay>,
    left_out: usize,
    milliseconds: BTreeMap<String, i64>,
    looks: Vec<Look>,
    traffic: Vec<Share>,
    notices: Vec<Told>,
    cleaned: Vec<Shed>,
    release: Option<ReleaseNumber>,
    version: Option<Version>,
    from: Option<Released>,
    settings: Option<Changes>,
    retire: Vec<ReleaseNumber>,
    why: Why,
    outcome: Option<Kind>,
    attention: bool,
    /// An error that nothing has answered since.
    failed: Option<Why>,
    open: Option<Stay>,
    last: i64,
}

impl Report {
    /// What the history tells; of the fleet, [`Report::with_fleet`] tells more.
    pub fn new(execution: &Execution, events: &[Event]) -> Self {
        let mut story = Story::default();
        for event in events {
            story.hear(event);
        }
        story.end(execution);
        let last_at = events.last().map_or(execution.now, |event| event.at);
        let outcome = execution.outcome.or(story.outcome);
        let input: Value = serde_json::from_str(&execution.input).unwrap_or_default();
        let recovers = input.get("recover").and_then(Value::as_str);
        let mut report = Self {
            schema: SCHEMA,
            revision: 0,
            last_event: story.last,
            looked_at: execution.now.max(last_at),
            execution: execution.arn.clone(),
            place: execution.place.clone(),
            release: story.release,
            version: story.version.clone(),
            from: story.from.clone(),
            asked: Asked::of(name_of(&execution.arn), &execution.input),
            status: execution.status.clone(),
            outcome,
            needs_attention: story.attention,
            cause: story.cause(execution, outcome),
            started: execution.started,
            ended: execution.ended,
            recovers: recovers.map(|recovers| clean(recovers, 300)),
            recovered_by: execution.recovered_by.clone(),
            path: story.path,
            path_left_out: story.left_out,
            milliseconds: story.milliseconds,
            health: Vec::new(),
            traffic: story.traffic,
            healthy_at: None,
            instances: Vec::new(),
            instances_left_out: 0,
            launch_failures: Vec::new(),
            notices: story.notices,
            cleaned: story.cleaned,
            settings: story.settings,
        };
        report.take_looks(&story.looks);
        report
    }

    fn take_looks(&mut self, looks: &[Look]) {
        let all =
            |look: &&Look| look.sample.wanted > 0 && look.sample.healthy >= look.sample.wanted;
        self.healthy_at = looks.iter().find(all).map(|look| look.sample.at);
        let samples = looks.iter().map(|look| look.sample);
        self.health = samples.take(MOST_SAMPLES).collect();
    }
}

/// The looks at the fleet that a history tells of.
pub(super) fn looks(events: &[Event]) -> Vec<Look> {
    events.iter().filter_map(look).collect()
}

fn look(event: &Event) -> Option<Look> {
    let What::Exited { state, output } = &event.what else {
        return None;
    };
    let count = |name: &str| u32::try_from(output.get(name)?.as_u64()?).ok();
    // A deploy that gives way has not looked: it wants nothing.
    let wanted = count("wanted").filter(|wanted| *wanted > 0)?;
    let told = output.get("waiting").cloned().unwrap_or_default();
    LOOKS.contains(&state.as_str()).then_some(Look {
        sample: Sample {
            at: event.at,
            healthy: count("healthy")?,
            wanted,
        },
        waiting: serde_json::from_value(told).unwrap_or_default(),
    })
}

impl Story {
    fn hear(&mut self, event: &Event) {
        self.last = self.last.max(event.id);
        match &event.what {
            What::Entered { state, is_choice } => {
                self.leave(event.at);
                if state == ATTENTION {
                    self.attention = true;
                }
                if RETIRE.contains(&state.as_str()) {
                    self.begin_shedding(event.at);
                }
                if !is_choice {
                    self.open = Some(Stay {
                        state: state.clone(),
                        entered: event.at,
                        exited: None,
                        failures: 0,
                    });
                }
            }
            What::Exited { state, output } => {
                self.leave(event.at);
                match self.failed.take() {
                    // What cannot be told changes nothing.
                    Some(_) if state.starts_with("Announce") => {}
                    Some(why) => self.why = why,
                    None => self.answer(state, output, event.at),
                }
            }
            What::Failed { error, cause } => {
                if let Some(open) = &mut self.open {
                    open.failures += 1;
                }
                self.failed = Some(Why {
                    status: "error".to_owned(),
                    reason: cause.clone(),
                    error: Some(error.clone()),
                });
            }
            What::Answered => self.failed = None,
            What::Ended => self.leave(event.at),
            What::Redriven => self.attention = false,
            What::Other => {}
        }
        if let Some(look) = look(event) {
            self.looks.push(look);
        }
    }

    fn leave(&mut self, at: Timestamp) {
        let Some(mut stay) = self.open.take() else {
            return;
        };
        stay.exited = Some(at);
        let took = at.as_millisecond() - stay.entered.as_millisecond();
        *self.milliseconds.entry(stay.state.clone()).or_default() += took.max(0);
        self.keep(stay);
    }

    fn keep(&mut self, stay: Stay) {
        if self.path.len() < MOST_STAYS {
            self.path.push(stay);
        } else {
            self.left_out += 1;
        }
    }

    fn answer(&mut self, state: &str, output: &Value, at: Timestamp) {
        let text = |name: &str| output.get(name).and_then(Value::as_str);
        if DECIDE.contains(&state)
            && let (Some(status), Some(reason)) = (text("status"), text("reason"))
        {
            self.why = Why {
                status: status.to_owned(),
                reason: reason.to_owned(),
                error: None,
            };
        }
        match state {
            PLAN => self.plan(output),
            SHIFT => {
                let weight = output.get("weight").and_then(Value::as_u64);
                if let Some(weight) = weight.and_then(|weight| u32::try_from(weight).ok()) {
                    self.share(at, weight.min(100));
                }
            }
            COMMIT => {
                self.share(at, 100);
                self.outcome = Some(Kind::Succeeded);
                self.retire = field(output, "retire").unwrap_or(std::mem::take(&mut self.retire));
            }
            GIVE_UP => self.retire = field(output, "retire").unwrap_or_default(),
            REMOVE => self.outcome = Some(Kind::Removed),
            ROLL_BACK => self.roll_back(output, at),
            _ if RETIRE.contains(&state) => self.shed(output, at),
            _ if state.starts_with("Announce") => {
                if let Some(id) = text("id") {
                    self.notices.push(Told {
                        id: clean(id, 120),
                        at,
                        kind: None,
                        title: None,
                        cause: None,
                        by: None,
                    });
                }
            }
            "Superseded" => self.outcome = Some(Kind::Superseded),
            "Skipped" => self.outcome = Some(Kind::Skipped),
            _ => {}
        }
    }

    fn plan(&mut self, output: &Value) {
        self.release = field(output, "release").or(self.release);
        self.version = field(output, "version").or(self.version.take());
        self.from = field(output, "live").map(|release| Released {
            release,
            version: field(output, "liveVersion"),
        });
        self.retire = field(output, "retire").unwrap_or_default();
        let replaces = output.get("replaces");
        self.settings = replaces.and_then(|replaces| field(replaces, "settings"));
        if self.release.is_some() {
            self.traffic.clear();
        }
    }

    fn roll_back(&mut self, output: &Value, at: Timestamp) {
        let release: Option<ReleaseNumber> = field(output, "release");
        let live: Option<ReleaseNumber> = field(output, "live");
        self.release = release.or(self.release);
        self.retire = field(output, "retire").unwrap_or_default();
        self.outcome = field(output, "ending");
        if self.release.is_some() && !self.traffic.is_empty() {
            let kept = live == self.release;
            self.share(at, if kept { 100 } else { 0 });
        }
    }

    fn share(&mut self, at: Timestamp, weight: u32) {
        let unchanged = self
            .traffic
            .last()
            .is_some_and(|last| last.weight == weight);
        if !unchanged && self.traffic.len() < MOST_SAMPLES {
            self.traffic.push(Share { at, weight });
        }
    }

    fn begin_shedding(&mut self, at: Timestamp) {
        let going_on = self
            .cleaned
            .last()
            .is_some_and(|shed| shed.done.is_none() && shed.releases == self.retire);
        if !going_on && !self.retire.is_empty() {
            self.cleaned.push(Shed {
                releases: self.retire.clone(),
                began: at,
                done: None,
                left: String::new(),
            });
        }
    }

    fn shed(&mut self, output: &Value, at: Timestamp) {
        let Some(shed) = self.cleaned.last_mut() else {
            return;
        };
        let text = |name: &str| output.get(name).and_then(Value::as_str);
        if text("status") == Some("done") {
            shed.done = Some(at);
            shed.left = String::new();
        } else {
            shed.left = clean(text("reason").unwrap_or_default(), 300);
        }
    }

    /// A Fail state is never left, and what is stopped leaves nothing.
    fn end(&mut self, execution: &Execution) {
        match (execution.ended, &self.open) {
            (Some(ended), _) => self.leave(ended),
            (None, Some(_)) => {
                if let Some(stay) = self.open.take() {
                    self.keep(stay);
                }
            }
            (None, None) => {}
        }
        let ending = self.path.last().map(|stay| stay.state.as_str());
        match ending {
            Some("Rejected") => self.outcome = Some(Kind::Rejected),
            Some("Rolled Back") if self.outcome.is_none() => self.outcome = Some(Kind::RolledBack),
            _ => {}
        }
        if self.version.is_none() {
            let input: Value = serde_json::from_str(&execution.input).unwrap_or_default();
            let of_key = || {
                let key = input.get("artifact")?.get("key")?.as_str()?;
                match Upload::parse(key).ok()? {
                    Upload::Artifact { version, .. } => Some(version),
                    Upload::Source { .. } | Upload::Config { .. } => None,
                }
            };
            self.version = field(&input, "version").or_else(of_key);
        }
    }

    /// Why it ended as it did; of what went well there is nothing to say.
    fn cause(&self, execution: &Execution, outcome: Option<Kind>) -> Option<String> {
        let cut_off = match execution.status.as_str() {
            "ABORTED" => Some("The execution was stopped"),
            "TIMED_OUT" => Some("The execution took longer than it may"),
            _ => None,
        };
        let said = execution.cause.as_deref().filter(|cause| !cause.is_empty());
        let text = match (cut_off, outcome) {
            (Some(how), _) => match said {
                Some(said) => format!("{how}: {said}"),
                None => how.to_owned(),
            },
            (None, Some(Kind::Succeeded | Kind::Removed | Kind::Started)) if !self.attention => {
                return None;
            }
            (None, None) if !self.attention && execution.ended.is_none() => return None,
            _ if self.why.reason.is_empty() => Why {
                reason: said.unwrap_or_default().to_owned(),
                error: execution.error.clone(),
                ..Why::default()
            }
            .text(),
            _ => self.why.text(),
        };
        Some(clean(&text, 500)).filter(|text| !text.is_empty())
    }
}

/// A field of an answer, if it is there and what it should be.
fn field<T: serde::de::DeserializeOwned>(output: &Value, name: &str) -> Option<T> {
    serde_json::from_value(output.get(name)?.clone()).ok()
}
