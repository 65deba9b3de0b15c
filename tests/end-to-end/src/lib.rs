//! The whole of Exuvia from outside: what a person with the AWS CLI would do and see, against the local AWS that
//! `cargo xtask test` starts and describes in the environment (as `cargo xtask env` prints it).
//!
//! Each test has an app of its own, made from `infra/app.yaml`, so that all run at once.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a harness: what is not as expected ends the test

pub mod app;
pub mod client;
pub mod execution;
pub mod identity;
pub mod image;

use aws_config::{BehaviorVersion, SdkConfig};

/// A setting of the local AWS.
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run this by `cargo xtask test`"))
}

pub async fn config() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}
