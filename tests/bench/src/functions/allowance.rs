//! As much of a processor as Lambda gives a function: by its memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

/// Lambda gives a function of this size one vCPU, and others in proportion:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const ONE_VCPU_MB: u64 = 1_769;
/// AWS does not say in which portions Lambda gives the processor. The kernel's default period is 100 ms, in which a short
/// burst would get by without being held back; in a shorter one the proportion counts.
const PERIOD_MICROS: u64 = 20_000;

/// The two interfaces of the kernel's control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group whose processes together get so much of a processor; it goes when this is dropped.
pub(crate) struct Allowance {
    root: PathBuf,
    group: PathBuf,
    has_this: bool,
}

impl Allowance {
    /// What Lambda gives for so much memory.
    pub(crate) fn for_memory(megabytes: u64) -> Result<Self> {
        Self::new(&megabytes.to_string(), Some(quota_micros(megabytes)))
    }

    /// For this process, which is AWS and the clock: all that there is.
    pub(crate) fn for_this_process() -> Result<Self> {
        let mut allowance = Self::new("itself", None)?;
        allowance.admit(std::process::id())?;
        allowance.has_this = true;
        Ok(allowance)
    }

    fn new(name: &str, quota: Option<u64>) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
        let (root, version) = hierarchy(&mounts, |root| {
            fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
        })
        .ok_or_else(|| {
            anyhow!(
                "the processor cannot be limited here: no control group hierarchy with the controller `cpu` is mounted"
            )
        })?;
        let group = root.join(format!("exuvia-bench-{}-{name}", std::process::id()));
        make(&root, &group, version, quota).with_context(|| {
            format!(
                "the processor cannot be limited by {}: this needs root, and a hierarchy that may be written to",
                group.display()
            )
        })?;
        Ok(Self {
            root,
            group,
            has_this: false,
        })
    }

    pub(crate) fn admit(&self, process: u32) -> Result<()> {
        let file = self.group.join("cgroup.procs");
        fs::write(&file, process.to_string())
            .with_context(|| format!("cannot move process {process} to {}", file.display()))
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        if self.has_this {
            let this = std::process::id().to_string();
            let _ = fs::write(self.root.join("cgroup.procs"), this);
        }
        // A process that was killed takes a moment to be gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What else runs on this computer gets the processor only if the group does not want it.
fn make(root: &Path, group: &Path, version: Version, quota: Option<u64>) -> std::io::Result<()> {
    if !group.exists() {
        fs::create_dir(group)?;
    }
    let set = |file: &str, value: String| fs::write(group.join(file), value);
    match version {
        Version::One => {
            set("cpu.shares", "262144".to_owned())?;
            let Some(quota) = quota else { return Ok(()) };
            set("cpu.cfs_period_us", PERIOD_MICROS.to_string())?;
            set("cpu.cfs_quota_us", quota.to_string())
        }
        Version::Two => {
            fs::write(root.join("cgroup.subtree_control"), "+cpu")?;
            set("cpu.weight", "10000".to_owned())?;
            let Some(quota) = quota else { return Ok(()) };
            set("cpu.max", format!("{quota} {PERIOD_MICROS}"))
        }
    }
}

fn quota_micros(megabytes: u64) -> u64 {
    PERIOD_MICROS * megabytes / ONE_VCPU_MB
}

/// Where the controller of processors is, of what is mounted. `controllers`: what a hierarchy of version 2 has.
fn hierarchy(mounts: &str, controllers: impl Fn(&Path) -> String) -> Option<(PathBuf, Version)> {
    mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let root = PathBuf::from(root);
        match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => {
                Some((root, Version::One))
            }
            "cgroup2" => {
                let has_cpu = controllers(&root)
                    .split_whitespace()
                    .any(|one| one == "cpu");
                has_cpu.then_some((root, Version::Two))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_the_memorys_part_of_a_period() {
        assert_eq!(quota_micros(1_769), PERIOD_MICROS);
        assert_eq!(quota_micros(128), 1_447);
    }

    #[test]
    fn the_controller_is_found_in_either_version() {
        let mixed = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                     cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n";
        let found = hierarchy(mixed, |_| "hugetlb".to_owned());
        let one = (PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"), Version::One);
        assert_eq!(found, Some(one));

        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let found = hierarchy(unified, |_| "cpuset cpu io".to_owned());
        assert_eq!(found, Some((PathBuf::from("/sys/fs/cgroup"), Version::Two)));
        assert_eq!(hierarchy(unified, |_| "cpuset io".to_owned()), None);
    }
}
