//! What a function costs: in bytes, until it is there, until it has called AWS for the first time, and then each time.
//!
//! The very programs that Lambda runs are started as Lambda starts them, with as much of a processor as it gives them,
//! and given what a simulated deploy gave them. What AWS takes to answer is known, so that what is left is the function's.

mod allowance;
mod authority;
mod endpoint;
mod figures;
mod goals;
pub mod page;
mod plot;
mod process;
mod recordings;
mod replay;
mod runtime_api;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use allowance::Allowance;
use authority::Authority;
use endpoint::Endpoint;
pub use process::{Invocation, Start};
pub use recordings::FUNCTIONS;
use recordings::{Plain, Recorded};
pub use replay::Calls;

/// The smallest that there is, that of most functions, and that of `report`.
const MEMORY_MB: [u64; 3] = [128, 256, 512];

/// Ten times as fast as S3 is with small objects
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>). Meanwhile a function waits, and
/// its share of the processor is its own again.
const ANSWER_MILLIS: u64 = 10;

/// Before each start, so that all are alike: a processor that was idle starts the same program more slowly, and functions that
/// wait for AWS leave it idle, as one that does nothing does not.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// What `cargo xtask package` made for this processor
    #[arg(long, default_value = "target/lambda")]
    pub programs: PathBuf,
    /// What was made of tests/bench/baselines
    #[arg(long, default_value = "target/baselines/lambda")]
    pub baselines: PathBuf,
    /// Another build of the functions, measured in turns with the first
    #[arg(long)]
    pub beside: Option<PathBuf>,
    /// Cold starts of each function at each size
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    pub starts: u16,
    /// Invocations after each start's first
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub warm: u16,
    /// How long what stands in for AWS takes for each answer
    #[arg(long, default_value_t = ANSWER_MILLIS)]
    pub answer_millis: u64,
    /// Only these functions
    #[arg(long = "function", value_parser = clap::builder::PossibleValuesParser::new(FUNCTIONS))]
    pub functions: Vec<String>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// In Rust's words.
    pub architecture: String,
    /// `/proc/cpuinfo`'s name of the processor.
    pub processor: String,
    pub answer_millis: u64,
    pub programs: Vec<Measured>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub kind: Kind,
    pub name: String,
    pub zip_bytes: u64,
    /// What its invocation calls.
    pub calls: Vec<String>,
    pub sizes: Vec<AtSize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Function,
    /// Of the other build.
    Beside,
    /// A function that does nothing.
    Empty,
    /// A function as the SDK's guide has it.
    DefaultSdk,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtSize {
    pub memory_mb: u64,
    pub starts: Vec<Start>,
}

/// What is to be measured, unpacked.
struct Subject {
    kind: Kind,
    name: String,
    zip_bytes: u64,
    bootstrap: PathBuf,
    recorded: Recorded,
    sizes: BTreeMap<u64, Vec<Start>>,
}

/// Starts everything in turns, so that whatever disturbs this computer disturbs all alike.
pub fn measure(options: &Options) -> Result<Found> {
    let functions = recordings::functions()?;
    let directory = Directory::new()?;
    let mut subjects = subjects(options, &functions, &directory.0)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let plain = Plain::of(&functions)?;
    runtime.block_on(in_turns(options, &mut subjects, &plain, &directory.0))?;
    let programs = subjects.into_iter().map(|subject| Measured {
        kind: subject.kind,
        name: subject.name,
        zip_bytes: subject.zip_bytes,
        calls: subject
            .recorded
            .exchanges
            .iter()
            .map(|one| format!("{}:{}", one.service, one.operation))
            .collect(),
        sizes: subject
            .sizes
            .into_iter()
            .map(|(memory_mb, starts)| AtSize { memory_mb, starts })
            .collect(),
    });
    Ok(Found {
        architecture: std::env::consts::ARCH.to_owned(),
        processor: processor(),
        answer_millis: options.answer_millis,
        programs: programs.collect(),
    })
}

async fn in_turns(
    options: &Options,
    subjects: &mut [Subject],
    plain: &Plain,
    directory: &Path,
) -> Result<()> {
    let _all = Allowance::for_this_process()?;
    let authority = Authority::new(directory)?;
    let answers_in = Duration::from_millis(options.answer_millis);
    let endpoint = Endpoint::start(&authority.server, answers_in).await?;
    let variables = process::settings(&authority.roots);
    let allowances: Result<Vec<(u64, Allowance)>> = MEMORY_MB
        .into_iter()
        .map(|size| Ok((size, Allowance::for_memory(size)?)))
        .collect();
    let allowances = allowances?;
    for turn in 1..=options.starts {
        eprintln!("  turn {turn} of {}", options.starts);
        // What each function called is what a plain client is to call then.
        let mut made = BTreeMap::new();
        for subject in &mut *subjects {
            for (memory_mb, allowance) in &allowances {
                let is_plain = subject.kind == Kind::DefaultSdk;
                let program = process::Program {
                    name: &subject.name,
                    bootstrap: &subject.bootstrap,
                    recorded: &subject.recorded,
                    plain: if is_plain { &made } else { &BTreeMap::new() },
                    memory_mb: *memory_mb,
                    variables: &variables,
                };
                let warm = usize::from(options.warm);
                tokio::time::sleep(PAUSE).await;
                let start = process::cold_start(&program, &endpoint, allowance, warm).await?;
                if subject.kind == Kind::Function {
                    made.insert(subject.name.clone(), plain.making(start.calls)?);
                }
                subject.sizes.entry(*memory_mb).or_default().push(start);
            }
        }
    }
    Ok(())
}

fn subjects(
    options: &Options,
    functions: &BTreeMap<String, Recorded>,
    directory: &Path,
) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let mut add = |kind, name: &str, zip: &Path, recorded: &Recorded| -> Result<()> {
        let bootstrap = directory.join(format!("{kind:?}-{name}"));
        subjects.push(Subject {
            kind,
            name: name.to_owned(),
            zip_bytes: unpack(zip, &bootstrap)?,
            bootstrap,
            recorded: recorded.clone(),
            sizes: BTreeMap::new(),
        });
        Ok(())
    };
    let baseline = |name: &str| options.baselines.join(name).join("bootstrap.zip");
    let empty = baseline("baseline-empty");
    add(Kind::Empty, "empty", &empty, &recordings::nothing())?;
    for name in FUNCTIONS {
        let wanted =
            options.functions.is_empty() || options.functions.iter().any(|one| one == name);
        let Some(recorded) = functions.get(name).filter(|_| wanted) else {
            continue;
        };
        let zip = |builds: &Path| builds.join(format!("exuvia-{name}/bootstrap.zip"));
        add(Kind::Function, name, &zip(&options.programs), recorded)?;
        if let Some(beside) = &options.beside {
            add(Kind::Beside, name, &zip(beside), recorded)?;
        }
    }
    let default = baseline("baseline-default-sdk");
    // Building it takes minutes: without it, what is measured beside it is left out.
    if default.exists() {
        let two_calls = Plain::of(functions)?.making(Calls { s3: 1, others: 1 })?;
        // The last one: it is given as many calls as the functions have made.
        add(Kind::DefaultSdk, "default SDK", &default, &two_calls)?;
    }
    Ok(subjects)
}

/// Takes the program out of a function's zip; how large that is.
fn unpack(zip: &Path, to: &Path) -> Result<u64> {
    use std::os::unix::fs::PermissionsExt as _;
    let missing = || {
        format!(
            "cannot read {}: `cargo xtask bench --part functions` makes the functions and what they are measured beside",
            zip.display()
        )
    };
    let file = fs::File::open(zip).with_context(missing)?;
    let bytes = file.metadata()?.len();
    let mut archive = zip::ZipArchive::new(file)?;
    let mut program = archive.by_name("bootstrap")?;
    std::io::copy(&mut program, &mut fs::File::create(to)?)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(bytes)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|name| name.trim_start_matches([' ', '\t', ':']));
    name.unwrap_or("unknown").to_owned()
}

/// Where programs are unpacked to; it goes when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("exuvia-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    /// What is said of the functions beside an empty one holds only if both are built alike.
    #[test]
    fn the_empty_function_is_built_as_the_product_is() {
        let settings = |manifest: &'static str, profile: &str| -> Vec<&'static str> {
            let (_, rest) = manifest.split_once(profile).unwrap();
            let section = rest.split("\n[").next().unwrap().lines();
            let set = section.filter(|line| line.contains('=') && !line.starts_with('#'));
            set.filter(|line| !line.starts_with("inherits")).collect()
        };
        let product = include_str!("../../../../Cargo.toml");
        let product = settings(product, "[profile.release]");
        let baseline = include_str!("../../baselines/Cargo.toml");
        assert!(product.iter().any(|line| line.starts_with("opt-level")));
        assert_eq!(settings(baseline, "[profile.product]"), product);
        let script = "\nbuild = \"../../../../functions/link.rs\"\n";
        assert!(include_str!("../../baselines/empty/Cargo.toml").contains(script));
        for function in super::FUNCTIONS {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions");
            let manifest =
                std::fs::read_to_string(format!("{root}/{function}/Cargo.toml")).unwrap();
            assert!(
                manifest.contains("\nbuild = \"../link.rs\"\n"),
                "{function}"
            );
        }
    }

    #[test]
    fn the_functions_are_those_of_the_pipeline() {
        let functions = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions"));
        let mut names: Vec<String> = functions
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name != "aws" && name != "core")
            .collect();
        names.sort();
        let mut known = super::FUNCTIONS.to_vec();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
