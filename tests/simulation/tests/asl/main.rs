//! The interpreter of the state machine, against what AWS documents.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod host;
mod parse;
mod replays;
mod run;
mod tasks;
