//! What a deploy costs, counted and multiplied.

use anyhow::Context;
use exuvia_core::target::Strategy;
use serde::{Deserialize, Serialize};

use super::counted::Counted;
use super::lab::{self, App, Lab, PACE};
use super::{growth, peers, prices};

/// What is billed: a boot of four minutes, a bake of five, a drain of five.
pub const BAKE: u32 = 300;
pub const DRAIN: f64 = 300.0;

/// Metrics of one comparison: three of each of two target groups (`WANTED` in `functions/aws/src/metrics.rs`).
const METRICS: u32 = 6;

/// How long Validate takes to read an archive of 100 MB, in seconds: at the 50 MB/s that a processor hashes and unpacks at
/// least.
const READS_ARCHIVE: f64 = 2.0;

/// Requests to KMS that S3 and SNS make for the functions: with a bucket key, and a data key of the topic, few.
const KMS_BEHIND: f64 = 4.0;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Billed {
    pub deploy: Counted,
    /// The function that writes its report, beside the workflow.
    pub report: Counted,
    /// Seconds from the group's creation until all were healthy, for others with the same.
    pub boot: f64,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub what: String,
    pub count: f64,
    /// US dollars for each.
    pub price: f64,
}

impl Line {
    fn new(what: impl Into<String>, count: f64, price: f64) -> Self {
        Self {
            what: what.into(),
            count,
            price,
        }
    }

    pub fn dollars(&self) -> f64 {
        self.count * self.price
    }
}

pub fn measure(lab: &Lab) -> anyhow::Result<Billed> {
    let app = App {
        strategy: Strategy::AllAtOnce { bake_seconds: BAKE },
        ..App::booting(growth::BOOT)
    };
    let estate = lab::estate(&app, 1)?;
    let estate = lab::with_releases(lab, estate, 1, 3)?;
    let outcome = lab.run(estate, 4, true, &["upload:good@0s"])?;
    lab::expect(&outcome, "SUCCEEDED")?;
    let execution = outcome.estate.executions.last().context("no execution")?;
    let fleet = outcome.seen.milestones.fleets.last_key_value();
    let (_, fleet) = fleet.context("no group")?;
    let healthy = fleet.healthy.context("the new fleet is not healthy")?;
    Ok(Billed {
        deploy: Counted::of(&outcome, Some(execution), "trigger"),
        boot: lab::seconds(fleet.created, healthy),
        report: Counted::of_report(lab, outcome.estate),
    })
}

/// What a function has of memory, in megabytes, as `infra/pipeline.yaml` says.
pub fn memory(function: &str) -> u32 {
    match function {
        "validate" => 1_769,
        "report" => 512,
        _ => 256,
    }
}

/// Gigabyte-seconds: each invocation is rounded up to a millisecond.
fn gigabyte_seconds(counted: &Counted) -> f64 {
    let of = |(function, took): (&String, &Vec<f64>)| {
        let millis: f64 = took.iter().map(|millis| millis.ceil()).sum();
        millis / 1_000.0 * f64::from(memory(function)) / 1_024.0
    };
    counted.invocations.iter().map(of).sum()
}

fn invocations(counted: &Counted) -> f64 {
    let all: usize = counted.invocations.values().map(Vec::len).sum();
    f64::from(u32::try_from(all).unwrap_or(u32::MAX))
}

/// Writes and lists, and reads.
fn of_s3(counted: &Counted) -> (f64, f64) {
    let s3 = counted.calls.iter();
    let s3 = s3.filter_map(|(name, count)| Some((name.strip_prefix("s3.")?, *count)));
    let mut sums = (0, 0);
    for (operation, count) in s3 {
        match operation {
            "PutObject" | "ListObjectsV2" => sums.0 += count,
            "GetObject" | "HeadObject" => sums.1 += count,
            // DeleteObject costs nothing.
            _ => {}
        }
    }
    (f64::from(sums.0), f64::from(sums.1))
}

impl Billed {
    pub fn lines(&self) -> Vec<Line> {
        let Self { deploy, report, .. } = self;
        let called = |operation: &str| f64::from(deploy.called(operation));
        let (writes, reads) = of_s3(deploy);
        let (report_writes, report_reads) = of_s3(report);
        let archive = READS_ARCHIVE * f64::from(memory("validate")) / 1_024.0;
        let signs = called("kms.Sign") + called("kms.Verify");
        let asked = called("monitoring.GetMetricData") * f64::from(METRICS);
        vec![
            Line::new(
                "state transitions",
                deploy.transitions().into(),
                prices::TRANSITION,
            ),
            Line::new("invocations", invocations(deploy), prices::INVOCATION),
            Line::new(
                "functions' time, GB-s",
                gigabyte_seconds(deploy),
                prices::GIGABYTE_SECOND,
            ),
            Line::new(
                "Validate reads an archive of 100 MB in 2 s, GB-s",
                archive,
                prices::GIGABYTE_SECOND,
            ),
            Line::new("S3: writes and lists", writes, prices::S3_WRITE),
            Line::new("S3: reads", reads, prices::S3_READ),
            Line::new("KMS: signatures made and checked", signs, prices::KMS_ECC),
            Line::new(
                "KMS: other requests, and those of S3 and SNS",
                called("kms.DescribeKey") + KMS_BEHIND,
                prices::KMS,
            ),
            Line::new("SNS: notices", called("sns.Publish"), prices::PUBLISH),
            Line::new("EventBridge: the event of the upload", 1.0, prices::EVENT),
            Line::new("CloudWatch: metrics asked for", asked, prices::METRIC),
            Line::new(
                "CloudWatch: other requests",
                called("monitoring.DescribeAlarms"),
                prices::CLOUDWATCH,
            ),
            Line::new(
                "report: invocations",
                invocations(report),
                prices::INVOCATION,
            ),
            Line::new(
                "report: its time, GB-s",
                gigabyte_seconds(report),
                prices::GIGABYTE_SECOND,
            ),
            Line::new(
                "report: S3, writes and lists",
                report_writes,
                prices::S3_WRITE,
            ),
            Line::new("report: S3, reads", report_reads, prices::S3_READ),
        ]
    }

    pub fn dollars(&self) -> f64 {
        self.lines().iter().map(Line::dollars).sum()
    }
}

/// The same deploy by coinbase/odin's workflow: its transitions; its function for each task, with the memory and the
/// price of one here, and six calls to AWS in each (a group, its load balancer, the halt in S3, three roles).
pub fn odin(healthy: f64) -> Vec<Line> {
    let polls = peers::odin(healthy).polls;
    let retries = peers::odin_retries(DRAIN);
    // Validate, Lock, ValidateResources, Deploy, DetachForSuccess, CleanUpSuccess; what is polled and tried again.
    let tasks = f64::from(6 + polls + retries);
    let seconds = (PACE.start + 6 * PACE.call).as_secs_f64();
    vec![
        Line::new(
            "state transitions",
            peers::odin_transitions(healthy, DRAIN).into(),
            prices::TRANSITION,
        ),
        Line::new("invocations", tasks, prices::INVOCATION),
        Line::new(
            "functions' time, GB-s",
            tasks * seconds * 256.0 / 1_024.0,
            prices::GIGABYTE_SECOND,
        ),
        // The lock, made and given back.
        Line::new("S3: writes", 2.0, prices::S3_WRITE),
        // The halt at each task, the release and its user data.
        Line::new("S3: reads", tasks + 2.0, prices::S3_READ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_pipeline_gives() {
        let pipeline = include_str!("../../../../infra/pipeline.yaml");
        let mut functions = pipeline.split("FunctionName: !Sub \"${AWS::StackName}-");
        let globals = functions.next().unwrap();
        assert!(globals.contains("MemorySize: 256"));
        let mut seen = 0;
        for part in functions {
            let (name, settings) = part.split_once('"').unwrap();
            if name == "build" || name == "slack" {
                continue;
            }
            let said = settings.split_once("MemorySize: ").map(|(_, rest)| rest);
            let said = said.and_then(|rest| rest.lines().next());
            assert_eq!(said.unwrap_or("256"), memory(name).to_string(), "{name}");
            seen += 1;
        }
        assert_eq!(seen, 11);
    }

    #[test]
    fn an_invocation_is_billed_by_the_millisecond() {
        let counted = Counted {
            invocations: [("lock".to_owned(), vec![100.2, 99.0])].into(),
            ..Counted::default()
        };
        assert!((gigabyte_seconds(&counted) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn odin_as_its_source_has_it() {
        let lines = odin(240.0);
        assert!((lines[0].count - 70.0).abs() < f64::EPSILON);
        assert!((lines[1].count - 46.0).abs() < f64::EPSILON);
    }
}
