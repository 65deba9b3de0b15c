//! How the traffic moves: the listener rule's weights, step by step.

use serde::{Deserialize, Serialize};

use crate::name::ReleaseNumber;
use crate::target::Strategy;

/// One rule change and how long it is held before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Percent of the traffic that the new fleet gets.
    pub weight: u32,
    pub hold_seconds: u32,
}

/// The steps of a strategy; never empty, and the last gives the new fleet everything.
pub fn steps(strategy: &Strategy) -> Vec<Step> {
    match strategy {
        Strategy::AllAtOnce { bake_seconds } => vec![Step {
            weight: 100,
            hold_seconds: *bake_seconds,
        }],
    }
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

    #[test]
    fn all_at_once_is_one_step_to_everything() {
        let all = steps(&Strategy::AllAtOnce { bake_seconds: 60 });
        assert_eq!(
            all,
            [Step {
                weight: 100,
                hold_seconds: 60
            }]
        );
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
