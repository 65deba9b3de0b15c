//! What is kept for a while after a deploy, to return to it without a launch: Commit keeps it, Roll Back respects it, and Give Up
//! Retained ends it.

use std::collections::BTreeMap;

use exuvia_aws::ledger::Tagged;
use exuvia_aws::listener::Rule;
use exuvia_core::error::StepError;
use exuvia_core::lock::{Decision, Purpose, decide};
use exuvia_core::manifest::Manifest;
use exuvia_core::name::ReleaseNumber;
use exuvia_core::retain::{self, GiveUp, Kept, Retained};
use exuvia_core::step::{Context, GiveUpInput, OldFleets, RollBackInput, ShiftTrafficOutput};
use exuvia_core::traffic::{self, Weight};
use jiff::Timestamp;

use super::Handler;

/// What is there when something may be given up.
struct Found {
    retained: Option<Tagged<Retained>>,
    live: Option<ReleaseNumber>,
    rule: Option<Rule>,
}

impl Found {
    fn weights(&self) -> &[Weight] {
        self.rule.as_ref().map_or(&[], |rule| &rule.weights)
    }

    fn record(&self) -> Option<&Retained> {
        self.retained.as_ref().map(|found| &found.value)
    }
}

impl Handler {
    /// Notes that the old fleet is kept, if it is to be, before the rule goes on naming it. Of what is returned to nothing is
    /// noted any more.
    pub(super) async fn retain(
        &self,
        context: &Context,
        minutes: u32,
        rule: &Rule,
    ) -> Result<Option<Kept>, StepError> {
        let (place, me) = (&context.place, &context.execution.arn);
        let is_named = |old: &ReleaseNumber| rule.weight_of(*old).is_some();
        let old = context.live.filter(is_named).filter(|_| minutes > 0);
        if old.is_none() && !context.returns {
            return Ok(None);
        }
        let found = self.ledger.retained(place).await?;
        let Some(old) = old else {
            if let Some(found) = found {
                self.ledger.forget_retained(place, &found.etag).await?;
            }
            return Ok(None);
        };
        if let Some(mine) = found.as_ref().filter(|found| found.value.is_of(old, me)) {
            return Ok(Some(mine.value.kept()));
        }
        let kept = Kept::after(old, context.now, minutes);
        let retained = Retained {
            release: old,
            execution: me.clone(),
            until: kept.until,
        };
        let read = found.as_ref().map(|found| found.etag.as_str());
        self.ledger.note_retained(place, read, &retained).await?;
        Ok(Some(kept))
    }

    /// What Commit answers when it is run again after it had given the lock back: another may have given up since what it kept,
    /// or returned to it, which Give Up Retained sees.
    pub(super) async fn was_retained(
        &self,
        context: &Context,
        minutes: u32,
    ) -> Result<Option<Kept>, StepError> {
        let Some(old) = context.live.filter(|_| minutes > 0) else {
            return Ok(None);
        };
        let found = self.ledger.retained(&context.place).await?;
        let mine = found.filter(|found| found.value.is_of(old, &context.execution.arn));
        let now = || Kept::after(old, context.now, 0);
        Ok(Some(mine.map_or_else(now, |mine| mine.value.kept())))
    }

    /// Since when the scheduled actions of what is about to be live were held: of a new fleet, which had none, since it was
    /// planned, and of one that was kept since what took its place was.
    pub(super) async fn held_since(
        &self,
        context: &Context,
        manifest: &Manifest,
    ) -> Result<Timestamp, StepError> {
        let live = context.live.filter(|_| context.returns);
        let successor = match live {
            Some(live) => self.ledger.find_manifest(&context.place, live).await?,
            None => None,
        };
        Ok(successor.map_or(manifest.created_at, |successor| successor.created_at))
    }

    /// What Roll Back leaves in the rule beside what keeps the traffic, as another execution keeps it. What was to be returned to
    /// is given up with the return. Before the rule is changed nothing is noted any more of what goes.
    pub(super) async fn stays(
        &self,
        given_up: &RollBackInput,
        keeper: Option<ReleaseNumber>,
        weights: &[Weight],
        standing: &BTreeMap<ReleaseNumber, Option<u32>>,
    ) -> Result<Option<Kept>, StepError> {
        if weights.len() < 2 {
            return Ok(None);
        }
        let place = &given_up.place;
        let Some(found) = self.ledger.retained(place).await? else {
            return Ok(None);
        };
        let Retained {
            release, execution, ..
        } = &found.value;
        let is_returned_to = given_up.returns && given_up.release == Some(*release);
        let stands = standing.get(release).is_some_and(Option::is_some);
        if found.value.is_kept(keeper, weights, given_up.now)
            && execution != given_up.whose()
            && !is_returned_to
            && stands
        {
            return Ok(Some(found.value.kept()));
        }
        self.ledger.forget_retained(place, &found.etag).await?;
        Ok(None)
    }

    /// The time is over: what was kept goes out of the rule, unless another has seen to it. Without the lock only what nothing
    /// points to is touched.
    pub(super) async fn give_up(
        &self,
        input: &GiveUpInput,
    ) -> Result<ShiftTrafficOutput, StepError> {
        let given_up = Box::pin(self.try_to_give_up(input)).await;
        // Even if it failed: a step that fails leaves no lock behind.
        if let Some((holder, token)) = self.ledger.held(&input.place).await?
            && holder == input.execution.arn
        {
            self.ledger.release_lock(&input.place, &token).await?;
        }
        given_up
    }

    async fn try_to_give_up(&self, input: &GiveUpInput) -> Result<ShiftTrafficOutput, StepError> {
        let mut found = Box::pin(self.look_at_retained(input)).await?;
        let mut decision = decide_on(input, &found);
        if decision == GiveUp::TakeOut {
            if !self.take_turn(input).await? {
                let kept = Kept::until_its_turn(input.release, input.now);
                return Ok(given_up(Some(kept), None));
            }
            found = Box::pin(self.look_at_retained(input)).await?;
            decision = decide_on(input, &found);
        }
        if decision == GiveUp::TakeOut
            && let Some(rule) = &found.rule
        {
            let left = self.without(input, &found).await?;
            // Nothing else stands, or somebody has moved the traffic there: Retire Old tells that it still serves.
            if left.iter().any(|share| share.release == input.release) {
                return Ok(given_up(None, Some(input.release)));
            }
            self.listeners.set_weights(rule, &left).await?;
        }
        if decision == GiveUp::Leave {
            return Ok(given_up(None, None));
        }
        let (release, me) = (input.release, &input.execution.arn);
        if let Some(mine) = found
            .retained
            .filter(|found| found.value.is_of(release, me))
        {
            self.ledger
                .forget_retained(&input.place, &mine.etag)
                .await?;
        }
        Ok(given_up(None, Some(release)))
    }

    async fn look_at_retained(&self, input: &GiveUpInput) -> Result<Found, StepError> {
        let place = &input.place;
        let (retained, live, pointer) = tokio::try_join!(
            self.ledger.retained(place),
            self.ledger.live(place),
            self.pointer(place, Some(input.release))
        )?;
        Ok(Found {
            retained,
            live: live.map(|live| live.value.release),
            rule: pointer.rule,
        })
    }

    /// Takes the lock, unless another holds it.
    async fn take_turn(&self, input: &GiveUpInput) -> Result<bool, StepError> {
        let GiveUpInput {
            place,
            execution,
            now,
            ..
        } = input;
        let held = self.ledger.holder(place, execution, &self.workflow).await?;
        let claim = execution.claim();
        let found = held.as_ref().map(|held| &held.found);
        match decide(&claim, Purpose::Recovery, *now, found, None) {
            Decision::Keep => Ok(true),
            Decision::Create | Decision::TakeOver => {
                let dead = held.as_ref().map(|held| held.etag.as_str());
                let taken = self
                    .ledger
                    .take_lock(place, claim, Purpose::Recovery, dead)
                    .await?;
                Ok(taken.is_some())
            }
            _ => Ok(false),
        }
    }

    /// The rule without what was kept. A return that was cut off may have given it traffic: that goes back to what is live.
    async fn without(&self, input: &GiveUpInput, found: &Found) -> Result<Vec<Weight>, StepError> {
        let weights = found.weights();
        let others = weights
            .iter()
            .filter(|share| share.release != input.release);
        if others.clone().any(|share| share.weight > 0) {
            return Ok(others.copied().collect());
        }
        let standing = self.fleets.standing(&input.place).await?;
        let stands = |release| standing.get(&release).is_some_and(Option::is_some);
        let keeper = traffic::keeper(found.live, weights, stands, Some(input.release));
        Ok(keeper.map_or_else(|| weights.to_vec(), traffic::only))
    }
}

fn decide_on(input: &GiveUpInput, found: &Found) -> GiveUp {
    retain::give_up(
        input.release,
        &input.execution.arn,
        found.record(),
        found.live,
        found.weights(),
    )
}

fn given_up(retained: Option<Kept>, release: Option<ReleaseNumber>) -> ShiftTrafficOutput {
    ShiftTrafficOutput::GivenUp {
        retained,
        retire: release.into_iter().collect(),
    }
}

/// Commit's answer.
pub(super) fn committed(retained: Option<Kept>, old: OldFleets) -> ShiftTrafficOutput {
    let kept = retained.as_ref().map(|kept| kept.release);
    let mut retire = old.retire;
    retire.retain(|release| Some(*release) != kept);
    ShiftTrafficOutput::Committed { retained, retire }
}
