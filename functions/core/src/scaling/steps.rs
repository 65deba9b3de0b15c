//! Step scaling: by how much a group grows or shrinks, by how far a metric is beyond a threshold.
//!
//! Auto Scaling has a policy for each direction, and no eyes of its own: a `CloudWatch` alarm tells each when to act
//! (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html>).

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::fleet::FleetName;

/// So many instances more or less, from a value of the metric on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adjustment {
    /// At this value and above it, up to the next such step: more instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<u32>,
    /// At this value and below it, down to the next such step: fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<u32>,
    pub change: i32,
}

/// The step adjustments that a policy may have:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>.
const MOST_STEPS: usize = 20;

/// One direction: a policy, and the alarm that it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Of the policy, as `averageCpu-above`.
    pub name: String,
    pub metric: Metric,
    pub is_above: bool,
    /// Of the alarm: where the first step begins.
    pub threshold: u32,
    /// From and to where each applies, from the threshold on, and its change.
    pub adjustments: Vec<(Option<i64>, Option<i64>, i32)>,
}

/// What the names of all alarms of fleets begin with, and of no other alarms.
pub const ALARM_PREFIX: &str = "exuvia-scaling/";

impl Side {
    /// The alarm's name.
    pub fn alarm(&self, fleet: &FleetName) -> String {
        format!("{ALARM_PREFIX}{fleet}/{}", self.name)
    }
}

/// The directions that a policy has steps for.
pub(super) fn sides(metric: Metric, steps: &[Adjustment]) -> Vec<Side> {
    let above = steps
        .iter()
        .filter_map(|step| Some((step.above?, step.change)));
    let below = steps
        .iter()
        .filter_map(|step| Some((step.below?, step.change)));
    let (mut above, mut below): (Vec<_>, Vec<_>) = (above.collect(), below.collect());
    above.sort_unstable();
    below.sort_unstable_by(|one, other| other.cmp(one));
    [(true, above), (false, below)]
        .into_iter()
        .filter_map(|(is_above, steps)| {
            let threshold = steps.first()?.0;
            let from = |value: u32| i64::from(value) - i64::from(threshold);
            let next = steps.iter().skip(1).map(|(value, _)| Some(from(*value)));
            let adjustments = steps.iter().zip(next.chain([None]));
            let adjustments = adjustments.map(|((value, change), next)| {
                let here = Some(from(*value));
                let (low, high) = if is_above { (here, next) } else { (next, here) };
                (low, high, *change)
            });
            let direction = if is_above { "above" } else { "below" };
            Some(Side {
                name: format!("{}-{direction}", metric.name()),
                metric,
                is_above,
                threshold,
                adjustments: adjustments.collect(),
            })
        })
        .collect()
}

/// The first thing that is wrong: the field of the policy and the problem with what would be right.
pub(super) fn problem(steps: &[Adjustment], (most, unit): (u32, &str)) -> Option<(String, String)> {
    if !(1..=MOST_STEPS).contains(&steps.len()) {
        let problem = format!("has {} steps; use 1 to {MOST_STEPS}", steps.len());
        return Some(("steps".to_owned(), problem));
    }
    for (index, step) in steps.iter().enumerate() {
        let at = |field: &str| format!("steps[{index}].{field}");
        let (field, value) = match (step.above, step.below) {
            (Some(above), None) => ("above", above),
            (None, Some(below)) => ("below", below),
            _ => {
                let problem = "or below: give one of the two".to_owned();
                return Some((at("above"), problem));
            }
        };
        if !(1..=most).contains(&value) {
            return Some((at(field), format!("is {value}; use 1 to {most} {unit}")));
        }
        let allowed = if field == "above" { 1..=100 } else { -100..=-1 };
        if !allowed.contains(&step.change) {
            let (low, high) = (allowed.start(), allowed.end());
            let problem = format!(
                "is {}; use {low} to {high} instances with {field}",
                step.change
            );
            return Some((at("change"), problem));
        }
        let same = |other: &Adjustment| (other.above, other.below) == (step.above, step.below);
        if steps[..index].iter().any(same) {
            return Some((at(field), format!("is {value} a second time")));
        }
    }
    let lowest = steps.iter().filter_map(|step| step.above).min()?;
    let highest = steps.iter().filter_map(|step| step.below).max()?;
    (highest >= lowest).then(|| {
        let problem = format!(
            "has a step below {highest} and one above {lowest}: a group would grow and shrink at one time; leave room between them"
        );
        ("steps".to_owned(), problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn steps(steps: &Value) -> Vec<Adjustment> {
        serde_json::from_value(steps.clone()).unwrap()
    }

    #[test]
    fn each_direction_is_a_policy_of_its_own_and_an_alarm() {
        let steps = steps(&json!([
            {"above": 80, "change": 3}, {"above": 60, "change": 1},
            {"below": 20, "change": -2}, {"below": 30, "change": -1},
        ]));
        let [above, below] = &sides(Metric::AverageCpu, &steps)[..] else {
            panic!("two directions");
        };
        assert_eq!(
            (above.name.as_str(), above.threshold),
            ("averageCpu-above", 60)
        );
        let grows = [(Some(0), Some(20), 1), (Some(20), None, 3)];
        assert_eq!(above.adjustments, grows);
        assert_eq!(
            (below.name.as_str(), below.threshold),
            ("averageCpu-below", 30)
        );
        let shrinks = [(Some(-10), Some(0), -1), (None, Some(-10), -2)];
        assert_eq!(below.adjustments, shrinks);
        let only = sides(Metric::RequestsPerTarget, &steps[2..]);
        assert_eq!(only.len(), 1);
        assert!(!only[0].is_above);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        for (given, field, says) in [
            (json!([]), "steps", "has 0 steps; use 1 to 20"),
            (
                json!([{"change": 1}]),
                "steps[0].above",
                "give one of the two",
            ),
            (
                json!([{"above": 1, "below": 2, "change": 1}]),
                "steps[0].above",
                "give one",
            ),
            (
                json!([{"above": 101, "change": 1}]),
                "steps[0].above",
                "is 101; use 1 to 100 percent",
            ),
            (
                json!([{"above": 60, "change": -1}]),
                "steps[0].change",
                "is -1; use 1 to 100 instances with above",
            ),
            (
                json!([{"below": 30, "change": 1}]),
                "steps[0].change",
                "use -100 to -1 instances with below",
            ),
            (
                json!([{"above": 60, "change": 1}, {"above": 60, "change": 2}]),
                "steps[1].above",
                "is 60 a second time",
            ),
            (
                json!([{"above": 30, "change": 1}, {"below": 30, "change": -1}]),
                "steps",
                "has a step below 30 and one above 30",
            ),
        ] {
            let (found, problem) = problem(&steps(&given), (100, "percent")).unwrap();
            assert_eq!(found, field, "{problem}");
            assert!(problem.contains(says), "{problem}");
        }
        let good = json!([{"above": 31, "change": 1}, {"below": 30, "change": -1}]);
        assert_eq!(problem(&steps(&good), (100, "percent")), None);
    }
}
