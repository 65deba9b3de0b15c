//! What the comparison says in single cases; how often it is wrong and what it finds, over thousands of deploys.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

fn n(number: u32) -> ReleaseNumber {
    ReleaseNumber::try_from(number).unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
}

fn minute(index: i64, requests: u64, errors: u64, response_time: f64) -> Minute {
    Minute {
        start: at(index),
        requests,
        errors,
        response_time: (requests > 0).then_some(response_time),
    }
}

/// A step that is half of the deploy and began in minute -1, so that minute 0 is its first full one.
fn step(alone: bool) -> Step {
    Step {
        shifted_at: at(-1) + SignedDuration::from_secs(17),
        alone,
        hold_seconds: 300,
        all_seconds: 600,
    }
}

/// The look at which `look` minutes are complete.
fn looked(step: &Step, look: i64) -> Window {
    let window = window(step, at(look) + minutes(1)).unwrap();
    assert_eq!(i64::from(window.look), look);
    window
}

fn judged(alone: bool, look: i64, new: &[Minute], live: &[Minute]) -> Verdict {
    let step = step(alone);
    let [new, live] = [(43, new), (42, live)].map(|(release, minutes)| Counted {
        release: n(release),
        minutes,
    });
    judge(
        Comparison::default(),
        &step,
        &looked(&step, look),
        new,
        live,
    )
}

fn series(from: i64, until: i64, one: impl Fn(i64) -> (u64, u64, f64)) -> Vec<Minute> {
    let minutes = (from..until).map(|index| {
        let (requests, errors, time) = one(index);
        minute(index, requests, errors, time)
    });
    minutes.collect()
}

#[test]
fn a_look_is_about_complete_minutes_since_the_shift() {
    let step = step(false);
    let second = |second| at(0) + SignedDuration::from_secs(second);
    // Minute 0 is over at 60, and told at 120.
    assert_eq!(window(&step, second(-20)), None);
    assert_eq!(window(&step, second(119)), None);
    let first = window(&step, second(120)).unwrap();
    assert_eq!((first.start, first.until, first.look), (at(0), at(1), 1));
    assert_eq!(first.from, at(-60));
    assert_eq!(window(&step, second(179)), Some(first));
    assert_eq!(window(&step, second(180)).unwrap().look, 2);
    // A long step is judged by its newest hour.
    let late = window(&step, at(101)).unwrap();
    assert_eq!((late.start, late.until, late.look), (at(40), at(100), 100));
    let alone = Step {
        alone: true,
        ..step
    };
    assert_eq!(window(&alone, at(101)).unwrap().from, at(-61));
}

#[test]
fn errors_that_only_the_new_release_has_are_told_by_both_numbers() {
    let new = series(0, 3, |_| (400, 16, 0.1));
    let live = series(-60, 3, |_| (3_946, 8, 0.1));
    assert_eq!(
        judged(false, 3, &new, &live),
        Verdict::Worse(
            "5xx 4.0% of 1,200 requests on release 43, 0.2% of 11,838 on release 42".to_owned()
        )
    );
    // All have them: it is not the release.
    let live = series(-60, 3, |_| (3_946, 158, 0.1));
    let verdict = judged(false, 3, &new, &live);
    assert!(matches!(verdict, Verdict::Alike(_)), "{verdict:?}");
    // Alone, it is compared with the minutes before, which is said.
    let live = series(-60, -1, |_| (3_946, 8, 0.1));
    let Verdict::Worse(why) = judged(true, 3, &new, &live) else {
        panic!("not worse")
    };
    assert!(
        why.ends_with("0.2% of 59,190 on release 42 in the 15 minutes before"),
        "{why}"
    );
}

#[test]
fn what_makes_errors_count() {
    // (new errors of so many requests, the live one's, alone) in one minute.
    for (new, live, alone, worse, why) in [
        (
            (5, 100),
            (0, 900),
            false,
            true,
            "five of a hundred, and none of the others",
        ),
        ((3, 100), (0, 900), false, false, "three may be chance"),
        (
            (9, 99),
            (0, 900),
            false,
            false,
            "fewer requests than are asked for",
        ),
        (
            (80, 10_000),
            (1, 90_000),
            false,
            false,
            "certain, but less than a percentage point",
        ),
        (
            (120, 10_000),
            (1, 90_000),
            false,
            true,
            "certain, and more than that",
        ),
        (
            (190, 1_000),
            (1_000, 9_000),
            false,
            false,
            "certain, but less than twice as many",
        ),
        (
            (290, 1_000),
            (1_000, 9_000),
            false,
            true,
            "more than twice as many",
        ),
        (
            (290, 1_000),
            (15_000, 135_000),
            true,
            false,
            "but not thrice as many as before",
        ),
        (
            (150, 10_000),
            (15, 135_000),
            true,
            false,
            "nor two percentage points more",
        ),
        ((350, 10_000), (15, 135_000), true, true, "but this is"),
        ((100, 100), (100, 100), false, false, "nothing works"),
        (
            (100, 100),
            (0, 50),
            false,
            false,
            "the live one has too few",
        ),
    ] {
        let fresh = [minute(0, new.1, new.0, 0.1)];
        let live = if alone {
            series(-16, -1, |_| (live.1 / 15, live.0 / 15, 0.1))
        } else {
            vec![minute(0, live.1, live.0, 0.1)]
        };
        let verdict = judged(alone, 1, &fresh, &live);
        let is_worse = matches!(verdict, Verdict::Worse(_));
        assert_eq!(is_worse, worse, "{why}: {verdict:?}");
    }
}

#[test]
fn a_slower_release_is_told_by_both_times() {
    let usual = |index: i64| {
        (
            900,
            0,
            0.2 + 0.01 * f64::from(u8::try_from(index.rem_euclid(7)).unwrap()),
        )
    };
    let live = series(-60, 3, usual);
    let new = series(0, 3, |_| (100, 0, 0.82));
    assert_eq!(
        judged(false, 3, &new, &live),
        Verdict::Worse("p90 response time 820 ms on release 43, 210 ms on release 42".to_owned())
    );
    for (time, count, look, worse, why) in [
        (0.82, 3, 3, true, "three minutes"),
        (0.82, 2, 2, false, "two are no series"),
        (0.31, 3, 3, false, "less than half as long again"),
        (0.36, 3, 3, true, "more than that"),
    ] {
        let verdict = judged(false, look, &series(0, count, |_| (100, 0, time)), &live);
        assert_eq!(
            matches!(verdict, Verdict::Worse(_)),
            worse,
            "{why}: {verdict:?}"
        );
    }
    // Both are slow at the moment: it is not the release.
    let live_too = series(-60, 3, |index| {
        if index < 0 {
            usual(index)
        } else {
            (900, 0, 0.8)
        }
    });
    let verdict = judged(false, 3, &new, &live_too);
    assert!(matches!(verdict, Verdict::Alike(_)), "{verdict:?}");
    // It has been as slow as that now and then.
    let moody = series(-60, 3, |index| {
        if index % 10 == -9 {
            (900, 0, 0.9)
        } else {
            usual(index)
        }
    });
    let verdict = judged(false, 3, &new, &moody);
    assert!(matches!(verdict, Verdict::Alike(_)), "{verdict:?}");
    // Fast ones may be twice as slow without anybody noticing.
    let (new, live) = (
        series(0, 3, |_| (100, 0, 0.04)),
        series(-60, 3, |index| (900, 0, usual(index).2 / 20.0)),
    );
    assert!(matches!(judged(false, 3, &new, &live), Verdict::Alike(_)));
    // A minute of few requests has no percentile to speak of.
    let new = series(0, 3, |_| (19, 0, 9.0));
    let live = series(-60, 3, |_| (900, 0, 0.1));
    assert!(matches!(judged(false, 3, &new, &live), Verdict::Unknown(_)));
}

#[test]
fn what_is_seldom_asked_is_not_judged() {
    for (new, live) in [
        (vec![], vec![]),
        (
            vec![minute(0, 99, 99, 9.0)],
            series(-60, 3, |_| (9, 0, 0.1)),
        ),
    ] {
        let Verdict::Unknown(why) = judged(false, 1, &new, &live) else {
            panic!("{new:?}")
        };
        let says = "requests in complete minutes, and 100 are needed";
        assert!(
            why.starts_with("not compared: release 4") && why.ends_with(says),
            "{why}"
        );
    }
}

#[test]
fn all_looks_of_all_steps_together_spend_no_more_than_there_is() {
    let steps = [(10, 300), (20, 60), (70, 7_200)];
    let all: u32 = steps.iter().map(|(_, hold)| hold).sum();
    let spent_in_all: f64 = steps
        .iter()
        .flat_map(|(_, hold)| {
            let part = part_of(&Step {
                hold_seconds: *hold,
                all_seconds: all,
                ..step(false)
            });
            (1..=hold / 60).map(move |look| spent(FALSE_ALARMS * part, look))
        })
        .sum();
    assert!(spent_in_all <= FALSE_ALARMS, "{spent_in_all}");
}

proptest! {
    #[test]
    fn nothing_that_is_counted_makes_it_fail(
        counts in proptest::collection::vec((-70_i64..70, 0_u64..5_000, 0_u64..6_000, 0.0_f64..1e6), 0..80),
        split in 0_usize..80, alone in any::<bool>(), look in 1_i64..90,
    ) {
        let minutes: Vec<Minute> = counts
            .into_iter()
            .map(|(index, requests, errors, time)| minute(index, requests, errors, time))
            .collect();
        let (new, live) = minutes.split_at(split.min(minutes.len()));
        let _ = judged(alone, look, new, live);
    }

    #[test]
    fn a_release_is_never_worse_than_its_like(
        counts in proptest::collection::vec((0_u64..5_000, 0_u64..100, 0.001_f64..9.0), 1..60), alone in any::<bool>(),
    ) {
        let alike: Vec<Minute> = (0..)
            .zip(&counts)
            .map(|(index, (requests, errors, time))| minute(index, *requests, *errors, *time))
            .collect();
        let before: Vec<Minute> = alike
            .iter()
            .map(|minute| Minute { start: minute.start - minutes(i64::try_from(counts.len()).unwrap() + 1), ..*minute })
            .collect();
        let look = i64::try_from(counts.len()).unwrap();
        let live = if alone && counts.len() <= 15 { &before } else { &alike };
        let verdict = judged(alone && counts.len() <= 15, look, &alike, live);
        prop_assert!(!matches!(verdict, Verdict::Worse(_)), "{verdict:?}");
    }
}

/// How both fleets behave in deploys that are drawn by chance.
struct World {
    /// A minute, of both together.
    requests: u64,
    /// Percent that the new release has in the first of its two steps.
    share: u64,
    /// Seconds that each step is held.
    hold: u32,
    /// Of the live release and of the new one: the rate of 5xx and the median of the minutes' percentiles, in seconds.
    live: (f64, f64),
    new: (f64, f64),
    /// How much the minutes' percentiles differ: the standard deviation of their logarithms.
    spread: f64,
}

impl World {
    fn minute(
        &self,
        random: &mut fastrand::Rng,
        index: i64,
        share: u64,
        like: (f64, f64),
    ) -> Minute {
        let requests = self.requests * share / 100;
        // Box and Muller.
        let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt()
            * (std::f64::consts::TAU * random.f64()).cos();
        let time = like.1 * (self.spread * normal).exp();
        minute(index, requests, binomial(random, requests, like.0), time)
    }

    /// Whether a deploy is rolled back, in the first of its steps or in either.
    fn rolls_back(&self, random: &mut fastrand::Rng) -> (bool, bool) {
        let looks = i64::from(self.hold / 60) - 2;
        let mut live: Vec<Minute> = (-62..-1)
            .map(|index| self.minute(random, index, 100, self.live))
            .collect();
        for (share, alone) in [(self.share, false), (100, true)] {
            let step = Step {
                hold_seconds: self.hold,
                all_seconds: 2 * self.hold,
                ..step(alone)
            };
            let mut new = Vec::new();
            for look in 1..=looks {
                new.push(self.minute(random, look - 1, share, self.new));
                if !alone {
                    live.push(self.minute(random, look - 1, 100 - share, self.live));
                }
                let counted = [(43, &new), (42, &live)].map(|(release, minutes)| Counted {
                    release: n(release),
                    minutes,
                });
                let window = looked(&step, look);
                let verdict = judge(
                    Comparison::default(),
                    &step,
                    &window,
                    counted[0],
                    counted[1],
                );
                if matches!(verdict, Verdict::Worse(_)) {
                    return (!alone, true);
                }
            }
            // The second step's history is drawn as if it were as long ago as the first's: only the order counts.
            live.retain(|minute| minute.start < at(-1));
        }
        (false, false)
    }
}

/// How many of so many requests fail, by skipping from one that fails to the next.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn binomial(random: &mut fastrand::Rng, requests: u64, rate: f64) -> u64 {
    let (mut at, mut errors) = (0_u64, 0);
    if rate <= 0.0 {
        return 0;
    }
    loop {
        let skipped = ((1.0 - random.f64()).ln() / (1.0 - rate).ln()) as u64;
        at = at.saturating_add(skipped).saturating_add(1);
        if at > requests {
            return errors;
        }
        errors += 1;
    }
}

const ALIKE: World = World {
    requests: 2_000,
    share: 10,
    hold: 600,
    live: (0.001, 0.2),
    new: (0.001, 0.2),
    spread: 0.2,
};

#[test]
fn of_a_thousand_deploys_of_equal_fleets_at_most_one_is_rolled_back() {
    let mut random = fastrand::Rng::with_seed(1);
    let worlds = [
        ALIKE,
        World {
            requests: 1_100,
            live: (0.02, 0.2),
            new: (0.02, 0.2),
            ..ALIKE
        },
        World {
            requests: 250,
            share: 50,
            live: (0.04, 0.2),
            new: (0.04, 0.2),
            ..ALIKE
        },
        // Response times that are all over the place.
        World {
            spread: 1.0,
            ..ALIKE
        },
        World {
            spread: 2.5,
            requests: 300,
            share: 50,
            hold: 1_200,
            ..ALIKE
        },
    ];
    let (mut deploys, mut rolled_back) = (0_u32, 0_u32);
    for world in worlds {
        let mut of_world = 0;
        for _ in 0..4_000 {
            deploys += 1;
            of_world += u32::from(world.rolls_back(&mut random).1);
        }
        // Of each kind, too: 4 are the one in a thousand.
        assert!(of_world <= 4, "{of_world} of 4000");
        rolled_back += of_world;
    }
    assert!(rolled_back * 1_000 <= deploys, "{rolled_back} of {deploys}");
    println!("{rolled_back} of {deploys} deploys of equal fleets were rolled back");
}

/// The tables of docs/judgement.md: at 10% for five minutes, how many of a hundred bad releases go no further.
#[test]
fn what_it_finds_is_what_is_written_down() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut found = |world: &World| {
        let stopped = (0..400).filter(|_| world.rolls_back(&mut random).0).count();
        format!("{}%", (stopped + 2) / 4)
    };
    let mut tables = String::new();
    for requests in [400, 1_000, 4_000, 20_000] {
        let _ = write!(tables, "| {requests} |");
        for rate in [0.02, 0.05, 0.1, 0.5] {
            let world = World {
                requests,
                hold: 300,
                new: (rate, 0.2),
                ..ALIKE
            };
            let _ = write!(tables, " {} |", found(&world));
        }
        tables.push('\n');
    }
    for spread in [0.1, 0.2, 0.4] {
        let _ = write!(tables, "| {spread} |");
        for times in [1.6, 2.0, 3.0, 5.0] {
            let world = World {
                hold: 300,
                new: (0.001, 0.2 * times),
                spread,
                ..ALIKE
            };
            let _ = write!(tables, " {} |", found(&world));
        }
        tables.push('\n');
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/judgement.md");
    let written = std::fs::read_to_string(path).unwrap();
    for row in tables.lines() {
        assert!(
            written.contains(row),
            "docs/judgement.md lacks {row}, of\n{tables}"
        );
    }
}
