//! How long a deploy takes besides what its instances take, in real time and from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use exuvia_core::target::Strategy;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::apps::{App, Deploy};
use super::site::Site;
use super::{http, image};

/// From one look, and from one question, to the next.
const EVERY: Duration = Duration::from_millis(200);

/// A version that replaces another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overhead {
    /// How long after its start an instance's application listens.
    pub boot_seconds: u64,
    pub uploaded: Timestamp,
    /// The new group is there.
    pub created: Timestamp,
    /// All of its targets are healthy.
    pub healthy: Timestamp,
    /// For so long they must have been before they may have traffic: (threshold - 1) x interval of the health check.
    pub hold_seconds: u32,
    /// From then on every answer was the new version's.
    pub served: Timestamp,
}

impl Overhead {
    /// Seconds from the upload until the new version has all traffic.
    pub fn total(&self) -> f64 {
        seconds(self.uploaded, self.served)
    }

    /// Seconds of it that no deployer can save: from the group's creation until its targets are proved.
    pub fn own(&self) -> f64 {
        seconds(self.created, self.healthy) + f64::from(self.hold_seconds)
    }

    /// The rest.
    pub fn overhead(&self) -> f64 {
        self.total() - self.own()
    }

    /// The rest's part before the group is there.
    pub fn before(&self) -> f64 {
        seconds(self.uploaded, self.created)
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// What was seen of new fleets: when each was there, and when all of its targets were healthy.
#[derive(Default)]
struct Seen {
    created: BTreeMap<String, Timestamp>,
    healthy: BTreeMap<String, Timestamp>,
}

impl Seen {
    fn look(&mut self, state: &Value, now: Timestamp) {
        for group in state["groups"].as_array().into_iter().flatten() {
            let (Some(name), Some(desired)) = (group["name"].as_str(), group["desired"].as_u64())
            else {
                continue;
            };
            self.created.entry(name.to_owned()).or_insert(now);
            let fleets = state["targetGroups"].as_array().into_iter().flatten();
            let targets = fleets
                .filter(|fleet| fleet["name"] == name)
                .flat_map(|fleet| fleet["targets"].as_array().into_iter().flatten());
            let healthy = targets.filter(|target| target["state"] == "healthy");
            if desired > 0 && healthy.count() as u64 >= desired {
                self.healthy.entry(name.to_owned()).or_insert(now);
            }
        }
    }
}

/// As many apps for each of these boots, all at once. Each has a version that boots as long, which another replaces: how long
/// a boot takes is learnt from the last ones.
pub(super) async fn measure(site: &Site, boots: &[u64], times: usize) -> Result<Vec<Overhead>> {
    let balancer = site.load_balancer(800).await?;
    let mut apps = Vec::new();
    for (number, boot) in boots
        .iter()
        .flat_map(|boot| std::iter::repeat_n(boot, times))
        .enumerate()
    {
        let name = format!("boot{boot}-{number}");
        let app = site.app(&name, &balancer, number, |target| {
            target.strategy = Strategy::AllAtOnce { bake_seconds: 15 };
            target.timeouts.drain_seconds = 10;
        });
        apps.push((*boot, app.await?));
    }
    let mut images = BTreeMap::new();
    for boot in boots {
        let starts_after = [format!("LOAD_START_AFTER={boot}")];
        let first = image::of_app("v1", &starts_after).await?;
        let second = image::of_app("v2", &starts_after).await?;
        images.insert(*boot, (first, second));
    }
    let mut firsts = Vec::new();
    for (boot, app) in &apps {
        firsts.push(site.upload(app, "v1", &images[boot].0).await?);
    }
    for deploy in &firsts {
        site.succeeds(deploy).await?;
    }

    let (stop, stopped) = watch::channel(false);
    let looking = look(site, stopped.clone());
    let deploying = async {
        let mut asking = JoinSet::new();
        let mut deploys: Vec<(u64, App, Timestamp, Deploy)> = Vec::new();
        for (boot, app) in &apps {
            asking.spawn(ask(app.clone(), stopped.clone()));
            let began = Timestamp::now();
            let deploy = site.upload(app, "v2", &images[boot].1).await?;
            deploys.push((*boot, app.clone(), began, deploy));
        }
        for (_, _, _, deploy) in &deploys {
            site.succeeds(deploy).await?;
        }
        stop.send_replace(true);
        let mut served = BTreeMap::new();
        while let Some(asked) = asking.join_next().await {
            let (host, since) = asked?;
            served.insert(host, since);
        }
        anyhow::Ok((deploys, served))
    };
    let (seen, (deploys, served)) = tokio::try_join!(looking, deploying)?;
    let mut found = Vec::new();
    for (boot_seconds, app, uploaded, _) in deploys {
        let fleet = app.fleet(2)?;
        let at = |times: &BTreeMap<String, Timestamp>| {
            let at = times.get(&fleet).copied();
            at.with_context(|| format!("{fleet} was not seen"))
        };
        let since = served.get(&app.host).copied().flatten();
        found.push(Overhead {
            boot_seconds,
            uploaded,
            created: at(&seen.created)?,
            healthy: at(&seen.healthy)?,
            hold_seconds: site.target.hold_seconds(),
            served: since.with_context(|| format!("{} does not serve v2", app.place))?,
        });
    }
    let apps: Vec<App> = apps.into_iter().map(|(_, app)| app).collect();
    site.clear(&[balancer], &apps, 2).await?;
    Ok(found)
}

async fn look(site: &Site, mut stop: watch::Receiver<bool>) -> Result<Seen> {
    let mut seen = Seen::default();
    while !*stop.borrow_and_update() {
        seen.look(&site.state().await?, Timestamp::now());
        tokio::time::sleep(EVERY).await;
    }
    Ok(seen)
}

/// Asks an app until `stop` is told: since when every answer has been v2's.
async fn ask(app: App, mut stop: watch::Receiver<bool>) -> (String, Option<Timestamp>) {
    let mut since = None;
    while !*stop.borrow_and_update() {
        let asked = Timestamp::now();
        let answer = http::get(&app.url(), Some(&app.host)).await;
        since = match answer {
            Ok((_, body)) if body.contains("\"v2\"") => since.or(Some(asked)),
            _ => None,
        };
        tokio::time::sleep(EVERY).await;
    }
    (app.host, since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_the_instances_take_is_not_the_deployers() {
        let overhead = Overhead {
            boot_seconds: 60,
            uploaded: at(100),
            created: at(102),
            healthy: at(180),
            hold_seconds: 10,
            served: at(194),
        };
        let seconds = [
            overhead.total(),
            overhead.own(),
            overhead.overhead(),
            overhead.before(),
        ];
        assert_eq!(
            seconds.map(|one| format!("{one:.0}")),
            ["94", "88", "6", "2"]
        );
    }

    #[test]
    fn a_fleet_is_healthy_when_all_of_it_is() {
        let state = |targets: &[&str]| {
            let targets: Vec<Value> = targets
                .iter()
                .map(|state| json!({"state": state}))
                .collect();
            json!({"groups": [{"name": "new", "desired": 2}],
                   "targetGroups": [{"name": "new", "targets": targets},
                                    {"name": "old", "targets": [{"state": "healthy"}, {"state": "healthy"}]}]})
        };
        let mut seen = Seen::default();
        for (second, targets) in [
            (1, &[][..]),
            (2, &["healthy", "initial"]),
            (3, &["healthy", "healthy"]),
            (4, &["healthy", "healthy"]),
        ] {
            seen.look(&state(targets), at(second));
        }
        assert_eq!((seen.created["new"], seen.healthy["new"]), (at(1), at(3)));
    }
}
