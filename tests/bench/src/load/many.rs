//! Many deploys at once, each of an app of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aws_sdk_sfn::types::ExecutionStatus;
use exuvia_core::target::{CapacityLimits, Strategy};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::apps::{App, Deploy, timestamp};
use super::image;
use super::site::{LoadBalancer, Site};

/// Behind one load balancer; each may have 100 rules and as many target groups, and a deploy needs two of these.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>
const BEHIND_ONE: usize = 50;
/// That an account may have in a region.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>
const GROUPS: usize = 500;
/// Uploads under way at once.
const HANDS: usize = 16;
const PATIENCE: Duration = Duration::from_mins(45);

/// So many first releases at once, of one instance each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Many {
    pub deploys: usize,
    /// The first upload began.
    pub began: Timestamp,
    /// The last upload had ended.
    pub uploaded: Timestamp,
    /// The last execution had ended.
    pub ended: Timestamp,
    /// Seconds from the end of its upload to the end of its execution, of those that succeeded.
    pub seconds: Vec<f64>,
    /// How the others ended, and why, and how often.
    pub failures: BTreeMap<String, usize>,
    /// Requests to exuvia-cloud meanwhile: those that it answered itself, and those that it passed on to ministack.
    pub answered: u64,
    pub passed_on: u64,
    /// How much of this computer's processors was used, from 0 to 1.
    pub busy: f64,
}

impl Many {
    pub fn took(&self) -> f64 {
        self.ended.duration_since(self.began).as_secs_f64()
    }
}

pub(super) async fn measure(site: &Site, waves: &[usize]) -> Result<Vec<Many>> {
    let image = image::of_hello().await?;
    let (mut found, mut standing) = (Vec::new(), Standing::default());
    for (number, deploys) in waves.iter().enumerate() {
        if standing.apps.len() + deploys > GROUPS {
            standing.clear(site).await?;
        }
        eprintln!("{deploys} deploys at once");
        found.push(wave(site, number, *deploys, &image, &mut standing).await?);
    }
    standing.clear(site).await?;
    Ok(found)
}

/// What has been deployed and not cleared away.
#[derive(Default)]
struct Standing {
    balancers: Vec<LoadBalancer>,
    apps: Vec<App>,
}

impl Standing {
    async fn clear(&mut self, site: &Site) -> Result<()> {
        let Self { balancers, apps } = std::mem::take(self);
        site.clear(&balancers, &apps, 1).await
    }
}

async fn wave(
    site: &Site,
    number: usize,
    count: usize,
    image: &[u8],
    standing: &mut Standing,
) -> Result<Many> {
    let (mut balancers, mut apps) = (Vec::new(), Vec::new());
    for one in 0..count {
        if one % BEHIND_ONE == 0 {
            let name = number * 100 + balancers.len();
            balancers.push(site.load_balancer(name).await?);
        }
        let behind = balancers.last().context("there is no load balancer")?;
        let name = format!("wave{number}-{one}");
        let app = site.app(&name, behind, one % BEHIND_ONE, |target| {
            let (min, initial, max) = (1, 1, 2);
            target.capacity = CapacityLimits { min, max, initial };
            target.strategy = Strategy::AllAtOnce { bake_seconds: 10 };
            target.timeouts.drain_seconds = 0;
        });
        apps.push(app.await?);
    }
    let (before, worked, began) = (site.requests().await?, Work::now()?, Timestamp::now());
    let uploads = stream::iter(&apps).map(|app| site.upload(app, "v1", image));
    let deploys: Vec<Deploy> = uploads.buffer_unordered(HANDS).try_collect().await?;
    let uploaded = Timestamp::now();
    let ended = all_end(site, &deploys).await?;
    let (after, busy) = (site.requests().await?, Work::now()?.busy_since(&worked));

    let (mut seconds, mut failures) = (Vec::new(), BTreeMap::new());
    let mut last = uploaded;
    for deploy in &deploys {
        let Some((succeeded, at)) = ended.get(&deploy.name) else {
            *failures
                .entry("it was never started".to_owned())
                .or_insert(0) += 1;
            continue;
        };
        last = last.max(*at);
        if *succeeded {
            let took = at.duration_since(deploy.uploaded);
            seconds.push(took.as_secs_f64());
            continue;
        }
        let ending = site.ended(deploy).await?;
        let why = ending.map_or_else(
            || "it has not ended".to_owned(),
            |ending| format!("{}: {}", ending.outcome, ending.cause),
        );
        *failures.entry(why).or_insert(0) += 1;
    }
    standing.balancers.extend(balancers);
    standing.apps.extend(apps);
    Ok(Many {
        deploys: count,
        began,
        uploaded,
        ended: last,
        seconds,
        failures,
        answered: after.answered - before.answered,
        passed_on: after.passed_on - before.passed_on,
        busy,
    })
}

/// Waits until all have ended, or until no more is to be expected: whether each succeeded, and when it ended.
async fn all_end(site: &Site, deploys: &[Deploy]) -> Result<BTreeMap<String, (bool, Timestamp)>> {
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let list = site.sfn.list_executions();
        let list = list.state_machine_arn(&site.state_machine);
        let mut listed = list.into_paginator().items().send();
        let mut ended = BTreeMap::new();
        while let Some(execution) = listed.next().await {
            let execution = execution.context("the executions cannot be listed")?;
            if let Some(at) = execution.stop_date {
                let succeeded = execution.status == ExecutionStatus::Succeeded;
                ended.insert(execution.name, (succeeded, timestamp(at)?));
            }
        }
        let left = deploys
            .iter()
            .filter(|deploy| !ended.contains_key(&deploy.name));
        let left = left.count();
        if left == 0 || began.elapsed() > PATIENCE {
            return Ok(ended);
        }
    }
}

/// What the processors have done since this computer started, in ticks.
struct Work {
    idle: u64,
    all: u64,
}

impl Work {
    /// <https://man7.org/linux/man-pages/man5/proc_stat.5.html>
    fn now() -> Result<Self> {
        let Some(found) = Self::of(&std::fs::read_to_string("/proc/stat")?) else {
            bail!("/proc/stat is not as expected");
        };
        Ok(found)
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is in these already.
        let ticks = line.split_whitespace().take(8).map(str::parse);
        let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
        Some(Self {
            idle: ticks.get(3)? + ticks.get(4)?,
            all: ticks.iter().sum(),
        })
    }

    #[allow(clippy::cast_precision_loss)] // ticks of some minutes
    fn busy_since(&self, before: &Self) -> f64 {
        let all = (self.all - before.all).max(1) as f64;
        1.0 - (self.idle - before.idle) as f64 / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_processors_did_is_read() {
        let before = Work::of("cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1 1 1 1\n").unwrap();
        let after = Work::of("cpu  160 0 70 820 50 0 0 0 9 9\n").unwrap();
        assert_eq!((before.all, before.idle), (1000, 850));
        assert!((after.busy_since(&before) - 0.8).abs() < 1e-9);
        assert!(Work::of("intr 1 2 3\n").is_none());
    }
}
