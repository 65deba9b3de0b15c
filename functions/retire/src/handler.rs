//! Sheds fleets that nothing points to. Called until none of them is left; needs no lock.

use exuvia_aws::fleet::{Fleets, Remains};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::listener::Listeners;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::health::SETTLE_SECONDS;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::step::{RetireInput, RetireOutput, RetireStatus};
use jiff::Timestamp;

/// What termination hooks and slow shutdowns may take beyond the deregistration delay, in seconds.
const GRACE: i64 = 1_800;

pub struct Handler {
    ledger: Ledger,
    fleets: Fleets,
    listeners: Listeners,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            listeners: Listeners::new(config),
        })
    }

    pub async fn handle(&self, input: RetireInput) -> Result<RetireOutput, StepError> {
        let waited = input.now.duration_since(input.since).as_secs();
        let mut left = Vec::new();
        for release in input.releases {
            let (remains, drain) = self.shed(&input.place, release, input.now).await?;
            let Remains::Something(state) = remains else {
                continue;
            };
            if waited > i64::from(drain) + GRACE {
                return Err(StepError::StillDraining {
                    place: input.place,
                    release,
                    waited_seconds: waited,
                    state,
                });
            }
            left.push(state);
        }
        Ok(RetireOutput {
            status: if left.is_empty() {
                RetireStatus::Done
            } else {
                RetireStatus::Draining
            },
            wait_seconds: u32::try_from((waited / 6).clamp(5, 30)).unwrap_or(5),
            reason: left.join("; "),
        })
    }

    /// Goes on with one fleet, unless a rule still sends it requests; what remains, and its deregistration delay.
    async fn shed(
        &self,
        place: &Place,
        release: ReleaseNumber,
        now: Timestamp,
    ) -> Result<(Remains, u32), StepError> {
        let manifest = self.ledger.manifest(place, release).await?;
        let drain = manifest.target.timeouts.drain_seconds;
        let rule = self
            .listeners
            .find(&manifest.target.listener_arn, place)
            .await?;
        match rule.and_then(|rule| rule.weight_of(release)) {
            None => {
                let remains = self.fleets.shed(place, release).await?;
                let age = now.duration_since(manifest.created_at).as_secs();
                if remains == Remains::Nothing && age < SETTLE_SECONDS {
                    let state =
                        format!("what was created for release {release} may not be listed yet");
                    return Ok((Remains::Something(state), drain));
                }
                Ok((remains, drain))
            }
            Some(0) => {
                let state = format!("release {release} is still named by the listener's rule");
                Ok((Remains::Something(state), drain))
            }
            Some(weight) => Err(StepError::FleetServing {
                place: place.clone(),
                release,
                weight,
            }),
        }
    }
}
