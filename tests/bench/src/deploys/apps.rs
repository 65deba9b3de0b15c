//! Many deploys at once: of different apps, and of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use exuvia_cloud::wire::{self, Service};
use exuvia_core::manifest::{Live, live_key};
use exuvia_core::name::Place;
use exuvia_core::target::{Conditions, Target};
use exuvia_simulation::measure::{Measure, Throttle};
use exuvia_simulation::run::Outcome;
use exuvia_simulation::scenario::{PLACE, between, estate_with};
use exuvia_simulation::world::{Estate, LEDGER, Upload};
use serde::{Deserialize, Serialize};

use super::counted::Counted;
use super::lab::{self, App, JITTER, Lab, PACE};
use super::quotas::QUOTAS;

/// How many apps are deployed in the same moment. A hundred take a minute to simulate, five hundred most of half an hour.
pub const APPS: [usize; 4] = [1, 10, 100, 500];

/// Uploads of one app in the same moment.
pub const UPLOADS: [usize; 3] = [2, 10, 50];

/// Apps of one load balancer: it takes 100 target groups, and a deploy has two.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>
const APPS_OF_A_BALANCER: usize = 50;

/// Processes of functions, each with a retry quota of its own; taken by turns.
const PROCESSES: usize = 100;

/// Requests of one operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rate {
    pub calls: u32,
    /// In the second with the most of them.
    pub peak: u32,
    pub throttled: u32,
}

/// Deploys that began in the same moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtOnce {
    pub deploys: usize,
    pub succeeded: usize,
    /// What the others ended as, by the last state.
    pub otherwise: BTreeMap<String, u32>,
    /// Whether each app's rule gives everything to its newest release, and `live.json` names that.
    pub in_order: bool,
    /// Seconds from the upload until the execution ended, of each.
    pub took: Vec<f64>,
    /// Seconds from the first call to the last.
    pub span: f64,
    pub rates: BTreeMap<String, Rate>,
    /// By the names of [`QUOTAS`].
    pub under_quotas: BTreeMap<String, Rate>,
    /// State transitions in the second with the most, and all.
    pub transitions: u32,
    /// Tasks that the workflow tried again.
    pub retries: u32,
    /// The most invocations at one time.
    pub concurrent: u32,
}

/// Uploads of one app in the same moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contended {
    pub uploads: usize,
    /// What executions ended as, by the last state.
    pub endings: BTreeMap<String, u32>,
    /// Of all Acquire Locks together.
    pub lock_calls: BTreeMap<String, u32>,
    /// How often a lock was asked for.
    pub asked: u32,
    /// Seconds until the last execution ended.
    pub took: f64,
}

/// Deploys of so many apps, with AWS's limits of requests or without any.
pub fn measure(apps: usize, limited: bool) -> anyhow::Result<AtOnce> {
    let lab = Lab::of_processes(apps.min(PROCESSES))?;
    let app = App {
        instances: 2,
        ..App::booting(60)
    };
    let places: Vec<String> = (0..apps).map(|number| format!("app{number}/qa")).collect();
    let estate = estate(&app, &places)?;
    let first = all_at_once(&lab, estate, 1, &places)?;
    let ended = first.estate.executions.iter();
    let failed = ended
        .filter(|one| one.status != "SUCCEEDED")
        .map(|one| format!("{}: {:?}", one.name, one.failure))
        .next();
    if let Some(failed) = failed {
        bail!("a first release failed: {failed}");
    }
    let mut estate = first.estate;
    if let (true, Some(measure)) = (limited, &mut estate.measure) {
        measure.throttle = Throttle::new(QUOTAS.map(|quota| quota.limit));
    }
    estate.executions.clear();
    let outcome = all_at_once(&lab, estate, 2, &places)?;
    read(&outcome, &places)
}

/// An account in which the targets of all apps stand, on as many load balancers as they need.
fn estate(app: &App, places: &[String]) -> anyhow::Result<Estate> {
    let mut estate = estate_with(lab::account());
    estate.measure = Some(Measure {
        pace: PACE,
        throttle: Throttle::default(),
        is_watched: false,
    });
    lab::boot(&mut estate, app.boot, JITTER, 1);
    let pattern = estate.services.ssm.get(&format!("/exuvia/{PLACE}"));
    let pattern: Target = serde_json::from_str(pattern.unwrap_or_default())?;
    // Of the simulated load balancers each has a port of its own.
    for (port, places) in (8_000..).zip(places.chunks(APPS_OF_A_BALANCER)) {
        let listener = listener(&mut estate, port)?;
        for (number, place) in (1_u32..).zip(places) {
            let mut target = pattern.clone();
            app.put_into(&mut target);
            target.listener_arn = Some(listener.clone());
            target.priority = Some(number * 10);
            target.conditions = Some(Conditions {
                hosts: vec![format!("{}.example.com", place.replace('/', "."))],
                paths: Vec::new(),
            });
            let text = serde_json::to_string(&target)?;
            let ssm = &mut estate.services.ssm;
            ssm.put(&format!("/exuvia/{place}"), text, estate.now);
        }
    }
    Ok(estate)
}

/// A load balancer's listener.
fn listener(estate: &mut Estate, port: u16) -> anyhow::Result<String> {
    let now = estate.now;
    let mut ask = |form: String| {
        let form = format!("Version=2015-12-01&{form}");
        wire::answer(estate.cloud.at(now), Service::ElasticLoadBalancing, &form).body
    };
    let balancer = ask(format!(
        "Action=CreateLoadBalancer&Name=lb-{port}&Subnets.member.1=subnet-a&Subnets.member.2=subnet-b&\
         Subnets.member.3=subnet-c"
    ));
    let listener = ask(format!(
        "Action=CreateListener&LoadBalancerArn={}&Protocol=HTTP&Port={port}&\
         DefaultActions.member.1.Type=fixed-response&\
         DefaultActions.member.1.FixedResponseConfig.StatusCode=503",
        between(&balancer, "<LoadBalancerArn>", "</LoadBalancerArn>")
    ));
    let arn = between(&listener, "<ListenerArn>", "</ListenerArn>");
    ensure!(
        !arn.is_empty(),
        "no listener on port {port}: {balancer} {listener}"
    );
    Ok(arn.to_owned())
}

/// A new version of each app is uploaded in the same moment.
fn all_at_once(lab: &Lab, estate: Estate, seed: u64, places: &[String]) -> anyhow::Result<Outcome> {
    let world = lab.world(estate, seed);
    for place in places {
        world.state().upload_to(place, "good");
    }
    lab.run_in(Arc::clone(&world))
}

fn read(outcome: &Outcome, places: &[String]) -> anyhow::Result<AtOnce> {
    let (estate, seen) = (&outcome.estate, &outcome.seen);
    let deploys = || estate.executions.iter().filter(|one| !one.is_recovery());
    let mut otherwise = BTreeMap::new();
    for deploy in deploys().filter(|one| one.path.last().is_none_or(|last| last != "Succeeded")) {
        let last = deploy.path.last().cloned().unwrap_or_default();
        *otherwise.entry(last).or_default() += 1;
    }
    let uploads = estate.uploads.iter().rev().take(places.len());
    let took: Option<Vec<f64>> = uploads.map(|upload| took(estate, upload)).collect();
    let mut seconds: BTreeMap<(&str, &str), BTreeMap<u64, u32>> = BTreeMap::new();
    let mut throttled: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for call in &seen.calls {
        let name = (call.service.as_str(), call.operation.as_str());
        let second = seconds.entry(name).or_default();
        *second.entry(call.at.as_secs()).or_default() += 1;
        *throttled.entry(name).or_default() += u32::from(call.is_throttled);
    }
    let rate = |is_of: &dyn Fn(&str, &str) -> bool| {
        let mut sums: BTreeMap<u64, u32> = BTreeMap::new();
        let named = seconds.iter().filter(|((a, b), _)| is_of(a, b));
        for (second, count) in named.flat_map(|(_, seconds)| seconds) {
            *sums.entry(*second).or_default() += count;
        }
        let refused = throttled.iter().filter(|((a, b), _)| is_of(a, b));
        Rate {
            calls: sums.values().sum(),
            peak: sums.values().max().copied().unwrap_or(0),
            throttled: refused.map(|(_, count)| count).sum(),
        }
    };
    let rates = seconds.keys().map(|(service, operation)| {
        let rate = rate(&|a, b| a == *service && b == *operation);
        (format!("{service}.{operation}"), rate)
    });
    let under_quotas = QUOTAS.iter().map(|quota| {
        let rate = rate(&|a, b| quota.limit.is_of(a, b));
        (quota.what.to_owned(), rate)
    });
    let counted = deploys().map(|one| Counted::of(outcome, Some(one), ""));
    let counted: Vec<Counted> = counted.collect();
    let first = seen.calls.first().map_or(Duration::ZERO, |call| call.at);
    let last = seen.calls.last().map_or(Duration::ZERO, |call| call.at);
    Ok(AtOnce {
        deploys: places.len(),
        succeeded: deploys()
            .filter(|one| one.path.last().is_some_and(|last| last == "Succeeded"))
            .count(),
        otherwise,
        in_order: places.iter().all(|place| is_in_order(estate, place)),
        took: took.context("an upload started nothing, or something that has not ended")?,
        span: last.saturating_sub(first).as_secs_f64(),
        rates: rates.collect(),
        under_quotas: under_quotas.collect(),
        transitions: counted.iter().map(Counted::transitions).sum(),
        retries: counted.iter().map(|counted| counted.retries).sum(),
        concurrent: concurrent(outcome),
    })
}

/// Seconds from an upload to the end of the execution that it started.
fn took(estate: &Estate, upload: &Upload) -> Option<f64> {
    let mut executions = estate.executions.iter();
    let started =
        executions.find(|one| one.input.contains(&format!("\"{}\"", upload.version_id)))?;
    Some(lab::seconds(upload.at, started.stopped?))
}

/// Whether the newest release of a place has all the traffic, and the ledger says so.
fn is_in_order(estate: &Estate, place: &str) -> bool {
    let Some(place) = place
        .split_once('/')
        .and_then(|(app, environment)| Place::new(app, environment).ok())
    else {
        return false;
    };
    let live = estate.services.s3.get(LEDGER, &live_key(&place));
    let Some(live) = live.and_then(|live| serde_json::from_slice::<Live>(live).ok()) else {
        return false;
    };
    let newest = exuvia_core::fleet::FleetName::new(&place, live.release).to_string();
    let survey = estate.cloud.survey();
    let rules = survey.rules.iter();
    let mut of_place = rules.filter(|rule| rule.weights.iter().any(|(name, _)| *name == newest));
    live.release.get() == 2
        && of_place.next().is_some_and(|rule| rule.weights.len() == 1)
        && of_place.next().is_none()
}

/// The most invocations at one time.
fn concurrent(outcome: &Outcome) -> u32 {
    let mut changes: Vec<(Duration, i32)> = Vec::new();
    for invocation in &outcome.seen.invocations {
        changes.push((invocation.ended.saturating_sub(invocation.took), 1));
        changes.push((invocation.ended, -1));
    }
    changes.sort_unstable();
    let mut now = 0;
    let counts = changes.iter().map(|(_, change)| {
        now += change;
        now
    });
    counts
        .max()
        .and_then(|most| u32::try_from(most).ok())
        .unwrap_or(0)
}

/// So many versions of one app are uploaded in the same moment.
pub fn contend(uploads: usize) -> anyhow::Result<Contended> {
    let lab = Lab::of_processes(uploads.min(PROCESSES))?;
    let estate = lab::estate(&App::booting(60), 1)?;
    let estate = lab::with_releases(&lab, estate, 1, 1)?;
    let before = estate.executions.len();
    let began = estate.now;
    let outcome = lab.run(estate, 2, false, &vec!["upload:good@0s"; uploads])?;
    let executions = &outcome.estate.executions[before..];
    let mut endings = BTreeMap::new();
    for one in executions {
        let last = one.path.last().cloned().unwrap_or_default();
        *endings.entry(last).or_default() += 1;
    }
    let mut lock_calls = BTreeMap::new();
    for call in &outcome.seen.calls {
        if call.visit.state == "Acquire Lock" {
            let name = format!("{}.{}", call.service, call.operation);
            *lock_calls.entry(name).or_default() += 1;
        }
    }
    let asked = outcome.seen.invocations.iter();
    let asked = asked
        .filter(|one| one.visit.state == "Acquire Lock")
        .count();
    let last = executions.iter().filter_map(|one| one.stopped).max();
    Ok(Contended {
        uploads,
        endings,
        lock_calls,
        asked: u32::try_from(asked)?,
        took: lab::seconds(began, last.context("nothing has ended")?),
    })
}
