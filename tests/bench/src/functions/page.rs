//! docs/performance.md: the functions.

use std::fmt::Write as _;

use super::{AtSize, FUNCTIONS, Found, Invocation, Kind, Measured, Start, plot};
use crate::page::Section;
use crate::spread::Spread;

/// 3 MB, as a zip.
const MOST_ZIP: u64 = 3_000_000;
/// How many times as long as a function that does nothing.
const MOST_INIT: f64 = 1.5;
/// Of what the SDK takes by default.
const MOST_FIRST_CALL: f64 = 0.5;
/// In milliseconds, besides the calls.
const MOST_OVERHEAD: f64 = 2.0;
/// 32 MB.
const MOST_MEMORY_KIB: u64 = 32_000_000 / 1_024;

/// One of the times that a start has, in milliseconds.
type Time = fn(&Start) -> Option<f64>;

const INIT: Time = |start| Some(start.init);
const FIRST_CALL: Time = |start| start.first_call;
/// From the process's start until its first call has got to AWS.
const UNTIL_FIRST_CALL: Time = |start| Some(start.init + start.first_call?);
const FIRST: Time = |start| Some(start.first.whole);
const WARM: Time = |start| typical(start, |one| one.whole);
const OVERHEAD: Time = |start| typical(start, Invocation::overhead);
const PROCESSOR: Time = |start| typical(start, |one| one.cpu);

/// The median of a start's warm invocations.
fn typical(start: &Start, time: fn(&Invocation) -> f64) -> Option<f64> {
    Spread::of(start.warm.iter().map(time)).map(|spread| spread.median)
}

impl AtSize {
    pub(super) fn time(&self, time: Time) -> Option<Spread> {
        Spread::of(self.starts.iter().filter_map(time))
    }

    fn peak_kib(&self) -> u64 {
        let peaks = self.starts.iter().map(|start| start.peak_kib);
        peaks.max().unwrap_or_default()
    }
}

impl Measured {
    fn at(&self, memory_mb: u64) -> Option<&AtSize> {
        self.sizes.iter().find(|size| size.memory_mb == memory_mb)
    }

    fn median(&self, memory_mb: u64, time: Time) -> Option<f64> {
        Some(self.at(memory_mb)?.time(time)?.median)
    }
}

impl Found {
    pub(super) fn sizes(&self) -> Vec<u64> {
        let first = self.programs.first();
        let sizes = first.into_iter().flat_map(|program| &program.sizes);
        sizes.map(|size| size.memory_mb).collect()
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Measured> {
        self.programs.iter().filter(move |one| one.kind == kind)
    }

    /// The median of the one of that kind, or of the slowest of it, and which that is.
    pub(super) fn slowest(&self, kind: Kind, memory_mb: u64, time: Time) -> Option<(f64, &str)> {
        let medians = self
            .of(kind)
            .filter_map(|one| Some((one.median(memory_mb, time)?, one.name.as_str())));
        medians.max_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// The middle function's median.
    pub(super) fn middle(&self, memory_mb: u64, time: Time) -> Option<f64> {
        let medians = self.of(Kind::Function);
        Spread::of(medians.filter_map(|one| one.median(memory_mb, time))).map(|one| one.median)
    }
}

/// Each goal, what was measured, and whether that meets it.
fn goals(found: &Found) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    let mut add = |goal: String, measured: String, met: bool| {
        let met = if met { "yes" } else { "no" };
        rows.push([goal, measured, met.to_owned()]);
    };
    let zips = found.of(Kind::Function);
    if let Some(largest) = zips.max_by_key(|one| one.zip_bytes) {
        let measured = format!(
            "{:.2} MB (`{}`)",
            megabytes(largest.zip_bytes),
            largest.name
        );
        let goal = "A function's zip has 3 MB at the most".to_owned();
        add(goal, measured, largest.zip_bytes <= MOST_ZIP);
    }
    for size in found.sizes() {
        let slowest = found.slowest(Kind::Function, size, INIT);
        let empty = found.slowest(Kind::Empty, size, INIT);
        if let (Some((time, name)), Some((limit, _))) = (slowest, empty) {
            add(
                format!("It is there in {MOST_INIT} times what an empty one takes, at {size} MB"),
                format!(
                    "{:.2} times (`{name}`: {time:.1} ms of {limit:.1} ms)",
                    time / limit
                ),
                time <= limit * MOST_INIT,
            );
        }
    }
    for size in found.sizes() {
        let slowest = found.slowest(Kind::Function, size, FIRST_CALL);
        let default = found.slowest(Kind::DefaultSdk, size, FIRST_CALL);
        if let (Some((time, name)), Some((other, _))) = (slowest, default) {
            add(
                format!("Its first call takes half of what the SDK takes by default, at {size} MB"),
                format!(
                    "{:.2} (`{name}`: {time:.1} ms of {other:.1} ms)",
                    time / other
                ),
                time <= other * MOST_FIRST_CALL,
            );
        }
    }
    for size in found.sizes() {
        if let Some((time, name)) = found.slowest(Kind::Function, size, OVERHEAD) {
            add(
                format!(
                    "Warm, it takes less than {MOST_OVERHEAD} ms besides its calls, at {size} MB"
                ),
                format!(
                    "{time:.1} ms (`{name}`); the middle one {:.1} ms",
                    found.middle(size, OVERHEAD).unwrap_or_default()
                ),
                time < MOST_OVERHEAD,
            );
        }
    }
    let sizes = found.of(Kind::Function).flat_map(|one| &one.sizes);
    if let Some(most) = sizes.map(AtSize::peak_kib).max() {
        let goal = "It never has 32 MB of memory".to_owned();
        add(
            goal,
            format!("{:.1} MB", kib_in_mb(most)),
            most < MOST_MEMORY_KIB,
        );
    }
    rows
}

fn megabytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1_000).map_or(f64::NAN, f64::from) / 1_000.0
}

fn kib_in_mb(kib: u64) -> f64 {
    megabytes(kib * 1_024)
}

/// A line for each program: what it is, and its figures at one size.
fn rows(found: &Found, memory_mb: u64) -> Vec<[String; 9]> {
    let lines = found.programs.iter().filter_map(|program| {
        let size = program.at(memory_mb)?;
        let time = |time: Time| {
            size.time(time).map_or("-".to_owned(), |spread| {
                format!(
                    "{:.1} ({:.1}-{:.1})",
                    spread.median, spread.least, spread.most
                )
            })
        };
        let name = match program.kind {
            Kind::Function => format!("`{}`", program.name),
            Kind::Beside => format!("`{}`, other build", program.name),
            Kind::Empty | Kind::DefaultSdk => program.name.clone(),
        };
        Some([
            name,
            format!("{:.2}", megabytes(program.zip_bytes)),
            time(INIT),
            time(FIRST_CALL),
            time(FIRST),
            time(WARM),
            format!("{} / {}", time(OVERHEAD), program.calls.len()),
            time(PROCESSOR),
            format!("{:.1}", kib_in_mb(size.peak_kib())),
        ])
    });
    lines.collect()
}

const HEAD: [&str; 9] = [
    "function",
    "zip, MB",
    "until it is there",
    "first call",
    "first invocation",
    "warm",
    "warm, besides its calls / calls",
    "warm, processor",
    "memory, MB",
];

fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A few lines for whoever waits.
pub fn summary(found: &Found) -> String {
    let mut text = table(["goal", "measured", "met"], &goals(found));
    for size in found.sizes() {
        let _ = write!(text, "\n{size} MB, ms: median (least-most)\n");
        text += &table(HEAD, &rows(found, size));
    }
    text
}

pub fn section(found: &Found) -> Section {
    let starts = found.programs.iter().flat_map(|one| &one.sizes);
    let starts = starts.map(|size| size.starts.len()).min().unwrap_or(0);
    let mut text = format!(
        "## Functions\n\n\
         The programs that `cargo xtask package` makes for Lambda (x86_64), started as Lambda starts them: a process that \
         asks the [Runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) for invocations, with \
         as much of a processor ({}) as Lambda gives for the memory: one at \
         [1,769 MB, others in proportion](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html), here in \
         periods of 20 ms. Each of the {} is given an invocation that was recorded in a simulated deploy. AWS is HTTPS on this \
         computer, a connection for each service, with the recorded answers {} ms later each, which are no part of the times for \
         calls and besides calls. {starts} starts each, all in turns. Lambda's own part of a cold start (a machine, the zip) is not in it, nor \
         the network.\n\n\
         Beside them: *empty*, a function on the same runtime, built alike, that does nothing; and *default SDK*, which \
         follows the SDK's guide: default features, default settings, optimised for speed. It gets an object and describes \
         groups. ([`tests/bench/baselines`](../tests/bench/baselines))\n\n",
        found.processor,
        FUNCTIONS.len(),
        found.answer_millis,
    );
    text += &table(["goal", "measured", "met?"], &goals(found));
    text += "\n![Until a function is there](functions-init.svg)\n\n\
             ![From a function's start until its first call gets to AWS](functions-first-call.svg)\n";
    for size in found.sizes() {
        let _ = write!(
            text,
            "\n### At {size} MB\n\nMilliseconds; the median of all starts, and in parentheses the least and the most.\n\n"
        );
        text += &table(HEAD, &rows(found, size));
    }
    Section {
        markdown: text,
        plots: vec![
            plot::by_memory(found, "functions-init", "until it is there, ms", INIT),
            plot::by_memory(
                found,
                "functions-first-call",
                "from its start until its first call gets to AWS, ms",
                UNTIL_FIRST_CALL,
            ),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kind: Kind, name: &str, init: f64, first_call: Option<f64>) -> Measured {
        let invocation = Invocation {
            whole: 5.0,
            in_calls: 4.0,
            cpu: 0.5,
        };
        let start = Start {
            init,
            init_cpu: 1.0,
            first_call,
            first: invocation,
            warm: vec![invocation; 3],
            peak_kib: 10_000,
        };
        Measured {
            kind,
            name: name.to_owned(),
            zip_bytes: 2_000_000,
            calls: vec!["s3:GetObject".to_owned()],
            sizes: vec![AtSize {
                memory_mb: 128,
                starts: vec![start],
            }],
        }
    }

    fn found(init: f64, first_call: f64) -> Found {
        Found {
            processor: "a processor".to_owned(),
            answer_millis: 10,
            programs: vec![
                program(Kind::Empty, "empty", 10.0, None),
                program(Kind::DefaultSdk, "default SDK", 40.0, Some(100.0)),
                program(Kind::Function, "lock", 11.0, Some(20.0)),
                program(Kind::Function, "plan", init, Some(first_call)),
            ],
        }
    }

    fn met(found: &Found) -> Vec<String> {
        goals(found).into_iter().map(|[_, _, met]| met).collect()
    }

    #[test]
    fn a_goal_is_met_by_all_functions_or_not_at_all() {
        assert_eq!(met(&found(15.0, 50.0)), ["yes"; 5]);
        assert_eq!(met(&found(15.1, 50.0))[1], "no");
        assert_eq!(met(&found(15.0, 50.1))[2], "no");
    }

    #[test]
    fn what_was_measured_comes_back_from_what_was_written() {
        let found = found(15.0, 50.0);
        let json = serde_json::to_string(&found).unwrap();
        let back: Found = serde_json::from_str(&json).unwrap();
        assert_eq!(section(&back).markdown, section(&found).markdown);
    }

    #[test]
    fn the_section_shows_its_plots() {
        let section = section(&found(15.0, 50.0));
        assert_eq!(section.plots.len(), 2);
        for plot in section.plots {
            assert!(section.markdown.contains(&format!("({}.svg)", plot.name)));
            assert!(plot.svg.contains("default SDK"));
        }
    }
}
