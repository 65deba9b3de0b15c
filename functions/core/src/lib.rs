//! The domain of Exuvia: what a deploy is, and every decision in it.
//!
//! Nothing here performs IO, reads a clock or draws a random number. Each decision is a function of what was
//! observed, what was planned and the time it is told, so that it can be tabulated, simulated and replayed.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

// What tests of several crates share names this crate from outside.
#[cfg(test)]
extern crate self as exuvia_core;

pub mod again;
pub mod alarm;
pub mod announcement;
pub mod approval;
pub mod archive;
pub mod artifact;
pub mod build;
pub mod capacity;
pub mod compare;
pub mod config;
pub mod error;
pub mod expected;
pub mod fleet;
pub mod health;
pub mod lock;
pub mod manifest;
pub mod name;
pub mod notice;
pub mod removal;
pub mod report;
pub mod request;
pub mod retain;
pub mod scaling;
pub mod slack;
pub mod step;
pub mod target;
pub mod traffic;
