//! What people are told of builds, and the one outcome that a build has. The kinds that a build shares with a deploy
//! have the same name, so that one filter of a subscription takes both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::{BuildRequest, What};
use super::step::AnnounceInput;
use super::{BuildId, Report};
use crate::announcement::Announcement;
use crate::name::{Place, Version};
use crate::notice::links::Console;
use crate::notice::mrkdwn::{block, escape, link};
use crate::notice::{cut, sentence};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Started,
    Rejected,
    /// The image is uploaded; a deploy of it follows by itself.
    Built,
    BuildFailed,
    BuildTimedOut,
    BuilderLost,
    /// The builder could not be deleted.
    NeedsAttention,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Rejected => "rejected",
            Self::Built => "built",
            Self::BuildFailed => "buildFailed",
            Self::BuildTimedOut => "buildTimedOut",
            Self::BuilderLost => "builderLost",
            Self::NeedsAttention => "needsAttention",
        }
    }

    /// Whether a build ends with it. A build has one outcome, whatever is told besides.
    pub fn is_outcome(self) -> bool {
        !matches!(self, Self::Started | Self::NeedsAttention)
    }
}

/// So much of a build's output is told: lines, and characters.
const MOST_LINES: usize = 50;
const MOST_OF_OUTPUT: usize = 1_200;
const MOST_OF_CAUSE: usize = 700;

/// A notice of a build, before it is put into anybody's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildNotice {
    pub kind: Kind,
    /// The same whenever this is told again.
    pub id: String,
    pub build: BuildId,
    pub place: Option<Place>,
    pub version: Option<Version>,
    pub title: String,
    pub description: String,
    pub next_steps: Vec<String>,
    /// The execution that it is about.
    pub execution: String,
    /// The same for programs, as plain text: what `additionalContext` holds (docs/notice.schema.json).
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

impl BuildNotice {
    /// `report`: what the builder reported, for a build that failed.
    pub fn new(told: &AnnounceInput, report: Option<&Report>) -> Self {
        let build = told.build.as_ref();
        let recovers = build.and_then(|build| build.recovers.as_ref());
        let execution = recovers.map_or(&told.execution.arn, |cut_off| &cut_off.execution);
        let place = build
            .map(super::step::Build::place)
            .or_else(|| BuildRequest::place_of(&told.input));
        let asked = || match BuildRequest::parse(&told.input).ok()?.what {
            What::Source { version, .. } => Some(version),
            What::Recovery { .. } => None,
        };
        let version = match build {
            Some(build) => build.version.clone(),
            None => asked(),
        };
        let whom = place
            .as_ref()
            .map_or_else(|| "an execution".to_owned(), ToString::to_string);
        let what = version
            .as_ref()
            .map_or_else(|| "the build".to_owned(), ToString::to_string);
        let cause = sentence(&cut(&told.why.text())).trim_end().to_owned();
        let because = escape(&cause, MOST_OF_CAUSE);
        let output = report.map_or(String::new(), |report| {
            block(&report.output, MOST_LINES, MOST_OF_OUTPUT)
        });
        let again = || {
            vec![format!(
                "Mend it and upload the source again, or start the execution {} again",
                name_of(execution)
            )]
        };
        let (title, description, next_steps) = match told.kind {
            Kind::Started => (
                format!("{whom}: building {what}"),
                "Launching a builder. What is live stays live meanwhile.".to_owned(),
                vec![],
            ),
            Kind::Built => (
                format!("{whom}: {what} is built"),
                "The image is uploaded, and a deploy of it follows. The builder is gone.".to_owned(),
                vec![],
            ),
            Kind::Rejected => (
                format!("{whom}: the build was refused"),
                format!("{because} Nothing was touched."),
                vec!["Mend what it names, then upload or start it again".to_owned()],
            ),
            Kind::BuildFailed => (
                format!("{whom}: {what} was not built"),
                format!("{because} Nothing was deployed, and the builder is gone.{output}"),
                again(),
            ),
            Kind::BuildTimedOut => (
                format!("{whom}: {what} was not built in time"),
                format!("{because} Nothing was deployed, and the builder is gone."),
                vec!["Make the build faster, or give infra/builder.yaml a larger InstanceType or TimeoutSeconds".to_owned()],
            ),
            Kind::BuilderLost => (
                format!("{whom}: the builder of {what} was lost"),
                format!("{because} Nothing was deployed, and no builder is left."),
                again(),
            ),
            Kind::NeedsAttention => (
                format!("{whom}: the builder of {what} needs attention"),
                format!("{because} It may still run, and cost."),
                vec![],
            ),
        };
        let id = BuildId::of(execution);
        let console = Console::of(execution).map(|console| console.execution());
        let links = console.as_ref().map_or_else(String::new, |console| {
            format!("\n{}", link(console, "Execution"))
        });
        let what_for = match told.kind {
            Kind::Started => "started",
            Kind::NeedsAttention => "attention",
            _ => "outcome",
        };
        Self {
            kind: told.kind,
            id: format!("build-{what_for}-{id}"),
            build: id,
            facts: facts(told, execution, place.as_ref(), version.as_ref(), &cause),
            place,
            version,
            title: title.chars().take(250).collect(),
            description: format!("{}{links}", description.trim_start()),
            next_steps,
            execution: execution.clone(),
        }
    }
}

/// What is told, for programs. What is not known is left out.
fn facts(
    told: &AnnounceInput,
    execution: &str,
    place: Option<&Place>,
    version: Option<&Version>,
    cause: &str,
) -> BTreeMap<String, String> {
    let all = [
        ("about", Some("build".to_owned())),
        ("kind", Some(told.kind.as_str().to_owned())),
        ("execution", Some(execution.to_owned())),
        ("build", Some(BuildId::of(execution).to_string())),
        ("at", Some(told.now.to_string())),
        ("since", Some(told.execution.start_time.to_string())),
        ("app", place.map(|place| place.app.to_string())),
        (
            "environment",
            place.map(|place| place.environment.to_string()),
        ),
        ("version", version.map(ToString::to_string)),
        (
            "cause",
            Some(cause.to_owned()).filter(|cause| !cause.is_empty()),
        ),
        (
            "executionLink",
            Console::of(execution).map(|console| console.execution()),
        ),
    ];
    all.into_iter()
        .filter_map(|(name, fact)| Some((name.to_owned(), fact?)))
        .collect()
}

fn name_of(execution: &str) -> &str {
    execution.rsplit(':').next().unwrap_or(execution)
}

impl Announcement for BuildNotice {
    fn title(&self) -> &str {
        &self.title
    }

    fn message(&self) -> Value {
        let kind = self.kind.as_str();
        json!({
            "version": "1.0",
            "source": "custom",
            "id": self.id,
            "content": {
                "textType": "client-markdown",
                "title": self.title,
                "description": self.description,
                "nextSteps": self.next_steps,
                "keywords": [kind],
            },
            "metadata": {
                "threadId": format!("build-{}", self.build),
                "summary": self.title,
                "eventType": format!("exuvia.build.{kind}"),
                "relatedResources": [self.execution],
                "additionalContext": self.facts,
            },
        })
    }

    fn attributes(&self) -> Vec<(&'static str, Option<String>)> {
        let place = self.place.as_ref();
        vec![
            ("kind", Some(self.kind.as_str().to_owned())),
            ("app", place.map(|place| place.app.to_string())),
            (
                "environment",
                place.map(|place| place.environment.to_string()),
            ),
            ("build", Some(self.build.to_string())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Reported;
    use crate::build::step::{Build, CutOff};
    use crate::step::{Execution, Why};

    const ARN: &str = "arn:aws:states:us-east-1:1:execution:exuvia-build:upload-hello-qa-v2";

    fn told(kind: Kind, reason: &str) -> AnnounceInput {
        AnnounceInput {
            kind,
            input: json!({"app":"hello","environment":"qa","source":{"key":"hello/qa/v2.src.tar.gz"}}),
            build: Some(Build {
                app: "hello".parse().unwrap(),
                environment: "qa".parse().unwrap(),
                build: BuildId::of(ARN),
                version: Some("v2".parse().unwrap()),
                source: None,
                builder: None,
                recovers: None,
            }),
            why: Why {
                reason: reason.into(),
                ..Why::default()
            },
            execution: Execution {
                arn: ARN.into(),
                name: "upload-hello-qa-v2".into(),
                start_time: jiff::Timestamp::UNIX_EPOCH,
                since: None,
            },
            now: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn report(output: &[&str]) -> Report {
        Report {
            status: Reported::Failed,
            step: Some("build".into()),
            error: Some("docker cannot build it".into()),
            output: output.iter().map(|line| (*line).to_owned()).collect(),
            artifact: None,
        }
    }

    #[test]
    fn what_each_notice_of_a_build_says() {
        let mut refused = told(
            Kind::Rejected,
            "no builder is set up for hello/qa: deploy infra/builder.yaml",
        );
        refused.build = None;
        let report = report(&["#5 RUN make", "make: *** No rule to make target 'all'."]);
        let all: Vec<String> = [
            (told(Kind::Started, ""), None),
            (told(Kind::Built, ""), None),
            (refused, None),
            (
                told(Kind::BuildFailed, "build: docker cannot build it"),
                Some(&report),
            ),
            (
                told(
                    Kind::BuildFailed,
                    "the execution was cut off: ABORTED (I stopped it)",
                ),
                None,
            ),
            (
                told(Kind::BuildTimedOut, "the build had not ended after 1800 s"),
                None,
            ),
            (
                told(
                    Kind::BuilderLost,
                    "the builder was terminated, or failed its checks, before it had reported",
                ),
                None,
            ),
            (
                told(
                    Kind::NeedsAttention,
                    "AWS refused DeleteAutoScalingGroup: denied",
                ),
                None,
            ),
        ]
        .iter()
        .map(|(told, report)| {
            let notice = BuildNotice::new(told, *report);
            format!(
                "{}\n  {}\n  {:?}\n",
                notice.title, notice.description, notice.next_steps
            )
        })
        .collect();
        insta::assert_snapshot!(all.concat());
    }

    #[test]
    fn a_recovery_tells_the_outcome_of_what_it_puts_in_order() {
        let own = BuildNotice::new(&told(Kind::BuildFailed, "x"), None);
        let mut recovery = told(Kind::BuildFailed, "x");
        recovery.execution.arn = ARN.replace("upload", "recover");
        if let Some(build) = &mut recovery.build {
            build.recovers = Some(CutOff {
                execution: ARN.into(),
                status: "ABORTED".into(),
                cause: None,
                ended: None,
            });
        }
        let recovered = BuildNotice::new(&recovery, None);
        assert_eq!(
            (&recovered.id, &recovered.build, &recovered.execution),
            (&own.id, &own.build, &own.execution)
        );
        // What is told beside the outcome has an id of its own.
        let started = BuildNotice::new(&told(Kind::Started, ""), None);
        assert_ne!(started.id, own.id);
    }

    #[test]
    fn hostile_output_is_cut_and_cleaned() {
        let mut output: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
        output.push("\u{1b}[31mred\u{1b}[0m\u{7}\r ```end".into());
        output.push("x".repeat(9_000));
        let lines: Vec<&str> = output.iter().map(String::as_str).collect();
        let notice = BuildNotice::new(&told(Kind::BuildFailed, "x"), Some(&report(&lines)));
        let (_, block) = notice.description.split_once("\n```\n").unwrap();
        let (block, rest) = block.split_once("\n```").unwrap();
        assert!(rest.ends_with("|Execution>"), "{rest}");
        let lines: Vec<&str> = block.lines().collect();
        assert_eq!(lines.len(), 50);
        assert_eq!(lines[0], "line 152");
        assert_eq!(lines[48], "red '''end");
        assert_eq!(lines[49].len(), 200);
        let message = notice.message().to_string();
        assert!(message.len() < 20_000, "{}", message.len());
    }

    #[test]
    fn the_message_is_a_custom_notification() {
        let message = BuildNotice::new(&told(Kind::Built, ""), None).message();
        let schema =
            serde_json::from_str(include_str!("../../../../docs/notice.schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        if let Err(error) = schema.validate(&message) {
            panic!("{}: {error}", error.instance_path());
        }
        assert_eq!(message["metadata"]["eventType"], "exuvia.build.built");
        assert_eq!(message["metadata"]["additionalContext"]["version"], "v2");
    }
}
