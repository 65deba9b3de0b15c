//! The checks of scanners: insecure settings, policies that AWS would not take as they are meant, workflows that leak.
//! What they find is mended, or accepted with a reason in `infra/accepted-findings.toml`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::Outcome;
use crate::tools;

const ACCEPTED: &str = "infra/accepted-findings.toml";

/// What all of them are told to accept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accepted {
    accepted: Vec<Entry>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Entry {
    by: Scanner,
    check: String,
    /// With `*` for any text.
    at: String,
    /// A part of what the scanner says.
    about: Option<String>,
    reason: String,
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scanner {
    Checkov,
    Parliament,
    Zizmor,
}

#[derive(Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    check: String,
    /// `pipeline/AccessLogsBucket` for a resource of `infra/pipeline.yaml`; the path of any other file.
    at: String,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, at, text } = self;
        write!(f, "{at}: {check} {text}")
    }
}

impl Accepted {
    pub(super) fn read() -> Result<Self> {
        let text = std::fs::read_to_string(tools::root().join(ACCEPTED))
            .with_context(|| format!("cannot read {ACCEPTED}"))?;
        toml::from_str(&text).with_context(|| format!("{ACCEPTED} is not as it should be"))
    }

    /// What to mend: findings that nobody accepts, and entries that accept nothing.
    fn apply(&self, by: Scanner, findings: &BTreeSet<Finding>) -> Vec<String> {
        let entries: Vec<&Entry> = self
            .accepted
            .iter()
            .filter(|entry| entry.by == by)
            .collect();
        let unaccepted = findings
            .iter()
            .filter(|finding| !entries.iter().any(|entry| entry.accepts(finding)))
            .map(|finding| {
                format!("{finding}\n  mend it, or accept it with a reason in {ACCEPTED}")
            });
        let unused = entries
            .iter()
            .filter(|entry| !findings.iter().any(|finding| entry.accepts(finding)))
            .map(|entry| {
                format!(
                    "{ACCEPTED} accepts {} at {}, which {by:?} does not find: remove that",
                    entry.check, entry.at
                )
            });
        let unreasoned = entries
            .iter()
            .filter(|entry| entry.reason.trim().is_empty())
            .map(|entry| {
                format!(
                    "{ACCEPTED} accepts {} at {} without a reason: say why",
                    entry.check, entry.at
                )
            });
        unaccepted.chain(unused).chain(unreasoned).collect()
    }
}

impl Entry {
    fn accepts(&self, finding: &Finding) -> bool {
        self.check == finding.check
            && matches(&self.at, &finding.at)
            && self
                .about
                .as_ref()
                .is_none_or(|about| finding.text.contains(about))
    }
}

/// Whether a text is as a pattern has it, in which `*` stands for any text, also for none.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, pattern)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let starts = rest
        .char_indices()
        .map(|(at, _)| at)
        .chain(Some(rest.len()));
    starts.into_iter().any(|at| matches(pattern, &rest[at..]))
}

/// Settings of the templates' resources.
pub(super) fn checkov(accepted: &Accepted) -> Result<Outcome> {
    let mut command = tool("checkov");
    // Offline, and without asking for a newer version of itself.
    command
        .env("CKV_SKIP_PACKAGE_UPDATE_CHECK", "true")
        .env("LOG_LEVEL", "ERROR")
        .args(["--framework", "cloudformation", "--output", "json"])
        .args(["--skip-download", "--quiet", "--compact", "--soft-fail"]);
    for template in tools::files(&tools::local().join("lint"), ".template.json")? {
        command.arg("--file").arg(template);
    }
    let findings = of_checkov(&json(&mut command)?)?;
    Ok(accepted.apply(Scanner::Checkov, &findings).into())
}

fn of_checkov(report: &Value) -> Result<BTreeSet<Finding>> {
    let summary = &report["summary"];
    if summary["parsing_errors"] != 0 || summary["passed"].as_u64().unwrap_or_default() == 0 {
        bail!("checkov could not read a template, or has checked nothing: {summary}");
    }
    let failed = report["results"]["failed_checks"].as_array();
    let finding = |failed: &Value| -> Option<Finding> {
        let file = Path::new(failed["file_path"].as_str()?).file_name()?;
        let (template, _) = file.to_str()?.split_once('.')?;
        let (_, resource) = failed["resource"].as_str()?.split_once('.')?;
        Some(Finding {
            check: failed["check_id"].as_str()?.to_owned(),
            at: format!("{template}/{resource}"),
            text: failed["check_name"].as_str()?.to_owned(),
        })
    };
    failed
        .into_iter()
        .flatten()
        .map(|failed| {
            finding(failed).with_context(|| format!("checkov reports otherwise now: {failed}"))
        })
        .collect()
}

/// Policies: actions, resources and conditions that do not go together.
pub(super) fn parliament(accepted: &Accepted) -> Result<Outcome> {
    let mut command = tool("python");
    command
        .arg("xtask/python/policies.py")
        .arg(tools::local().join("lint"));
    let findings: BTreeSet<Finding> = serde_json::from_value(json(&mut command)?)
        .context("policies.py reports otherwise than it should")?;
    Ok(accepted.apply(Scanner::Parliament, &findings).into())
}

/// Workflows and actions for GitHub.
pub(super) fn zizmor(accepted: &Accepted) -> Result<Outcome> {
    let mut files = Vec::new();
    for directory in [
        "infra/deploy-action",
        "examples/github-actions",
        ".github/workflows",
    ] {
        let directory = tools::root().join(directory);
        if directory.is_dir() {
            files.extend(tools::files(&directory, ".yml")?);
        }
    }
    if files.is_empty() {
        return Ok(Outcome::LeftOut("there is none".to_owned()));
    }
    let mut command = tool("zizmor");
    command
        .args(["--offline", "--quiet", "--no-progress", "--no-exit-codes"])
        .args(["--format=json", "--collect=all"]);
    command.args(&files);
    let findings = of_zizmor(&json(&mut command)?)?;
    Ok(accepted.apply(Scanner::Zizmor, &findings).into())
}

fn of_zizmor(report: &Value) -> Result<BTreeSet<Finding>> {
    let finding = |found: &Value| -> Option<Finding> {
        let locations = found["locations"].as_array()?;
        let primary = locations
            .iter()
            .find(|location| location["symbolic"]["kind"] == "Primary")
            .or_else(|| locations.first())?;
        let file = primary["symbolic"]["key"]["Local"]["verbatim_path"].as_str()?;
        let row = primary["concrete"]["location"]["start_point"]["row"].as_u64()?;
        Some(Finding {
            check: found["ident"].as_str()?.to_owned(),
            at: in_checkout(file),
            text: format!(
                "{} (line {}): {}, {}",
                found["desc"].as_str()?,
                row + 1,
                primary["symbolic"]["annotation"].as_str().unwrap_or("see"),
                found["url"].as_str().unwrap_or_default()
            ),
        })
    };
    report
        .as_array()
        .context("zizmor reports otherwise now: no list")?
        .iter()
        .filter(|found| found["ignored"] != true)
        .map(|found| {
            finding(found).with_context(|| format!("zizmor reports otherwise now: {found}"))
        })
        .collect()
}

fn in_checkout(file: &str) -> String {
    let file = Path::new(file);
    let file = file.strip_prefix(tools::root()).unwrap_or(file);
    file.to_string_lossy().into_owned()
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(tools::scanner(name));
    command.current_dir(tools::root());
    command
}

fn json(command: &mut Command) -> Result<Value> {
    let program = PathBuf::from(command.get_program());
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "{} printed no JSON: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("pipeline/Key", "pipeline/Key", true),
            ("pipeline/Key", "pipeline/Keys", false),
            ("pipeline/*Function", "pipeline/LockFunction", true),
            ("pipeline/*Function", "pipeline/Function", true),
            ("pipeline/*Function", "pipeline/LockFunctionRole", false),
            ("pipeline/*Role/*", "pipeline/LockRole/Policies/0", true),
            ("pipeline/*Role/*", "app/LockRole/Policies/0", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} of {text}");
        }
    }

    fn finding(check: &str, at: &str, text: &str) -> Finding {
        Finding {
            check: check.to_owned(),
            at: at.to_owned(),
            text: text.to_owned(),
        }
    }

    fn accepted(entries: &str) -> Accepted {
        toml::from_str(entries).unwrap()
    }

    const ENTRY: &str = r#"
        [[accepted]]
        by = "checkov"
        check = "CKV_AWS_18"
        at = "pipeline/*Bucket"
        about = "logging"
        reason = "It is meant so."
    "#;

    #[test]
    fn what_is_found_is_accepted_or_told_and_what_accepts_nothing_is_told() {
        let found = |findings: &[Finding]| {
            let findings = findings
                .iter()
                .map(|f| finding(&f.check, &f.at, &f.text))
                .collect();
            accepted(ENTRY).apply(Scanner::Checkov, &findings)
        };
        let meant = finding("CKV_AWS_18", "pipeline/LogsBucket", "access logging");
        assert_eq!(found(std::slice::from_ref(&meant)), [""; 0]);

        let others = [
            finding("CKV_AWS_19", "pipeline/LogsBucket", "access logging"),
            finding("CKV_AWS_18", "app/LogsBucket", "access logging"),
            finding("CKV_AWS_18", "pipeline/LogsBucket", "encryption"),
        ];
        for other in others {
            let told = format!("{other}\n  mend it, or accept it with a reason in {ACCEPTED}");
            let unused = format!(
                "{ACCEPTED} accepts CKV_AWS_18 at pipeline/*Bucket, which Checkov does not find: remove that"
            );
            assert_eq!(found(&[other]), [told, unused]);
        }
        // Of another scanner's entries nothing is said: it may not have run.
        assert_eq!(
            accepted(ENTRY).apply(Scanner::Zizmor, &BTreeSet::new()),
            [""; 0]
        );
    }

    #[test]
    fn an_entry_has_a_reason_and_no_unknown_field() {
        let findings = BTreeSet::from([finding("CKV_AWS_18", "pipeline/LogsBucket", "logging")]);
        assert_eq!(
            accepted(&ENTRY.replace("It is meant so.", " ")).apply(Scanner::Checkov, &findings),
            [format!(
                "{ACCEPTED} accepts CKV_AWS_18 at pipeline/*Bucket without a reason: say why"
            )]
        );
        for wrong in [
            ENTRY.replace("reason", "because"),
            ENTRY.replace("checkov", "checkof"),
        ] {
            assert!(toml::from_str::<Accepted>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_checkov_reports_is_read_or_refused() {
        let report = json!({
            "results": {
                "failed_checks": [{
                    "check_id": "CKV_AWS_18",
                    "check_name": "Ensure logging",
                    "file_path": "/.local/lint/pipeline.template.json",
                    "resource": "AWS::S3::Bucket.LogsBucket",
                }],
            },
            "summary": {"passed": 1, "failed": 1, "parsing_errors": 0},
        });
        assert_eq!(
            of_checkov(&report).unwrap(),
            BTreeSet::from([finding(
                "CKV_AWS_18",
                "pipeline/LogsBucket",
                "Ensure logging"
            )])
        );
        let mut unread = report.clone();
        unread["summary"]["parsing_errors"] = json!(1);
        let mut blind = report.clone();
        blind["summary"]["passed"] = json!(0);
        let mut other = report;
        other["results"]["failed_checks"][0]["resource"] = json!(null);
        for report in [unread, blind, other, json!({})] {
            assert!(of_checkov(&report).is_err(), "{report}");
        }
    }

    #[test]
    fn what_zizmor_reports_is_read_or_refused() {
        let found = json!({
            "ident": "artipacked",
            "desc": "credentials persist",
            "url": "https://docs.zizmor.sh/audits/#artipacked",
            "ignored": false,
            "locations": [{
                "symbolic": {
                    "key": {"Local": {"verbatim_path": tools::root().join("examples/a.yml")}},
                    "annotation": "does not set persist-credentials",
                    "kind": "Primary",
                },
                "concrete": {"location": {"start_point": {"row": 6}}},
            }],
        });
        let expected = finding(
            "artipacked",
            "examples/a.yml",
            "credentials persist (line 7): does not set persist-credentials, https://docs.zizmor.sh/audits/#artipacked",
        );
        assert_eq!(
            of_zizmor(&json!([found])).unwrap(),
            BTreeSet::from([expected])
        );
        let mut ignored = found.clone();
        ignored["ignored"] = json!(true);
        assert_eq!(of_zizmor(&json!([ignored])).unwrap(), BTreeSet::new());
        let mut other = found;
        other["ident"] = json!(null);
        for report in [json!([other]), json!({})] {
            assert!(of_zizmor(&report).is_err(), "{report}");
        }
    }
}
