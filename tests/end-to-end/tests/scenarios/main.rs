//! One binary, so that all scenarios run at once: most of their time is waiting.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod approvals;
mod builds;
mod deploys;
mod forgeries;
mod interruptions;
mod judgement;
mod meddling;
mod privileges;
mod refusals;
mod removals;
mod renewals;
mod reports;
mod retains;
mod scaling;
mod settings;
mod slack;
mod stacks;
mod strategies;
mod uploader;
mod workers;
