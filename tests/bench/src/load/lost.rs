//! Requests through every phase of a deploy: none may be lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use exuvia_core::target::{Strategy, Target};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::apps::App;
use super::course::Course;
use super::image;
use super::oha::{self, Manner, Slice};
use super::site::Site;
use super::sockets::{self, Life, Met};

/// Traffic before the upload and after the deploy, to compare with.
const CALM: Duration = Duration::from_secs(15);
/// More than any request and any limited `WebSocket` takes.
const DRAIN_SECONDS: u32 = 20;

/// What happens to an app that has traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scenario {
    AllAtOnce,
    Canary,
    /// The new version's health check fails once it has traffic; it goes on answering.
    RolledBack,
}

impl Scenario {
    pub const ALL: [Self; 3] = [Self::AllAtOnce, Self::Canary, Self::RolledBack];

    fn name(self) -> &'static str {
        match self {
            Self::AllAtOnce => "at-once",
            Self::Canary => "canary",
            Self::RolledBack => "rolled-back",
        }
    }

    fn strategy(self) -> Strategy {
        match self {
            Self::AllAtOnce => Strategy::AllAtOnce { bake_seconds: 20 },
            Self::Canary => Strategy::Canary {
                percent: 20,
                hold_seconds: 20,
                bake_seconds: 10,
            },
            // Longer than the health check takes to notice.
            Self::RolledBack => Strategy::AllAtOnce { bake_seconds: 60 },
        }
    }

    /// How its execution ends if it goes as it should.
    pub fn expected(self) -> &'static str {
        match self {
            Self::AllAtOnce | Self::Canary => "SUCCEEDED",
            Self::RolledBack => "RolledBack",
        }
    }

    fn environment(self) -> Vec<String> {
        match self {
            Self::AllAtOnce | Self::Canary => Vec::new(),
            Self::RolledBack => vec!["LOAD_SICK_AFTER=100".to_owned()],
        }
    }
}

/// What an app's users met in a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    pub scenario: Scenario,
    /// How the execution ended.
    pub outcome: String,
    pub course: Course,
    pub slices: Vec<Slice>,
    pub met: Vec<Met>,
}

/// All scenarios at once, an app each.
pub(super) async fn measure(site: &Site, scenarios: &[Scenario]) -> Result<Vec<Lost>> {
    oha::install().await?;
    let balancer = site.load_balancer(900).await?;
    let mut apps = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let shape = |target: &mut Target| {
            target.strategy = scenario.strategy();
            target.timeouts.drain_seconds = DRAIN_SECONDS;
            if let Some(check) = &mut target.health_check {
                (check.interval_seconds, check.timeout_seconds) = (5, 4);
            }
        };
        let app = site.app(scenario.name(), &balancer, number, shape).await?;
        apps.push((*scenario, app));
    }
    let first = image::of_app("v1", &[]).await?;
    let mut firsts = Vec::new();
    for (_, app) in &apps {
        firsts.push(site.upload(app, "v1", &first).await?);
    }
    for deploy in &firsts {
        site.succeeds(deploy).await?;
    }
    let all = apps
        .iter()
        .map(|(scenario, app)| with_traffic(site, *scenario, app));
    let found = futures_util::future::try_join_all(all).await?;
    let apps: Vec<App> = apps.into_iter().map(|(_, app)| app).collect();
    site.clear(&[balancer], &apps, 2).await?;
    Ok(found)
}

async fn with_traffic(site: &Site, scenario: Scenario, app: &App) -> Result<Lost> {
    let (stop, stopped) = watch::channel(false);
    let (mut asking, mut talking) = (JoinSet::new(), JoinSet::new());
    for manner in Manner::ALL {
        asking.spawn(oha::ask(app.clone(), manner, stopped.clone()));
    }
    for life in Life::ALL {
        talking.spawn(sockets::talk(app.clone(), life, stopped.clone()));
    }
    tokio::time::sleep(CALM).await;
    let second = image::of_app("v2", &scenario.environment()).await?;
    let began = Timestamp::now();
    let deploy = site.upload(app, "v2", &second).await?;
    let ending = site.end(&deploy).await?;
    tokio::time::sleep(CALM).await;
    stop.send_replace(true);
    let entered = site.entered(&deploy).await?;
    ensure!(
        ending.outcome == scenario.expected(),
        "the deploy of {} ended with {} and not with {}: {}",
        app.place,
        ending.outcome,
        scenario.expected(),
        ending.cause
    );
    let (mut slices, mut met) = (Vec::new(), Vec::new());
    while let Some(asked) = asking.join_next().await {
        slices.extend(asked??);
    }
    while let Some(talked) = talking.join_next().await {
        met.extend(talked??);
    }
    Ok(Lost {
        scenario,
        outcome: ending.outcome,
        course: Course::of(began, &entered, ending.at)?,
        slices,
        met,
    })
}
