//! The state machine: an interpreter of the part of the Amazon States Language that `deploy.asl.json` uses.
