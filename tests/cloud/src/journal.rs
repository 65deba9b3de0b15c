//! What came in, on disk, so that a cloud that was killed goes on as the one that it was.
//!
//! The model does the same again when it hears the same again at the same moments. So nothing of its state is kept,
//! but all that it was told: a line of JSON each, written before it takes effect. AWS's control planes do not forget
//! either.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    model::{CheckOutcome, Cloud, Effect, Settings},
    wire::{self, Answer, Service},
};

/// The first line: what the cloud begins with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beginning {
    pub seed: u64,
    /// The moment at which the cloud's time and real time were the same.
    pub epoch: Timestamp,
    /// How many seconds of the cloud's time go by in a real one.
    pub speed: f64,
}

/// Something that the model is told, as it is told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    Subnet {
        id: String,
        zone: String,
        vpc: String,
    },
    Request {
        service: Service,
        form: String,
    },
    Started {
        id: String,
        address: SocketAddr,
    },
    LaunchFailed {
        id: String,
        reason: String,
    },
    Died {
        id: String,
    },
    Checked {
        check: u64,
        outcome: CheckOutcome,
    },
}

/// An input and the moment at which it came, in the cloud's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    at: Timestamp,
    #[serde(flatten)]
    input: Input,
}

impl Entry {
    pub fn new(at: Timestamp, input: Input) -> Self {
        Self { at, input }
    }

    /// Moves the cloud to the moment and tells it; the answer, if it was a request.
    pub fn tell(&self, cloud: &mut Cloud) -> Option<Answer> {
        let cloud = cloud.at(self.at);
        match &self.input {
            Input::Subnet { id, zone, vpc } => cloud.learn_subnet(id, zone, vpc),
            Input::Request { service, form } => return Some(wire::answer(cloud, *service, form)),
            Input::Started { id, address } => cloud.instance_started(id, *address),
            Input::LaunchFailed { id, reason } => cloud.launch_failed(id, reason),
            Input::Died { id } => cloud.instance_died(id),
            Input::Checked { check, outcome } => cloud.target_checked(*check, outcome),
        }
        None
    }
}

/// A cloud as its journal tells it.
pub struct Replayed {
    pub beginning: Beginning,
    pub cloud: Cloud,
    /// What it wanted done and has not heard the end of, in order. Some of it may have been done.
    open: Vec<Effect>,
    /// Instances that were started and of whose end it has not heard.
    pub running: BTreeSet<String>,
}

impl Replayed {
    fn new(beginning: Beginning) -> Self {
        Self {
            beginning,
            cloud: Cloud::new(beginning.seed, Settings::default()),
            open: Vec::new(),
            running: BTreeSet::new(),
        }
    }

    fn hear(&mut self, entry: &Entry) {
        self.open.extend(self.cloud.advance(entry.at));
        entry.tell(&mut self.cloud);
        match &entry.input {
            Input::Started { id, .. } => {
                self.running.insert(id.clone());
                self.open.retain(|effect| !launches(effect, id));
            }
            Input::LaunchFailed { id, .. } => self.open.retain(|effect| !launches(effect, id)),
            Input::Died { id } => {
                self.running.remove(id);
                self.open.retain(
                    |effect| !matches!(effect, Effect::TerminateInstance { id: ended } if ended == id),
                );
            }
            Input::Checked { check, .. } => self.open.retain(
                |effect| !matches!(effect, Effect::CheckTarget(asked) if asked.id == *check),
            ),
            Input::Subnet { .. } | Input::Request { .. } => {}
        }
    }

    /// What it wants done by now and has not heard the end of.
    pub fn open(&mut self, now: Timestamp) -> Vec<Effect> {
        self.open.extend(self.cloud.advance(now));
        std::mem::take(&mut self.open)
    }
}

/// Whether it is the launch of this instance.
pub fn launches(effect: &Effect, id: &str) -> bool {
    matches!(effect, Effect::LaunchInstance(launch) if launch.id == id)
}

/// The file, to be written to.
pub struct Journal {
    file: File,
    /// Of its whole lines, in bytes.
    length: u64,
}

impl Journal {
    /// Opens the journal and replays what is in it; one that is not there begins with `beginning`.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is no journal of this version.
    pub fn open(path: &Path, beginning: Beginning) -> io::Result<(Self, Replayed)> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut reader = BufReader::new(&file);
        let mut line = String::new();
        let mut length = 0;
        let mut replayed = None;
        // A line without an end was being written when the process was killed: it did not take effect.
        while reader.read_line(&mut line)? > 0 && line.ends_with('\n') {
            length += line.len() as u64;
            match &mut replayed {
                None => replayed = Some(Replayed::new(serde_json::from_str(&line)?)),
                Some(replayed) => replayed.hear(&serde_json::from_str(&line)?),
            }
            line.clear();
        }
        file.set_len(length)?;
        let mut journal = Self { file, length };
        let replayed = if let Some(replayed) = replayed {
            replayed
        } else {
            journal.line(&beginning)?;
            Replayed::new(beginning)
        };
        Ok((journal, replayed))
    }

    /// Writes an entry down. What is written survives this process, however it ends.
    ///
    /// # Errors
    /// If it cannot be written: the disk may be full.
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.line(entry)
    }

    fn line(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half of it must not become the beginning of the next one.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
