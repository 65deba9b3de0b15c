//! A machine as EC2 has it, in so far as the boot script can tell: its user data is run by root in namespaces of its
//! own, on a disk of its own, with a network of its own, where the instance metadata service has its real address and
//! a real docker engine starts when it is asked to.
//!
//! Three processes, all this program:
//!
//! - `machine` ([`life`]) stands outside. It has a thread in the machine's network ([`network`]), which serves what a
//!   machine finds there, and takes connections from one side to the other. It starts the next one for each boot.
//! - `machine-keeper` ([`keeper`]) is in that network, unshares the other namespaces, starts the next one in them, and
//!   takes away what is left when that has ended.
//! - `machine-init` ([`init`]) is process 1 of the machine: it mounts the disk, runs the user data, and ends when the
//!   first of the three does. With it the kernel ends every process of the machine, and with the last of them the
//!   mounts and the network.
//!
//! What takes real time takes it here, however fast the cloud's time runs.

mod cgroups;
mod check;
mod disk;
mod faults;
mod init;
mod keeper;
mod life;
mod metadata;
mod network;

use std::ffi::OsString;
use std::path::Path;

pub(super) use cgroups::remove as remove_cgroups;
pub use check::check;
pub(super) use faults::Faults;
pub(super) use life::live;

const CHECK: &str = "machine-check";
const KEEPER: &str = "machine-keeper";
const INIT: &str = "machine-init";
/// Where a machine reaches the local AWS: as everything in it, on its own loopback.
const AWS_PORT: u16 = 4566;
/// The file with the user data, beside the machine's description.
const USER_DATA: &str = "user-data";

/// Whether the machine starts for the first time: only then it runs its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    First,
    Again,
}

impl Start {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
        }
    }

    fn named(name: &str) -> Self {
        if name == Self::First.name() {
            Self::First
        } else {
            Self::Again
        }
    }
}

type Failure = Box<dyn std::error::Error>;

/// Becomes a part of a machine, if these arguments ask for it: then, its exit code.
///
/// There must not be any thread yet, as namespaces are unshared.
pub(super) fn main_if_asked(arguments: &[OsString]) -> Option<i32> {
    let (asked, rest) = arguments.split_first()?;
    let done = match (asked.to_str()?, rest) {
        (CHECK, []) => check::main(),
        (KEEPER, [description, start]) => {
            keeper::keep(Path::new(description), Start::named(start.to_str()?))
        }
        (INIT, [description, start]) => {
            init::run(Path::new(description), Start::named(start.to_str()?))
        }
        _ => return None,
    };
    Some(match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("exuvia: {error}");
            1
        }
    })
}
