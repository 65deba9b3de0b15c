//! One deploy at a time: who holds the lock, who waits for it, and who gives way.
//!
//! The lock is the object `lock.json`, created with `If-None-Match: *`; its `ETag` is the fencing token. The newest
//! deploy that waits for it is written to `waiting.json`, where the holder sees that it should yield.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A Step Functions execution and since when its deploy is wanted: who claims a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The execution's ARN.
    pub execution: String,
    /// The time of the upload that started it, else of the execution's start.
    pub since: Timestamp,
    /// When the execution started: S3 tells the time of an upload in whole seconds.
    pub started: Timestamp,
}

impl Claim {
    /// Whether this claim is newer than another: the later wanted, then the later started, then the greater ARN, so that
    /// any two agree on which it is.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let order = |claim: &Self| (claim.since, claim.started, claim.execution.clone());
        order(self) > order(other)
    }
}

/// What an execution wants the lock for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// To put a certain version live, or none any more: replaces older deploys that wait or build, and is replaced by newer ones.
    Deploy,
    /// To put what is live on fresh instances: gives way to a newer deploy, but makes none give way, since what
    /// they bring would be lost. (A renewal brings nothing.)
    Refresh,
    /// To put what is live on fresh instances because it has run for long: neither waits nor takes anybody's place, and
    /// gives way to every deploy.
    Renewal,
    /// To put things in order: waits its turn, and nothing takes its place.
    Recovery,
}

/// What `lock.json` and `waiting.json` say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    #[serde(flatten)]
    pub claim: Claim,
    pub purpose: Purpose,
}

/// For so long after an execution has ended, a function that it had invoked may still be at work: stopping an execution
/// does not stop it. It is longer than the time-out of every function that touches anything (`infra/pipeline.yaml`).
pub const LAST_WORDS: SignedDuration = SignedDuration::from_secs(40);

/// Step Functions may not yet know an execution that has only just started: what it tells of executions is eventually
/// consistent (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html>). For so long
/// after its start one that is not known counts as one that runs.
const UNKNOWN: SignedDuration = SignedDuration::from_mins(5);

/// A record that was found, and what has become of its execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub record: Record,
    pub running: bool,
    /// When it ended; absent if it runs, or if Step Functions does not know it: not yet, or after 90 days no more.
    pub ended: Option<Timestamp>,
}

impl Found {
    fn execution(&self) -> &str {
        &self.record.claim.execution
    }

    fn may_act(&self, now: Timestamp) -> bool {
        let until = match self.ended {
            Some(ended) => ended + LAST_WORDS,
            None => self.record.claim.started + UNKNOWN,
        };
        self.running || now < until
    }

    /// Whether this is a live deploy of a certain version that is wanted since later than that claim; of a renewal's claim
    /// every deploy that a person or an upload has asked for is ahead.
    fn is_ahead_of(&self, claim: &Claim) -> bool {
        let counts = match self.record.purpose {
            Purpose::Deploy => true,
            Purpose::Refresh => claim.since == RENEWAL_SINCE,
            Purpose::Renewal | Purpose::Recovery => false,
        };
        self.running && counts && self.record.claim.is_newer_than(claim)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it: create it.
    Create,
    /// It is mine already: this step is run again.
    Keep,
    /// Its holder is dead, and so is whatever it had set in motion: replace it, under its `ETag`.
    TakeOver,
    /// Its holder lives, or has only just ended.
    Wait {
        holder: String,
        /// Whether to write this claim to `waiting.json` first.
        announce: bool,
    },
    /// A newer deploy is ahead.
    Superseded { by: String },
    /// Somebody deploys, and this is no deploy that would wait.
    Skip { by: String },
}

/// Since when a renewal is wanted: before everything else, so that it gives way to whatever comes.
pub const RENEWAL_SINCE: Timestamp = Timestamp::UNIX_EPOCH;

/// What to do about the lock, given who holds it and who is the newest to wait.
pub fn decide(
    me: &Claim,
    purpose: Purpose,
    now: Timestamp,
    held: Option<&Found>,
    waiting: Option<&Found>,
) -> Decision {
    if held.is_some_and(|found| found.execution() == me.execution) {
        return Decision::Keep;
    }
    let ahead = |found: &&Found| found.is_ahead_of(me);
    if purpose != Purpose::Recovery
        && let Some(found) = waiting.filter(ahead).or_else(|| held.filter(ahead))
    {
        let by = found.execution().to_owned();
        return match purpose {
            Purpose::Renewal => Decision::Skip { by },
            _ => Decision::Superseded { by },
        };
    }
    match held {
        None => Decision::Create,
        Some(found) if !found.may_act(now) => Decision::TakeOver,
        Some(found) if purpose == Purpose::Renewal => Decision::Skip {
            by: found.execution().to_owned(),
        },
        Some(found) => Decision::Wait {
            holder: found.execution().to_owned(),
            announce: match purpose {
                Purpose::Deploy => waiting.is_none_or(|other| other.execution() != me.execution),
                // Only a renewal gives way to it; what a deploy has announced is left alone.
                Purpose::Refresh => {
                    found.record.purpose == Purpose::Renewal
                        && waiting.is_none_or(|other| !other.running)
                }
                Purpose::Renewal | Purpose::Recovery => false,
            },
        },
    }
}

/// Whether a deploy that has not yet moved the traffic yields to the one that waits.
pub fn yields_to(me: &Claim, waiting: Option<&Found>) -> Option<String> {
    waiting
        .filter(|found| found.is_ahead_of(me))
        .map(|found| found.execution().to_owned())
}

/// Whether the holder of the lock, should it wait for approval, has to go: a deploy of later waits for the lock.
pub fn ends_the_wait_of(me: &Claim, purpose: Purpose, holder: &Found) -> bool {
    let waiting = Found {
        record: Record {
            claim: me.clone(),
            purpose,
        },
        running: true,
        ended: None,
    };
    yields_to(&holder.record.claim, Some(&waiting)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(name: &str, second: i64) -> Claim {
        Claim {
            execution: name.into(),
            since: Timestamp::from_second(second).unwrap(),
            started: Timestamp::from_second(second).unwrap(),
        }
    }

    fn found(name: &str, second: i64, running: bool) -> Found {
        let record = Record {
            claim: claim(name, second),
            purpose: Purpose::Deploy,
        };
        Found {
            record,
            running,
            ended: (!running).then_some(Timestamp::UNIX_EPOCH),
        }
    }

    /// Long after everything that ended.
    fn now() -> Timestamp {
        Timestamp::from_second(1_000).unwrap()
    }

    fn refresh(name: &str, second: i64) -> Found {
        let mut found = found(name, second, true);
        found.record.purpose = Purpose::Refresh;
        found
    }

    #[test]
    #[allow(clippy::too_many_lines)] // one row a case
    fn who_gets_the_lock() {
        use Purpose::{Deploy, Recovery, Refresh, Renewal};
        let me = claim("me", 10);
        let wait = |holder: &str, announce| Decision::Wait {
            holder: holder.into(),
            announce,
        };
        let superseded = |by: &str| Decision::Superseded { by: by.into() };
        let skip = |by: &str| Decision::Skip { by: by.into() };
        for (purpose, held, waiting, decision, why) in [
            (Deploy, None, None, Decision::Create, "free"),
            (
                Deploy,
                Some(found("me", 10, true)),
                None,
                Decision::Keep,
                "mine already",
            ),
            (
                Deploy,
                Some(found("me", 10, true)),
                Some(found("new", 20, true)),
                Decision::Keep,
                "mine already, and another waits",
            ),
            (
                Deploy,
                Some(found("old", 5, false)),
                None,
                Decision::TakeOver,
                "its holder is dead",
            ),
            (
                Deploy,
                Some(found("new", 20, false)),
                None,
                Decision::TakeOver,
                "its holder is dead, though newer",
            ),
            (
                Deploy,
                Some(found("old", 5, true)),
                None,
                wait("old", true),
                "held by an older one",
            ),
            (
                Deploy,
                Some(found("old", 5, true)),
                Some(found("me", 10, true)),
                wait("old", false),
                "I am announced",
            ),
            (
                Deploy,
                Some(found("old", 5, true)),
                Some(found("older", 4, true)),
                wait("old", true),
                "an older one waits",
            ),
            (
                Deploy,
                Some(found("old", 5, true)),
                Some(found("new", 20, true)),
                superseded("new"),
                "a newer one waits",
            ),
            (
                Deploy,
                Some(found("old", 5, true)),
                Some(found("new", 20, false)),
                wait("old", true),
                "a newer one waited, but died",
            ),
            (
                Deploy,
                Some(found("new", 20, true)),
                None,
                superseded("new"),
                "a newer one holds it",
            ),
            (
                Deploy,
                None,
                Some(found("new", 20, true)),
                superseded("new"),
                "free, but a newer one comes",
            ),
            (
                Deploy,
                Some(refresh("new", 20)),
                None,
                wait("new", true),
                "a newer refresh brings no version of its own",
            ),
            (
                Refresh,
                Some(found("old", 5, true)),
                None,
                wait("old", false),
                "a refresh makes none give way",
            ),
            (
                Refresh,
                Some(found("old", 5, true)),
                Some(found("new", 20, true)),
                superseded("new"),
                "a refresh gives way",
            ),
            (Renewal, None, None, Decision::Create, "nobody deploys"),
            (
                Renewal,
                Some(found("old", 5, false)),
                None,
                Decision::TakeOver,
                "a renewal follows a dead holder as any",
            ),
            (
                Renewal,
                Some(found("old", 5, true)),
                None,
                skip("old"),
                "a renewal does not wait",
            ),
            (
                Renewal,
                Some(refresh("old", 5)),
                None,
                skip("old"),
                "a renewal does not wait for a refresh either",
            ),
            (
                Renewal,
                None,
                Some(found("new", 20, true)),
                skip("new"),
                "free, but a deploy comes",
            ),
            (
                Recovery,
                Some(found("new", 20, true)),
                None,
                wait("new", false),
                "a recovery waits its turn",
            ),
            (
                Recovery,
                None,
                Some(found("new", 20, true)),
                Decision::Create,
                "a recovery goes first",
            ),
        ] {
            assert_eq!(
                decide(&me, purpose, now(), held.as_ref(), waiting.as_ref()),
                decision,
                "{why}"
            );
        }
    }

    #[test]
    fn a_lock_is_taken_over_only_when_its_holders_last_function_has_ended() {
        let me = claim("me", 10);
        let dead = |seconds_ago| {
            let mut found = found("old", 5, false);
            found.ended = Some(now() - SignedDuration::from_secs(seconds_ago));
            found
        };
        for purpose in [Purpose::Deploy, Purpose::Recovery] {
            let decide = |held: &Found| decide(&me, purpose, now(), Some(held), None);
            assert!(matches!(decide(&dead(0)), Decision::Wait { .. }));
            assert!(matches!(decide(&dead(39)), Decision::Wait { .. }));
            assert_eq!(decide(&dead(40)), Decision::TakeOver);
            // Step Functions has forgotten it: 90 days.
            let mut forgotten = dead(0);
            forgotten.ended = None;
            assert_eq!(decide(&forgotten), Decision::TakeOver);
        }
    }

    #[test]
    fn a_deploy_yields_to_a_newer_one_that_lives() {
        let me = claim("me", 10);
        assert_eq!(
            yields_to(&me, Some(&found("new", 20, true))),
            Some("new".into())
        );
        assert_eq!(yields_to(&me, Some(&found("new", 20, false))), None);
        assert_eq!(yields_to(&me, Some(&found("old", 5, true))), None);
        assert_eq!(yields_to(&me, Some(&found("me", 10, true))), None);
        assert_eq!(yields_to(&me, None), None);
    }

    #[test]
    fn a_renewal_yields_to_every_deploy_and_makes_none_give_way() {
        let mut renewal = found("renewal", 0, true);
        renewal.record.purpose = Purpose::Renewal;
        renewal.record.claim.since = RENEWAL_SINCE;
        renewal.record.claim.started = Timestamp::from_second(500).unwrap();
        let me = &renewal.record.claim;
        // One that was wanted before the renewal began as well.
        let deploy = found("deploy", 10, true);
        assert_eq!(yields_to(me, Some(&deploy)), Some("deploy".into()));
        let wait = |announce| Decision::Wait {
            holder: "renewal".into(),
            announce,
        };
        let decide = |purpose, waiting: Option<&Found>| {
            let me = &claim("me", 20);
            decide(me, purpose, now(), Some(&renewal), waiting)
        };
        assert_eq!(decide(Purpose::Deploy, None), wait(true));
        // Settings, or what is live again, asked for by a person: announced, unless something is already.
        let settings = refresh("settings", 10);
        assert_eq!(yields_to(me, Some(&settings)), Some("settings".into()));
        assert_eq!(yields_to(&claim("old", 5), Some(&settings)), None);
        assert_eq!(decide(Purpose::Refresh, None), wait(true));
        assert_eq!(decide(Purpose::Refresh, Some(&settings)), wait(false));
        assert_eq!(decide(Purpose::Refresh, Some(&deploy)), wait(false));
        let gone = found("gone", 10, false);
        assert_eq!(decide(Purpose::Refresh, Some(&gone)), wait(true));
        assert_eq!(decide(Purpose::Deploy, Some(&settings)), wait(true));
    }

    #[test]
    fn who_waits_for_approval_goes_for_what_it_would_yield_to() {
        let holder = found("holder", 10, true);
        for (purpose, second, ends) in [
            (Purpose::Deploy, 20, true),
            (Purpose::Deploy, 5, false),
            // What the holder brings would be lost.
            (Purpose::Refresh, 20, false),
            (Purpose::Renewal, 20, false),
            (Purpose::Recovery, 20, false),
        ] {
            let me = claim("me", second);
            let told = ends_the_wait_of(&me, purpose, &holder);
            assert_eq!(told, ends, "{purpose:?} of {second}");
        }
    }

    proptest! {
        /// Of any two deploys that meet, at most one is told that the other is ahead.
        #[test]
        fn two_deploys_never_supersede_each_other(a in 0i64..3, b in 0i64..3) {
            let (one, two) = (found("a", a, true), found("b", b, true));
            let first = decide(&one.record.claim, Purpose::Deploy, now(), Some(&two), None);
            let second = decide(&two.record.claim, Purpose::Deploy, now(), Some(&one), None);
            let superseded = |d: &Decision| matches!(d, Decision::Superseded { .. });
            prop_assert!(superseded(&first) != superseded(&second));
        }
    }
}
