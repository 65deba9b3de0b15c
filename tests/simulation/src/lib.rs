//! The proof: the real state machine with the real functions and the real SDK clients, in one process and in virtual
//! time, under every fault.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asl;
mod audit;
mod calls;
mod connector;
pub mod executions;
pub mod explore;
pub mod fault;
mod functions;
mod image;
mod invariants;
mod kit;
pub mod machines;
pub mod proof;
pub mod run;
pub mod scenario;
pub mod services;
mod suffer;
pub mod watch;
pub mod world;
