//! Builds a release's fleet beside the live one. Run again, it goes on where it was cut off. Of a return the fleet stands, and
//! only what is live is held.

use exuvia_aws::fleet::{Fleets, Trust};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::listener::Listeners;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::expected::next_look;
use exuvia_core::step::{LaunchInput, LaunchOutput};

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
        let holding = async {
            match context.live {
                Some(live) => self.fleets.hold(place, live).await,
                None => Ok(()),
            }
        };
        if context.returns {
            self.ledger
                .check_lock(place, &context.execution, &context.token)
                .await?;
            holding.await?;
            return Ok(LaunchOutput { wait_seconds: 1 });
        }
        let (manifest, (), live) = tokio::try_join!(
            self.ledger.manifest(place, release),
            self.ledger
                .check_lock(place, &context.execution, &context.token),
            live
        )?;
        let target = manifest.target;
        let admitted = async {
            let created = self
                .fleets
                .create_target_group(place, release, &target)
                .await?;
            // Before the first instance is there: a target group that no rule names is never health-checked.
            self.listeners
                .admit(place, &target, live, release, created.clone())
                .await?;
            Ok::<_, StepError>(created)
        };
        // Both to their ends, even if one fails: nothing is still on its way when Roll Back begins.
        let (admitted, holding) = tokio::join!(admitted, holding);
        let (target_group, ()) = (admitted?, holding?);
        self.fleets
            .create_group(
                place,
                release,
                &target,
                &target_group,
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
}
