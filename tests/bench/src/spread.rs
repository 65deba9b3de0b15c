//! Several measurements of one thing.

use serde::{Deserialize, Serialize};

/// The middle of repeated measurements, and how far they lie apart. Percentiles by the nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub p99: f64,
    pub count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some(Self {
            median: rank(50)?,
            least: sorted.first().copied()?,
            most: sorted.last().copied()?,
            p99: rank(99)?,
            count: sorted.len(),
        })
    }
}
