//! What the comparison says, so that a person knows at once what was seen.

use super::{BEFORE_MINUTES, Seen, rate};
use crate::name::ReleaseNumber;

impl Seen<'_> {
    /// Such as `5xx 4.1% of 1,204 requests on release 43, 0.2% of 11,840 on release 42`.
    pub(super) fn told_errors(&self, new: (u64, u64), live: (u64, u64)) -> String {
        format!(
            "5xx {} of {} requests on release {}, {} of {} on release {}{}",
            percent(rate(new)),
            grouped(new.1),
            self.new.0,
            percent(rate(live)),
            grouped(live.1),
            self.live.0,
            self.when()
        )
    }

    /// Such as `p90 response time 820 ms on release 43, 210 ms on release 42`.
    pub(super) fn told_times(&self, new: f64, live: f64) -> String {
        format!(
            "p90 response time {} on release {}, {} on release {}{}",
            time(new),
            self.new.0,
            time(live),
            self.live.0,
            self.when()
        )
    }

    pub(super) fn few_requests(&self, release: ReleaseNumber, requests: u64) -> String {
        format!(
            "not compared: release {release} had {} requests in complete minutes, and {} are needed",
            grouped(requests),
            grouped(self.settings.min_requests.into())
        )
    }

    fn when(&self) -> String {
        if self.step.alone {
            format!(" in the {BEFORE_MINUTES} minutes before")
        } else {
            String::new()
        }
    }
}

fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent > 0.0 && percent < 0.1 {
        format!("{percent:.2}%")
    } else {
        format!("{percent:.1}%")
    }
}

fn time(seconds: f64) -> String {
    if seconds < 9.999_5 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else {
        format!("{seconds:.1} s")
    }
}

/// 11840 as 11,840.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_204, "1,204"),
            (11_840_000, "11,840,000"),
        ] {
            assert_eq!(grouped(number), expected);
        }
        for (rate, expected) in [
            (0.0, "0.0%"),
            (0.000_2, "0.02%"),
            (0.041, "4.1%"),
            (1.0, "100.0%"),
        ] {
            assert_eq!(percent(rate), expected);
        }
        for (seconds, expected) in [
            (0.082, "82 ms"),
            (0.82, "820 ms"),
            (2.5, "2500 ms"),
            (12.34, "12.3 s"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }
}
