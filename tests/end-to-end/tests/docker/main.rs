//! infra/boot.sh and infra/build.sh themselves, on machines with docker, with images from `docker build`: `cargo xtask test --docker`.
//!
//! One binary, so that all scenarios run at once: most of their time is waiting.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod boots;
mod builds;
mod deploys;
mod images;
mod machines;
