//! What a deploy costs in time and in money, measured: beside the limits, and beside what others have published.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod deploys;
pub mod functions;
pub mod load;
pub mod page;
mod plot;
pub mod spread;
