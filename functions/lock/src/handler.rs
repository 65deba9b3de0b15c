//! Acquires the lock of a place, or says to wait, or that a newer deploy goes first.

use exuvia_aws::ledger::Ledger;
use exuvia_aws::lock::Seen;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::approval::SUPERSEDED;
use exuvia_core::error::StepError;
use exuvia_core::lock::{Decision, decide, ends_the_wait_of};
use exuvia_core::name::Place;
use exuvia_core::step::{Execution, LockInput, LockOutput};

/// How often a waiting execution looks again, in seconds.
const LOOK_AGAIN: u32 = 10;

/// How long an execution waits at the most, in seconds: longer than any deploy that still goes on.
const PATIENCE: i64 = 4 * 3_600;

/// How often to start over when another execution was quicker between the look and the write.
const TRIES: u32 = 5;

pub struct Handler {
    ledger: Ledger,
    workflow: Workflow,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            workflow: Workflow::new(config),
        })
    }

    pub async fn handle(&self, input: LockInput) -> Result<LockOutput, StepError> {
        for _ in 0..TRIES {
            if let Some(output) = Box::pin(self.attempt(&input)).await? {
                return Ok(output);
            }
        }
        Err(StepError::AwsUnavailable {
            action: format!("acquiring the lock of {}", input.place),
            problem: "it changed hands at every try".to_owned(),
        })
    }

    /// `None` if what was decided on had changed when it was written.
    async fn attempt(&self, input: &LockInput) -> Result<Option<LockOutput>, StepError> {
        let LockInput {
            place,
            purpose,
            execution,
            now,
        } = input;
        let (held, waiting) = tokio::try_join!(
            self.ledger.holder(place, execution, &self.workflow),
            self.ledger.waiting(place, execution, &self.workflow)
        )?;
        let decision = decide(
            &execution.claim(),
            *purpose,
            *now,
            held.as_ref().map(|seen| &seen.found),
            waiting.as_ref().map(|seen| &seen.found),
        );
        match decision {
            Decision::Keep | Decision::Create | Decision::TakeOver => {
                let token = match held {
                    Some(held) if decision == Decision::Keep => Some(held.etag),
                    held => {
                        let dead = held.as_ref().map(|held| held.etag.as_str());
                        self.ledger
                            .take_lock(place, execution.claim(), *purpose, dead)
                            .await?
                    }
                };
                let Some(token) = token else {
                    return Ok(None);
                };
                match self.enter(place, execution, waiting).await {
                    Ok(()) => Ok(Some(LockOutput::Acquired { token })),
                    // A step that fails leaves no lock behind; one that is tried again takes it again.
                    Err(error) => {
                        self.ledger.release_lock(place, &token).await?;
                        Err(error)
                    }
                }
            }
            Decision::Wait { holder, announce } => {
                let waited_seconds = now.duration_since(execution.start_time).as_secs();
                if waited_seconds > PATIENCE {
                    self.stop_waiting(place, execution, waiting).await?;
                    return Err(StepError::LockTimeout {
                        place: place.clone(),
                        holder,
                        waited_seconds,
                    });
                }
                let read = waiting.as_ref().map(|waiting| waiting.etag.as_str());
                if announce
                    && !self
                        .ledger
                        .announce_waiting(place, execution.claim(), *purpose, read)
                        .await?
                {
                    return Ok(None);
                }
                self.end_wait_of(input, held.as_ref()).await?;
                Ok(Some(LockOutput::Busy {
                    reason: format!("{holder} is deploying {place}"),
                    holder,
                    wait_seconds: LOOK_AGAIN,
                }))
            }
            Decision::Skip { by } => Ok(Some(LockOutput::Skipped {
                reason: format!("{by} is deploying {place}, so it is not renewed this time"),
            })),
            Decision::Superseded { by } => {
                self.stop_waiting(place, execution, waiting).await?;
                Ok(Some(LockOutput::Superseded {
                    reason: format!("A newer deploy goes first: {by}"),
                }))
            }
        }
    }

    /// A holder that waits for approval does not look whether a newer deploy waits for the lock: it is told.
    async fn end_wait_of(&self, input: &LockInput, held: Option<&Seen>) -> Result<(), StepError> {
        let me = input.execution.claim();
        let Some(holder) = held.filter(|held| ends_the_wait_of(&me, input.purpose, &held.found))
        else {
            return Ok(());
        };
        match self.ledger.asked(&input.place).await? {
            Some(asked) if asked.execution == holder.found.record.claim.execution => {
                let reason = format!("A newer deploy goes first: {}", me.execution);
                self.workflow
                    .fail_task(&asked.token, SUPERSEDED, &reason)
                    .await
            }
            _ => Ok(()),
        }
    }

    /// With the lock in hand: waits no longer, and makes sure that nobody has put things in order after this execution.
    /// A recovery notes that before it gives the lock back.
    async fn enter(
        &self,
        place: &Place,
        execution: &Execution,
        waiting: Option<Seen>,
    ) -> Result<(), StepError> {
        self.stop_waiting(place, execution, waiting).await?;
        match self.ledger.recovery(place, &execution.name).await? {
            None => Ok(()),
            Some(recovery) => Err(StepError::AlreadyRecovered {
                place: place.clone(),
                by: recovery.by,
            }),
        }
    }

    /// Takes back what was announced by this execution, or by one that is no more.
    async fn stop_waiting(
        &self,
        place: &Place,
        execution: &Execution,
        waiting: Option<Seen>,
    ) -> Result<(), StepError> {
        match waiting {
            Some(seen)
                if seen.found.record.claim.execution == execution.arn || !seen.found.running =>
            {
                self.ledger.clear_waiting(place, &seen).await
            }
            _ => Ok(()),
        }
    }
}
