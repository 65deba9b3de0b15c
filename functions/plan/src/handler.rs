//! Under the lock: sees what is live, numbers the release and writes its manifest.

use std::collections::BTreeMap;

use exuvia_aws::artifacts::PinnedSettings;
use exuvia_aws::fleet::Fleets;
use exuvia_aws::keys::SigningKey;
use exuvia_aws::ledger::Ledger;
use exuvia_aws::listener::Listeners;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::again::reason_to_skip;
use exuvia_core::error::StepError;
use exuvia_core::expected::Expected;
use exuvia_core::lock::Purpose;
use exuvia_core::manifest::{Manifest, Recovery, SCHEMA, recovered_key};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::removal::{self, Removed};
use exuvia_core::retain::Retained;
use exuvia_core::step::{Deploy, PlanInput, PlanOutput, PlanStatus, Replaces};
use exuvia_core::target::{Front, Target};
use exuvia_core::{capacity, traffic};

pub struct Handler {
    ledger: Ledger,
    fleets: Fleets,
    listeners: Listeners,
    signing_key: SigningKey,
    settings: PinnedSettings,
}

/// What is there when the lock is had.
struct Seen {
    /// The release that `live.json` names.
    committed: Option<ReleaseNumber>,
    /// How long the releases until then took to be healthy.
    expected: Option<Expected>,
    /// The last removal, if there ever was one.
    removed: Option<Removed>,
    /// The release that keeps the traffic until this deploy moves it.
    live: Option<Manifest>,
    /// Every release that has a fleet or a part of one, with its group's desired capacity.
    standing: BTreeMap<ReleaseNumber, Option<u32>>,
    /// What is kept beside it, and can be returned to.
    retained: Option<Retained>,
    /// Manifests from the committed release on, or from the one that was removed last, in order.
    newest: Vec<ReleaseNumber>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            listeners: Listeners::new(config),
            signing_key: SigningKey::new(config, settings.get("SIGNING_KEY_ARN")?),
            settings: PinnedSettings::new(config, settings.get("ARTIFACTS_BUCKET")?),
        })
    }

    pub async fn handle(&self, input: PlanInput) -> Result<PlanOutput, StepError> {
        let place = input.deploy.place();
        // The lock was had before this step began, so what is read meanwhile is read under it.
        let (lock, seen) = tokio::join!(
            self.ledger
                .check_lock(&place, &input.execution, &input.token),
            self.look(&place, &input)
        );
        lock?;
        let seen = seen?;
        if let Some(recovered) = &input.deploy.recovers {
            let release = if input.deploy.removal {
                None
            } else {
                self.release_of(&place, &seen, &recovered.execution).await?
            };
            let key = recovered_key(&place, recovered.name());
            let note = Recovery {
                by: input.execution.arn.clone(),
                at: input.now,
            };
            self.ledger.record(&key, note).await?;
            let reason = format!("Putting things in order after {}", recovered.execution);
            let mut output = seen.output(PlanStatus::Recover, release.as_ref(), 0, reason);
            output.replaces = self.replaces(release.as_ref(), &seen).await?;
            return Ok(output);
        }
        if input.deploy.removal {
            return Ok(seen.removal(&place));
        }
        if let Some(reason) = overtaken(&input.deploy, &seen) {
            return Ok(seen.output(PlanStatus::Superseded, None, 0, reason));
        }
        // Run again after it was cut off, it goes on with the number that it took.
        let made = self.release_of(&place, &seen, &input.execution.arn).await?;
        if made.is_none()
            && let Some(reason) = reason_to_skip(&input.deploy, seen.live.as_ref(), input.now)
        {
            return Ok(seen.output(PlanStatus::Skipped, None, 0, reason));
        }
        if made.is_none()
            && let Some(release) = seen.returns(&input)
        {
            return self.plan_return(&place, &seen, release).await;
        }
        let manifest = match made {
            Some(manifest) => manifest,
            None => self.write_manifest(&place, &input, &seen).await?,
        };
        let live_desired = seen
            .live
            .as_ref()
            .and_then(|live| seen.standing.get(&live.release).copied()?);
        let capacity = capacity::desired(manifest.target.limits(input.now), live_desired);
        let mut output = seen.output(
            PlanStatus::Planned,
            Some(&manifest),
            capacity,
            String::new(),
        );
        output.replaces = self.replaces(Some(&manifest), &seen).await?;
        Ok(output)
    }

    /// Its fleet was kept: nothing is numbered, and nothing launched.
    async fn plan_return(
        &self,
        place: &Place,
        seen: &Seen,
        release: ReleaseNumber,
    ) -> Result<PlanOutput, StepError> {
        let manifest = self.ledger.manifest(place, release).await?;
        let mut output = seen.output(PlanStatus::Return, Some(&manifest), 0, String::new());
        // How long it takes to boot says nothing of it.
        output.expected = None;
        output.replaces = match &seen.live {
            Some(live) => Some(self.instead_of(live, &manifest).await),
            None => None,
        };
        Ok(output)
    }

    async fn instead_of(&self, previous: &Manifest, manifest: &Manifest) -> Replaces {
        let settings = self
            .settings
            .changes(previous.config.as_ref(), manifest.config.as_ref())
            .await;
        Replaces {
            release: previous.release,
            since: previous.created_at,
            settings,
        }
    }

    /// What a release replaces, as its manifest has it: a recovery finds another one live, perhaps that very release.
    async fn replaces(
        &self,
        release: Option<&Manifest>,
        seen: &Seen,
    ) -> Result<Option<Replaces>, StepError> {
        let Some(manifest) = release else {
            return Ok(None);
        };
        let Some(previous) = manifest.previous else {
            return Ok(None);
        };
        let previous = match &seen.live {
            Some(live) if live.release == previous => Some(live.clone()),
            _ => {
                self.ledger
                    .find_manifest(&manifest.place(), previous)
                    .await?
            }
        };
        let Some(previous) = previous else {
            return Ok(None);
        };
        Ok(Some(self.instead_of(&previous, manifest).await))
    }

    async fn look(&self, place: &Place, input: &PlanInput) -> Result<Seen, StepError> {
        let PlanInput { deploy, now, .. } = input;
        let (live, standing, removed) = tokio::try_join!(
            self.ledger.live(place),
            self.fleets.standing(place),
            self.ledger.removed(place)
        )?;
        let record = live.map(|live| live.value);
        let committed = record.as_ref().map(|live| live.release);
        let expected = record.and_then(|live| Expected::of(&live.boots));
        let removed = removed.map(|removed| removed.value);
        // From the one before the committed on, so that the committed is among them.
        let first = committed.or(removed.as_ref().map(|removed| removed.release));
        let before = first.and_then(|release| ReleaseNumber::try_from(release.get() - 1).ok());
        let committed_manifest = async {
            match committed {
                Some(release) => self.ledger.find_manifest(place, release).await,
                None => Ok(None),
            }
        };
        // Nearly always the rule is where the target has it.
        let asked = deploy.target.as_ref().and_then(Target::front);
        let rule_asked = async {
            match asked {
                Some(front) => self.listeners.find(front.listener_arn, place).await,
                None => Ok(None),
            }
        };
        let (newest, committed_manifest, rule_asked) = tokio::join!(
            self.ledger.releases_after(place, before),
            committed_manifest,
            rule_asked
        );
        let (newest, committed_manifest) = (newest?, committed_manifest?);
        let known = match (&committed_manifest, &deploy.target, newest.last()) {
            (Some(manifest), ..) => Some(manifest.target.clone()),
            (None, Some(target), _) => Some(target.clone()),
            (None, None, Some(release)) => {
                Some(self.ledger.manifest(place, *release).await?.target)
            }
            (None, None, None) => None,
        };
        if let (Some(manifest), Some(target)) = (&committed_manifest, &deploy.target) {
            check_kind(place, &manifest.target, target)?;
        }
        let front = known.as_ref().and_then(Target::front);
        let is_there =
            |front: &Front| asked.is_some_and(|asked| asked.listener_arn == front.listener_arn);
        let rule = match front {
            Some(front) if is_there(&front) => rule_asked?,
            Some(front) => self.listeners.find(front.listener_arn, place).await?,
            None => None,
        };
        if let (Some(rule), Some(front), Some(asked)) = (&rule, front, asked)
            && asked.listener_arn != front.listener_arn
        {
            return Err(StepError::ListenerChanged {
                place: place.clone(),
                live: format!("{}, rule {}", front.listener_arn, rule.arn),
                target: asked.listener_arn.to_owned(),
            });
        }
        let weights = rule.map(|rule| rule.weights).unwrap_or_default();
        let stands = |release| standing.get(&release).is_some_and(Option::is_some);
        let keeper = match known {
            Some(target) if target.is_worker() => committed,
            _ => traffic::keeper(committed, &weights, stands, None),
        };
        let live = match keeper {
            Some(release) if Some(release) == committed => committed_manifest,
            Some(release) => Some(self.ledger.manifest(place, release).await?),
            None => None,
        };
        // What is kept is named by the rule beside what is live.
        let retained = match deploy.earlier {
            Some(_) if weights.len() > 1 => self.ledger.retained(place).await?,
            _ => None,
        };
        let number = live.as_ref().map(|live| live.release);
        let retained = retained
            .map(|found| found.value)
            .filter(|found| found.is_kept(number, &weights, *now) && stands(found.release));
        Ok(Seen {
            committed,
            expected,
            removed,
            live,
            standing,
            retained,
            newest,
        })
    }

    /// The release that an execution made, if it got that far.
    async fn release_of(
        &self,
        place: &Place,
        seen: &Seen,
        execution: &str,
    ) -> Result<Option<Manifest>, StepError> {
        for release in seen.newest.iter().rev() {
            let manifest = match &seen.live {
                Some(live) if live.release == *release => live.clone(),
                _ => self.ledger.manifest(place, *release).await?,
            };
            if manifest.execution == execution {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// The manifest of a release that nobody has named: what it pins is signed anew, so it must have been signed before.
    async fn signed(&self, place: &Place, release: ReleaseNumber) -> Result<Manifest, StepError> {
        let (manifest, is_signed) = self
            .ledger
            .verified_manifest(place, release, &self.signing_key)
            .await?;
        if is_signed {
            return Ok(manifest);
        }
        Err(StepError::ManifestNotTrusted {
            place: place.clone(),
            release,
            problem: format!(
                "bears no signature: it was made before manifests were signed, or somebody has written over it. If it is as it should be, start an execution with the input {{\"app\":\"{}\",\"environment\":\"{}\",\"release\":{release}}}: that deploys it again, signed",
                place.app, place.environment
            ),
        })
    }

    async fn write_manifest(
        &self,
        place: &Place,
        input: &PlanInput,
        seen: &Seen,
    ) -> Result<Manifest, StepError> {
        let deploy = &input.deploy;
        let target = deploy.target.clone().ok_or_else(|| missing("target"))?;
        let (version, artifact, config) = match (deploy.purpose, &seen.live) {
            (Purpose::Refresh, Some(live)) => {
                let live = self.signed(place, live.release).await?;
                (live.version, live.artifact, deploy.config.clone())
            }
            // Nothing but the instances: settings that were rolled back do not come back by themselves.
            (Purpose::Renewal, Some(live)) => {
                let live = self.signed(place, live.release).await?;
                (live.version, live.artifact, live.config)
            }
            (Purpose::Refresh | Purpose::Renewal, None) => {
                return Err(StepError::NothingLive(place.clone()));
            }
            (Purpose::Deploy | Purpose::Recovery, _) => (
                deploy.version.clone().ok_or_else(|| missing("version"))?,
                deploy.artifact.clone().ok_or_else(|| missing("artifact"))?,
                deploy.config.clone(),
            ),
        };
        let highest = seen
            .newest
            .iter()
            .chain(seen.standing.keys())
            .chain(&seen.committed)
            .max();
        let next = highest.map_or(Some(ReleaseNumber::FIRST), |highest| highest.next());
        let manifest = Manifest {
            schema: SCHEMA,
            app: place.app.clone(),
            environment: place.environment.clone(),
            release: next.ok_or_else(|| StepError::OutOfNumbers(place.clone()))?,
            version,
            artifact,
            config,
            target,
            previous: seen.live.as_ref().map(|live| live.release),
            execution: input.execution.arn.clone(),
            created_at: input.now,
        };
        if self
            .ledger
            .create_manifest(&manifest, &self.signing_key)
            .await?
        {
            return Ok(manifest);
        }
        // Only the holder of the lock numbers releases: this was written after the list was read, by an earlier try.
        Err(StepError::AwsUnavailable {
            action: format!("numbering release {} of {place}", manifest.release),
            problem: "another was written meanwhile".to_owned(),
        })
    }
}

impl Seen {
    /// The release to return to, if that is what is asked for.
    fn returns(&self, input: &PlanInput) -> Option<ReleaseNumber> {
        let kept = self.retained.as_ref().map(|retained| retained.release);
        kept.filter(|kept| input.deploy.earlier == Some(*kept))
    }

    /// What there is to remove, if anything.
    fn removal(&self, place: &Place) -> PlanOutput {
        let live = self.live.as_ref().map(|live| live.release);
        if self.committed.or(live).is_none() {
            let reason = format!("Nothing is deployed in {place}, so there is nothing to remove");
            return self.output(PlanStatus::Skipped, None, 0, reason);
        }
        let mut output = self.output(PlanStatus::Remove, None, 0, String::new());
        // Even if its fleet is not listed.
        output.retire.extend(self.committed.into_iter().chain(live));
        output.retire.sort_unstable();
        output.retire.dedup();
        output
    }

    fn output(
        &self,
        status: PlanStatus,
        release: Option<&Manifest>,
        capacity: u32,
        reason: String,
    ) -> PlanOutput {
        let number = release.map(|manifest| manifest.release);
        let live = self.live.as_ref().map(|live| live.release);
        PlanOutput {
            status,
            release: number,
            version: release.map(|manifest| manifest.version.clone()),
            live,
            live_version: self.live.as_ref().map(|live| live.version.clone()),
            retire: self
                .standing
                .keys()
                .copied()
                .filter(|release| Some(*release) != number)
                .collect(),
            capacity,
            expected: self.expected,
            replaces: None,
            reason,
        }
    }
}

/// Why an upload's deploy is pointless: events come in any order, and a later upload is live already, or the app was
/// removed since. A person who starts an execution means it.
fn overtaken(deploy: &Deploy, seen: &Seen) -> Option<String> {
    if let Some(removed) = &seen.removed
        && let Some(reason) = removal::overtakes(removed, deploy)
    {
        return Some(reason);
    }
    let (live, artifact) = (seen.live.as_ref()?, deploy.artifact.as_ref()?);
    (deploy.automatic && live.artifact.uploaded_at > artifact.uploaded_at).then(|| {
        format!(
            "A later upload is live already: {} (release {})",
            live.version, live.release
        )
    })
}

/// What has a listener and what has none are moved by different pointers.
fn check_kind(place: &Place, live: &Target, target: &Target) -> Result<(), StepError> {
    let kind = |target: &Target| {
        if target.is_worker() {
            "a worker"
        } else {
            "an app with a listener"
        }
    };
    if live.is_worker() == target.is_worker() {
        return Ok(());
    }
    Err(StepError::KindChanged {
        place: place.clone(),
        live: kind(live),
        target: kind(target),
    })
}

fn missing(what: &str) -> StepError {
    StepError::Unreadable {
        what: "the step's input".to_owned(),
        problem: format!("a deploy without {what}"),
    }
}
