//! What `deny.toml` asks of the dependencies, as far as it can be checked offline: licences, sources, duplicates.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::tools;

/// The parts of `deny.toml` that are checked here:
/// <https://embarkstudios.github.io/cargo-deny/checks/cfg.html>.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Skip {
    /// `name@requirement`; here the requirement is the beginning of a version.
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// Empty if it names none.
    license: String,
    /// Where it comes from, if not from crates.io.
    elsewhere: Option<String>,
}

impl Package {
    /// A line of `cargo tree --format {p}|{l}`: `name v1.0.0 (source, or what else cargo has to say)|licence`.
    fn parse(line: &str) -> Option<Self> {
        let (package, license) = line.split_once('|')?;
        let mut words = package.splitn(3, ' ');
        let elsewhere = |note: &&str| *note != "(proc-macro)" && *note != "(*)";
        Some(Self {
            name: words.next()?.to_owned(),
            version: words.next()?.strip_prefix('v')?.to_owned(),
            license: license.trim_end_matches(" (*)").to_owned(),
            elsewhere: words.next().filter(elsewhere).map(str::to_owned),
        })
    }
}

pub(super) struct Dependencies {
    deny: Deny,
    packages: Vec<Package>,
}

impl Dependencies {
    pub(super) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(tools::root().join("deny.toml"))
            .context("cannot read deny.toml")?;
        // Unlike `cargo metadata`, this tells only of what is really built.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(tools::root())
            .args([
                "tree",
                "--locked",
                "--workspace",
                "--target",
                "x86_64-unknown-linux-gnu",
            ])
            .args([
                "--edges",
                "normal,build,dev",
                "--prefix",
                "none",
                "--format",
                "{p}|{l}",
            ])
            .output()
            .context("cannot run cargo tree")?;
        if !output.status.success() {
            bail!(
                "cargo tree failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let lines = String::from_utf8_lossy(&output.stdout);
        let packages: BTreeSet<Package> = lines.lines().filter_map(Package::parse).collect();
        let root = tools::root().to_string_lossy();
        let ours = |package: &Package| {
            package
                .elsewhere
                .as_ref()
                .is_some_and(|path| path.contains(&*root))
        };
        Ok(Self {
            deny: toml::from_str(&text).context("deny.toml")?,
            packages: packages
                .into_iter()
                .filter(|package| !ours(package))
                .collect(),
        })
    }

    pub(super) fn licences(&self) -> Vec<String> {
        let allowed = |expression: &Expression| {
            expression.evaluate(|licence| {
                licence
                    .license
                    .id()
                    .is_some_and(|id| self.deny.licenses.allow.contains(id.name))
            })
        };
        let judge = |package: &Package| {
            let Package {
                name,
                version,
                license,
                ..
            } = package;
            if license.is_empty() {
                return Some(format!("{name} {version} names no licence: replace it"));
            }
            // Cargo's old form `MIT/Apache-2.0` is not SPDX.
            match Expression::parse_mode(license, ParseMode::LAX) {
                Err(_) => Some(format!(
                    "{name} {version} has a licence that is not SPDX: {license}"
                )),
                Ok(expression) if !allowed(&expression) => Some(format!(
                    "{name} {version} is under {license}: replace it, or allow that in deny.toml"
                )),
                Ok(_) => None,
            }
        };
        self.packages.iter().filter_map(judge).collect()
    }

    pub(super) fn sources(&self) -> Vec<String> {
        let finding = |package: &Package| {
            let Package {
                name,
                version,
                elsewhere,
                ..
            } = package;
            let source = elsewhere.as_ref()?;
            Some(format!(
                "{name} {version} comes from {source}: use a version that is on crates.io"
            ))
        };
        self.packages.iter().filter_map(finding).collect()
    }

    pub(super) fn duplicates(&self) -> Vec<String> {
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in &self.packages {
            versions
                .entry(&package.name)
                .or_default()
                .push(&package.version);
        }
        let mut unused: BTreeSet<&str> = self
            .deny
            .bans
            .skip
            .iter()
            .map(|skip| skip.name.as_str())
            .collect();
        let mut findings = Vec::new();
        for (name, versions) in versions {
            let skip = |version: &&str| {
                let entry = self.deny.bans.skip.iter().find(|skip| {
                    skip.name
                        .split_once('@')
                        .is_some_and(|(skipped, requirement)| {
                            let rest = version.strip_prefix(requirement);
                            skipped == name
                                && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                        })
                });
                entry.map(|entry| entry.name.as_str())
            };
            if versions.len() == 1 {
                continue;
            }
            let (skipped, kept): (Vec<&str>, Vec<&str>) =
                versions.iter().partition(|version| skip(version).is_some());
            for entry in skipped.iter().filter_map(skip) {
                unused.remove(entry);
            }
            if kept.len() > 1 {
                let versions = kept.join(" and ");
                findings.push(format!(
                    "{name} is built as {versions}: bring them together, or skip one in deny.toml"
                ));
            }
        }
        findings.extend(unused.iter().map(|name| {
            format!("deny.toml skips {name}, which is no duplicate any more: remove it")
        }));
        findings
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dependencies(lines: &[&str]) -> Dependencies {
        let deny = r#"
            licenses.allow = ["MIT", "Apache-2.0"]
            bans.skip = [{ crate = "old@0.1" }]
        "#;
        Dependencies {
            deny: toml::from_str(deny).unwrap(),
            packages: lines
                .iter()
                .map(|line| Package::parse(line).unwrap())
                .collect(),
        }
    }

    #[test]
    fn a_licence_must_be_allowed() {
        for (license, allowed) in [
            ("MIT", true),
            ("MIT (*)", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only OR MIT", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
            ("GPL-3.0-only", false),
            ("", false),
            ("no such thing", false),
        ] {
            let found = dependencies(&[&format!("a v1.0.0|{license}")]).licences();
            assert_eq!(found.is_empty(), allowed, "{license}: {found:?}");
        }
    }

    #[test]
    fn a_source_must_be_crates_io() {
        assert_eq!(
            dependencies(&["a v1.0.0|MIT", "b v1.0.0 (proc-macro)|MIT"]).sources(),
            [""; 0]
        );
        let found = dependencies(&["a v1.0.0 (https://example.com/a#12ab)|MIT"]).sources();
        assert_eq!(
            found,
            ["a 1.0.0 comes from (https://example.com/a#12ab): use a version that is on crates.io"]
        );
    }

    #[test]
    fn a_duplicate_must_be_skipped_and_a_skip_must_be_a_duplicate() {
        let remove = "deny.toml skips old@0.1, which is no duplicate any more: remove it";
        for (lines, finding) in [
            (vec!["old v0.1.7|MIT", "old v0.2.0|MIT"], None),
            (
                vec!["old v0.1.7|MIT", "old v0.2.0|MIT", "old v0.3.0|MIT"],
                Some(
                    "old is built as 0.2.0 and 0.3.0: bring them together, or skip one in deny.toml",
                ),
            ),
            (
                vec![
                    "old v0.1.7|MIT",
                    "old v0.2.0|MIT",
                    "new v1.0.0|MIT",
                    "new v1.1.0|MIT",
                ],
                Some(
                    "new is built as 1.0.0 and 1.1.0: bring them together, or skip one in deny.toml",
                ),
            ),
            (vec!["old v0.2.0|MIT"], Some(remove)),
            (vec!["old v0.1.7|MIT"], Some(remove)),
        ] {
            let found = dependencies(&lines).duplicates();
            assert_eq!(found.first().map(String::as_str), finding, "{lines:?}");
            assert_eq!(
                found.len(),
                usize::from(finding.is_some()),
                "{lines:?}: {found:?}"
            );
        }
        let found = dependencies(&["old v0.10.0|MIT", "old v0.2.0|MIT"]).duplicates();
        assert_eq!(found.len(), 2, "0.10 is not 0.1: {found:?}");
    }
}
