//! The course of a deploy: which phase it was in when.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::apps::Entered;

/// What a deploy does to the traffic meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing has been uploaded yet.
    Before,
    /// The new fleet boots and is proved; the old one has the traffic.
    Launching,
    /// The rule changes, forward or back.
    Shifting,
    /// The new fleet has some or all of the traffic, and is watched.
    Baking,
    /// One fleet has all traffic for good, the other drains and is deleted.
    Draining,
    /// The deploy has ended.
    After,
}

impl Phase {
    pub const ALL: [Self; 6] = [
        Self::Before,
        Self::Launching,
        Self::Shifting,
        Self::Baking,
        Self::Draining,
        Self::After,
    ];

    /// Those of the deploy itself.
    pub fn is_during(self) -> bool {
        !matches!(self, Self::Before | Self::After)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    pub uploaded: Timestamp,
    /// From when to when a rule change was under way.
    pub shifts: Vec<(Timestamp, Timestamp)>,
    /// Since when the rule has been as it stays.
    pub settled: Timestamp,
    pub ended: Timestamp,
}

impl Course {
    /// By the states that the execution entered.
    pub(super) fn of(uploaded: Timestamp, entered: &[Entered], ended: Timestamp) -> Result<Self> {
        let mut shifts = Vec::new();
        for (number, (at, state)) in entered.iter().enumerate() {
            if !["Shift Traffic", "Roll Back"].contains(&state.as_str()) {
                continue;
            }
            let next = entered.get(number + 1).map_or(ended, |(next, _)| *next);
            shifts.push((*at, next));
        }
        let announced = |(_, state): &&Entered| {
            ["Announce Success", "Announce Rollback"].contains(&state.as_str())
        };
        let settled = entered.iter().find(announced);
        let (settled, _) = settled.context("the deploy has settled nothing")?;
        Ok(Self {
            uploaded,
            shifts,
            settled: *settled,
            ended,
        })
    }

    /// Of what went on from `began` to `ended`: a rule change counts if it met any of it, else the middle counts.
    pub fn phase(&self, began: Timestamp, ended: Timestamp) -> Phase {
        let met = |(from, to): &(Timestamp, Timestamp)| began <= *to && ended >= *from;
        if self.shifts.iter().any(met) {
            return Phase::Shifting;
        }
        let middle = began + ended.duration_since(began) / 2;
        match self.shifts.first() {
            _ if middle < self.uploaded => Phase::Before,
            _ if middle >= self.ended => Phase::After,
            _ if middle >= self.settled => Phase::Draining,
            Some((shifted, _)) if middle > *shifted => Phase::Baking,
            _ => Phase::Launching,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entered(states: &[(i64, &str)]) -> Vec<Entered> {
        let entered = states.iter();
        entered
            .map(|(second, state)| (at(*second), (*state).to_owned()))
            .collect()
    }

    #[test]
    fn the_states_tell_the_phases() {
        let states = entered(&[
            (101, "Validate"),
            (110, "Launch"),
            (140, "Shift Traffic"),
            (142, "Shifted?"),
            (143, "Bake"),
            (160, "Shift Traffic"),
            (162, "Shifted?"),
            (180, "Commit"),
            (182, "Announce Success"),
            (184, "Retire Old"),
        ]);
        let course = Course::of(at(100), &states, at(250)).unwrap();
        for (began, ended, phase) in [
            (90, 95, Phase::Before),
            (97, 102, Phase::Before),
            (98, 103, Phase::Launching),
            (130, 139, Phase::Launching),
            (135, 140, Phase::Shifting),
            (141, 141, Phase::Shifting),
            (130, 150, Phase::Shifting),
            (145, 150, Phase::Baking),
            (162, 167, Phase::Shifting),
            (170, 181, Phase::Baking),
            (181, 190, Phase::Draining),
            (244, 249, Phase::Draining),
            (249, 254, Phase::After),
        ] {
            assert_eq!(course.phase(at(began), at(ended)), phase, "{began}-{ended}");
        }
    }

    #[test]
    fn going_back_is_a_shift_as_well() {
        let states = entered(&[
            (140, "Shift Traffic"),
            (142, "Shifted?"),
            (160, "Roll Back"),
            (163, "Announce Rollback"),
        ]);
        let course = Course::of(at(100), &states, at(250)).unwrap();
        assert_eq!(course.shifts, [(at(140), at(142)), (at(160), at(163))]);
        assert_eq!(course.settled, at(163));
        assert!(Course::of(at(100), &states[..3], at(250)).is_err());
    }
}
