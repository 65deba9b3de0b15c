//! How large a fleet is to be.

use crate::target::CapacityLimits;

/// The size of a new fleet: the live one's desired capacity within the limits, or the first release's initial
/// one. At least one instance: a fleet of none proves nothing.
pub fn desired(limits: CapacityLimits, live_desired: Option<u32>) -> u32 {
    live_desired
        .unwrap_or(limits.initial)
        .clamp(limits.min, limits.max)
        .max(1)
}

/// What to grow a new fleet to, when the live one has grown since it was sized. It never shrinks: what was
/// scaled in meanwhile, its own policies will scale in.
pub fn growth(limits: CapacityLimits, live_desired: Option<u32>, new_desired: u32) -> Option<u32> {
    let wanted = desired(limits, Some(live_desired?));
    (wanted > new_desired).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: CapacityLimits = CapacityLimits {
        min: 2,
        max: 6,
        initial: 3,
    };

    #[test]
    fn a_new_fleet_is_as_large_as_the_live_one_within_the_limits() {
        for (live, wanted) in [
            (None, 3),
            (Some(4), 4),
            (Some(1), 2),
            (Some(0), 2),
            (Some(9), 6),
        ] {
            assert_eq!(desired(LIMITS, live), wanted, "{live:?}");
        }
        let none = CapacityLimits {
            min: 0,
            max: 1,
            initial: 1,
        };
        assert_eq!(desired(none, Some(0)), 1);
    }

    #[test]
    fn a_new_fleet_follows_growth_and_never_shrinks() {
        for (live, new, grows) in [
            (Some(5), 4, Some(5)),
            (Some(9), 4, Some(6)),
            (Some(3), 4, None),
            (Some(9), 6, None),
            (None, 3, None),
        ] {
            assert_eq!(growth(LIMITS, live, new), grows, "{live:?} {new}");
        }
    }

    proptest! {
        #[test]
        fn capacity_stays_within_the_limits(min in 0u32..50, span in 1u32..50, live in proptest::option::of(0u32..200)) {
            let limits = CapacityLimits { min, max: min + span, initial: min.max(1) };
            let wanted = desired(limits, live);
            prop_assert!((min.max(1)..=min + span).contains(&wanted));
            if let Some(grown) = growth(limits, live, wanted) {
                prop_assert!(grown > wanted);
            }
        }
    }
}
