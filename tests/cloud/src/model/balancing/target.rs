//! A target's health, as the load balancer sees it.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html#target-health-states>

use jiff::Timestamp;

use super::{
    super::{CheckOutcome, elb},
    slow_start::{FULL, SlowStart},
};

/// An instance id (or an IP address) and the port that it is registered with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct TargetKey {
    pub(in super::super) id: String,
    pub(in super::super) port: u16,
}

#[derive(Clone, Debug)]
pub(in super::super) struct Target {
    pub(super) state: State,
    /// In a row, since the last one that came out otherwise.
    passes: u16,
    failures: u16,
    pub(super) next_check: Option<Timestamp>,
    pub(super) slow_start: Option<SlowStart>,
    pub(super) check: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No listener names its target group.
    Unused,
    Registering {
        until: Timestamp,
    },
    Initial,
    Healthy,
    Unhealthy(Failure),
    Draining {
        until: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    WrongCode(u16),
    TimedOut,
    Failed,
}

impl Target {
    pub(super) fn new() -> Self {
        Self {
            state: State::Unused,
            passes: 0,
            failures: 0,
            next_check: None,
            slow_start: None,
            check: None,
        }
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::Registering { until } | State::Draining { until } => Some(until),
            State::Initial | State::Healthy | State::Unhealthy(_) => {
                let slow_start = self.slow_start.as_ref().map(|slow| slow.next);
                [self.next_check, slow_start].into_iter().flatten().min()
            }
            State::Unused => None,
        }
    }

    pub(in super::super) fn is_healthy(&self) -> bool {
        self.state == State::Healthy
    }

    pub(super) fn is_registered(&self) -> bool {
        !matches!(self.state, State::Draining { .. })
    }

    /// Follows its target group into use or out of it.
    pub(super) fn set_used(&mut self, used: bool, registered_at: Timestamp) {
        match (&self.state, used) {
            (State::Unused, true) => {
                self.state = State::Registering {
                    until: registered_at,
                }
            }
            (State::Unused | State::Draining { .. }, _) | (_, true) => {}
            (_, false) => *self = Self::new(),
        }
    }

    /// Its share of the requests, of [`FULL`].
    pub(super) fn share(&self) -> usize {
        self.slow_start.as_ref().map_or(FULL, |slow| slow.share)
    }

    /// A new target is healthy after one passed check; later the thresholds count.
    pub(super) fn checked(&mut self, outcome: &CheckOutcome, healthy: u16, unhealthy: u16) {
        self.check = None;
        let failure = match outcome {
            CheckOutcome::Passed => None,
            CheckOutcome::WrongCode(code) => Some(Failure::WrongCode(*code)),
            CheckOutcome::TimedOut => Some(Failure::TimedOut),
            CheckOutcome::Failed => Some(Failure::Failed),
        };
        let Some(failure) = failure else {
            self.failures = 0;
            self.passes = self.passes.saturating_add(1);
            let recovered = matches!(self.state, State::Unhealthy(_)) && self.passes >= healthy;
            if self.state == State::Initial || recovered {
                self.state = State::Healthy;
            }
            return;
        };
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Unhealthy(_) => self.state = State::Unhealthy(failure),
            State::Initial | State::Healthy if self.failures >= unhealthy => {
                self.state = State::Unhealthy(failure);
                self.slow_start = None;
            }
            _ => {}
        }
    }

    /// `dead`: its instance is not running.
    pub(in super::super) fn health(&self, dead: bool) -> elb::TargetHealth {
        let (state, reason, description) = match &self.state {
            State::Draining { .. } => (
                "draining",
                "Target.DeregistrationInProgress",
                "Target deregistration is in progress".into(),
            ),
            _ if dead => (
                "unused",
                "Target.InvalidState",
                "Target is in the terminated state".into(),
            ),
            State::Unused => (
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer".into(),
            ),
            State::Registering { .. } => (
                "initial",
                "Elb.RegistrationInProgress",
                "Target registration is in progress".into(),
            ),
            State::Initial => (
                "initial",
                "Elb.InitialHealthChecking",
                "Initial health checks in progress".into(),
            ),
            State::Healthy => {
                return elb::TargetHealth {
                    state: Some("healthy".into()),
                    ..Default::default()
                };
            }
            State::Unhealthy(Failure::WrongCode(code)) => (
                "unhealthy",
                "Target.ResponseCodeMismatch",
                format!("Health checks failed with these codes: [{code}]"),
            ),
            State::Unhealthy(Failure::TimedOut) => {
                ("unhealthy", "Target.Timeout", "Request timed out".into())
            }
            State::Unhealthy(Failure::Failed) => (
                "unhealthy",
                "Target.FailedHealthChecks",
                "Health checks failed".into(),
            ),
        };
        elb::TargetHealth {
            state: Some(state.into()),
            reason: Some(reason.into()),
            description: Some(description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `p` passes, `5` answers 503, `t` times out, `x` is refused; healthy after 3 and unhealthy after 2.
    fn after(checks: &str) -> String {
        let mut target = Target::new();
        target.set_used(true, Timestamp::UNIX_EPOCH);
        target.state = State::Initial;
        for check in checks.chars() {
            let outcome = match check {
                'p' => CheckOutcome::Passed,
                '5' => CheckOutcome::WrongCode(503),
                't' => CheckOutcome::TimedOut,
                _ => CheckOutcome::Failed,
            };
            target.checked(&outcome, 3, 2);
        }
        let health = target.health(false);
        [health.state, health.reason]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_checks_make_of_a_target() {
        for (checks, health) in [
            ("", "initial Elb.InitialHealthChecking"),
            ("p", "healthy"),
            ("5", "initial Elb.InitialHealthChecking"),
            ("55", "unhealthy Target.ResponseCodeMismatch"),
            ("5p", "healthy"),
            ("p5", "healthy"),
            ("p5p5p5", "healthy"),
            ("p55", "unhealthy Target.ResponseCodeMismatch"),
            ("ptx", "unhealthy Target.FailedHealthChecks"),
            ("ptt", "unhealthy Target.Timeout"),
            ("p55pp", "unhealthy Target.ResponseCodeMismatch"),
            ("p55ppp", "healthy"),
            ("55pp5ppp", "healthy"),
        ] {
            assert_eq!(after(checks), health, "{checks}");
        }
    }
}
