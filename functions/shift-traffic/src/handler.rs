//! Moves the pointer: gives the new fleet its share, commits to it, or goes back. Always under the lock.

mod retain;

use std::collections::BTreeSet;

use exuvia_aws::fleet::Fleets;
use exuvia_aws::ledger::{Ledger, Tagged};
use exuvia_aws::listener::{Listeners, Rule};
use exuvia_aws::metrics::Metrics;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::expected::remember;
use exuvia_core::health::{self, Status};
use exuvia_core::lock::{Purpose, yields_to};
use exuvia_core::manifest::{Live, Manifest};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::notice::{self, Kind};
use exuvia_core::removal::{self, Progress, Removed};
use exuvia_core::retain::Kept;
use exuvia_core::scaling::Size;
use exuvia_core::step::{
    Context, LockToken, OldFleets, RemoveInput, RollBackInput, ShiftTrafficInput,
    ShiftTrafficOutput,
};
use exuvia_core::target::Target;
use exuvia_core::{capacity, traffic};
use jiff::Timestamp;

pub struct Handler {
    ledger: Ledger,
    fleets: Fleets,
    listeners: Listeners,
    metrics: Metrics,
    workflow: Workflow,
}

/// What tells which release is live: the rule, or of a worker `live.json`.
struct Pointer {
    is_worker: bool,
    rule: Option<Rule>,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            fleets: Fleets::new(config),
            listeners: Listeners::new(config),
            metrics: Metrics::new(config),
            workflow: Workflow::new(config),
        })
    }

    pub async fn handle(&self, input: ShiftTrafficInput) -> Result<ShiftTrafficOutput, StepError> {
        match input {
            ShiftTrafficInput::Shift { context, step } => {
                Box::pin(self.shift(&context, step)).await
            }
            ShiftTrafficInput::Commit {
                context,
                boot_seconds,
                old,
            } => Box::pin(self.commit(&context, boot_seconds, old)).await,
            ShiftTrafficInput::GiveUp(input) => Box::pin(self.give_up(&input)).await,
            ShiftTrafficInput::Remove(input) => self.remove(&input).await,
            ShiftTrafficInput::RollBack(given_up) => Box::pin(self.roll_back(given_up)).await,
        }
    }

    async fn shift(&self, context: &Context, step: usize) -> Result<ShiftTrafficOutput, StepError> {
        let Context { place, release, .. } = context;
        let waiting = async {
            match step {
                0 => {
                    self.ledger
                        .waiting(place, &context.execution, &self.workflow)
                        .await
                }
                _ => Ok(None),
            }
        };
        let pointer = async {
            let manifest = self.ledger.manifest(place, *release).await?;
            let rule = self.rule_of(&manifest).await;
            Ok::<_, StepError>((manifest, rule))
        };
        let (lock, waiting, pointer, seen, reports) = tokio::join!(
            self.ledger
                .check_lock(place, &context.execution, &context.token),
            waiting,
            pointer,
            self.fleets.observe(place, *release, context.live),
            self.ledger.boot_reports(place, *release)
        );
        lock?;
        let waiting = waiting?;
        let found = waiting.as_ref().map(|seen| &seen.found);
        if let Some(newer) = yields_to(&context.execution.claim(), found) {
            let reason = format!("A newer deploy goes first: {newer}");
            return Ok(ShiftTrafficOutput::Superseded { reason });
        }
        // What was true at the last look must be true now: the fleet is healthy, and as large as the live one.
        let (mut seen, live_desired) = seen?;
        seen.reports = reports?;
        if context.returns {
            seen = seen.without_past();
        }
        let (manifest, rule) = pointer?;
        let target = &manifest.target;
        seen.is_worker = target.is_worker();
        let verdict = health::ready(&seen);
        let not_ready = |grown, reason| ShiftTrafficOutput::NotReady {
            grown,
            wait_seconds: verdict.wait_seconds,
            reason,
        };
        if verdict.status != Status::Healthy {
            return Ok(not_ready(false, verdict.reason));
        }
        let limits = target.limits(context.now);
        if let Some(grown) = capacity::growth(limits, live_desired, verdict.wanted) {
            self.fleets.set_desired(place, *release, grown).await?;
            let reason =
                format!("The live fleet has grown to {grown} instances; the new one follows");
            return Ok(not_ready(true, reason));
        }
        let steps = if context.returns {
            traffic::steps_of_return(&target.strategy)
        } else {
            traffic::steps_beside(context.live, &target.strategy)
        };
        let Some(wanted) = steps.get(step) else {
            return Err(StepError::Unreadable {
                what: "the step's input".to_owned(),
                problem: format!("traffic step {step} of {}", steps.len()),
            });
        };
        let weights = traffic::weights(context.live, *release, wanted.weight);
        match (rule?, target.front()) {
            // Until now no request met the first release's rule.
            (Some(rule), Some(front)) if context.live.is_none() => {
                self.listeners
                    .set_weights_and_conditions(&rule, &weights, &front)
                    .await?;
            }
            (Some(rule), _) => self.listeners.set_weights(&rule, &weights).await?,
            // A worker has worked since its instances were launched; from now on it is watched.
            (None, _) => {}
        }
        Ok(ShiftTrafficOutput::Shifted {
            weight: wanted.weight,
            step,
            wait_seconds: wanted.hold_seconds.clamp(1, traffic::longest_pause(&steps)),
            healthy: verdict.healthy,
            reason: verdict.reason,
        })
    }

    /// The rule that a release's deploy is moving: Launch made sure of it. A worker has none.
    async fn rule_of(&self, manifest: &Manifest) -> Result<Option<Rule>, StepError> {
        let Some(front) = manifest.target.front() else {
            return Ok(None);
        };
        let (place, listener) = (manifest.place(), front.listener_arn);
        match self.listeners.find(listener, &place).await? {
            Some(rule) => Ok(Some(rule)),
            None => Err(StepError::Unreadable {
                what: format!("the rule of {place} on {listener}"),
                problem: "there is none any more; something else deleted it".to_owned(),
            }),
        }
    }

    /// First the promise, then the rule: cut off in between, a recovery goes on forward.
    async fn commit(
        &self,
        context: &Context,
        boot_seconds: Option<u32>,
        old: OldFleets,
    ) -> Result<ShiftTrafficOutput, StepError> {
        let Context { place, release, .. } = context;
        let minutes = old.retain_minutes;
        let live = self.ledger.live(place).await?;
        let promised = |live: &Tagged<Live>| {
            live.value.release == *release && live.value.execution == context.execution.arn
        };
        let is_promised = live.as_ref().is_some_and(promised);
        match self
            .ledger
            .check_lock(place, &context.execution, &context.token)
            .await
        {
            // Run again after it had given the lock back, or after another took it over and sees to the rest.
            Err(StepError::LockLost { .. }) if is_promised => {
                let retained = self.was_retained(context, minutes).await?;
                return Ok(retain::committed(retained, old));
            }
            checked => checked?,
        }
        let manifest = self.ledger.manifest(place, *release).await?;
        if !is_promised {
            if context.returns {
                self.fleets.let_go(place, *release).await?;
            }
            self.fleets
                .equip(place, *release, &manifest.target, &self.metrics)
                .await?;
            let since = self.held_since(context, &manifest).await?;
            let mut missed = size_missed(&manifest, since, context.now);
            if let Some(size) = missed.as_mut().filter(|_| context.returns) {
                // What came due before the return has made the live fleet as large as it is, or somebody has since.
                let during = size_missed(&manifest, context.execution.start_time, context.now);
                size.desired = match during.and_then(|size| size.desired) {
                    Some(desired) => Some(desired),
                    None => self.fleets.desired(place, context.live).await?,
                };
            }
            self.catch_up(place, *release, missed).await?;
            let promise = Live {
                release: *release,
                version: manifest.version.clone(),
                execution: context.execution.arn.clone(),
                since: context.now,
                boots: remember(
                    boots(live.as_ref()),
                    boot_seconds.filter(|_| !context.returns),
                ),
            };
            self.promise(place, live, promise).await?;
        }
        let rule = self.rule_of(&manifest).await?;
        let retained = match &rule {
            Some(rule) => self.retain(context, minutes, rule).await?,
            None => None,
        };
        if let (Some(rule), Some(front)) = (&rule, manifest.target.front()) {
            let mut weights = traffic::only(*release);
            weights.extend(retained.as_ref().map(Kept::weight));
            self.listeners
                .set_weights_and_conditions(rule, &weights, &front)
                .await?;
            self.listeners.set_priority(rule, &front).await?;
        }
        self.ledger.release_lock(place, &context.token).await?;
        Ok(retain::committed(retained, old))
    }

    /// Gives a fleet the size that it would have, had its scheduled actions not been held since then.
    async fn catch_up(
        &self,
        place: &Place,
        release: ReleaseNumber,
        missed: Option<Size>,
    ) -> Result<(), StepError> {
        match missed {
            Some(size) => self.fleets.resize(place, release, size).await,
            None => Ok(()),
        }
    }

    async fn promise(
        &self,
        place: &Place,
        read: Option<Tagged<Live>>,
        live: Live,
    ) -> Result<(), StepError> {
        self.ledger
            .swap_live(place, read.as_ref().map(|read| read.etag.as_str()), &live)
            .await
    }

    /// First the ledger, then the rule: cut off in between, a recovery goes on forward. Before `live.json` is deleted it is
    /// noted by whom, and once the rule is gone as well, that it is done.
    async fn remove(&self, input: &RemoveInput) -> Result<ShiftTrafficOutput, StepError> {
        let RemoveInput {
            place, execution, ..
        } = input;
        let found = self.ledger.removed(place).await?;
        let read = found.as_ref().map(|found| found.etag.clone());
        let mine = found.filter(|found| found.value.execution == execution.arn);
        match self.ledger.check_lock(place, execution, &input.token).await {
            // Run again after it had given the lock back.
            Err(StepError::LockLost { .. })
                if mine.as_ref().is_some_and(|mine| mine.value.done) =>
            {
                return Ok(ShiftTrafficOutput::Removed);
            }
            checked => checked?,
        }
        let live = self.ledger.live(place).await?;
        let noted = if let Some(mine) = mine {
            mine
        } else {
            let committed = live.as_ref().map(|live| live.value.release);
            let nothing = || StepError::Unreadable {
                what: "the step's input".to_owned(),
                problem: format!("nothing is live in {place}"),
            };
            let removed = Removed {
                release: committed.or(input.live).ok_or_else(nothing)?,
                execution: execution.arn.clone(),
                since: execution.start_time,
                done: false,
            };
            self.ledger
                .note_removed(place, read.as_deref(), removed)
                .await?
        };
        if let Some(live) = live {
            self.ledger.delete_live(place, &live.etag).await?;
        }
        let manifest = self.ledger.manifest(place, noted.value.release).await?;
        if let Some(front) = manifest.target.front()
            && let Some(rule) = self.listeners.find(front.listener_arn, place).await?
        {
            self.listeners.delete(&rule).await?;
        }
        self.note_done(place, noted).await?;
        self.ledger.release_lock(place, &input.token).await?;
        Ok(ShiftTrafficOutput::Removed)
    }

    async fn note_done(&self, place: &Place, noted: Tagged<Removed>) -> Result<(), StepError> {
        let done = Removed {
            done: true,
            ..noted.value
        };
        self.ledger
            .note_removed(place, Some(&noted.etag), done)
            .await
            .map(drop)
    }

    async fn roll_back(&self, given_up: RollBackInput) -> Result<ShiftTrafficOutput, StepError> {
        let place = &given_up.place;
        let Some(token) = self.hold_lock(&given_up).await? else {
            return self.leave(&given_up).await;
        };
        let standing = self.fleets.standing(place).await?;
        let record = self.ledger.live(place).await?;
        let committed = record.as_ref().map(|record| record.value.release);
        let subject = given_up.subject(record.as_ref().map(|record| &record.value));
        let (noted, progress) = self.removal(&given_up, record.as_ref()).await?;
        let removed = noted.as_ref().map(|noted| noted.value.release);
        let known = committed
            .or(removed)
            .or(given_up.release)
            .or(standing.keys().next_back().copied());
        let Pointer { is_worker, rule } = self.pointer(place, known).await?;
        let weights = rule
            .as_ref()
            .map(|rule| rule.weights.clone())
            .unwrap_or_default();
        let stands = |release| standing.get(&release).is_some_and(Option::is_some);
        let keeper = match progress {
            Progress::Begun => None,
            _ if is_worker => committed,
            _ => traffic::keeper(committed, &weights, stands, given_up.release),
        };
        let stays = self.stays(&given_up, keeper, &weights, &standing).await?;
        if let Some(keeper) = keeper {
            let kept = self.ledger.manifest(place, keeper).await?;
            if let Some(front) = kept.target.front() {
                let target_group = self.fleets.target_group_of(place, keeper).await?;
                match (&rule, target_group) {
                    // Only the weights: nothing that a target asks for may keep the traffic from going back.
                    (Some(rule), _) => {
                        let mut left = traffic::only(keeper);
                        left.extend(stays.as_ref().map(Kept::weight));
                        self.listeners.set_weights(rule, &left).await?;
                    }
                    (None, Some(arn)) => self.listeners.restore(place, &front, arn).await?,
                    (None, None) => {}
                }
            } else if self.fleets.is_stopped(place, keeper).await? {
                // It begins again when no other works any more.
                let standing = standing.keys().copied();
                for other in all_but(Some(keeper), standing, given_up.release) {
                    self.fleets.end(place, other).await?;
                }
            }
            self.fleets.let_go(place, keeper).await?;
            if !kept.target.scaling.scheduled_actions.is_empty()
                && let Some(release) = given_up.release.filter(|release| *release != keeper)
                && let Some(planned) = self.ledger.find_manifest(place, release).await?
            {
                // The kept one's actions were held from about then on.
                let since = if given_up.returns {
                    given_up.execution.start_time
                } else {
                    planned.created_at
                };
                let missed = size_missed(&kept, since, given_up.now);
                self.catch_up(place, keeper, missed).await?;
            }
            if committed != Some(keeper) {
                let promise = Live {
                    release: keeper,
                    version: kept.version.clone(),
                    execution: given_up.execution.arn.clone(),
                    since: given_up.now,
                    boots: boots(record.as_ref()),
                };
                self.promise(place, record, promise).await?;
            }
        } else if let Some(rule) = &rule {
            self.listeners.delete(rule).await?;
        }
        if let (Progress::Begun, Some(noted)) = (progress, noted) {
            self.note_done(place, noted).await?;
        }
        self.ledger.release_lock(place, &token).await?;
        let stays = stays.map(|stays| stays.release);
        let mut retire = all_but(keeper, standing.into_keys(), given_up.release.or(removed));
        retire.retain(|release| Some(*release) != stays);
        Ok(ShiftTrafficOutput::RolledBack {
            release: subject,
            live: keeper,
            retire,
            ending: ending(&given_up, progress, subject, keeper),
            had: traffic::share(&weights, given_up.release),
        })
    }

    /// The place's rule, on the listener that a release of it names. Any release will do: a target that moved to another
    /// listener, or to none, is refused while one is live.
    async fn pointer(
        &self,
        place: &Place,
        known: Option<ReleaseNumber>,
    ) -> Result<Pointer, StepError> {
        let manifest = match known {
            Some(release) => self.ledger.find_manifest(place, release).await?,
            None => None,
        };
        let target = manifest.map(|manifest| manifest.target);
        let rule = match target.as_ref().and_then(Target::front) {
            Some(front) => self.listeners.find(front.listener_arn, place).await?,
            None => None,
        };
        Ok(Pointer {
            is_worker: target.is_some_and(|target| target.is_worker()),
            rule,
        })
    }

    /// The record of the removal that is given up or put in order, if it has begun, and how far it has come.
    async fn removal(
        &self,
        given_up: &RollBackInput,
        live: Option<&Tagged<Live>>,
    ) -> Result<(Option<Tagged<Removed>>, Progress), StepError> {
        if !given_up.removal {
            return Ok((None, Progress::NotBegun));
        }
        let noted = self.ledger.removed(&given_up.place).await?;
        let progress = removal::progress(
            noted.as_ref().map(|noted| &noted.value),
            given_up.whose(),
            live.map(|live| &live.value),
        );
        Ok((noted.filter(|_| progress != Progress::NotBegun), progress))
    }

    /// The token of the lock, if this execution holds it. A lock that nobody holds (an earlier try gave it back, or a
    /// person deleted it) is taken again; `None` if it is another's.
    async fn hold_lock(&self, given_up: &RollBackInput) -> Result<Option<LockToken>, StepError> {
        let RollBackInput {
            place, execution, ..
        } = given_up;
        match self.ledger.held(place).await? {
            Some((holder, token)) => Ok((holder == execution.arn).then_some(token)),
            None => {
                self.ledger
                    .take_lock(place, execution.claim(), Purpose::Recovery, None)
                    .await
            }
        }
    }

    /// Roll Back without the lock: another execution has taken over, and the pointer, the live fleet and those that the
    /// rule names are its business (where nothing is live, one of them may have the traffic). Of the rest, nobody builds
    /// a release of a smaller number any more.
    async fn leave(&self, given_up: &RollBackInput) -> Result<ShiftTrafficOutput, StepError> {
        let standing = self.fleets.standing(&given_up.place).await?;
        let record = self.ledger.live(&given_up.place).await?;
        let subject = given_up.subject(record.as_ref().map(|record| &record.value));
        let (noted, progress) = self.removal(given_up, record.as_ref()).await?;
        // What a removal that was cut off has left of the rule is the other's business as well.
        let noted = noted.filter(|noted| noted.value.done);
        let progress = noted.as_ref().map_or(Progress::NotBegun, |_| progress);
        let live = record.map(|record| record.value.release);
        let newest = given_up.release.or(noted.map(|noted| noted.value.release));
        let Pointer { rule, .. } = self.pointer(&given_up.place, live.or(newest)).await?;
        let is_named = |release| {
            rule.as_ref()
                .is_some_and(|rule| rule.weight_of(release).is_some())
        };
        let older = standing
            .into_keys()
            .filter(|release| Some(*release) <= newest);
        let mut retire = all_but(live, older, newest);
        retire.retain(|release| !is_named(*release));
        Ok(ShiftTrafficOutput::RolledBack {
            release: subject,
            live,
            retire,
            ending: ending(given_up, progress, subject, live),
            // Whatever it has now, another execution gave it.
            had: 0,
        })
    }
}

fn ending(
    given_up: &RollBackInput,
    progress: Progress,
    subject: Option<ReleaseNumber>,
    live: Option<ReleaseNumber>,
) -> Kind {
    if given_up.removal {
        notice::ending_of_removal(&given_up.why, progress, live)
    } else {
        notice::ending(&given_up.why, subject, live)
    }
}

/// What a release's scheduled actions have made of its size since then.
fn size_missed(manifest: &Manifest, since: Timestamp, now: Timestamp) -> Option<Size> {
    let target = &manifest.target;
    target.scaling.missed(target.capacity, since, now)
}

/// How long the releases until now took to be healthy.
fn boots(live: Option<&Tagged<Live>>) -> Vec<u32> {
    live.map(|live| live.value.boots.clone())
        .unwrap_or_default()
}

/// What is to be shed: all that stands, and what is given up even where it is not listed, as it may only just have been
/// created; but never what keeps the traffic.
fn all_but(
    keeper: Option<ReleaseNumber>,
    standing: impl Iterator<Item = ReleaseNumber>,
    given_up: Option<ReleaseNumber>,
) -> Vec<ReleaseNumber> {
    let all: BTreeSet<_> = standing.chain(given_up).collect();
    all.into_iter()
        .filter(|release| Some(*release) != keeper)
        .collect()
}
