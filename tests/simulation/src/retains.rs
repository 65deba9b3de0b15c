//! Scenarios of fleets that are kept for a while after a deploy, and what must hold of them.

use exuvia_core::retain::{Retained, retained_key};

use crate::scenario::{PLACE, Scenario};
use crate::world::{Estate, LEDGER, place};

const fn after_a_deploy(
    name: &'static str,
    opening: &'static [&'static str],
    outcomes: &'static [&'static str],
) -> Scenario {
    Scenario {
        name,
        before: &["upload:good"],
        opening,
        outcomes,
        shifts: true,
    }
}

/// Nobody wants it back.
pub const RETAINED: Scenario = after_a_deploy(
    "retained",
    &["retain:5@0s", "upload:good@0s"],
    &["succeeded"],
);

pub const RETURNED_TO: Scenario = after_a_deploy(
    "returned-to",
    &[
        "retain:40@0s",
        "upload:good@0s",
        "retain:0@d1/Retain#1",
        "start:1@d1/Retain#1",
    ],
    &["succeeded", "succeeded"],
);

/// What it takes the place of is kept in turn, and gets the traffic back as well.
pub const RETURNED_TO_AND_BACK: Scenario = after_a_deploy(
    "returned-to-and-back",
    &[
        "retain:40@0s",
        "upload:good@0s",
        "start:1@d1/Retain#1",
        "start:2@d2/Retain#1",
    ],
    &["succeeded", "succeeded", "succeeded"],
);

/// It has lost an instance by then, and waits for the one in its place.
pub const RETURNED_TO_WHEN_ONE_IS_GONE: Scenario = after_a_deploy(
    "returned-to-when-one-is-gone",
    &[
        "retain:40@0s",
        "upload:good@0s",
        "kill-old-instances:1@d1/Retain#1",
        "start:1@d1/Retain#1",
    ],
    &["succeeded", "succeeded"],
);

/// It has lost an instance by then, and what comes in its place does not boot.
pub const RETURNED_TO_WHILE_ILL: Scenario = after_a_deploy(
    "returned-to-while-ill",
    &[
        "retain:40@0s",
        "upload:good@0s",
        "first-boots:never@d1/Retain#1",
        "kill-old-instances:1@d1/Retain#1",
        "start:1@d1/Retain#1",
    ],
    &["succeeded", "rolledBack"],
);

/// Its time is over at that moment: it is launched anew.
pub const RETURNED_TO_TOO_LATE: Scenario = after_a_deploy(
    "returned-to-too-late",
    &[
        "retain:5@0s",
        "upload:good@0s",
        "start:1@d1/Give_Up_Retained#1",
    ],
    &["succeeded", "succeeded"],
);

/// Its time is over while it is returned to.
pub const RETURNED_TO_IN_TIME: Scenario = after_a_deploy(
    "returned-to-in-time",
    &[
        "retain:1@0s",
        "upload:good@0s",
        "retain:0@d1/Retain#1",
        "kill-old-instances:1@d1/Retain#1",
        "start:1@d1/Retain#1",
    ],
    &["succeeded", "succeeded"],
);

/// What has found nothing to do meanwhile has left it alone.
pub const RETURNED_TO_AFTER_A_SKIP: Scenario = after_a_deploy(
    "returned-to-after-a-skip",
    &[
        "retain:40@0s",
        "upload:good@0s",
        "renew:1@d1/Retain#1",
        "start:1@d2/Skipped#1",
    ],
    &["succeeded", "skipped", "succeeded"],
);

/// What came due while it was kept is made up for.
pub const RETURNED_TO_IN_THE_MORNING: Scenario = Scenario {
    name: "returned-to-in-the-morning",
    before: &["morning:1800s", "upload:good"],
    opening: &["retain:40@0s", "upload:good@0s", "start:1@1900s"],
    outcomes: &["succeeded", "succeeded"],
    shifts: true,
};

pub const RETAINED_AND_REPLACED: Scenario = after_a_deploy(
    "retained-and-replaced",
    &["retain:5@0s", "upload:good@0s", "upload:good@d1/Retain#1"],
    &["succeeded", "succeeded"],
);

/// What comes next fails, and leaves what was live before it.
pub const RETAINED_AND_FAILED: Scenario = after_a_deploy(
    "retained-and-failed",
    &["retain:5@0s", "upload:good@0s", "upload:broken@d1/Retain#1"],
    &["succeeded", "rolledBack"],
);

/// Whoever keeps it is no more.
pub const RETAINED_AND_STOPPED: Scenario = after_a_deploy(
    "retained-and-stopped",
    &["retain:5@0s", "upload:good@0s", "stop:d1@d1/Retain#1"],
    &["succeeded"],
);

pub const RETAINED_AND_REMOVED: Scenario = after_a_deploy(
    "retained-and-removed",
    &["retain:5@0s", "upload:good@0s", "remove@d1/Retain#1"],
    &["succeeded", "removed"],
);

/// What the ledger says is kept.
pub fn retained(estate: &Estate) -> Option<Retained> {
    let record = estate.services.s3.get(LEDGER, &key())?;
    serde_json::from_slice(record).ok()
}

pub fn key() -> String {
    place().map_or_else(
        || format!("{PLACE}/retained.json"),
        |place| retained_key(&place),
    )
}
