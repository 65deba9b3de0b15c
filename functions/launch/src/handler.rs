//! Builds a release's fleet beside the live one. Run again, it goes on where it was cut off. Of a return the fleet stands, and
//! only what is live is held.

use exuvia_aws::fleet::{Fleets, Trust};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::listener::Listeners;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::expected::next_look;
use exuvia_core::step::{Context, LaunchInput, LaunchOutput};

pub struct Handler {
    ledger: Ledger,
    fleets: Fleets,
    listeners: Listeners,
    signing_key: String,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            listeners: Listeners::new(config),
            signing_key: settings.get("SIGNING_KEY_ARN")?,
        })
    }

    pub async fn handle(&self, input: LaunchInput) -> Result<LaunchOutput, StepError> {
        let LaunchInput {
            context,
            capacity,
            expected,
        } = input;
        let (place, release) = (&context.place, context.release);
        let live = async {
            match context.live {
                Some(live) => {
                    let arn = self.fleets.target_group_of(place, live).await?;
                    Ok(arn.map(|arn| (live, arn)))
                }
                None => Ok(None),
            }
        };
        if context.returns {
            self.ledger
                .check_lock(place, &context.execution, &context.token)
                .await?;
            self.hold_live(&context).await?;
            return Ok(LaunchOutput { wait_seconds: 1 });
        }
        let (manifest, (), live) = tokio::try_join!(
            self.ledger.manifest(place, release),
            self.ledger
                .check_lock(place, &context.execution, &context.token),
            live
        )?;
        let target = manifest.target;
        // What is begun at the same time goes to its end, even if one fails: nothing is still on its way when Roll Back begins.
        let admitted = async {
            let Some(front) = target.front() else {
                return Ok(None);
            };
            let (created, rules) = tokio::join!(
                self.fleets.create_target_group(place, release, &front),
                self.listeners.rules(front.listener_arn)
            );
            let (created, rules) = (created?, rules?);
            // Before the first instance is there: a target group that no rule names is never health-checked.
            let (admitted, drains) = tokio::join!(
                self.listeners
                    .admit(place, &front, rules, live, (release, created.clone())),
                self.fleets
                    .set_drain(&created, target.timeouts.drain_seconds)
            );
            admitted?;
            drains?;
            Ok::<_, StepError>(Some(created))
        };
        let holding = async {
            if target.stops_first() {
                self.stop_others(&context).await
            } else {
                self.hold_live(&context).await
            }
        };
        let (admitted, holding) = tokio::join!(admitted, holding);
        let (target_group, ()) = (admitted?, holding?);
        self.fleets
            .create_group(
                place,
                release,
                &target,
                target_group.as_deref(),
                (target.limits(context.now), capacity),
                Trust {
                    ledger: self.ledger.bucket(),
                    signing_key: &self.signing_key,
                },
            )
            .await?;
        Ok(LaunchOutput {
            wait_seconds: u32::try_from(next_look(0, expected)).unwrap_or(1),
        })
    }

    async fn hold_live(&self, context: &Context) -> Result<(), StepError> {
        match context.live {
            Some(live) => self.fleets.hold(&context.place, live).await,
            None => Ok(()),
        }
    }

    /// Ends all releases of a worker but this one: the live one until further notice, what an earlier deploy has left for good.
    async fn stop_others(&self, context: &Context) -> Result<(), StepError> {
        let place = &context.place;
        let standing = self.fleets.standing(place).await?;
        for other in standing.into_keys() {
            if Some(other) == context.live {
                self.fleets.stop(place, other).await?;
            } else if other != context.release {
                self.fleets.end(place, other).await?;
            }
        }
        Ok(())
    }
}
