//! The proof: the real state machine with the real functions and the real SDK clients, in one process and in virtual
//! time, under every fault.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod approvals;
pub mod asl;
pub mod audit;
pub mod calls;
pub mod connector;
pub mod executions;
pub mod explore;
pub mod fault;
pub mod functions;
pub mod image;
pub mod invariants;
pub mod kit;
pub mod machines;
pub mod measure;
pub mod mended;
pub mod privileges;
pub mod proof;
pub mod recording;
pub mod retains;
pub mod run;
pub mod scenario;
pub mod services;
pub mod slack;
pub mod suffer;
pub mod watch;
pub mod world;
