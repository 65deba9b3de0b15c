//! What there is to count of a deploy.

use std::collections::BTreeMap;

use exuvia_simulation::executions::Execution;
use exuvia_simulation::run::Outcome;
use exuvia_simulation::world::Estate;
use serde::{Deserialize, Serialize};

use super::lab::{Lab, PACE};

/// What one execution did, with the function that started it; or what was done beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// How often each state was entered.
    pub states: BTreeMap<String, u32>,
    /// Tasks that were tried again.
    pub retries: u32,
    /// Events in the execution's history.
    pub events: u32,
    /// The most that was carried into a state: its input and all variables, in bytes of JSON.
    pub most_carried: usize,
    /// Calls to AWS, by `service.Operation`.
    pub calls: BTreeMap<String, u32>,
    /// How long each invocation took, its start included, in milliseconds, by function.
    pub invocations: BTreeMap<String, Vec<f64>>,
}

impl Counted {
    /// As Step Functions bills them: each entry of a state and each retry.
    /// <https://aws.amazon.com/step-functions/pricing/>
    pub fn transitions(&self) -> u32 {
        self.states.values().sum::<u32>() + self.retries
    }

    /// Those of a deploy that does not look how its release does once it has the traffic.
    pub fn transitions_without_bake(&self) -> u32 {
        let baking = ["Bake", "Evaluate", "Evaluated?"].map(|state| self.entered(state));
        self.transitions() - baking.iter().sum::<u32>()
    }

    pub fn all_calls(&self) -> u32 {
        self.calls.values().sum()
    }

    pub fn entered(&self, state: &str) -> u32 {
        self.states.get(state).copied().unwrap_or(0)
    }

    pub fn called(&self, operation: &str) -> u32 {
        self.calls.get(operation).copied().unwrap_or(0)
    }

    /// Of an execution in what was just run, and of the function `besides` that no execution invokes.
    pub fn of(outcome: &Outcome, execution: Option<&Execution>, besides: &str) -> Self {
        let mut counted = Self::default();
        let who = execution.map(|execution| execution.who.as_str());
        let is_of = |other: &str| who == Some(other) || other == besides;
        let seen = &outcome.seen;
        for call in seen.calls.iter().filter(|call| is_of(&call.visit.who)) {
            let operation = format!("{}.{}", call.service, call.operation);
            *counted.calls.entry(operation).or_default() += 1;
        }
        let mut invoked: BTreeMap<&str, u32> = BTreeMap::new();
        for invocation in &seen.invocations {
            if !is_of(&invocation.visit.who) {
                continue;
            }
            let took = (invocation.took + PACE.start).as_secs_f64() * 1_000.0;
            let function = invocation.function.clone();
            counted.invocations.entry(function).or_default().push(took);
            *invoked.entry(&invocation.visit.state).or_default() += 1;
        }
        let Some(execution) = execution else {
            return counted;
        };
        for state in &execution.path {
            *counted.states.entry(state.clone()).or_default() += 1;
        }
        let tried_again = |(state, count): (&&str, &u32)| match counted.states.get(*state) {
            Some(entered) => count.saturating_sub(*entered),
            None => 0,
        };
        counted.retries = invoked.iter().map(tried_again).sum();
        counted.events = execution.events;
        counted.most_carried = execution.most_carried;
        counted
    }

    /// What the newest deploy of an estate takes to be reported, after each of its notices and after its end. It must have
    /// run with a timeline.
    pub fn of_report(lab: &Lab, mut estate: Estate) -> Self {
        let newest = estate.executions.pop();
        let started = newest.as_ref().map(|one| one.started);
        estate.executions = newest.into_iter().collect();
        let published = &mut estate.services.sns.published;
        published.retain(|one| Some(one.at) >= started);
        Self::of(&lab.report(estate), None, "report")
    }
}
