//! `cargo xtask lint`.
