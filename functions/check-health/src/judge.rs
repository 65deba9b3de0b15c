//! What `CloudWatch` says of a release that has traffic: its alarms, and how it compares with the live one.

use exuvia_aws::SdkConfig;
use exuvia_aws::fleet::Fleets;
use exuvia_aws::metrics::Metrics;
use exuvia_core::alarm;
use exuvia_core::compare::{self, Counted, Verdict};
use exuvia_core::error::StepError;
use exuvia_core::step::Context;
use exuvia_core::target::{Step, Target};
use jiff::Timestamp;

pub(crate) struct Judge(Metrics);

/// The step that is held.
pub(crate) struct Held<'a> {
    pub(crate) target: &'a Target,
    pub(crate) steps: &'a [Step],
    pub(crate) step: usize,
    pub(crate) shifted_at: Timestamp,
    pub(crate) traffic_since: Timestamp,
}

#[derive(Default)]
pub(crate) struct Judgement {
    /// Why the traffic is to go back, if it is.
    pub(crate) failed: Vec<String>,
    /// What else there is to say.
    pub(crate) notes: Vec<String>,
}

impl Judge {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Metrics::new(config))
    }

    /// Without an answer of `CloudWatch` a release is judged by the health of its targets: an outage of metrics is no reason
    /// to take a release back, nor to hold it.
    pub(crate) async fn look(
        &self,
        context: &Context,
        held: &Held<'_>,
        fleets: &Fleets,
    ) -> Result<Judgement, StepError> {
        let mut judgement = Judgement::default();
        let named = &held.target.alarms;
        match self.0.alarms(named).await {
            Ok(found) => {
                let verdict = alarm::judge(named, &found, held.traffic_since);
                judgement.failed.extend(verdict.failed);
                judgement.notes.extend(verdict.notes);
            }
            Err(error) => judgement.notes.push(unanswered("the alarms", &error)),
        }
        match self.compare(context, held, fleets).await? {
            Some(Verdict::Worse(why)) => judgement.failed.push(why),
            Some(Verdict::Alike(told) | Verdict::Unknown(told)) => judgement.notes.push(told),
            None => {}
        }
        Ok(judgement)
    }

    /// `None` where nothing is to be compared, or not yet.
    async fn compare(
        &self,
        context: &Context,
        held: &Held<'_>,
        fleets: &Fleets,
    ) -> Result<Option<Verdict>, StepError> {
        let settings = held.target.comparison;
        let now_held = held.steps.get(held.step);
        let (true, Some(front), Some(live), Some(now_held)) = (
            settings.enabled,
            held.target.front(),
            context.live,
            now_held,
        ) else {
            return Ok(None);
        };
        let step = compare::Step {
            shifted_at: held.shifted_at,
            alone: now_held.weight >= 100,
            hold_seconds: now_held.hold_seconds,
            all_seconds: held.steps.iter().map(|step| step.hold_seconds).sum(),
        };
        let Some(window) = compare::window(&step, context.now) else {
            return Ok(None);
        };
        let new_group = fleets.target_group_behind(&context.place, context.release);
        let new_group = new_group.await?;
        let live_group = fleets.target_group_behind(&context.place, live).await?;
        let (Some(new_group), Some(live_group)) = (new_group, live_group) else {
            let why = "not compared: one of the two fleets is gone".to_owned();
            return Ok(Some(Verdict::Unknown(why)));
        };
        let (listener, groups) = (front.listener_arn, [&*new_group, &*live_group]);
        let counted = self.0.minutes(listener, &groups, window.from, window.until);
        let counted = match counted.await {
            Ok(counted) => counted,
            Err(error) => {
                return Ok(Some(Verdict::Unknown(unanswered("the metrics", &error))));
            }
        };
        let of = |release, index: usize| Counted {
            release,
            minutes: counted.get(index).map_or(&[], Vec::as_slice),
        };
        let verdict = compare::judge(
            settings,
            &step,
            &window,
            of(context.release, 0),
            of(live, 1),
        );
        Ok(Some(verdict))
    }
}

fn unanswered(what: &str, error: &StepError) -> String {
    format!("CloudWatch does not tell {what}, so they do not count ({error})")
}
