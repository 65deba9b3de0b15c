//! Where things are in the drawings. All share one axis of time: from the start to the end, or to the look.

use std::fmt::Write as _;

use exuvia_core::report::{Report, Sample};
use jiff::Timestamp;

/// How many looks are listed beside the drawing.
const MOST_LISTED: usize = 200;

/// Where the axis ends, in percent.
const END: f64 = 100.0;

pub(super) struct Clock {
    from: Timestamp,
    seconds: f64,
}

impl Clock {
    pub(super) fn of(report: &Report) -> Self {
        let until = report.ended.unwrap_or(report.looked_at);
        Self {
            from: report.started,
            seconds: until.duration_since(report.started).as_secs_f64().max(1.0),
        }
    }

    /// Percent of the way.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let since = at.duration_since(self.from).as_secs_f64();
        (since / self.seconds * 100.0).clamp(0.0, 100.0)
    }

    /// As `+1:05`.
    pub(super) fn offset(&self, at: Timestamp) -> String {
        let since = at.duration_since(self.from).as_secs();
        let sign = if since < 0 { '−' } else { '+' };
        format!("{sign}{}", lasted(since.abs()))
    }

    pub(super) fn ticks(&self) -> Vec<String> {
        let at = |quarter: f64| {
            #[allow(clippy::cast_possible_truncation)] // a day has 86,400 seconds
            let seconds = (self.seconds * quarter / 4.0).round() as i64;
            lasted(seconds)
        };
        [0.0, 1.0, 2.0, 3.0, 4.0].map(at).into()
    }
}

/// Seconds as `1:05`, or `2:01:05`.
pub(super) fn lasted(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// As `26 Nov 2026, 02:29:59`.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%-d %b %Y, %H:%M:%S").to_string()
}

/// As `02:29:59`.
pub(super) fn utc_time(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// A part of a bar, in percent of the axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) tone: &'static str,
}

/// Of a moment there is something to be seen as well.
const LEAST: f64 = 0.4;

impl Bar {
    pub(super) fn new(from: f64, to: f64, tone: &'static str) -> Self {
        let width = (to - from).max(LEAST);
        Self {
            x: format!("{:.3}%", from.min(100.0 - width)),
            width: format!("{width:.3}%"),
            tone,
        }
    }
}

/// One line of a table beside a drawing.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) time: String,
    pub(super) offset: String,
    pub(super) what: String,
}

pub(super) struct Health {
    pub(super) most: u32,
    /// Paths in a box of 1000 by 100.
    pub(super) healthy: String,
    pub(super) area: String,
    pub(super) wanted: String,
    pub(super) told: String,
    pub(super) listed: Vec<Listed>,
}

pub(super) struct Traffic {
    pub(super) path: String,
    pub(super) area: String,
    pub(super) told: String,
    pub(super) listed: Vec<Listed>,
}

/// The steps of a line, as an SVG path: what holds from each moment on, until the last of them.
fn steps(points: &[(f64, f64)], until: f64) -> String {
    let mut path = String::new();
    let mut height = None;
    for (x, y) in points {
        let (x, y) = (x * 10.0, 100.0 - y);
        let _ = match height {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some(before) => write!(path, " L{x:.1} {before:.1} L{x:.1} {y:.1}"),
        };
        height = Some(y);
    }
    if let Some(height) = height {
        let _ = write!(path, " L{:.1} {height:.1}", until * 10.0);
    }
    path
}

fn area(points: &[(f64, f64)], until: f64) -> String {
    let from = points.first().map_or(0.0, |(x, _)| x * 10.0);
    format!(
        "{} L{:.1} 100 L{from:.1} 100 Z",
        steps(points, until),
        until * 10.0
    )
}

pub(super) fn health(report: &Report, clock: &Clock) -> Option<Health> {
    let samples = &report.health;
    let (first, last) = (samples.first()?, samples.last()?);
    let counts = |sample: &Sample| sample.healthy.max(sample.wanted);
    let most = samples.iter().map(counts).max().unwrap_or(1).max(1);
    let line = |count: fn(&Sample) -> u32| -> Vec<(f64, f64)> {
        let points = samples.iter().map(|sample| {
            let height = f64::from(count(sample)) / f64::from(most) * 96.0;
            (clock.place(sample.at), height)
        });
        points.collect()
    };
    let (healthy, wanted) = (line(|sample| sample.healthy), line(|sample| sample.wanted));
    // A single look is a point: a line that is to be seen has a length.
    let until = clock.place(last.at).max(clock.place(first.at) + 0.5);
    Some(Health {
        most,
        healthy: steps(&healthy, until),
        area: area(&healthy, until),
        wanted: steps(&wanted, until),
        told: format!(
            "{} looks from {} to {}: at first {} of {} instances were healthy, at last {} of {}.",
            samples.len(),
            clock.offset(first.at),
            clock.offset(last.at),
            first.healthy,
            first.wanted,
            last.healthy,
            last.wanted
        ),
        listed: samples
            .iter()
            .take(MOST_LISTED)
            .map(|sample| Listed {
                time: utc_time(sample.at),
                offset: clock.offset(sample.at),
                what: format!("{} of {}", sample.healthy, sample.wanted),
            })
            .collect(),
    })
}

pub(super) fn traffic(report: &Report, clock: &Clock) -> Option<Traffic> {
    let last = report.traffic.last()?;
    let mut points = vec![(0.0, 0.0)];
    let shares = report.traffic.iter();
    points.extend(shares.map(|share| {
        let height = f64::from(share.weight.min(100)) * 0.96;
        (clock.place(share.at), height)
    }));
    let steps_told: Vec<String> = report
        .traffic
        .iter()
        .take(20)
        .map(|share| format!("{} percent from {}", share.weight, clock.offset(share.at)))
        .collect();
    Some(Traffic {
        path: steps(&points, END),
        area: area(&points, END),
        told: format!(
            "The new release had {}; {} percent at last.",
            steps_told.join(", "),
            last.weight
        ),
        listed: report
            .traffic
            .iter()
            .take(MOST_LISTED)
            .map(|share| Listed {
                time: utc_time(share.at),
                offset: clock.offset(share.at),
                what: format!("{}%", share.weight),
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_until_the_next_point() {
        let points = [(0.0, 0.0), (50.0, 96.0)];
        assert_eq!(
            steps(&points, 100.0),
            "M0.0 100.0 L500.0 100.0 L500.0 4.0 L1000.0 4.0"
        );
        assert_eq!(steps(&[], 100.0), "");
    }

    #[test]
    fn durations_read_as_clocks_do() {
        for (seconds, text) in [(0, "0:00"), (65, "1:05"), (7265, "2:01:05")] {
            assert_eq!(lasted(seconds), text);
        }
    }
}
