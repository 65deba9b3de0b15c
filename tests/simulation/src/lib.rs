//! The proof: the real state machine with the real functions and the real SDK clients, in one process and in virtual
//! time, under every fault.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asl;
pub mod services;
