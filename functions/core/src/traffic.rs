//! How the traffic moves: the listener rule's weights, step by step.

use serde::{Deserialize, Serialize};

use crate::name::ReleaseNumber;
use crate::target::{Step, Strategy};

/// The steps of a strategy; never empty, and the last gives the new fleet everything.
pub fn steps(strategy: &Strategy) -> Vec<Step> {
    let step = |weight, hold_seconds| Step {
        weight,
        hold_seconds,
    };
    match strategy {
        Strategy::AllAtOnce { bake_seconds } => vec![step(100, *bake_seconds)],
        Strategy::Canary {
            percent,
            hold_seconds,
            bake_seconds,
        } => vec![step(*percent, *hold_seconds), step(100, *bake_seconds)],
        Strategy::Linear {
            percent,
            every_seconds,
            bake_seconds,
        } => {
            let shares = (1..100).filter(|share| share % percent.max(&1) == 0);
            let held = shares.map(|share| step(share, *every_seconds));
            held.chain([step(100, *bake_seconds)]).collect()
        }
        Strategy::Steps { steps } => steps.clone(),
    }
}

/// The steps of a deploy. Without a live release there is nothing to share the traffic with: all of it is the last step.
pub fn steps_beside(live: Option<ReleaseNumber>, strategy: &Strategy) -> Vec<Step> {
    let mut steps = steps(strategy);
    if live.is_none() {
        steps.drain(..steps.len().saturating_sub(1));
    }
    steps
}

/// The one step of a return: everything at once, as the release had it before, and watched for its bake, five minutes at the
/// most.
pub fn steps_of_return(strategy: &Strategy) -> Vec<Step> {
    let last = steps(strategy).pop();
    let hold = last.map_or(0, |last| last.hold_seconds);
    vec![Step {
        weight: 100,
        hold_seconds: hold.min(LONGEST_RETURN),
    }]
}

/// How long a release that had all of the traffic before is watched at the most, in seconds: what it does is known.
const LONGEST_RETURN: u32 = 300;

/// The longest pause between two looks at a fleet that has traffic, in seconds. An execution's history holds 25,000
/// events, and a look is nine: <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
pub fn longest_pause(steps: &[Step]) -> u32 {
    let total: u32 = steps.iter().map(|step| step.hold_seconds).sum();
    (total / 1_500).max(15)
}

/// A release's share in the listener rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    pub release: ReleaseNumber,
    pub weight: u32,
}

/// The rule while the new fleet has `percent` of the traffic. Both stay named, so that both stay health-checked
/// and the way back is one rule change.
pub fn weights(live: Option<ReleaseNumber>, new: ReleaseNumber, percent: u32) -> Vec<Weight> {
    let percent = percent.min(100);
    live.map(|release| Weight {
        release,
        weight: 100 - percent,
    })
    .into_iter()
    .chain([Weight {
        release: new,
        weight: percent,
    }])
    .collect()
}

/// Percent of the traffic that a rule gives a release; at least one if it gives it any.
pub fn share(rule: &[Weight], release: Option<ReleaseNumber>) -> u32 {
    let total: u32 = rule.iter().map(|share| share.weight).sum();
    let shares = rule.iter().filter(|share| Some(share.release) == release);
    let weight: u32 = shares.map(|share| share.weight).sum();
    (weight * 100).div_ceil(total.max(1))
}

/// The rule when a deploy has ended: one fleet, everything.
pub fn only(release: ReleaseNumber) -> Vec<Weight> {
    vec![Weight {
        release,
        weight: 100,
    }]
}

/// Which release a place's traffic is to stay with, told by what is there: the one that the last commit promised,
/// if its fleet still stands and the rule names it (or there is no rule any more, as somebody deleted it); else the
/// one that carries most of the weight. Traffic never moves to what a rule does not name: no health check runs there.
///
/// What is being given up is kept only where the promised fleet is gone: there is nothing better left. And if even that
/// is gone, a fleet that the rule still names takes over, though its weight is 0: it had the traffic before. Where nothing
/// stands at all, the rule goes on naming the promised release: what is live is still told, and can be deployed again.
pub fn keeper(
    committed: Option<ReleaseNumber>,
    rule: &[Weight],
    standing: impl Fn(ReleaseNumber) -> bool,
    given_up: Option<ReleaseNumber>,
) -> Option<ReleaseNumber> {
    let named = |release| rule.is_empty() || rule.iter().any(|share| share.release == release);
    let promised = committed.filter(|release| standing(*release) && named(*release));
    let is_given_up = |share: &&Weight| Some(share.release) == given_up;
    let weighted = || rule.iter().filter(|share| share.weight > 0);
    let heaviest = |share: &&Weight| (share.weight, share.release);
    promised
        .or_else(|| {
            let others = weighted().filter(|share| !is_given_up(share));
            others.max_by_key(heaviest).map(|share| share.release)
        })
        .or_else(|| {
            let last = weighted().find(|share| is_given_up(share) && standing(share.release));
            committed.and(last).map(|share| share.release)
        })
        .or_else(|| {
            let named = rule.iter().filter(|share| !is_given_up(share));
            let left = named
                .map(|share| share.release)
                .filter(|release| standing(*release));
            given_up.and(committed).and(left.max())
        })
        .or_else(|| committed.filter(|release| rule.iter().any(|share| share.release == *release)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(number: u32) -> ReleaseNumber {
        ReleaseNumber::try_from(number).unwrap()
    }

    fn w(release: u32, weight: u32) -> Weight {
        Weight {
            release: n(release),
            weight,
        }
    }

    fn told(steps: &[Step]) -> String {
        let told = steps
            .iter()
            .map(|step| format!("{}% {} s", step.weight, step.hold_seconds));
        told.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_steps_of_each_strategy() {
        for (strategy, expected) in [
            (
                serde_json::json!({"type": "allAtOnce", "bakeSeconds": 60}),
                "100% 60 s",
            ),
            (
                serde_json::json!({"type": "canary", "percent": 10, "holdSeconds": 300, "bakeSeconds": 60}),
                "10% 300 s, 100% 60 s",
            ),
            (
                serde_json::json!({"type": "linear", "percent": 25, "everySeconds": 30, "bakeSeconds": 60}),
                "25% 30 s, 50% 30 s, 75% 30 s, 100% 60 s",
            ),
            (
                serde_json::json!({"type": "linear", "percent": 40, "everySeconds": 30, "bakeSeconds": 60}),
                "40% 30 s, 80% 30 s, 100% 60 s",
            ),
            (
                serde_json::json!({"type": "steps", "steps": [{"weight": 1, "holdSeconds": 600}, {"weight": 20, "holdSeconds": 0}, {"weight": 100, "holdSeconds": 9}]}),
                "1% 600 s, 20% 0 s, 100% 9 s",
            ),
        ] {
            let strategy: Strategy = serde_json::from_value(strategy).unwrap();
            let all = steps(&strategy);
            assert_eq!(told(&all), expected);
            assert_eq!(steps_beside(Some(n(1)), &strategy), all);
            assert_eq!(steps_beside(None, &strategy), all[all.len() - 1..]);
            assert_eq!(steps_of_return(&strategy), all[all.len() - 1..]);
        }
    }

    #[test]
    fn a_return_is_not_watched_for_hours() {
        let bake_seconds = 72_000;
        let steps = steps_of_return(&Strategy::AllAtOnce { bake_seconds });
        assert_eq!(told(&steps), "100% 300 s");
    }

    #[test]
    fn the_longest_bake_fits_into_an_executions_history() {
        for hold_seconds in [0, 60, 3_600, 22_500, 72_000] {
            let step = Step {
                weight: 100,
                hold_seconds,
            };
            let pause = longest_pause(&[step]);
            assert!(pause >= 15 && hold_seconds / pause * 9 < 20_000, "{pause}");
        }
    }

    #[test]
    fn weights_always_add_up() {
        assert_eq!(weights(Some(n(1)), n(2), 0), [w(1, 100), w(2, 0)]);
        assert_eq!(weights(Some(n(1)), n(2), 30), [w(1, 70), w(2, 30)]);
        assert_eq!(weights(Some(n(1)), n(2), 100), [w(1, 0), w(2, 100)]);
        assert_eq!(weights(None, n(1), 0), [w(1, 0)]);
        assert_eq!(weights(None, n(1), 100), [w(1, 100)]);
    }

    fn kept(
        committed: Option<u32>,
        rule: &[Weight],
        standing: &[u32],
        given_up: Option<u32>,
    ) -> Option<u32> {
        let stands = |release: ReleaseNumber| standing.contains(&release.get());
        keeper(committed.map(n), rule, stands, given_up.map(n)).map(ReleaseNumber::get)
    }

    #[test]
    fn who_keeps_the_traffic() {
        for (committed, rule, standing, keeps, why) in [
            (None, vec![], vec![], None, "nothing is there"),
            (Some(1), vec![w(1, 100)], vec![1], Some(1), "all is well"),
            (
                Some(1),
                vec![w(1, 0), w(2, 100)],
                vec![2],
                Some(2),
                "the promised fleet vanished",
            ),
            (
                Some(1),
                vec![w(2, 100)],
                vec![1, 2],
                Some(2),
                "the rule no longer names the promised one",
            ),
            (
                None,
                vec![w(1, 100)],
                vec![1],
                Some(1),
                "a first deploy that was cut off under traffic",
            ),
            (
                Some(3),
                vec![],
                vec![],
                None,
                "everything was removed by hand",
            ),
            (
                Some(1),
                vec![],
                vec![1],
                Some(1),
                "the rule was removed by hand",
            ),
        ] {
            assert_eq!(kept(committed, &rule, &standing, None), keeps, "{why}");
        }
    }

    #[test]
    fn who_keeps_the_traffic_when_a_release_is_given_up() {
        for (committed, rule, standing, given_up, keeps, why) in [
            (
                Some(1),
                vec![w(1, 0), w(2, 100)],
                vec![1, 2],
                2,
                Some(1),
                "cut off before Commit",
            ),
            (
                Some(2),
                vec![w(1, 0), w(2, 100)],
                vec![1, 2],
                2,
                Some(2),
                "cut off within Commit",
            ),
            (
                None,
                vec![w(1, 0)],
                vec![1],
                1,
                None,
                "a first deploy that never got traffic",
            ),
            (
                None,
                vec![w(1, 100)],
                vec![1],
                1,
                None,
                "a first deploy that failed under traffic",
            ),
            (
                Some(1),
                vec![w(1, 0), w(2, 100)],
                vec![2],
                2,
                Some(2),
                "the promised fleet vanished under the new one",
            ),
            (
                Some(2),
                vec![w(1, 0), w(2, 100)],
                vec![1],
                2,
                Some(1),
                "the new fleet vanished within Commit, and the old one still stands",
            ),
            (
                Some(2),
                vec![w(2, 100)],
                vec![],
                2,
                Some(2),
                "the new fleet vanished after Commit",
            ),
            (
                Some(1),
                vec![w(1, 0), w(2, 100)],
                vec![],
                2,
                Some(1),
                "both fleets vanished before Commit",
            ),
            (
                None,
                vec![w(1, 0), w(2, 0)],
                vec![1, 2],
                2,
                None,
                "nothing was ever live",
            ),
        ] {
            let kept = kept(committed, &rule, &standing, Some(given_up));
            assert_eq!(kept, keeps, "{why}");
        }
    }
}
