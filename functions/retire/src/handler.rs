//! Sheds fleets that nothing points to. Called until none of them is left; needs no lock.

use exuvia_aws::fleet::{Fleets, Remains};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::listener::Listeners;
use exuvia_aws::metrics::Metrics;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
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
    metrics: Metrics,
}

/// From the end of the deregistration delay until an instance is gone, in seconds, as a rule.
const TERMINATION: i64 = 30;

/// Seconds to the next look. A target that is deregistered is told as draining for the whole delay, with or without
/// requests in flight, so there is little to see before:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay>.
fn pause(waited: i64, drain: i64) -> u32 {
    let rest = drain - waited;
    let pause = if rest > 0 {
        rest + TERMINATION
    } else {
        (-rest / 6).clamp(10, 30)
    };
    u32::try_from(pause).unwrap_or(30)
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            listeners: Listeners::new(config),
            metrics: Metrics::new(config),
        })
    }

    pub async fn handle(&self, input: RetireInput) -> Result<RetireOutput, StepError> {
        let waited = input.now.duration_since(input.since).as_secs();
        let mut left = Vec::new();
        let mut longest = 0;
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
            longest = longest.max(drain);
            left.push(state);
        }
        Ok(RetireOutput {
            status: if left.is_empty() {
                RetireStatus::Done
            } else {
                RetireStatus::Draining
            },
            wait_seconds: pause(waited, i64::from(longest)),
            reason: left.join("; "),
        })
    }

    /// Goes on with one fleet, unless it is live; what remains, and its deregistration delay.
    async fn shed(
        &self,
        place: &Place,
        release: ReleaseNumber,
        now: Timestamp,
    ) -> Result<(Remains, u32), StepError> {
        let manifest = self.ledger.manifest(place, release).await?;
        let drain = manifest.target.timeouts.drain_seconds;
        let weight = if let Some(front) = manifest.target.front() {
            let rule = self.listeners.find(front.listener_arn, place).await?;
            rule.and_then(|rule| rule.weight_of(release))
        } else {
            // Of a worker, `live.json` is the pointer.
            let live = self.ledger.live(place).await?;
            let live = live.filter(|live| live.value.release == release);
            live.map(|_| 100)
        };
        match weight {
            None => {
                let fleet = FleetName::new(place, release);
                self.metrics
                    .forget(&fleet, &manifest.target.scaling)
                    .await?;
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

#[cfg(test)]
mod tests {
    use super::pause;

    #[test]
    fn a_drain_of_five_minutes_takes_few_looks() {
        for (drain, seconds, looks) in [(300, 330, 1), (0, 30, 3), (30, 60, 1), (3_600, 3_660, 4)] {
            let (mut waited, mut looked) = (0, 0);
            while waited < seconds {
                waited += i64::from(pause(waited, drain));
                looked += 1;
            }
            assert!(looked <= looks, "{drain} s: {looked} looks");
            assert!(waited - seconds <= 30, "{drain} s: seen after {waited} s");
        }
    }
}
