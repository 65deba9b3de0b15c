//! An instance's log: what its boot did, in lines that begin with `exuvia: `, and what its container printed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const OURS: &str = "exuvia: ";
/// The last lines are found in this many bytes at the end.
const TAIL: i64 = 64 << 10;
const LONGEST_LINE: usize = 500;

#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let log = Self {
            path: path.to_owned(),
        };
        log.open()?;
        Ok(log)
    }

    /// For appending, so that several processes may write to it.
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
    }

    /// A log that cannot be written (a full disk) must not stop the machine: its container would go on as well.
    pub(super) fn line(&self, text: &str) {
        let _ = self
            .open()
            .and_then(|mut file| writeln!(file, "{OURS}{text}"));
    }

    /// The last `lines` lines that the container printed.
    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        let text = self.end().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut tail: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with(OURS))
            .rev()
            .take(lines)
            .map(|line| line.chars().take(LONGEST_LINE).collect())
            .collect();
        tail.reverse();
        tail
    }

    fn end(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        if i64::try_from(file.metadata()?.len()).is_ok_and(|size| size > TAIL) {
            file.seek(SeekFrom::End(-TAIL))?;
        }
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_the_container_printed_last() {
        let path = std::env::temp_dir().join(format!("exuvia-log-{}", std::process::id()));
        let log = Log::create(&path).unwrap();
        log.line("boot");
        let mut printed = log.open().unwrap();
        for i in 0..20_000 {
            writeln!(printed, "line {i}").unwrap();
        }
        printed
            .write_all(b"odd \xff end without a newline")
            .unwrap();
        let tail = log.tail(2);
        assert_eq!(tail, ["line 19999", "odd \u{fffd} end without a newline"]);
        std::fs::remove_file(path).unwrap();
    }
}
