//! Which target gets the next request: a target group by the weights, then its targets in turn.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html#forward-actions>

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::routes::WeightedGroup;

/// 2^64 divided by the golden ratio: its multiples, modulo 2^64, spread more evenly than chance would, and in no
/// period that a client's own rhythm could meet.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Default)]
pub(super) struct Choice {
    requests: AtomicU64,
    /// By target group: how many requests it was given.
    turns: Mutex<HashMap<String, usize>>,
}

impl Choice {
    /// None if no group has weight, or the one whose turn it is has no target: a load balancer does not turn to
    /// another group then, it answers 503. With it comes its group's ARN.
    pub(super) fn target<'a>(&self, groups: &'a [WeightedGroup]) -> Option<(&'a str, SocketAddr)> {
        let group = self.group(groups)?;
        if group.targets.is_empty() {
            return None;
        }
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = match turns.get_mut(&group.target_group_arn) {
            Some(turn) => turn,
            None => turns.entry(group.target_group_arn.clone()).or_default(),
        };
        *turn = turn.wrapping_add(1);
        let target = group.targets[*turn % group.targets.len()];
        Some((&group.target_group_arn, target))
    }

    fn group<'a>(&self, groups: &'a [WeightedGroup]) -> Option<&'a WeightedGroup> {
        let total: u64 = groups.iter().map(|group| u64::from(group.weight)).sum();
        let point = self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(STEP);
        // From all 64 bits to 0..total.
        let mut point = u64::try_from((u128::from(point) * u128::from(total)) >> 64).unwrap_or(0);
        groups
            .iter()
            .find(|group| match point.checked_sub(u64::from(group.weight)) {
                Some(rest) => {
                    point = rest;
                    false
                }
                None => true,
            })
    }

    pub(super) fn forget_others(&self, arns: &HashSet<String>) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|arn, _| arns.contains(arn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, weight: u16, ports: &[u16]) -> WeightedGroup {
        WeightedGroup {
            target_group_arn: name.to_owned(),
            weight,
            targets: ports
                .iter()
                .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)))
                .collect(),
        }
    }

    /// How many of 1000 requests each port got, and port 0 if none did.
    fn shares(groups: &[WeightedGroup]) -> HashMap<u16, usize> {
        let choice = Choice::default();
        let mut shares = HashMap::new();
        for _ in 0..1000 {
            let port = choice.target(groups).map_or(0, |(_, target)| target.port());
            *shares.entry(port).or_default() += 1;
        }
        shares
    }

    #[test]
    fn requests_follow_the_weights_and_take_turns_in_a_group() {
        for (groups, expected) in [
            (vec![group("a", 1, &[1])], vec![(1, 1000)]),
            (
                vec![group("a", 0, &[1]), group("b", 999, &[2])],
                vec![(2, 1000)],
            ),
            (
                vec![group("a", 90, &[1]), group("b", 10, &[2])],
                vec![(1, 900), (2, 100)],
            ),
            (
                vec![group("a", 1, &[1, 2, 3, 4])],
                vec![(1, 250), (2, 250), (3, 250), (4, 250)],
            ),
            (
                vec![group("a", 50, &[1, 2]), group("b", 50, &[3])],
                vec![(1, 250), (2, 250), (3, 500)],
            ),
            (
                vec![group("a", 50, &[1]), group("b", 50, &[])],
                vec![(1, 500), (0, 500)],
            ),
            (
                vec![group("a", 0, &[1]), group("b", 0, &[2])],
                vec![(0, 1000)],
            ),
            (vec![], vec![(0, 1000)]),
        ] {
            let shares = shares(&groups);
            assert_eq!(shares.len(), expected.len(), "{groups:?}: {shares:?}");
            for (port, share) in expected {
                assert!(shares[&port].abs_diff(share) <= 5, "{groups:?}: {shares:?}");
            }
        }
    }
}
