//! The control groups that docker makes for a machine's containers: the kernel keeps them when nobody is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Version 2 is one tree; version 1 is one below this for each controller.
const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "exuvia";

/// The group that all of a machine's containers are in, as docker's option `cgroup-parent` takes it.
pub(super) fn parent(id: &str) -> String {
    format!("/{OURS}/{id}")
}

/// Removes those of a machine that has ended. What cannot be removed stays: it holds nothing but a name.
pub(in super::super) fn remove(id: &str) {
    for tree in trees() {
        let ours = tree.join(OURS);
        remove_below(&ours.join(id));
        // Succeeds with the last machine.
        let _ = fs::remove_dir(ours);
    }
}

fn trees() -> Vec<PathBuf> {
    let below = fs::read_dir(ROOT).into_iter().flatten().flatten();
    let mut trees: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
    trees.push(ROOT.into());
    trees.retain(|tree| tree.join(OURS).is_dir());
    trees
}

fn remove_below(directory: &Path) {
    if let Ok(entries) = fs::read_dir(directory) {
        let is_directory =
            |entry: &fs::DirEntry| entry.file_type().is_ok_and(|found| found.is_dir());
        for entry in entries.flatten().filter(is_directory) {
            remove_below(&entry.path());
        }
        let _: io::Result<()> = fs::remove_dir(directory);
    }
}
