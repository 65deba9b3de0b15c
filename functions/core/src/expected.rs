//! When a new fleet is likely to be healthy, learnt from the releases before, and so when to look.
//!
//! A look costs some calls, and three transitions if it is not just after another (Check Health goes on looking where the next
//! look is near); an execution's history holds 25,000 events. So it is looked often where something is likely to be seen, and
//! seldom elsewhere.

use serde::{Deserialize, Serialize};

/// How many boots are remembered in `live.json`.
const REMEMBERED: usize = 5;

/// Looks in the time that the last boots took, unless that is wider than this many times [`SELDOM`].
const LOOKS_WITHIN: i64 = 11;

/// Looks before it, and after it.
const LOOKS_BESIDE: (i64, i64) = (3, 4);

/// The longest pause at a time at which a fleet may well become healthy, in seconds.
const SELDOM: i64 = 20;

/// The shortest and the longest pause where it has taken longer than it was expected to, in seconds.
const LATE: (i64, i64) = (5, 45);

/// The longest pause of all, in seconds: a fleet that is expected within it is not looked at before. coinbase/odin first looks
/// after as long.
pub const MOST: i64 = 90;

/// No instance is healthy earlier, in seconds.
const FIRST_LOOK: i64 = 5;

/// From a launch until the whole fleet was healthy, as the last releases took it, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    pub least: u32,
    pub most: u32,
}

impl Expected {
    /// `None` before the first release.
    pub fn of(boots: &[u32]) -> Option<Self> {
        let (mut least, most) = (*boots.iter().min()?, *boots.iter().max()?);
        if boots.len() == 1 {
            // With nothing to go by it was looked at after a sixth of the time gone by, and at least 3 s: it may have been healthy
            // as much earlier.
            least = least.saturating_sub((least / 7).max(2));
        }
        Some(Self { least, most })
    }

    /// By how much the next boot may well be quicker or slower than the last ones were: half as much again as they differ, and
    /// at least a twentieth.
    fn beside(self) -> i64 {
        let (least, most) = (i64::from(self.least), i64::from(self.most));
        1 + ((most - least) / 2).max(least / 20)
    }
}

/// The boots to remember after another, the newest last.
pub fn remember(mut boots: Vec<u32>, newest: Option<u32>) -> Vec<u32> {
    boots.extend(newest);
    boots.drain(..boots.len().saturating_sub(REMEMBERED));
    boots
}

/// Seconds until the next look, `elapsed` after the launch.
///
/// With nothing to go by, often at first and then less often the longer it takes: a sixth of the time gone by. Else eleven times
/// in the time that the last ones took, but not more than once a second, three times before it and four times after it; earlier,
/// where that is more than a minute and a half away, after as long as it has taken until then, within 15 and 45 s, so that what
/// fails early is seen early; afterwards, after twice
/// as long as it is late, and at most a third of the time gone by: an app may have become much slower.
pub fn next_look(elapsed: i64, expected: Option<Expected>) -> i64 {
    let Some(expected) = expected else {
        return if elapsed <= 0 {
            FIRST_LOOK
        } else {
            (elapsed / 6).clamp(3, SELDOM)
        };
    };
    let beside = expected.beside();
    // A little on either side: what was seen after 60 s may have been there after 59.
    let (from, to) = (i64::from(expected.least) - 1, i64::from(expected.most) + 2);
    let until = from - beside - elapsed;
    if until > 0 {
        return if until <= MOST {
            until
        } else {
            elapsed.clamp(15, 45)
        };
    }
    if elapsed < from {
        return of_looks(elapsed, from - beside, from, LOOKS_BESIDE.0);
    }
    if elapsed < to {
        return of_looks(elapsed, from, to, LOOKS_WITHIN);
    }
    if elapsed < to + beside {
        return of_looks(elapsed, to, to + beside, LOOKS_BESIDE.1);
    }
    let late = elapsed - to - beside;
    (2 * late).min(elapsed / 3).clamp(LATE.0, LATE.1)
}

/// Seconds until the next of so many looks at even distances, the last of them at the end of the time.
fn of_looks(elapsed: i64, from: i64, to: i64, looks: i64) -> i64 {
    let time = to - from;
    let passed = (elapsed - from) * looks / time;
    let at = |number: i64| from + (number * time + looks - 1) / looks;
    // More looks than seconds: several of them would be at the same one.
    let next = (passed + 1..=looks).map(at).find(|at| *at > elapsed);
    (next.unwrap_or(to) - elapsed).clamp(1, SELDOM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When it is looked, until a boot that takes `boot` seconds is seen.
    fn looks(boot: i64, expected: Option<Expected>) -> Vec<i64> {
        let (mut now, mut looks) = (0, Vec::new());
        while now < boot {
            now += next_look(now, expected);
            looks.push(now);
        }
        looks
    }

    fn expected(boots: &[u32]) -> Option<Expected> {
        Expected::of(boots)
    }

    #[test]
    fn what_boots_as_it_always_did_is_seen_within_a_second() {
        for usual in [0, 5, 60, 240, 300, 900] {
            for boot in i64::from(usual) - 1..=i64::from(usual) + 2 {
                let seen = looks(boot, expected(&[usual, usual])).pop();
                let seen = seen.unwrap_or_default();
                assert!(seen - boot <= 1, "{boot} s: seen at {seen} s");
            }
        }
    }

    #[test]
    fn a_first_boot_that_was_seen_late_does_not_make_the_next_ones_late() {
        let last = |boot, boots: &[u32]| looks(boot, expected(boots)).pop().unwrap_or_default();
        let as_seen = |seen: i64| u32::try_from(seen).unwrap();
        for boot in FIRST_LOOK..=300 {
            let first = last(boot, &[]);
            let second = last(boot, &[as_seen(first)]);
            assert!(second - boot <= 1 + boot / 60, "{boot} s: {first} {second}");
            let third = last(boot, &[as_seen(first), as_seen(second)]);
            assert!(
                third - boot <= 1 + boot / 60,
                "{boot} s: {first} {second} {third}"
            );
        }
    }

    /// coinbase/odin looks at 105 s for the first time and then every 15 s: ten times in 240 s, and the last of them may be as
    /// late. Here those from 226 s on are one step.
    #[test]
    fn a_boot_of_four_minutes_takes_few_looks() {
        assert_eq!(
            looks(240, expected(&[240, 239, 241])),
            [15, 30, 60, 105, 150, 226, 230, 234, 238, 239, 240]
        );
        assert_eq!(looks(60, expected(&[60, 60])), [55, 57, 58, 59, 60]);
        assert_eq!(looks(5, expected(&[5, 5])), [3, 4, 5]);
        assert_eq!(
            looks(270, expected(&[262, 285])),
            [
                15, 30, 60, 105, 150, 195, 247, 252, 257, 261, 264, 266, 269, 271
            ]
        );
    }

    #[test]
    fn a_five_minute_boot_takes_at_most_thirty_looks_whatever_was_expected() {
        assert!(looks(300, None).len() <= 30);
        for least in 0..400 {
            for most in least..least + 400 {
                let looks = looks(300, Some(Expected { least, most }));
                assert!(looks.len() <= 30, "{least} to {most} s: {looks:?}");
            }
        }
    }

    #[test]
    fn the_last_boots_are_remembered() {
        assert_eq!(remember(vec![], None), Vec::<u32>::new());
        assert_eq!(remember(vec![60], None), [60]);
        assert_eq!(remember(vec![1, 2, 3, 4, 5], Some(6)), [2, 3, 4, 5, 6]);
        assert_eq!(expected(&[]), None);
        assert_eq!(
            expected(&[61, 58]),
            Some(Expected {
                least: 58,
                most: 61
            })
        );
    }

    proptest! {
        #[test]
        fn a_five_minute_boot_takes_at_most_thirty_looks(
            boots in proptest::collection::vec(0u32..3_600, 0..6),
            boot in 0i64..=300,
        ) {
            let looks = looks(boot, expected(&boots));
            prop_assert!(looks.len() <= 30, "{looks:?}");
        }

        #[test]
        fn it_is_always_looked_again(
            boots in proptest::collection::vec(0u32..100_000, 0..6),
            elapsed in -5i64..100_000,
        ) {
            let next = next_look(elapsed, expected(&boots));
            prop_assert!((1..=MOST).contains(&next), "{next}");
        }
    }
}
