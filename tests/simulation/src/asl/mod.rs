//! The state machine: an interpreter of the part of the Amazon States Language that `deploy.asl.json` uses.
//!
//! It is pure but for its [`Host`], which has the clock, waits, and answers the tasks: under the simulation that is a
//! virtual clock and the functions themselves, under [`replay`] what a history tells.

mod definition;
mod error;
mod expression;
mod host;
mod limit;
mod machine;
pub mod replay;
mod template;

pub use definition::ParseError;
pub use host::{Ending, Event, Execution, Failure, Host, Kind, Position, Variables};
pub use machine::Machine;
