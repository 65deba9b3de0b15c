//! The five fields of a scheduled action's recurrence: minute, hour, day of month, month, day of week.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/scheduled-scaling-recurring-schedules.html>

use jiff::{Timestamp, ToSpan, Unit, Zoned, tz::TimeZone};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Vec<u8>,
    hours: Vec<u8>,
    days: Vec<u8>,
    months: Vec<u8>,
    /// 0 is Sunday.
    weekdays: Vec<u8>,
    /// Whether each of the two kinds of day was restricted: where both are, either suffices.
    restricted: (bool, bool),
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "Recurrence '{text}' has {} fields; it needs minute, hour, day of month, month and day of week",
                fields.len()
            ));
        };
        let mut week = field(weekdays, 0..=7, &WEEKDAYS, 0)?;
        for day in &mut week {
            *day %= 7;
        }
        Ok(Self {
            minutes: field(minutes, 0..=59, &[], 0)?,
            hours: field(hours, 0..=23, &[], 0)?,
            days: field(days, 1..=31, &[], 0)?,
            months: field(months, 1..=12, &MONTHS, 1)?,
            weekdays: week,
            restricted: (days != "*", weekdays != "*"),
        })
    }

    /// The first time after `after`, within four years.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut at = after.to_zoned(zone.clone()).round(Unit::Minute).ok()?;
        if at.timestamp() <= after {
            at = at.checked_add(1.minute()).ok()?;
        }
        let end = at.checked_add(4.years()).ok()?;
        while at < end {
            if !self.is_day(&at) {
                at = at.start_of_day().ok()?.checked_add(1.day()).ok()?;
            } else if !self.hours.contains(&at.hour().unsigned_abs()) {
                let minutes = 60 - i64::from(at.minute());
                at = at.checked_add(minutes.minutes()).ok()?;
            } else if self.minutes.contains(&at.minute().unsigned_abs()) {
                return Some(at.timestamp());
            } else {
                at = at.checked_add(1.minute()).ok()?;
            }
        }
        None
    }

    fn is_day(&self, at: &Zoned) -> bool {
        let weekday = at.weekday().to_sunday_zero_offset().unsigned_abs();
        let by_date = self.days.contains(&at.day().unsigned_abs());
        let by_week = self.weekdays.contains(&weekday);
        let day = match self.restricted {
            (true, true) => by_date || by_week,
            _ => by_date && by_week,
        };
        day && self.months.contains(&at.month().unsigned_abs())
    }
}

fn field(
    text: &str,
    range: std::ops::RangeInclusive<u8>,
    names: &[&str],
    first: u8,
) -> Result<Vec<u8>, String> {
    let bad = || format!("'{text}' is not a valid field of a recurrence");
    let number = |text: &str| -> Result<u8, String> {
        let position = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text));
        let value = match position.and_then(|position| u8::try_from(position).ok()) {
            Some(position) => first + position,
            None => text.parse().map_err(|_| bad())?,
        };
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(bad())
        }
    };
    let mut values = Vec::new();
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (
                span,
                step.parse().ok().filter(|step| *step > 0).ok_or_else(bad)?,
            ),
            None => (part, 1),
        };
        let (from, to) = match span.split_once('-') {
            _ if span == "*" => (*range.start(), *range.end()),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(span)?, *range.end()),
            None => (number(span)?, number(span)?),
        };
        if from > to {
            return Err(bad());
        }
        values.extend((from..=to).step_by(step));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time() {
        for (cron, after, next) in [
            ("0 9 * * *", "2026-11-21T12:00:00Z", "2026-11-22T09:00:00Z"),
            (
                "*/15 * * * *",
                "2026-11-21T12:00:00Z",
                "2026-11-21T12:15:00Z",
            ),
            (
                "30 6 * * 1-5",
                "2026-11-21T12:00:00Z",
                "2026-11-23T06:30:00Z",
            ),
            (
                "0 0 1 JAN *",
                "2026-11-21T12:00:30Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "0 12 * * SUN",
                "2026-11-21T12:00:00Z",
                "2026-11-22T12:00:00Z",
            ),
            ("0 0 29 2 *", "2026-11-21T12:00:00Z", "2028-02-29T00:00:00Z"),
            (
                "0 0 25 * MON",
                "2026-11-21T12:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
        ] {
            let next: Timestamp = next.parse().unwrap();
            let found = Cron::parse(cron)
                .unwrap()
                .next(after.parse().unwrap(), &TimeZone::UTC);
            assert_eq!(found, Some(next), "{cron}");
        }
    }

    #[test]
    fn what_is_not_a_recurrence() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "x * * * *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
    }
}
