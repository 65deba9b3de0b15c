#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
//! Runs `infra/boot.sh` and `infra/build.sh` as cloud-init would, with stand-ins (`stand-ins/`) for what a new instance has around it.

#[cfg(test)]
mod boot;
#[cfg(test)]
mod build;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod image;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod signature;
