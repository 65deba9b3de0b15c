//! How a live fleet changes its size by itself: policies and scheduled actions, as the target declares them.
//!
//! They are put on a release's group when it has the traffic, so that they never act on two fleets at once. While a deploy
//! goes on, the live group's are held; what should have happened meanwhile is found by
//! [`Scaling::missed`].

mod steps;

use std::collections::BTreeSet;

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions, parse_crontab_with};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::target::CapacityLimits;

pub use steps::{ALARM_PREFIX, Adjustment, Side};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scaling {
    #[serde(default)]
    pub policies: Vec<Policy>,
    #[serde(default)]
    pub scheduled_actions: Vec<ScheduledAction>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Policy {
    /// As many instances as keep the metric at the value:
    /// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html>.
    TargetTracking { metric: Metric, value: u32 },
    /// So many instances more or less, by how far the metric is beyond a threshold for so many minutes.
    Step {
        metric: Metric,
        steps: Vec<Adjustment>,
        #[serde(default = "five")]
        minutes: u32,
    },
}

/// As often as EC2 tells of an instance's processor, if nobody pays for more.
fn five() -> u32 {
    5
}

impl Policy {
    pub fn metric(&self) -> Metric {
        match self {
            Self::TargetTracking { metric, .. } | Self::Step { metric, .. } => *metric,
        }
    }

    /// Of a step policy the directions, each of which is a policy to Auto Scaling.
    pub fn sides(&self) -> Vec<Side> {
        match self {
            Self::TargetTracking { .. } => Vec::new(),
            Self::Step { metric, steps, .. } => steps::sides(*metric, steps),
        }
    }

    /// What its policies are called at Auto Scaling.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::TargetTracking { metric, .. } => vec![metric.name().to_owned()],
            Self::Step { .. } => self.sides().into_iter().map(|side| side.name).collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Percent of the processor's time, on average over the instances.
    AverageCpu,
    /// Requests a minute that the load balancer sends to each instance.
    RequestsPerTarget,
}

impl Metric {
    /// In the target's word; the policy is named so as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::AverageCpu => "averageCpu",
            Self::RequestsPerTarget => "requestsPerTarget",
        }
    }
}

/// A size at a time:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html>.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduledAction {
    pub name: String,
    /// Minute, hour, day of the month, month and day of the week, as in `0 7 * * MON-FRI`.
    pub recurrence: String,
    /// A name of the IANA database, such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Auto Scaling's quota: <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>.
const MOST_ACTIONS: usize = 125;

/// How long a step may be tried again that puts the actions on a group, or gives them back. It knows only when it began.
const STEP: SignedDuration = SignedDuration::from_mins(15);

/// How far back the last time of an action is looked for: first where the frequent ones have it, as each time between is
/// passed on the way.
const LOOK_BACK: [SignedDuration; 4] = [
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(24 * 32),
    SignedDuration::from_hours(24 * 367),
];

impl ScheduledAction {
    fn times(&self) -> Result<Crontab, cronexpr::Error> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let text = format!("{} {}", self.recurrence, self.time_zone);
        parse_crontab_with(&text, options)
    }

    /// The last time that it was due, until `now`; `None` if that is more than a year ago.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.times().ok()?;
        LOOK_BACK.into_iter().find_map(|back| {
            let times = times.iter_after(now.checked_sub(back).ok()?).ok()?;
            times
                .map_while(Result::ok)
                .map(|time| time.timestamp())
                .take_while(|time| *time <= now)
                .last()
        })
    }

    /// The first thing that is wrong with it: the field and the problem with what would be right.
    fn problem(&self) -> Option<(&'static str, String)> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_plain) {
            let problem = format!(
                "is {:?}; use 1 to 64 letters, digits, hyphens and underscores",
                self.name
            );
            return Some(("name", problem));
        }
        if self.recurrence.split_whitespace().count() != 5 {
            let problem = format!(
                "is {:?}; it needs five fields: minute, hour, day of the month, month and day of the week, as in \"0 7 * * MON-FRI\"",
                self.recurrence
            );
            return Some(("recurrence", problem));
        }
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            let problem = format!(
                "is {:?}; use a name such as \"Europe/Berlin\", or leave it out for UTC",
                self.time_zone
            );
            return Some(("timeZone", problem));
        }
        if let Err(error) = self.times() {
            let told = error.to_string();
            let told: Vec<&str> = told.split_whitespace().collect();
            let problem = format!("is {:?}: {}", self.recurrence, told.join(" "));
            return Some(("recurrence", problem));
        }
        let (min, max) = (self.min.unwrap_or(0), self.max.unwrap_or(u32::MAX));
        if self.min.or(self.max).or(self.desired).is_none() {
            let problem = "gives no size; use min, max or desired, or several of them".to_owned();
            return Some(("min", problem));
        }
        if min > max {
            return Some(("min", format!("is {min}, more than max, which is {max}")));
        }
        if let Some(desired) = self
            .desired
            .filter(|desired| !(min..=max).contains(desired))
        {
            let problem = format!("is {desired}; it must be from min to max");
            return Some(("desired", problem));
        }
        if let Some(max) = self.max.filter(|max| !(1..=10_000).contains(max)) {
            return Some(("max", format!("is {max}; use 1 to 10000 instances")));
        }
        None
    }
}

/// What a group's size is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub min: u32,
    pub max: u32,
    /// `None`: as it is, within the limits.
    pub desired: Option<u32>,
    /// The desired capacity is no smaller than this.
    pub at_least: u32,
}

impl Size {
    /// The desired capacity of a group that has had `desired` until now.
    pub fn desired_after(&self, desired: u32) -> u32 {
        let wanted = self.desired.unwrap_or(desired).max(self.at_least);
        wanted.clamp(self.min, self.max)
    }
}

impl Scaling {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// The first thing that is wrong: the field below `scaling` and the problem with what would be right.
    pub(crate) fn problem(&self) -> Option<(String, String)> {
        let mut metrics = BTreeSet::new();
        for (index, policy) in self.policies.iter().enumerate() {
            let metric = policy.metric();
            let at = |field: &str| format!("scaling.policies[{index}].{field}");
            if !metrics.insert(metric) {
                let problem = format!("is {:?} a second time; one policy a metric", metric.name());
                return Some((at("metric"), problem));
            }
            let (most, unit) = match metric {
                Metric::AverageCpu => (100, "percent"),
                Metric::RequestsPerTarget => (10_000_000, "requests a minute"),
            };
            match policy {
                Policy::TargetTracking { value, .. } if !(1..=most).contains(value) => {
                    return Some((at("value"), format!("is {value}; use 1 to {most} {unit}")));
                }
                Policy::Step { minutes, .. } if !(1..=60).contains(minutes) => {
                    return Some((at("minutes"), format!("is {minutes}; use 1 to 60 minutes")));
                }
                Policy::Step { steps, .. } => {
                    if let Some((field, problem)) = steps::problem(steps, (most, unit)) {
                        return Some((at(&field), problem));
                    }
                }
                Policy::TargetTracking { .. } => {}
            }
        }
        let actions = &self.scheduled_actions;
        if actions.len() > MOST_ACTIONS {
            let problem = format!("has {} actions; use at most {MOST_ACTIONS}", actions.len());
            return Some(("scaling.scheduledActions".to_owned(), problem));
        }
        let mut names = BTreeSet::new();
        actions.iter().enumerate().find_map(|(index, action)| {
            let at = |field: &str| format!("scaling.scheduledActions[{index}].{field}");
            if !names.insert(&action.name) {
                let problem = format!("is {:?} a second time", action.name);
                return Some((at("name"), problem));
            }
            let (field, problem) = action.problem()?;
            Some((at(field), problem))
        })
    }

    /// Each scheduled action with the time that it was due last, in that order.
    fn due(&self, now: Timestamp) -> Vec<(Timestamp, &ScheduledAction)> {
        let last = |action: &'_ ScheduledAction| action.last(now);
        let actions = self.scheduled_actions.iter();
        let mut due: Vec<_> = actions
            .filter_map(|action| Some((last(action)?, action)))
            .collect();
        due.sort_by_key(|(time, _)| *time);
        due
    }

    /// The limits that a group has by now which has gone through all of the scheduled actions.
    pub fn limits(&self, limits: CapacityLimits, now: Timestamp) -> CapacityLimits {
        self.due(now)
            .into_iter()
            .fold(limits, |before, (_, action)| {
                let after = CapacityLimits {
                    min: action.min.unwrap_or(before.min),
                    max: action.max.unwrap_or(before.max),
                    ..before
                };
                // Auto Scaling refuses such an action when it is due.
                if after.min > after.max { before } else { after }
            })
    }

    /// What the scheduled actions that came due after `since` have made of a group's size; `None` if none has.
    ///
    /// An action that comes due while the step at hand is still being tried would be missed. So one that makes the group
    /// larger counts if it comes due within a quarter of an hour: that early rather than not at all. One that makes it
    /// smaller does not.
    pub fn missed(&self, limits: CapacityLimits, since: Timestamp, now: Timestamp) -> Option<Size> {
        let soon = now.checked_add(STEP).unwrap_or(now);
        let desired = |since, until| {
            let due = self.due(until);
            let mut missed = due.iter().rev().take_while(|(time, _)| *time > since);
            let any = missed.clone().next().is_some();
            (any, missed.find_map(|(_, action)| action.desired))
        };
        let ((before, is), (after, will)) = (desired(since, now), desired(now, soon));
        if !before && !after {
            return None;
        }
        let CapacityLimits { min, max, .. } = self.limits(limits, now);
        let larger = self.limits(limits, soon);
        Some(Size {
            min: min.max(larger.min),
            max: max.max(larger.max),
            desired: is,
            at_least: will.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const LIMITS: CapacityLimits = CapacityLimits {
        min: 2,
        max: 6,
        initial: 2,
    };

    fn scaling(actions: &Value) -> Scaling {
        serde_json::from_value(json!({ "scheduledActions": actions })).unwrap()
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn office_hours() -> Scaling {
        scaling(&json!([
            {"name": "morning", "recurrence": "0 7 * * MON-FRI", "timeZone": "Europe/Berlin", "min": 4, "max": 20, "desired": 8},
            {"name": "evening", "recurrence": "0 19 * * *", "timeZone": "Europe/Berlin", "min": 1, "max": 6},
        ]))
    }

    #[test]
    fn the_limits_are_those_of_the_last_action() {
        let scaling = office_hours();
        for (time, min, max) in [
            // A Thursday in winter: 7 o'clock in Berlin is 6 o'clock in UTC.
            ("2026-11-26T05:59:59Z", 1, 6),
            ("2026-11-26T06:00:00Z", 4, 20),
            ("2026-11-26T17:59:00Z", 4, 20),
            ("2026-11-26T18:00:00Z", 1, 6),
            // On a Sunday nobody comes.
            ("2026-11-29T12:00:00Z", 1, 6),
            // In summer an hour earlier.
            ("2026-07-01T05:00:00Z", 4, 20),
        ] {
            let limits = scaling.limits(LIMITS, at(time));
            assert_eq!((limits.min, limits.max), (min, max), "{time}");
        }
        assert_eq!(
            Scaling::default().limits(LIMITS, at("2026-11-26T06:00:00Z")),
            LIMITS
        );
    }

    #[test]
    fn what_came_due_meanwhile_is_found() {
        let scaling = office_hours();
        // The new limits, and what becomes of a group of 10, and of one of 2.
        for (since, now, missed) in [
            ("05:50:00", "06:10:00", Some((4, 20, [8, 8]))),
            ("05:30:00", "05:44:00", None),
            ("06:00:00", "06:10:00", None),
            // Larger a little early.
            ("05:30:00", "05:50:00", Some((4, 20, [10, 8]))),
            // Smaller not before its time, though that comes soon.
            ("17:30:00", "17:50:00", Some((4, 20, [10, 4]))),
            // The later of two leaves the desired capacity alone, within its limits.
            ("05:50:00", "18:10:00", Some((1, 6, [6, 6]))),
            ("17:50:00", "18:10:00", Some((1, 6, [6, 2]))),
        ] {
            let day = |time| at(&format!("2026-11-26T{time}Z"));
            let found = scaling.missed(LIMITS, day(since), day(now));
            let found = found.map(|size| {
                (
                    size.min,
                    size.max,
                    [10, 2].map(|now| size.desired_after(now)),
                )
            });
            assert_eq!(found, missed, "{since} {now}");
        }
    }

    #[test]
    fn an_action_of_every_minute_is_found_as_well_as_one_of_every_year() {
        let now = at("2026-11-26T06:30:10Z");
        for (recurrence, last) in [
            ("* * * * *", "2026-11-26T06:30:00Z"),
            ("0 0 27 11 *", "2025-11-27T00:00:00Z"),
            ("15 6 26 11 *", "2026-11-26T06:15:00Z"),
        ] {
            let scaling = scaling(&json!([{"name": "one", "recurrence": recurrence, "min": 1}]));
            assert_eq!(scaling.due(now)[0].0, at(last), "{recurrence}");
        }
    }

    #[test]
    fn an_action_that_auto_scaling_would_refuse_changes_nothing() {
        let scaling = scaling(&json!([{"name": "one", "recurrence": "* * * * *", "min": 9}]));
        assert_eq!(scaling.limits(LIMITS, at("2026-11-26T06:00:00Z")), LIMITS);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let action = |change: &[(&str, Value)]| {
            let mut action =
                json!({"name": "night", "recurrence": "0 22 * * *", "timeZone": "UTC", "min": 1});
            for (field, value) in change {
                action[*field] = value.clone();
            }
            json!({ "scheduledActions": [action] })
        };
        let cpu = json!({"type": "targetTracking", "metric": "averageCpu", "value": 50});
        for (scaling, field, says) in [
            (
                action(&[("name", json!("a b"))]),
                "scheduledActions[0].name",
                "use 1 to 64 letters",
            ),
            (
                action(&[("recurrence", json!("0 22 * *"))]),
                "scheduledActions[0].recurrence",
                "five fields",
            ),
            (
                action(&[("recurrence", json!("0 25 * * *"))]),
                "scheduledActions[0].recurrence",
                "0 25",
            ),
            (
                action(&[("timeZone", json!("Berlin"))]),
                "scheduledActions[0].timeZone",
                "Europe/Berlin",
            ),
            (
                action(&[("min", Value::Null)]),
                "scheduledActions[0].min",
                "gives no size",
            ),
            (
                action(&[("max", json!(0)), ("min", json!(0))]),
                "scheduledActions[0].max",
                "1 to 10000",
            ),
            (
                action(&[("min", json!(3)), ("max", json!(2))]),
                "scheduledActions[0].min",
                "more than max",
            ),
            (
                action(&[("desired", json!(0))]),
                "scheduledActions[0].desired",
                "from min to max",
            ),
            (
                json!({"policies": [cpu, cpu]}),
                "policies[1].metric",
                "a second time",
            ),
            (
                json!({"policies": [{"type": "targetTracking", "metric": "averageCpu", "value": 101}]}),
                "policies[0].value",
                "1 to 100 percent",
            ),
            (
                json!({"policies": [{"type": "step", "metric": "averageCpu", "minutes": 61, "steps": [{"above": 60, "change": 1}]}]}),
                "policies[0].minutes",
                "1 to 60 minutes",
            ),
            (
                json!({"policies": [{"type": "step", "metric": "averageCpu", "steps": [{"above": 0, "change": 1}]}]}),
                "policies[0].steps[0].above",
                "1 to 100 percent",
            ),
        ] {
            let scaling: Scaling = serde_json::from_value(scaling).unwrap();
            let (found, problem) = scaling.problem().unwrap();
            assert_eq!(found, format!("scaling.{field}"), "{problem}");
            assert!(problem.contains(says), "{problem}");
        }
        assert_eq!(office_hours().problem(), None);
    }

    #[test]
    fn a_policy_of_unknown_type_is_not_read() {
        let unknown = json!({"policies": [{"type": "predictive"}]});
        let error = serde_json::from_value::<Scaling>(unknown).unwrap_err();
        let says = "expected `targetTracking` or `step`";
        assert!(error.to_string().contains(says), "{error}");
    }
}
