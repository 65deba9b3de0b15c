//! What docs/performance.md says of the functions.

use std::fmt::Write as _;

use super::figures::{
    FIRST, FIRST_CALL, INIT, INIT_PROCESSOR, OVERHEAD, PROCESSOR, Time, UNTIL_FIRST_CALL, WARM,
    kib_in_mb, megabytes,
};
use super::{AtSize, FUNCTIONS, Found, Kind, PAUSE, goals, plot};
use crate::page::{GOALS, Section, table};
use crate::spread::Spread;

/// # Errors
/// If a plot cannot be drawn.
pub fn section(found: &Found) -> anyhow::Result<Section> {
    let mut text = setting(found);
    text += &table(&GOALS, goals::judged(found));
    text += &by_function(found);
    text += &init_processor(found);
    text += "\n![Lines: milliseconds until a function is there, by its memory: the slowest and the middle one, an empty one, and \
             one by the SDK's defaults](performance/functions-init.svg)\n\n\
             ![Lines: milliseconds from a function's start until its first call gets to AWS, by its memory: the slowest and \
             the middle one, and one by the SDK's defaults](performance/functions-first-call.svg)\n";
    for size in found.sizes() {
        let _ = write!(
            text,
            "\nAt {size} MB, in milliseconds: the median of all starts, and in parentheses the least and the most.\n\n"
        );
        text += &table(&HEAD, rows(found, size));
    }
    let init = plot::by_memory(
        found,
        "functions-init",
        "Milliseconds until a function is there, median",
        INIT,
    );
    let first_call = plot::by_memory(
        found,
        "functions-first-call",
        "Milliseconds from its start until its first call gets to AWS, median",
        UNTIL_FIRST_CALL,
    );
    Ok(Section {
        markdown: text,
        plots: vec![init?, first_call?],
    })
}

fn setting(found: &Found) -> String {
    let starts = found.programs.iter().flat_map(|one| &one.sizes);
    let starts = starts.map(|size| size.starts.len()).min().unwrap_or(0);
    format!(
        "## What a function takes\n\n\
         The programs that `cargo xtask package` makes for Lambda ({}), started as Lambda starts them: a process that \
         asks the [Runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) for invocations, with \
         as much of a processor ({}) as Lambda gives for the memory: one at \
         [1,769 MB, others in proportion](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html), here in \
         periods of 20 ms. Each of the {} is given an invocation that was recorded in a simulated deploy. AWS is HTTPS on this \
         computer, a connection for each service, and gives the recorded answers {} ms after each call, which count neither for \
         the first call nor besides the calls. {starts} starts each at each memory size, all in turns and each {} ms after the \
         last: a processor that was idle is slower at first. Lambda's own part of a cold start (a machine, the zip) is not in \
         it, nor the network.\n\n\
         Beside them: *empty*, a function on the same runtime, built alike, that does nothing; and *default SDK*, which \
         follows the SDK's guide: default features, default settings, optimised for speed. It gets an object and describes \
         groups ([`tests/bench/baselines`](../tests/bench/baselines)).\n\n\
         To make a call takes a processor: a request is written, signed and encrypted, an answer decrypted and read. While AWS \
         has the request this is not going on, so it counts besides the calls, and the more, the more calls there are. What \
         is the function's own of that is told by *default SDK*: warm, it is given for each function as many calls as that \
         makes, gets an object for each of them to S3 and describes groups for each other, and does nothing else. What \
         a function takes besides its calls, less what that takes besides as many, is beyond its calls; less than nothing, where \
         the function's calls are lighter, or made at once.\n\n",
        found.architecture,
        found.processor,
        FUNCTIONS.len(),
        found.answer_millis,
        PAUSE.as_millis(),
    )
}

fn by_function(found: &Found) -> String {
    let sizes = found.sizes();
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    let head = ["function"]
        .into_iter()
        .chain(goals::GOALS.iter().map(|goal| goal.what))
        .chain(["all met?"]);
    let head: Vec<&str> = head.collect();
    let told = format!(
        "\nEach function, with {} MB of memory; bold is what misses its goal:\n\n",
        sizes.join(" / ")
    );
    told + &table(&head, goals::by_function(found))
}

/// What the functions take of the processor until they are there, beside the empty one: at the smallest sizes the clock tells
/// more of when a period begins.
fn init_processor(found: &Found) -> String {
    let times = found.sizes().into_iter().filter_map(|size| {
        let (empty, _) = found.slowest(Kind::Empty, size, INIT_PROCESSOR)?;
        let functions = found.of(Kind::Function);
        let medians = functions.filter_map(|one| one.median(size, INIT_PROCESSOR));
        let times = Spread::of(medians.map(|median| median / empty))?;
        Some(format!(
            "{:.2} to {:.2} times at {size} MB",
            times.least, times.most
        ))
    });
    let times: Vec<String> = times.collect();
    format!(
        "\nOf the processor they take, until they are there, as much as *empty* {}. With 128 MB there is 1.4 ms of it in a \
         period, and *empty* alone takes a little more: whoever does may have to wait for the next one, up to 20 ms, so that \
         there the clock tells much by chance, and this does not.\n",
        times.join(", ")
    )
}

/// A line for each program: what it is, and its figures at one size.
fn rows(found: &Found, memory_mb: u64) -> Vec<Vec<String>> {
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
            Kind::Empty | Kind::DefaultSdk => format!("*{}*", program.name),
        };
        Some(vec![
            name,
            format!("{:.2}", megabytes(program.zip_bytes)),
            time(INIT),
            time(FIRST_CALL),
            time(FIRST),
            time(WARM),
            time(OVERHEAD),
            found
                .plain(program, memory_mb)
                .map_or("-".to_owned(), |plain| format!("{plain:.1}")),
            calls(size),
            time(PROCESSOR),
            format!("{:.1}", kib_in_mb(size.peak_kib())),
        ])
    });
    lines.collect()
}

/// Of each warm invocation; what a process keeps it asks for once.
fn calls(size: &AtSize) -> String {
    let last = size.starts.last().map(|start| start.calls);
    last.map_or(0, |calls| calls.s3 + calls.others).to_string()
}

const HEAD: [&str; 11] = [
    "",
    "zip, MB",
    "until it is there",
    "first call",
    "first invocation",
    "warm",
    "warm, besides its calls",
    "as many by *default SDK*",
    "calls",
    "warm, processor",
    "most memory, MB",
];

#[cfg(test)]
mod tests {
    use super::super::{Calls, Invocation, Measured, Start};
    use super::*;

    fn program(kind: Kind, name: &str, init: f64, first_call: Option<f64>) -> Measured {
        let invocation = Invocation {
            whole: 5.0,
            in_calls: 4.0,
            cpu: 0.5,
        };
        let plain = Invocation {
            whole: 4.75,
            ..invocation
        };
        let is_plain = kind == Kind::DefaultSdk;
        let functions = ["lock", "plan"].into_iter().filter(|_| is_plain);
        let start = Start {
            init,
            init_cpu: 1.0,
            first_call,
            first: invocation,
            warm: vec![invocation; 3],
            calls: Calls { s3: 1, others: 0 },
            plain: functions
                .map(|function| (function.to_owned(), vec![plain; 3]))
                .collect(),
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
            architecture: "x86_64".to_owned(),
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
        let rows = goals::judged(found).into_iter();
        rows.map(|row| row[3].clone()).collect()
    }

    #[test]
    fn a_goal_is_met_by_all_functions_or_not_at_all() {
        assert_eq!(met(&found(15.0, 50.0)), ["yes"; 5]);
        assert_eq!(met(&found(15.1, 50.0))[1], "**no**");
        assert_eq!(met(&found(15.0, 50.1))[2], "**no**");
    }

    #[test]
    fn a_function_that_misses_a_goal_is_told_from_one_that_does_not() {
        let rows = goals::by_function(&found(20.0, 50.0));
        assert_eq!(
            rows[0],
            ["`lock`", "2.00", "1.10", "0.20", "0.25", "10.24", "yes"]
        );
        assert_eq!(
            rows[1],
            [
                "`plan`", "2.00", "**2.00**", "0.50", "0.25", "10.24", "**no**"
            ]
        );
    }

    #[test]
    fn what_there_was_nothing_to_measure_beside_is_neither_met_nor_missed() {
        let mut found = found(15.0, 50.0);
        found.programs.retain(|one| one.kind != Kind::DefaultSdk);
        assert_eq!(met(&found), ["yes", "yes", "-", "-", "yes"]);
        let rows = goals::by_function(&found);
        assert_eq!((rows[1][4].as_str(), rows[1][6].as_str()), ("", "yes"));
    }

    #[test]
    fn what_was_measured_comes_back_from_what_was_written() {
        let found = found(15.0, 50.0);
        let json = serde_json::to_string(&found).unwrap();
        let back: Found = serde_json::from_str(&json).unwrap();
        let markdown = |found| section(found).unwrap().markdown;
        assert_eq!(markdown(&back), markdown(&found));
    }

    #[test]
    fn the_section_shows_its_plots() {
        let section = section(&found(15.0, 50.0)).unwrap();
        assert_eq!(section.plots.len(), 2);
        for plot in section.plots {
            let shown = format!("(performance/{}.svg)", plot.name);
            assert!(section.markdown.contains(&shown));
            assert!(plot.svg.contains("default SDK"));
        }
    }
}
