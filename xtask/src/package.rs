//! `cargo xtask package`.
