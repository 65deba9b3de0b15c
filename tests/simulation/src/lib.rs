//! The proof: the real state machine with the real functions and the real SDK clients, in one process and in virtual
//! time, under every fault.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asl;
mod audit;
mod calls;
mod connector;
mod executions;
pub mod fault;
mod functions;
mod image;
mod kit;
mod machines;
mod run;
mod scenario;
pub mod services;
mod suffer;
mod watch;
mod world;

pub fn main() -> anyhow::Result<()> {
    let line = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let schedule: fault::Schedule = line.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let kit = std::rc::Rc::new(kit::Kit::new().await?);
        let scenario = scenario::Scenario::named(&schedule.scenario).unwrap();
        let mut estate = scenario::empty_estate();
        for action in scenario.before() {
            let opening = [fault::Fault { what: action, at: fault::Point::After(std::time::Duration::ZERO) }];
            let quiet = fault::Schedule { scenario: String::new(), seed: 1, faults: vec![] };
            let outcome = run::run(&kit, estate, &opening, &quiet, true).await;
            for v in &outcome.seen.violations { println!("{v:?}"); }
            estate = outcome.estate;
        }
        let opening: Vec<fault::Fault> = scenario.opening.iter().map(|o| o.parse().unwrap()).collect();
        let began = std::time::Instant::now();
        let n = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        let mut last = None;
        for i in 0..n {
            let mut s = schedule.clone(); s.seed += i;
            last = Some(run::run(&kit, estate.clone(), &opening, &s, n == 1).await);
        }
        println!("{:?} each", began.elapsed() / n as u32);
        let outcome = last.unwrap();
        for (at, what) in &outcome.seen.timeline { println!("{:8.2} {what}", at.as_secs_f64()); }
        for v in &outcome.seen.violations { println!("{v:?}"); }
        for e in &outcome.estate.executions { println!("{} {} {:?} {:?} events {}", e.who, e.status, e.failure, e.path, e.events); }
        println!("calls {} took {:?} letters {:?}", outcome.seen.calls.len(), outcome.took, outcome.seen.dead_letters);
        anyhow::Ok(())
    })
}
