use std::collections::BTreeMap;

use serde_json::Value;

use super::{Ending, Execution, Host, ParseError, Position};

/// A state machine, parsed once and run any number of times.
pub struct Machine;

impl Machine {
    /// `substitutions` are what `DefinitionSubstitutions` puts in for each `${Name}`.
    pub fn parse(
        _definition: &str,
        _substitutions: &BTreeMap<String, String>,
    ) -> Result<Machine, ParseError> {
        todo!()
    }

    pub fn state_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    pub fn timeout_seconds(&self) -> Option<u64> {
        None
    }

    /// Before the first state.
    pub fn start(&self, _execution: Execution, _input: Value) -> Position {
        todo!()
    }

    /// Runs to the end. Dropping the future is `StopExecution`; running a position that a host kept is a redrive.
    pub async fn run(&self, _position: Position, _host: &impl Host) -> Ending {
        todo!()
    }
}
