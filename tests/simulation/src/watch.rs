//! I1 at every moment: the healthy targets that requests reach are never fewer than before the first event.
//!
//! What a deployer cannot help is allowed for, and no more: an instance that dies or falls ill by itself is missing
//! until its group has replaced it, and a fleet that somebody scales in is smaller. Once an app is removed, as somebody
//! asked, nothing has to be there, until a release is live again.
//!
//! Of a worker, those count that are in service and of the release that is live. One that stops first works with one release
//! or none, and never with two: that is I14.

use std::collections::{BTreeMap, BTreeSet};

use exuvia_cloud::model::{GroupState, Survey};
use exuvia_core::fleet::FleetName;
use exuvia_core::target::Order;

use crate::world::{self, Estate};

#[derive(Clone, Debug)]
pub struct Watch {
    /// How many healthy targets there are to be.
    pub floor: usize,
    /// Instances that died by themselves or were replaced because they were ill, by group.
    deaths: BTreeMap<String, usize>,
    /// Fleets that a rule ever gave requests.
    pub served: BTreeSet<String>,
    is_allowed_less: bool,
    has_failed: bool,
}

impl Watch {
    pub fn begin(estate: &Estate) -> Self {
        Self {
            floor: healthy(estate),
            deaths: BTreeMap::new(),
            served: BTreeSet::new(),
            is_allowed_less: false,
            has_failed: false,
        }
    }

    /// An instance of a group has gone that no deployer sent away.
    pub fn died(&mut self, group: &str) {
        *self.deaths.entry(group.to_owned()).or_default() += 1;
    }

    /// Somebody wants no more than so many.
    pub fn allow(&mut self, desired: usize) {
        self.floor = self.floor.min(desired);
        self.is_allowed_less = true;
    }

    /// Somebody is about to scale a group in. Which instances go is the group's choice: healthy ones, while others
    /// still boot.
    pub fn scaled_in(&mut self, estate: &Estate, group: &str, desired: usize) {
        let gone = desired_of(&estate.cloud.survey(), group).saturating_sub(desired);
        let left = healthy(estate).max(self.floor).saturating_sub(gone);
        self.allow(left.min(desired));
    }

    /// What is wrong, the first time that it is.
    pub fn look(&mut self, estate: &Estate) -> Option<String> {
        for fleet in estate.cloud.served() {
            if !self.served.contains(fleet) {
                self.served.insert(fleet.to_owned());
            }
        }
        if estate.is_removed() {
            self.floor = 0;
        }
        if self.has_failed || estate.worker == Some(Order::StopFirst) {
            return None;
        }
        let healthy = healthy(estate);
        if healthy > self.floor {
            self.floor = self.floor.max(healthy.min(self.grown(estate)));
        }
        if healthy >= self.floor || healthy + self.excused(estate) >= self.floor {
            return None;
        }
        self.has_failed = true;
        Some(format!(
            "{healthy} healthy instances get requests, of {}",
            self.floor
        ))
    }

    /// What is wrong with a worker of which one release may work at a time, the first time that it is.
    pub fn look_at_singleton(&mut self, estate: &Estate) -> Option<String> {
        if self.has_failed || estate.worker != Some(Order::StopFirst) {
            return None;
        }
        let survey = estate.cloud.survey();
        let place = world::place()?;
        // What somebody deletes by force is going.
        let works = |group: &&GroupState| {
            let is_fleet = FleetName::of_name(&place, &group.name).is_some();
            is_fleet && !group.is_deleting && !group.instances.is_empty()
        };
        let working: Vec<&str> = survey
            .groups
            .iter()
            .filter(works)
            .map(|group| group.name.as_str())
            .collect();
        self.has_failed = working.len() > 1;
        self.has_failed
            .then(|| format!("there are instances of {}", working.join(" and of ")))
    }

    /// How many of the live fleet are healthy, of those that are wanted: where it has grown it may not shrink again, unless
    /// somebody wants it to. What is launched beyond that, to even out the zones, is not counted, nor is a fleet that is on
    /// trial, which may have a share of the requests.
    fn grown(&self, estate: &Estate) -> usize {
        let committed = estate.committed_group().filter(|_| !self.is_allowed_less);
        let Some(committed) = committed else { return 0 };
        if estate.worker.is_some() {
            // The next one is of the size that was wanted when it was found ready; as for what has requests.
            let is_watched = |state: &String| {
                [
                    "Announce Traffic",
                    "Bake",
                    "Evaluate",
                    "Evaluated?",
                    "Commit",
                ]
                .contains(&state.as_str())
            };
            let running = estate.executions.iter().filter(|one| one.is_running());
            if running.filter_map(|one| one.path.last()).any(is_watched) {
                return 0;
            }
            let desired = desired_of(&estate.cloud.survey(), &committed);
            return desired.min(estate.at_work());
        }
        let survey = estate.cloud.survey();
        let mut weights = survey.rules.iter().flat_map(|rule| &rule.weights);
        let serves = weights.any(|(name, weight)| *name == committed && *weight > 0);
        if serves {
            let targets = survey.target_groups.iter();
            let targets = targets.filter(|group| group.name == committed);
            let states = targets.flat_map(|group| &group.targets);
            let healthy = states.filter(|(_, state)| state == "healthy").count();
            desired_of(&survey, &committed).min(healthy)
        } else {
            0
        }
    }

    /// How many are missing for a reason that is not the deployer's.
    fn excused(&self, estate: &Estate) -> usize {
        if estate.worker.is_some() {
            let committed = estate.committed_group();
            let deaths = committed.and_then(|group| self.deaths.get(&group));
            return deaths.copied().unwrap_or(0);
        }
        let survey = estate.cloud.survey();
        let served: Vec<&String> = survey
            .rules
            .iter()
            .flat_map(|rule| &rule.weights)
            .filter(|(_, weight)| *weight > 0)
            .map(|(name, _)| name)
            .collect();
        let groups = survey
            .groups
            .iter()
            .filter(|group| served.contains(&&group.name));
        groups
            .map(|group| {
                let targets = survey
                    .target_groups
                    .iter()
                    .find(|other| other.name == group.name);
                let targets = targets
                    .map(|group| group.targets.as_slice())
                    .unwrap_or_default();
                let healthy = targets
                    .iter()
                    .filter(|(_, state)| state == "healthy")
                    .count();
                let ill = targets
                    .iter()
                    .filter(|(id, state)| state != "healthy" && estate.machines.is_ill(id))
                    .count();
                let desired = usize::try_from(group.desired).unwrap_or(0);
                let deaths = self.deaths.get(&group.name).copied().unwrap_or(0);
                desired.saturating_sub(healthy).min(ill + deaths)
            })
            .sum()
    }
}

/// The healthy targets that requests reach, or the instances of a worker that do its work.
pub fn healthy(estate: &Estate) -> usize {
    if estate.worker.is_some() {
        return estate.at_work();
    }
    let served = estate.cloud.served_by();
    served.filter(|(_, healthy)| *healthy).count()
}

/// How many instances a group is to have; none if there is no such group.
fn desired_of(survey: &Survey, group: &str) -> usize {
    let group = survey.groups.iter().find(|other| other.name == group);
    group.map_or(0, |group| usize::try_from(group.desired).unwrap_or(0))
}
