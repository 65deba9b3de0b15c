//! Judges a new fleet, before it has traffic and while it has.

mod judge;

use std::time::Duration;

use exuvia_aws::fleet::Fleets;
use exuvia_aws::ledger::Ledger;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::expected::Expected;
use exuvia_core::health::{self, Observation, Status};
use exuvia_core::lock::yields_to;
use exuvia_core::name::ReleaseNumber;
use exuvia_core::step::{CheckHealthInput, CheckHealthOutput, CheckStatus, Context};
use exuvia_core::{capacity, traffic};
use jiff::{SignedDuration, Timestamp};
use judge::{Held, Judge};
use tokio::time::{Instant, sleep_until};

/// A pause that is waited out here: longer ones cost more than the three transitions that a look of its own takes.
const PAUSE: Duration = Duration::from_secs(20);

/// How long a step goes on looking. After it the function's time-out (60 s) leaves fifteen seconds to a last look.
const LOOKING: Duration = Duration::from_secs(45);

pub struct Handler {
    ledger: Ledger,
    fleets: Fleets,
    workflow: Workflow,
    judge: Judge,
}

/// What the looks before have come to.
#[derive(Clone, Copy)]
struct SoFar {
    launched_at: Timestamp,
    looked_at: Option<Timestamp>,
    healthy_since: Option<Timestamp>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            workflow: Workflow::new(config),
            judge: Judge::new(config),
        })
    }

    pub async fn handle(&self, input: CheckHealthInput) -> Result<CheckHealthOutput, StepError> {
        match input {
            CheckHealthInput::Boot {
                context,
                launched_at,
                looked_at,
                healthy_since,
                expected,
            } => {
                let so_far = SoFar {
                    launched_at,
                    looked_at,
                    healthy_since,
                };
                Box::pin(self.look_on(context, so_far, expected)).await
            }
            CheckHealthInput::Bake {
                context,
                step,
                shifted_at,
                traffic_since,
                proved,
            } => {
                let shifts = (shifted_at, traffic_since.unwrap_or(shifted_at));
                Box::pin(self.bake(&context, step, shifts, proved)).await
            }
        }
    }

    /// Looks, and again for as long as the next look is near and nothing is decided.
    async fn look_on(
        &self,
        mut context: Context,
        mut so_far: SoFar,
        expected: Option<Expected>,
    ) -> Result<CheckHealthOutput, StepError> {
        let (began, first) = (Instant::now(), context.now);
        loop {
            let passed = began.elapsed();
            context.now = first + SignedDuration::try_from(passed).unwrap_or_default();
            let mut seen = Box::pin(self.boot(&context, so_far, expected)).await?;
            let pause = Duration::from_secs(seen.wait_seconds.into());
            let is_near = pause <= PAUSE && passed + pause <= LOOKING;
            if seen.status != CheckStatus::Pending || seen.grown || !is_near {
                // It is waited from the step's beginning on.
                seen.wait_seconds += u32::try_from(passed.as_secs()).unwrap_or(0);
                return Ok(seen);
            }
            sleep_until(began + passed + pause).await;
            so_far = SoFar {
                looked_at: Some(context.now),
                healthy_since: seen.healthy_since,
                ..so_far
            };
        }
    }

    async fn boot(
        &self,
        context: &Context,
        so_far: SoFar,
        expected: Option<Expected>,
    ) -> Result<CheckHealthOutput, StepError> {
        let Context { place, release, .. } = context;
        let (waiting, manifest, seen) = tokio::join!(
            self.ledger
                .waiting(place, &context.execution, &self.workflow),
            self.ledger.manifest(place, *release),
            self.observe(context, context.live)
        );
        let waiting = waiting?;
        let newer = yields_to(
            &context.execution.claim(),
            waiting.as_ref().map(|seen| &seen.found),
        );
        if let Some(newer) = newer {
            return Ok(CheckHealthOutput {
                status: CheckStatus::Superseded,
                healthy: 0,
                wanted: 0,
                healthy_since: None,
                boot_seconds: None,
                grown: false,
                wait_seconds: 1,
                reason: format!("A newer deploy goes first: {newer}"),
                waiting: Vec::new(),
            });
        }
        let (target, (mut seen, live_desired)) = (manifest?.target, seen?);
        seen.is_worker = target.is_worker();
        let expected = expected.filter(|_| !context.returns);
        let mut follows = false;
        if let Some(group) = &mut seen.group {
            let limits = target.limits(context.now);
            if let Some(grown) = capacity::growth(limits, live_desired, group.desired) {
                self.fleets.set_desired(place, *release, grown).await?;
                group.desired = grown;
                follows = true;
            }
        }
        let plan = health::Plan {
            launched_at: if follows {
                context.now
            } else {
                so_far.launched_at
            },
            looked_at: so_far.looked_at,
            boot_seconds: target.timeouts.boot_seconds,
            hold_seconds: target.hold_seconds(),
            expected,
        };
        let verdict = health::boot(&seen, plan, so_far.healthy_since, context.now);
        let took =
            |since: Timestamp| u32::try_from(since.duration_since(plan.launched_at).as_secs()).ok();
        Ok(CheckHealthOutput {
            status: match verdict.status {
                Status::Pending => CheckStatus::Pending,
                Status::Healthy => CheckStatus::Healthy,
                Status::Failed => CheckStatus::Failed,
            },
            healthy: verdict.healthy,
            wanted: verdict.wanted,
            healthy_since: verdict.healthy_since,
            boot_seconds: verdict.healthy_since.and_then(took),
            grown: follows,
            wait_seconds: verdict.wait_seconds,
            reason: verdict.reason,
            waiting: health::waiting(&seen),
        })
    }

    async fn bake(
        &self,
        context: &Context,
        step: usize,
        (shifted_at, traffic_since): (Timestamp, Timestamp),
        proved: u32,
    ) -> Result<CheckHealthOutput, StepError> {
        let (manifest, (mut seen, _)) = tokio::try_join!(
            self.ledger.manifest(&context.place, context.release),
            self.observe(context, None)
        )?;
        let target = manifest.target;
        seen.is_worker = target.is_worker();
        let steps = if context.returns {
            traffic::steps_of_return(&target.strategy)
        } else {
            traffic::steps_beside(context.live, &target.strategy)
        };
        let hold = steps.get(step).map_or(0, |step| step.hold_seconds);
        let ends = shifted_at + SignedDuration::from_secs(hold.into());
        let pause = traffic::longest_pause(&steps);
        let mut verdict = health::bake(&seen, proved, context.now, ends, pause);
        if verdict.status != Status::Failed {
            let judged_step = Held {
                target: &target,
                steps: &steps,
                step,
                shifted_at,
                traffic_since,
            };
            let judged = self.judge.look(context, &judged_step, &self.fleets).await?;
            if judged.failed.is_empty() {
                verdict.reason = [vec![verdict.reason], judged.notes].concat().join("; ");
            } else {
                verdict.status = Status::Failed;
                verdict.reason = judged.failed.join("; ");
            }
        }
        Ok(CheckHealthOutput {
            status: match verdict.status {
                Status::Pending => CheckStatus::Hold,
                Status::Healthy if step + 1 < steps.len() => CheckStatus::Next,
                Status::Healthy => CheckStatus::Done,
                Status::Failed => CheckStatus::Failed,
            },
            healthy: verdict.healthy,
            wanted: verdict.wanted,
            healthy_since: None,
            boot_seconds: None,
            grown: false,
            wait_seconds: verdict.wait_seconds,
            reason: verdict.reason,
            waiting: health::waiting(&seen),
        })
    }

    async fn observe(
        &self,
        context: &Context,
        live: Option<ReleaseNumber>,
    ) -> Result<(Observation, Option<u32>), StepError> {
        let Context { place, release, .. } = context;
        let ((mut seen, live_desired), reports) = tokio::try_join!(
            self.fleets.observe(place, *release, live),
            self.ledger.boot_reports(place, *release)
        )?;
        seen.reports = reports;
        if context.returns {
            seen = seen.without_past();
        }
        Ok((seen, live_desired))
    }
}
