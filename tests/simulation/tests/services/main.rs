//! The services in memory, called by the functions' own code through the real SDK clients, and by hand where only the
//! protocol shows what is answered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aws;
mod conditions;
mod notices;
mod objects;
mod settings;
