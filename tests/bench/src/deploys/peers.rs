//! When others would have moved the traffic, with the same instances: what they have published, computed.
//!
//! From the creation of the group on, and without what their own steps take: each is given the best of cases.

use serde::{Deserialize, Serialize};

/// What another deployer makes of instances that are healthy after a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Seconds from the group's creation until all traffic is on the new version.
    pub traffic: f64,
    /// How often it is asked whether they are healthy.
    pub polls: u32,
}

/// coinbase/odin, as `deployer/machine.go` and `deployer/handlers.go` of commit b58e267 have it: `WaitForDeploy` (90 s), then
/// `WaitForHealthy` (15 s, for a timeout below 1,800 s) before each `CheckHealthy`; what is healthy is given all traffic by
/// `DetachForSuccess`, which takes the old groups off the load balancer.
pub fn odin(healthy: f64) -> Peer {
    schedule(healthy, ODIN_FIRST_LOOK, ODIN_POLL, 0.0)
}

pub const ODIN_FIRST_LOOK: f64 = 105.0;
pub const ODIN_POLL: f64 = 15.0;

/// `DetachError` is tried again every 10 s, up to 60 times, until the load balancer has drained what was detached.
pub const ODIN_DETACH_POLL: f64 = 10.0;

/// Skyliner: each deploy is looked at every 10 s, and goes on by one state at a time: from `rollout-wait` to `evaluate-wait`
/// when its instances are up, and from there forward.
/// <https://codahale.com/on-the-difficulty-of-conjuring-up-a-dryad/>
pub fn skyliner(healthy: f64) -> Peer {
    schedule(healthy, SKYLINER_TICK, SKYLINER_TICK, SKYLINER_TICK)
}

pub const SKYLINER_TICK: f64 = 10.0;

/// Looks after `first` and then every `poll` seconds until they are healthy; the traffic moves so long after the look.
fn schedule(healthy: f64, first: f64, poll: f64, then: f64) -> Peer {
    let mut polls = 1;
    let mut at = first;
    while at < healthy {
        polls += 1;
        at += poll;
    }
    Peer {
        traffic: at + then,
        polls,
    }
}

/// State transitions of a deploy of Odin's that succeeds: ten states once (Validate, Lock, `ValidateResources`, Deploy,
/// `WaitForDeploy`, `WaitForDetach`, `DetachForSuccess`, `WaitDetachForSuccess`, `CleanUpSuccess`, Success), three for each
/// poll (`WaitForHealthy`, `CheckHealthy`, Healthy?), and one for each time that the detaching is tried again.
pub fn odin_transitions(healthy: f64, drain: f64) -> u32 {
    10 + 3 * odin(healthy).polls + odin_retries(drain)
}

/// How often `DetachForSuccess` is tried again, one every ten seconds of the drain.
pub fn odin_retries(drain: f64) -> u32 {
    let mut retries = 0;
    while f64::from(retries) * ODIN_DETACH_POLL < drain {
        retries += 1;
    }
    retries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odin_looks_after_105_seconds_and_every_15_from_then_on() {
        for (healthy, traffic, polls) in [
            (17.0, 105.0, 1),
            (105.0, 105.0, 1),
            (105.1, 120.0, 2),
            (240.0, 240.0, 10),
            (252.3, 255.0, 11),
        ] {
            assert_eq!(odin(healthy), Peer { traffic, polls }, "{healthy}");
        }
    }

    #[test]
    fn odin_enters_70_states_for_a_boot_of_four_minutes_and_a_drain_of_five() {
        assert_eq!(odin_retries(300.0), 30);
        assert_eq!(odin_transitions(240.0, 300.0), 10 + 3 * 10 + 30);
    }

    #[test]
    fn skyliner_goes_forward_a_tick_after_it_has_seen_them_healthy() {
        for (healthy, traffic, polls) in [(5.0, 20.0, 1), (10.0, 20.0, 1), (61.0, 80.0, 7)] {
            assert_eq!(skyliner(healthy), Peer { traffic, polls }, "{healthy}");
        }
    }
}
