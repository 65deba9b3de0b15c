//! How many messages Slack takes: <https://docs.slack.dev/apis/web-api/rate-limits>.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A bucket for each channel or method, which fills by and by.
#[derive(Debug, Default)]
pub(crate) struct Limits(BTreeMap<String, (f64, Instant)>);

/// "1 per second, short bursts >1 allowed": how long a burst may be is not documented.
pub(crate) const POST: (f64, f64) = (4.0, 1.0);
/// Tier 3: 50 and more a minute.
pub(crate) const UPDATE: (f64, f64) = (50.0, 50.0 / 60.0);

impl Limits {
    /// Takes one; the seconds to wait, if there is none.
    pub(crate) fn take(
        &mut self,
        of: &str,
        (burst, rate): (f64, f64),
        now: Instant,
    ) -> Option<u64> {
        let (left, since) = self.0.entry(of.to_owned()).or_insert((burst, now));
        *left = (*left + (now - *since).as_secs_f64() * rate).min(burst);
        *since = now;
        if *left >= 1.0 {
            *left -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - *left) / rate).as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_a_second() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let mut take =
            |channel, seconds| limits.take(channel, POST, start + Duration::from_secs(seconds));
        for _ in 0..4 {
            assert_eq!(take("C1", 0), None);
        }
        assert_eq!(take("C1", 0), Some(2));
        assert_eq!(take("C2", 0), None);
        assert_eq!(take("C1", 1), None);
        assert!(take("C1", 1).is_some());
    }
}
