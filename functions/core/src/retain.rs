//! The old fleet is kept for a while after a deploy has succeeded, so that its release can be returned to without a launch.
//!
//! What is kept is named by the listener's rule at weight 0, so that its health is checked and what dies of it is
//! replaced, and by `retained.json`. It can be returned to while both name it; once the rule names it no longer it never
//! does again, and whoever finds it may shed it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::name::{Place, ReleaseNumber};
use crate::traffic::Weight;

/// With all holds and the wait for approval it has to fit into an execution, which may take a day.
pub const MOST_MINUTES: u32 = 1_200;

/// How long is waited where another holds the lock when the time is over, in seconds.
const TURN: i64 = 30;

/// What is wrong with a `retainMinutes`.
pub(crate) fn problem(minutes: u32) -> Option<(&'static str, String)> {
    (minutes > MOST_MINUTES).then(|| {
        let problem = format!("is {minutes}; use 0 to {MOST_MINUTES} minutes");
        ("retainMinutes", problem)
    })
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks so
pub(crate) fn is_off(minutes: &u32) -> bool {
    *minutes == 0
}

/// `<app>/<environment>/retained.json`: what is kept. It is written by Commit under the lock, and deleted by whoever takes
/// the fleet out of the rule, or gives it the traffic again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retained {
    pub release: ReleaseNumber,
    /// The ARN of the execution that gives it up when the time is over.
    pub execution: String,
    pub until: Timestamp,
}

pub fn retained_key(place: &Place) -> String {
    format!("{place}/retained.json")
}

/// What is kept, as the workflow carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub release: ReleaseNumber,
    pub until: Timestamp,
}

impl Kept {
    pub fn after(release: ReleaseNumber, now: Timestamp, minutes: u32) -> Self {
        let until = now + SignedDuration::from_mins(minutes.into());
        Self { release, until }
    }

    /// To be given up when another has given the lock back.
    pub fn until_its_turn(release: ReleaseNumber, now: Timestamp) -> Self {
        let until = now + SignedDuration::from_secs(TURN);
        Self { release, until }
    }

    /// Named by the rule, without a request.
    pub fn weight(&self) -> Weight {
        Weight {
            release: self.release,
            weight: 0,
        }
    }
}

impl Retained {
    pub fn is_of(&self, release: ReleaseNumber, execution: &str) -> bool {
        self.release == release && self.execution == execution
    }

    pub fn kept(&self) -> Kept {
        Kept {
            release: self.release,
            until: self.until,
        }
    }

    /// Whether it is still kept: its time is not over, and the rule names it beside the release that has the traffic.
    pub fn is_kept(&self, live: Option<ReleaseNumber>, rule: &[Weight], now: Timestamp) -> bool {
        now < self.until
            && live.is_some_and(|live| live != self.release)
            && names(rule, self.release)
    }
}

fn names(rule: &[Weight], release: ReleaseNumber) -> bool {
    rule.iter().any(|share| share.release == release)
}

/// What an execution that kept a fleet does when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The rule names it no longer: it is shed.
    Shed,
    /// It is live again, or another execution keeps it.
    Leave,
    /// Only under the lock: take it out of the rule.
    TakeOut,
}

/// By what the ledger says is kept and what is live, and by the rule.
pub fn give_up(
    release: ReleaseNumber,
    execution: &str,
    found: Option<&Retained>,
    live: Option<ReleaseNumber>,
    rule: &[Weight],
) -> GiveUp {
    if live == Some(release) {
        GiveUp::Leave
    } else if !names(rule, release) {
        GiveUp::Shed
    } else if found.is_some_and(|found| found.is_of(release, execution)) {
        GiveUp::TakeOut
    } else {
        GiveUp::Leave
    }
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn retained(release: u32) -> Retained {
        Retained {
            release: n(release),
            execution: "me".to_owned(),
            until: at(100),
        }
    }

    #[test]
    fn what_is_kept_can_be_returned_to_until_its_time_is_over() {
        let rule = [w(2, 100), w(1, 0)];
        for (live, rule, now, is_kept, why) in [
            (Some(2), &rule[..], 99, true, "beside what is live"),
            (Some(2), &rule, 100, false, "its time is over"),
            (Some(2), &rule[..1], 0, false, "the rule names it no longer"),
            (Some(1), &rule, 0, false, "it is live again"),
            (None, &rule, 0, false, "nothing is live"),
        ] {
            let kept = retained(1).is_kept(live.map(n), rule, at(now));
            assert_eq!(kept, is_kept, "{why}");
        }
    }

    #[test]
    fn who_kept_it_gives_it_up() {
        let (rule, mine) = ([w(2, 100), w(1, 0)], retained(1));
        let another = Retained {
            execution: "another".to_owned(),
            ..retained(1)
        };
        for (found, live, rule, does, why) in [
            (Some(&mine), 2, &rule[..], GiveUp::TakeOut, "it is mine"),
            (Some(&mine), 2, &rule[..1], GiveUp::Shed, "a newer deploy"),
            (None, 2, &rule[..1], GiveUp::Shed, "run again"),
            (Some(&mine), 2, &[], GiveUp::Shed, "removed"),
            (
                Some(&mine),
                1,
                &rule,
                GiveUp::Leave,
                "about to be returned to",
            ),
            (None, 1, &rule, GiveUp::Leave, "returned to"),
            (Some(&another), 3, &rule, GiveUp::Leave, "kept by another"),
            (None, 1, &[], GiveUp::Leave, "returned to, and no rule"),
        ] {
            let decided = give_up(n(1), "me", found, Some(n(live)), rule);
            assert_eq!(decided, does, "{why}");
        }
    }

    #[test]
    fn as_long_as_an_execution_lasts() {
        assert_eq!((problem(0), problem(1_200)), (None, None));
        let told = "is 1201; use 0 to 1200 minutes".to_owned();
        assert_eq!(problem(1_201), Some(("retainMinutes", told)));
        let kept = Kept::after(n(1), at(0), 2);
        assert_eq!((kept.until, kept.weight()), (at(120), w(1, 0)));
    }
}
