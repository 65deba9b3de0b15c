//! How good the functions are to be, and how good each is.

use std::fmt::Write as _;

use super::figures::{FIRST_CALL, INIT, kib_in_mb, megabytes};
use super::{Found, Kind, Measured};
use crate::page;

/// What a function is measured by.
pub(super) struct Goal {
    pub(super) what: &'static str,
    wanted: &'static str,
    is_met: fn(f64) -> bool,
    /// At a memory size; `None`, if it was not measured.
    figure: fn(&Found, &Measured, u64) -> Option<f64>,
    /// The same at all memory sizes.
    is_constant: bool,
}

pub(super) const GOALS: [Goal; 5] = [
    Goal {
        what: "zip, MB",
        wanted: "at most 3",
        is_met: |megabytes| megabytes <= 3.0,
        figure: |_, function, _| Some(megabytes(function.zip_bytes)),
        is_constant: true,
    },
    Goal {
        what: "until it is there, beside *empty*",
        wanted: "at most 1.5 times",
        is_met: |times| times <= 1.5,
        figure: |found, function, size| {
            let (empty, _) = found.slowest(Kind::Empty, size, INIT)?;
            Some(function.median(size, INIT)? / empty)
        },
        is_constant: false,
    },
    Goal {
        what: "first call, beside *default SDK*",
        wanted: "at most 0.5 times",
        is_met: |times| times <= 0.5,
        figure: |found, function, size| {
            let (default, _) = found.slowest(Kind::DefaultSdk, size, FIRST_CALL)?;
            Some(function.median(size, FIRST_CALL)? / default)
        },
        is_constant: false,
    },
    Goal {
        what: "warm, beyond its calls, ms",
        wanted: "under 2",
        is_met: |millis| millis < 2.0,
        figure: Found::beyond,
        is_constant: false,
    },
    Goal {
        what: "most memory, MB",
        wanted: "under 32",
        is_met: |megabytes| megabytes < 32.0,
        figure: |_, function, size| Some(kib_in_mb(function.at(size)?.peak_kib())),
        is_constant: false,
    },
];

impl Goal {
    /// By memory size.
    fn figures(&self, found: &Found, function: &Measured) -> Vec<(u64, f64)> {
        let sizes = found.sizes();
        let sizes = sizes
            .into_iter()
            .take(if self.is_constant { 1 } else { usize::MAX });
        sizes
            .filter_map(|size| Some((size, (self.figure)(found, function, size)?)))
            .collect()
    }

    /// `None`, if it was not measured: it may be that nothing was there to measure it beside.
    fn is_met_by(&self, found: &Found, function: &Measured) -> Option<bool> {
        let figures = self.figures(found, function);
        let met = figures.iter().all(|(_, figure)| (self.is_met)(*figure));
        (!figures.is_empty()).then_some(met)
    }

    /// By the function that is furthest from it, and at the other sizes by the one that is furthest there.
    fn judge(&self, found: &Found) -> Vec<String> {
        let functions: Vec<&Measured> = found.of(Kind::Function).collect();
        let worst_at = |size: u64| {
            let figures = functions.iter().filter_map(|function| {
                let mut figures = self.figures(found, function).into_iter();
                let (_, figure) = figures.find(|one| one.0 == size)?;
                Some((figure, size, &function.name))
            });
            figures.max_by(|one, other| one.0.total_cmp(&other.0))
        };
        let mut all: Vec<_> = found.sizes().into_iter().filter_map(worst_at).collect();
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        let Some(((worst, size, name), others)) = all.split_first() else {
            let untold = [self.what, self.wanted, "not measured", "-"];
            return untold.map(ToOwned::to_owned).to_vec();
        };
        let mut at = String::new();
        if !self.is_constant {
            let _ = write!(at, " at {size} MB");
            for (worst, size, _) in others {
                let _ = write!(at, "; {worst:.2} at {size} MB");
            }
        }
        let meet = functions
            .iter()
            .filter(|function| self.is_met_by(found, function) == Some(true));
        let meet = meet.count();
        let measured = format!(
            "{worst:.2} at the worst (`{name}`{at}), {meet} of {} meet it",
            functions.len()
        );
        page::goal(self.what, self.wanted, measured, meet == functions.len())
    }
}

/// A row for each goal.
pub(super) fn judged(found: &Found) -> Vec<Vec<String>> {
    GOALS.iter().map(|goal| goal.judge(found)).collect()
}

/// A row for each function: its figures for each goal, at each memory size, and whether it meets all that it was measured by.
pub(super) fn by_function(found: &Found) -> Vec<Vec<String>> {
    let row = |function: &Measured| {
        let figures = GOALS.iter().map(|goal| {
            let figures = goal.figures(found, function).into_iter();
            let figures = figures.map(|(_, figure)| {
                if (goal.is_met)(figure) {
                    format!("{figure:.2}")
                } else {
                    format!("**{figure:.2}**")
                }
            });
            figures.collect::<Vec<_>>().join(" / ")
        });
        let mut all = GOALS
            .iter()
            .filter_map(|goal| goal.is_met_by(found, function));
        let met = if all.all(|met| met) { "yes" } else { "**no**" };
        [format!("`{}`", function.name)]
            .into_iter()
            .chain(figures)
            .chain([met.to_owned()])
            .collect()
    };
    found.of(Kind::Function).map(row).collect()
}
