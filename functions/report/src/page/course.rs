//! The states that an execution was in, folded: what was done again and again is one bar.

use exuvia_core::report::{Report, Stay};

use super::chart::{Bar, Clock, lasted, utc_time};

/// More rows than this are no overview.
const MOST_ROWS: usize = 60;

pub(super) struct Row {
    pub(super) name: String,
    /// How often it was done, if more than once.
    pub(super) times: Option<usize>,
    pub(super) failures: u32,
    pub(super) time: String,
    pub(super) offset: String,
    pub(super) lasted: String,
    pub(super) is_open: bool,
    pub(super) bar: Bar,
}

/// Stays that are told as one.
#[derive(Debug, PartialEq, Eq)]
struct Fold<'a> {
    names: Vec<&'a str>,
    stays: &'a [Stay],
}

/// What a state is for, by its name: the colour of its bar.
fn phase(state: &str) -> &'static str {
    match state {
        "Launch" | "Wait For Boot" | "Check Health" => "boot",
        "Shift Traffic" | "Bake" | "Evaluate" | "Commit" | "Succeeded" => "traffic",
        "Roll Back" | "Rolled Back" | "Rejected" | "Needs Attention" | "Remove" => "back",
        _ if state.starts_with("Retire") || state.contains("Drain") => "clean",
        _ => "prepare",
    }
}

/// Pairs that are repeated, such as Wait and Check, and single states that are.
fn folds(path: &[Stay]) -> Vec<Fold<'_>> {
    let mut folds = Vec::new();
    let mut rest = path;
    while let Some(first) = rest.first() {
        let period = [1, 2]
            .into_iter()
            .find(|period| repeats(rest, *period) > *period)
            .unwrap_or(1);
        let length = repeats(rest, period).max(1);
        let (stays, after) = rest.split_at(length);
        let mut names = vec![first.state.as_str()];
        if period == 2 {
            names.push(stays[1].state.as_str());
        }
        folds.push(Fold { names, stays });
        rest = after;
    }
    folds
}

/// How many of the first stays are one pattern of so many states, repeated at least once in full.
fn repeats(path: &[Stay], period: usize) -> usize {
    let same = (period..path.len()).take_while(|at| path[*at].state == path[at - period].state);
    let length = period + same.count();
    if length >= 2 * period { length } else { 1 }
}

pub(super) fn rows(report: &Report, clock: &Clock) -> (Vec<Row>, usize) {
    let folds = folds(&report.path);
    let left_out = folds.len().saturating_sub(MOST_ROWS);
    let rows = folds
        .iter()
        .take(MOST_ROWS)
        .map(|fold| row(fold, report, clock));
    (rows.collect(), left_out)
}

fn row(fold: &Fold<'_>, report: &Report, clock: &Clock) -> Row {
    let entered = fold
        .stays
        .first()
        .map_or(report.started, |stay| stay.entered);
    let exited = fold.stays.last().and_then(|stay| stay.exited);
    let until = exited.unwrap_or(report.looked_at);
    let phase = phase(fold.names.last().unwrap_or(&""));
    let times = fold.stays.len().div_ceil(fold.names.len());
    Row {
        name: fold.names.join(" · "),
        times: (times > 1).then_some(times),
        failures: fold.stays.iter().map(|stay| stay.failures).sum(),
        time: utc_time(entered),
        offset: clock.offset(entered),
        lasted: lasted(until.duration_since(entered).as_secs().max(0)),
        is_open: exited.is_none() && report.is_running(),
        bar: Bar::new(clock.place(entered), clock.place(until), phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn folded(states: &str) -> Vec<(String, usize)> {
        let stays: Vec<Stay> = states
            .split(' ')
            .map(|state| Stay {
                state: state.to_owned(),
                entered: Timestamp::UNIX_EPOCH,
                exited: None,
                failures: 0,
            })
            .collect();
        let folds = folds(&stays);
        folds
            .iter()
            .map(|fold| (fold.names.join("+"), fold.stays.len()))
            .collect()
    }

    #[test]
    fn what_is_repeated_is_one() {
        let one = |name: &str, length| (name.to_owned(), length);
        assert_eq!(folded("A B C"), [one("A", 1), one("B", 1), one("C", 1)]);
        assert_eq!(
            folded("L W C W C W C S"),
            [one("L", 1), one("W+C", 6), one("S", 1)]
        );
        assert_eq!(folded("R D R D R E"), [one("R+D", 5), one("E", 1)]);
        assert_eq!(folded("W C S"), [one("W", 1), one("C", 1), one("S", 1)]);
        assert_eq!(folded("A A A B"), [one("A", 3), one("B", 1)]);
    }
}
