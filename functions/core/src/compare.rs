//! Whether a release serves its requests worse than the one that it is to replace, told by what the load balancer counts of
//! each, minute by minute. `docs/judgement.md` says why these tests, what they find and how often they are wrong.
//!
//! Two questions: whether it answers more often with a 5xx status (Fisher's exact test), and whether it takes longer (the
//! test of Mann and Whitney on the minutes' 90th percentiles). A release is worse if a test is sure of it and the difference
//! is one that matters. Where there is too little to go by, nothing is said: that fails no deploy.

mod statistics;
#[cfg(test)]
mod tests;
mod wording;

pub use wording::grouped;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::ReleaseNumber;
use statistics::{fisher, mann_whitney, median};

/// What a target says of the comparison; each field may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Comparison {
    pub enabled: bool,
    /// Of each release, in the time that is looked at; with fewer its 5xx answers are not judged. 20 to 1,000,000.
    pub min_requests: u32,
    /// By how many percentage points more of the answers must be 5xx; 1 to 50.
    pub error_points: u32,
    /// By how many percent longer the answers must take; 10 to 1,000.
    pub slower_percent: u32,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            enabled: true,
            min_requests: 100,
            error_points: 1,
            slower_percent: 50,
        }
    }
}

impl Comparison {
    /// The field and what is wrong with it.
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let bounds = [
            (
                "comparison.minRequests",
                self.min_requests,
                20,
                1_000_000,
                "requests",
            ),
            (
                "comparison.errorPoints",
                self.error_points,
                1,
                50,
                "percentage points",
            ),
            (
                "comparison.slowerPercent",
                self.slower_percent,
                10,
                1_000,
                "percent",
            ),
        ];
        bounds
            .into_iter()
            .find_map(|(field, value, low, high, unit)| {
                let problem = format!("is {value}; use {low} to {high} {unit}");
                (!(low..=high).contains(&value)).then_some((field, problem))
            })
    }
}

/// What was counted of one release in one minute. Where the load balancer has nothing to count, it reports nothing, and
/// there is no such minute; a count that it leaves out is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minute {
    pub start: Timestamp,
    /// Those that a target was chosen for.
    pub requests: u64,
    /// Answers of the targets with a status from 500 to 599.
    pub errors: u64,
    /// The 90th percentile of the times to an answer, in seconds.
    pub response_time: Option<f64>,
}

/// A release and its minutes.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    pub release: ReleaseNumber,
    pub minutes: &'a [Minute],
}

/// The traffic step that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub shifted_at: Timestamp,
    /// Whether the live release has no share of the traffic any more: then it is compared as it was before.
    pub alone: bool,
    /// How long it is held, and how long all steps are, in seconds.
    pub hold_seconds: u32,
    pub all_seconds: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both numbers, for the person who is told of the rollback.
    Worse(String),
    /// What was compared, as far as it was.
    Alike(String),
    /// Why nothing can be said.
    Unknown(String),
}

/// How often a deploy may be rolled back though both releases are alike: 1 in 2,000 for its errors and as much for its response
/// times, whatever number of steps and looks it takes.
const FALSE_ALARMS: f64 = 0.000_5;

/// The load balancer reports a minute when it is over; from so long after it on, its numbers are taken for complete.
const LATE_SECONDS: i64 = 60;
const MINUTE: i64 = 60;
/// No more than the newest hour is looked at: what goes wrong late in a long step is not to be outweighed by what went well.
const WINDOW_MINUTES: i64 = 60;
/// What the live release was like before, for the spread of its response times.
const HISTORY_MINUTES: i64 = 60;
/// What it was like just before it lost its traffic.
const BEFORE_MINUTES: i64 = 15;
/// Fewer say nothing of a 90th percentile.
const LEAST_REQUESTS_A_MINUTE: u64 = 20;
/// Fewer minutes of a new release are no series.
const LEAST_MINUTES: usize = 3;
/// Nobody notices less.
const LEAST_SLOWER_SECONDS: f64 = 0.05;

/// The minutes that a look is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on numbers are wanted.
    pub from: Timestamp,
    /// The new release's: the first full minute since the shift, or the first of the last hour.
    start: Timestamp,
    /// Up to here, exclusive.
    pub until: Timestamp,
    /// How many minutes of the step were complete at this look: what the look's part in the error is told by.
    look: u32,
}

/// What there is to look at by now; nothing before a minute is complete. The minute of the shift is left out: it is neither's,
/// and in it the new release opens its connections and fills its caches.
pub fn window(step: &Step, now: Timestamp) -> Option<Window> {
    let shifted = minute_of(step.shifted_at);
    let first = shifted + minutes(1);
    let until = minute_of(now - SignedDuration::from_secs(LATE_SECONDS));
    let look = u32::try_from(until.duration_since(first).as_secs() / MINUTE).ok()?;
    if look == 0 {
        return None;
    }
    let start = first.max(until - minutes(WINDOW_MINUTES));
    let before = if step.alone { shifted } else { start };
    Some(Window {
        from: before - minutes(HISTORY_MINUTES),
        start,
        until,
        look,
    })
}

/// Compares a new release with the live one.
pub fn judge(
    settings: Comparison,
    step: &Step,
    window: &Window,
    new: Counted<'_>,
    live: Counted<'_>,
) -> Verdict {
    let beside = |minute: &Minute| minute.start >= window.start && minute.start < window.until;
    let shifted = minute_of(step.shifted_at);
    let just_before = |minute: &Minute| {
        minute.start < shifted && minute.start >= shifted - minutes(BEFORE_MINUTES)
    };
    let ever = |minute: &Minute| {
        minute.start >= window.from
            && minute.start < if step.alone { shifted } else { window.until }
    };
    let of = |counted: Counted<'_>, which: &dyn Fn(&Minute) -> bool| -> Vec<Minute> {
        counted.minutes.iter().copied().filter(which).collect()
    };
    let seen = Seen {
        settings,
        step,
        part: part_of(step),
        new: (new.release, of(new, &beside)),
        live: (
            live.release,
            if step.alone {
                of(live, &just_before)
            } else {
                of(live, &beside)
            },
        ),
        history: of(live, &ever),
    };
    let (errors, times) = (seen.errors(window.look), seen.response_times(window.look));
    match (errors, times) {
        (Verdict::Worse(errors), Verdict::Worse(times)) => {
            Verdict::Worse(format!("{errors}; {times}"))
        }
        (Verdict::Worse(why), _) | (_, Verdict::Worse(why)) => Verdict::Worse(why),
        (Verdict::Unknown(errors), Verdict::Unknown(_)) => Verdict::Unknown(errors),
        (Verdict::Alike(errors), Verdict::Alike(times)) => {
            Verdict::Alike(format!("{errors}; {times}"))
        }
        (Verdict::Alike(told), _) | (_, Verdict::Alike(told)) => Verdict::Alike(told),
    }
}

/// A step's part of the deploy's error: by how long it is held, as it is looked at that often.
fn part_of(step: &Step) -> f64 {
    f64::from(step.hold_seconds) / f64::from(step.all_seconds.max(1))
}

/// What a look may be wrong with: the parts of all looks, however many they are, add up to no more than `whole`, as 1/2 + 1/6
/// + 1/12 + ... is 1. So the error of a deploy is bounded without knowing how the looks depend on each other (Bonferroni).
fn spent(whole: f64, look: u32) -> f64 {
    let look = f64::from(look.max(1));
    whole / (look * (look + 1.0))
}

struct Seen<'a> {
    settings: Comparison,
    step: &'a Step,
    part: f64,
    new: (ReleaseNumber, Vec<Minute>),
    /// Of the same time; of a release without traffic just before.
    live: (ReleaseNumber, Vec<Minute>),
    history: Vec<Minute>,
}

impl Seen<'_> {
    /// Against another time of the day, only what is more blatant counts.
    fn margin(&self) -> u32 {
        if self.step.alone { 2 } else { 1 }
    }

    fn errors(&self, look: u32) -> Verdict {
        let (new, live) = (count(&self.new.1), count(&self.live.1));
        let least = u64::from(self.settings.min_requests);
        let few = [(self.new.0, new.1), (self.live.0, live.1)];
        if let Some((release, requests)) = few.into_iter().find(|(_, requests)| *requests < least) {
            return Verdict::Unknown(self.few_requests(release, requests));
        }
        let told = self.told_errors(new, live);
        let (rate, before) = (rate(new), rate(live));
        let points = f64::from(self.settings.error_points * self.margin()) / 100.0;
        let times = f64::from(1 + self.margin());
        let allowed = spent(FALSE_ALARMS * self.part, look);
        if rate - before >= points && rate >= before * times && fisher(new, live) <= allowed {
            return Verdict::Worse(told);
        }
        Verdict::Alike(told)
    }

    fn response_times(&self, look: u32) -> Verdict {
        let (new, live) = (times(&self.new.1), times(&self.live.1));
        let history = times(&self.history);
        let least = u32::try_from(LEAST_MINUTES).unwrap_or(u32::MAX);
        let (Some(slow), Some(usual)) = (median(&new), median(&live)) else {
            return Verdict::Unknown(String::new());
        };
        if new.len() < LEAST_MINUTES || live.len() < LEAST_MINUTES {
            return Verdict::Unknown(String::new());
        }
        let told = self.told_times(slow, usual);
        let margin = f64::from(self.margin());
        let ratio = 1.0 + margin * f64::from(self.settings.slower_percent) / 100.0;
        let matters = slow >= usual * ratio && slow - usual >= LEAST_SLOWER_SECONDS * margin;
        // The first two looks cannot say anything yet, and so spend nothing.
        let allowed = spent(FALSE_ALARMS * self.part, (look + 1).saturating_sub(least));
        if matters && mann_whitney(&new, &history) <= allowed {
            return Verdict::Worse(told);
        }
        Verdict::Alike(told)
    }
}

/// Errors and requests.
fn count(minutes: &[Minute]) -> (u64, u64) {
    let requests = minutes.iter().map(|minute| minute.requests).sum();
    // A request is counted when it comes in and its answer when it goes out, which may be a minute later.
    let errors: u64 = minutes.iter().map(|minute| minute.errors).sum();
    (errors.min(requests), requests)
}

#[allow(clippy::cast_precision_loss)] // counts of requests are far below 2^52
fn rate((errors, requests): (u64, u64)) -> f64 {
    errors as f64 / requests.max(1) as f64
}

/// The percentiles of the minutes that have enough requests to speak of one.
fn times(minutes: &[Minute]) -> Vec<f64> {
    minutes
        .iter()
        .filter(|minute| minute.requests >= LEAST_REQUESTS_A_MINUTE)
        .filter_map(|minute| minute.response_time)
        .collect()
}

fn minute_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(MINUTE)).unwrap_or(at)
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count * MINUTE)
}
