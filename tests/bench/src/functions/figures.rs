//! What is made of the times of all starts.

use super::{AtSize, Found, Invocation, Kind, Measured, Start};
use crate::spread::Spread;

/// One of the times that a start has, in milliseconds.
pub(super) type Time = fn(&Start) -> Option<f64>;

pub(super) const INIT: Time = |start| Some(start.init);
/// Of the processor, until it is there.
pub(super) const INIT_PROCESSOR: Time = |start| Some(start.init_cpu);
pub(super) const FIRST_CALL: Time = |start| start.first_call;
/// From the process's start until its first call has got to AWS.
pub(super) const UNTIL_FIRST_CALL: Time = |start| Some(start.init + start.first_call?);
pub(super) const FIRST: Time = |start| Some(start.first.whole);
pub(super) const WARM: Time = |start| typical(start, |one| one.whole);
pub(super) const OVERHEAD: Time = |start| typical(start, Invocation::overhead);
pub(super) const PROCESSOR: Time = |start| typical(start, |one| one.cpu);

/// The median of a start's warm invocations.
fn typical(start: &Start, time: fn(&Invocation) -> f64) -> Option<f64> {
    Spread::of(start.warm.iter().map(time)).map(|spread| spread.median)
}

impl AtSize {
    pub(super) fn time(&self, time: Time) -> Option<Spread> {
        Spread::of(self.starts.iter().filter_map(time))
    }

    pub(super) fn peak_kib(&self) -> u64 {
        let peaks = self.starts.iter().map(|start| start.peak_kib);
        peaks.max().unwrap_or_default()
    }
}

impl Measured {
    pub(super) fn at(&self, memory_mb: u64) -> Option<&AtSize> {
        self.sizes.iter().find(|size| size.memory_mb == memory_mb)
    }

    pub(super) fn median(&self, memory_mb: u64, time: Time) -> Option<f64> {
        Some(self.at(memory_mb)?.time(time)?.median)
    }
}

impl Found {
    pub(super) fn sizes(&self) -> Vec<u64> {
        let first = self.programs.first();
        let sizes = first.into_iter().flat_map(|program| &program.sizes);
        sizes.map(|size| size.memory_mb).collect()
    }

    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &Measured> {
        self.programs.iter().filter(move |one| one.kind == kind)
    }

    /// The median of the one of that kind, or of the slowest of it, and which that is.
    pub(super) fn slowest(&self, kind: Kind, memory_mb: u64, time: Time) -> Option<(f64, &str)> {
        let medians = self
            .of(kind)
            .filter_map(|one| Some((one.median(memory_mb, time)?, one.name.as_str())));
        medians.max_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// What a function takes besides its calls, less what the default build of the SDK takes besides as many.
    pub(super) fn beyond(&self, function: &Measured, memory_mb: u64) -> Option<f64> {
        let overhead = function.median(memory_mb, OVERHEAD)?;
        Some(overhead - self.plain(function, memory_mb)?)
    }

    /// What the default build of the SDK takes besides as many calls as a function makes.
    pub(super) fn plain(&self, function: &Measured, memory_mb: u64) -> Option<f64> {
        let size = self.of(Kind::DefaultSdk).next()?.at(memory_mb)?;
        let starts = size.starts.iter();
        let starts = starts.filter_map(|start| {
            let invocations = start.plain.get(&function.name)?;
            Some(Spread::of(invocations.iter().map(Invocation::overhead))?.median)
        });
        Spread::of(starts).map(|spread| spread.median)
    }

    /// The middle function's median.
    pub(super) fn middle(&self, memory_mb: u64, time: Time) -> Option<f64> {
        let medians = self.of(Kind::Function);
        Spread::of(medians.filter_map(|one| one.median(memory_mb, time))).map(|one| one.median)
    }
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1_000).map_or(f64::NAN, f64::from) / 1_000.0
}

pub(super) fn kib_in_mb(kib: u64) -> f64 {
    megabytes(kib * 1_024)
}
