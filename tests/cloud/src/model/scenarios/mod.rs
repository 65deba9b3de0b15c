//! The model in virtual time, with applications that behave as a scenario says.

mod attachments;
mod capacity;
mod deletion;
mod fleets;
mod health;
mod hooks;
mod properties;
mod refusals;
mod requests;
mod rules;
mod schedules;
mod world;

use world::{App, World};
