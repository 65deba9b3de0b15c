//! What each function is given: an invocation from a simulated deploy, with AWS's answers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use exuvia_simulation::fault::Schedule;
use exuvia_simulation::proof::Bench;
use exuvia_simulation::recording::{Exchange, Recording};
use exuvia_simulation::scenario::Scenario;
use serde_json::{Value, json};

use super::replay::Calls;

/// The functions, by their directories.
pub const FUNCTIONS: [&str; 13] = [
    "trigger",
    "validate",
    "lock",
    "plan",
    "launch",
    "check-health",
    "shift-traffic",
    "retire",
    "notify",
    "recover",
    "build",
    "report",
    "slack",
];

/// Courses in which every function that a workflow or an event invokes has something to do: a deploy that replaces another, one
/// that is stopped in the middle, and a build.
const COURSES: [&str; 3] = [
    "replace seed=1",
    "replace seed=1 stop@d1/Bake#1",
    "build seed=1",
];

/// An invocation that took longer waited: for what it looked at to change, or to ask again.
const WORKING: Duration = Duration::from_secs(1);

/// An invocation that can be repeated.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) input: Value,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) asks_slack: bool,
}

impl From<Recording> for Recorded {
    fn from(recording: Recording) -> Self {
        Self {
            asks_slack: recording.function == "slack",
            input: recording.input,
            exchanges: recording.exchanges,
        }
    }
}

/// For each function the invocation with the most calls, of those that did not wait.
pub(crate) fn functions() -> Result<BTreeMap<String, Recorded>> {
    let mut all = Vec::new();
    let bench = Bench::new()?;
    for line in COURSES {
        let schedule: Schedule = line.parse()?;
        let scenario = Scenario::named(&schedule.scenario);
        let ground = bench.ground(scenario.with_context(|| format!("no scenario: {line}"))?)?;
        let outcome = bench.examine(&ground, &schedule, true).outcome;
        all.extend(bench.report(&outcome)?.seen.recordings);
        all.extend(outcome.seen.recordings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    all.push(runtime.block_on(exuvia_simulation::slack::recording())?);

    let mut chosen: BTreeMap<String, Recording> = BTreeMap::new();
    for recording in all.into_iter().filter(|one| one.took < WORKING) {
        let known = chosen.get(&recording.function);
        if known.is_none_or(|known| known.exchanges.len() < recording.exchanges.len()) {
            chosen.insert(recording.function.clone(), recording);
        }
    }
    for function in FUNCTIONS {
        match chosen.get(function) {
            None => bail!("{function} was never invoked in the simulation"),
            Some(one) if one.exchanges.is_empty() => {
                bail!("{function} called nothing in the simulation")
            }
            Some(_) => {}
        }
    }
    let recorded = chosen.into_iter();
    Ok(recorded.map(|(name, one)| (name, one.into())).collect())
}

/// What the function that does nothing is given.
pub(crate) fn nothing() -> Recorded {
    Recorded {
        input: json!({}),
        exchanges: Vec::new(),
        asks_slack: false,
    }
}

/// What the default build of the SDK is given: objects to get and looks at the groups, as functions were answered them.
pub(crate) struct Plain {
    object: Exchange,
    groups: Exchange,
}

impl Plain {
    pub(crate) fn of(functions: &BTreeMap<String, Recorded>) -> Result<Self> {
        let find = |operation: &str| {
            let mut all = functions.values().flat_map(|one| &one.exchanges);
            let wanted = |one: &&Exchange| one.operation == operation && one.answer.status() == 200;
            let found = all.find(wanted).cloned();
            found.ok_or_else(|| anyhow!("no function called {operation} in the simulation"))
        };
        Ok(Self {
            object: find("GetObject")?,
            groups: find("DescribeAutoScalingGroups")?,
        })
    }

    /// As many calls as these, one after the other.
    pub(crate) fn making(&self, calls: Calls) -> Result<Recorded> {
        let path = self.object.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').context("an object without a key")?;
        let objects = vec![self.object.clone(); calls.s3];
        let groups = vec![self.groups.clone(); calls.others];
        Ok(Recorded {
            input: json!({ "bucket": bucket, "key": key, "objects": calls.s3, "groups": calls.others }),
            exchanges: [objects, groups].concat(),
            asks_slack: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_given_an_invocation_that_calls_aws() {
        let recorded = functions().unwrap();
        let names: Vec<&str> = recorded.keys().map(String::as_str).collect();
        let mut known = FUNCTIONS.to_vec();
        known.sort_unstable();
        assert_eq!(names, known);
        let operations = |name: &str| -> Vec<&str> {
            let exchanges = recorded[name].exchanges.iter();
            exchanges.map(|one| one.operation.as_str()).collect()
        };
        assert_eq!(operations("trigger"), ["StartExecution"]);
        let looks = operations("check-health").into_iter();
        assert_eq!(
            looks.filter(|one| *one == "DescribeTargetHealth").count(),
            1
        );
        assert!(operations("recover").contains(&"StartExecution"));
        assert!(operations("launch").contains(&"CreateAutoScalingGroup"));
        assert!(operations("plan").contains(&"Sign"));
        assert!(operations("slack").contains(&"PutObject"));
        let plain = Plain::of(&recorded).unwrap();
        let three = plain.making(Calls { s3: 1, others: 2 }).unwrap();
        let three = three.exchanges.iter().map(|one| one.service.as_str());
        assert_eq!(
            three.collect::<Vec<_>>(),
            ["s3", "autoscaling", "autoscaling"]
        );
    }
}
