//! Runs the simulation: every single fault, every pair, and random schedules; or one schedule again.

use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Parser;
use exuvia_simulation::explore::{of_recovery, pairs, random, singles, stops};
use exuvia_simulation::fault::Schedule;
use exuvia_simulation::mended::MENDED;
use exuvia_simulation::proof::{Bench, Failing, Ground, Proof, grounds, prove};
use exuvia_simulation::scenario::SCENARIOS;

/// The scenarios in which each pair of faults is tried, and each recovery cut off as well.
const CUT_OFF: [&str; 2] = ["replace", "remove"];

/// Proves by simulation that a deploy never loses, leaks or lies.
#[derive(Debug, Parser)]
struct Options {
    /// Runs one schedule again and prints what happened: a line as it is printed for a failure.
    #[arg(long, value_name = "LINE")]
    replay: Option<Schedule>,
    /// The first seed of the random schedules.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random schedules.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    schedules: usize,
    /// Of the exhaustive part only every n-th schedule; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Of the pairs of a kill and another fault only every n-th; 0 leaves them out.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pairs: usize,
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// Stops after so many schedules that fail.
    #[arg(long, value_name = "N", default_value_t = 10)]
    most: usize,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(schedule) = &options.replay {
        return replay(schedule);
    }
    let began = Instant::now();
    let names: Vec<&str> = match &options.scenario {
        Some(name) => vec![name],
        None => SCENARIOS.iter().map(|scenario| scenario.name).collect(),
    };
    let grounds = grounds(names.iter().copied())?;
    let mut failing = Vec::new();
    let mut total = 0;
    let mut part = |what: &str, schedules: &(dyn Fn(usize) -> Schedule + Sync), count: usize| {
        let began = Instant::now();
        let progress = |done: usize, failing: Option<&Failing>| {
            if let Some(failing) = failing {
                eprintln!("  fails: {}", failing.schedule);
            }
            if done.is_multiple_of(1000) {
                eprintln!("  {done} of {count} {what}");
            }
        };
        let proof = prove(&grounds, schedules, count, options.most, &progress)?;
        let Proof {
            ran,
            struck,
            failing: found,
        } = proof;
        let took = began.elapsed();
        let a_minute = ran as u128 * 60_000 / took.as_millis().max(1);
        println!(
            "{what}: {ran} schedules ({struck} in which a fault happened) in {:.1} s, {a_minute} a minute; {} fail",
            took.as_secs_f64(),
            found.len()
        );
        total += ran;
        failing.extend(found);
        anyhow::Ok(())
    };
    let every = |schedules: Vec<Schedule>, n: usize| -> Vec<Schedule> {
        if n == 0 {
            return Vec::new();
        }
        schedules.into_iter().step_by(n).collect()
    };
    let mended: Result<Vec<Schedule>, _> = MENDED.iter().map(|(_, line)| line.parse()).collect();
    let mut mended = mended.context("tests/simulation/src/mended.rs")?;
    mended.retain(|schedule| grounds.contains_key(&schedule.scenario));
    part("once mended", &|index| mended[index].clone(), mended.len())?;
    let single = grounds
        .iter()
        .flat_map(|(name, ground)| singles(name, &ground.points));
    let single = every(single.collect(), options.every);
    part(
        "single faults",
        &|index| single[index].clone(),
        single.len(),
    )?;
    for name in CUT_OFF {
        let Some(ground) = grounds.get(name) else {
            continue;
        };
        let pairs = every(pairs(name, &ground.points), options.pairs);
        let what = format!("pairs of {name}");
        part(&what, &|index| pairs[index].clone(), pairs.len())?;
        let bench = Bench::new()?;
        let cut_off = stops(name, &ground.points).into_iter().flat_map(|stopped| {
            let seen = bench.examine(ground, &stopped, false).outcome.seen;
            of_recovery(&stopped, &seen.calls, &seen.entries)
        });
        let cut_off = every(cut_off.collect(), options.pairs);
        let what = format!("cut off recoveries of {name}");
        part(&what, &|index| cut_off[index].clone(), cut_off.len())?;
    }
    let schedule = |index: usize| {
        let seed = options.seed + index as u64;
        let name = names[fastrand::Rng::with_seed(seed).usize(..names.len())];
        random(name, &grounds[name].points, seed)
    };
    part("random", &schedule, options.schedules)?;
    println!(
        "{total} schedules in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    if failing.is_empty() {
        return Ok(());
    }
    let bench = Bench::new()?;
    for failing in failing.iter().take(options.most) {
        tell(&bench, &grounds[&failing.schedule.scenario], failing);
    }
    bail!("{} schedules violate an invariant", failing.len());
}

/// Prints a schedule that fails, made as small as it gets.
fn tell(bench: &Bench, ground: &Ground, failing: &Failing) {
    let smallest = bench.shrink(ground, failing);
    println!(
        "\nfound with:   {}\nsmallest:     {}",
        failing.schedule, smallest.schedule
    );
    for violation in &smallest.violations {
        println!("violates {}:  {}", violation.invariant, violation.what);
    }
}

fn replay(schedule: &Schedule) -> anyhow::Result<()> {
    let grounds = grounds([schedule.scenario.as_str()])?;
    let ground = &grounds[&schedule.scenario];
    let examined = Bench::new()?.examine(ground, schedule, true);
    for (at, what) in &examined.outcome.seen.timeline {
        println!("{:8.2} {what}", at.as_secs_f64());
    }
    for execution in &examined.outcome.estate.executions {
        let failure = execution.failure.as_ref();
        let error = failure.map_or("", |failure| failure.error.as_str());
        println!(
            "{} {} {error}: {}",
            execution.who,
            execution.status,
            execution.path.join(", ")
        );
    }
    for violation in &examined.violations {
        println!("violates {}: {}", violation.invariant, violation.what);
    }
    if !examined.violations.is_empty() {
        bail!("{schedule} violates an invariant");
    }
    Ok(())
}
