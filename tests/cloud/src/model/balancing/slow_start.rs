//! A new target gets a share of the requests that grows with time, where its target group starts slowly.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#slow-start-mode>

use std::time::Duration;

use jiff::Timestamp;

/// A full share, which is also in how many steps it is reached: AWS's line, as a stair.
pub(super) const FULL: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlowStart {
    /// Less than [`FULL`].
    pub(super) share: usize,
    pub(super) next: Timestamp,
    step: Duration,
}

impl SlowStart {
    pub(super) fn new(now: Timestamp, duration: Duration) -> Self {
        let step = duration / u32::try_from(FULL).unwrap_or(1);
        Self {
            share: 1,
            next: now + step,
            step,
        }
    }

    /// Where it is at `now`; none when it is over.
    pub(super) fn at(mut self, now: Timestamp) -> Option<Self> {
        while self.next <= now {
            self.share += 1;
            self.next += self.step;
            if self.share >= FULL {
                return None;
            }
        }
        Some(self)
    }
}

/// Each of the targets as often as its share says, taking turns. Where all have the same, each once.
pub(super) fn turns<T: Copy>(targets: &[(T, usize)]) -> Vec<T> {
    let level = targets.iter().all(|(_, share)| *share == FULL);
    let rounds = if level { 1 } else { FULL };
    (0..rounds)
        .flat_map(|round| {
            targets
                .iter()
                .filter(move |(_, share)| *share > round)
                .map(|(target, _)| *target)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_to_a_full_one() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let start = SlowStart::new(at(0), Duration::from_secs(100));
        for (seconds, share) in [
            (0, Some(1)),
            (9, Some(1)),
            (10, Some(2)),
            (55, Some(6)),
            (89, Some(9)),
            (90, None),
        ] {
            assert_eq!(
                start.clone().at(at(seconds)).map(|slow| slow.share),
                share,
                "{seconds}"
            );
        }
    }

    #[test]
    fn turns_follow_the_shares() {
        assert_eq!(turns(&[('a', FULL), ('b', FULL)]), ['a', 'b']);
        let some = turns(&[('a', FULL), ('b', 3)]);
        let count = |wanted: char| some.iter().filter(|target| **target == wanted).count();
        assert_eq!((count('a'), count('b')), (10, 3));
        assert!(turns::<char>(&[]).is_empty());
    }
}
