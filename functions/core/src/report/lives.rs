//! The lives of a fleet's instances, from what Auto Scaling, the load balancer, the ledger and the looks at it say.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::history::Event;
use super::story::{Look, looks};
use super::{LaunchFailure, MOST_LIVES, Report, clean};
use crate::health::Target;
use crate::manifest::BootReport;

/// What was seen of a release's fleet; of one that is gone, the activities alone.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    pub activities: Vec<Activity>,
    pub targets: Vec<Target>,
    pub reports: Vec<BootReport>,
}

/// A scaling activity: <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Activity.html>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub description: String,
    pub cause: String,
    /// Auto Scaling's `StatusCode`.
    pub status: String,
    pub message: Option<String>,
    pub zone: Option<String>,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
}

/// An instance. What is absent is not known, or has not come to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When Auto Scaling began to launch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched: Option<Timestamp>,
    /// When it was in service for its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<Timestamp>,
    /// When a look first found it healthy behind the load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<Timestamp>,
    /// When its termination began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<Timestamp>,
    /// When it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Timestamp>,
    /// The state of its target when it was last looked at, or its own while it was not in service, with the reason code: `unhealthy (Target.ResponseCodeMismatch)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What it reported of a boot that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_report: Option<String>,
    /// Why it was terminated, in Auto Scaling's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

const LAUNCHING: &str = "Launching a new EC2 instance";
const TERMINATING: &str = "Terminating EC2 instance";

/// The instance that an activity is about.
fn instance(description: &str) -> Option<&str> {
    let (_, after) = description.split_once(": ")?;
    let id = after.split([' ', '.']).next()?;
    let is_id = id.starts_with("i-") && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_id.then_some(id).filter(|id| id.len() <= 32)
}

impl Report {
    /// With what was seen of the new release's fleet.
    #[must_use]
    pub fn with_fleet(mut self, fleet: &Fleet, events: &[Event]) -> Self {
        let mut activities: Vec<&Activity> = fleet.activities.iter().collect();
        activities.sort_by_key(|activity| activity.started);
        let mut lives: Vec<Life> = Vec::new();
        for activity in activities {
            match instance(&activity.description) {
                Some(id) => take(life_of(&mut lives, id), activity),
                None if activity.status == "Failed" => self.launch_failures.push(LaunchFailure {
                    at: activity.started,
                    reason: clean(
                        activity.message.as_deref().unwrap_or(&activity.description),
                        300,
                    ),
                }),
                None => {}
            }
        }
        self.launch_failures.truncate(MOST_LIVES / 10);
        for look in looks(events) {
            find_healthy(&mut lives, &look);
        }
        for target in fleet.targets.iter().filter(|target| known(&target.id)) {
            let life = life_of(&mut lives, &target.id);
            life.state = Some(state(&target.state, target.reason.as_deref()));
        }
        for report in fleet
            .reports
            .iter()
            .filter(|report| known(&report.instance_id))
        {
            let life = life_of(&mut lives, &report.instance_id);
            life.boot_report = Some(clean(&report.summary(), 500));
        }
        self.instances = lives;
        self.limit_lives();
        self
    }

    pub(super) fn limit_lives(&mut self) {
        self.instances
            .sort_by(|one, other| (one.launched, &one.id).cmp(&(other.launched, &other.id)));
        self.instances_left_out += self.instances.len().saturating_sub(MOST_LIVES);
        self.instances.truncate(MOST_LIVES);
    }
}

fn known(id: &str) -> bool {
    instance(&format!(": {id}")) == Some(id)
}

fn life_of<'a>(lives: &'a mut Vec<Life>, id: &str) -> &'a mut Life {
    let at = lives.iter().position(|life| life.id == id);
    let at = at.unwrap_or_else(|| {
        lives.push(Life {
            id: id.to_owned(),
            ..Life::default()
        });
        lives.len() - 1
    });
    &mut lives[at]
}

fn take(life: &mut Life, activity: &Activity) {
    if let Some(zone) = &activity.zone {
        life.zone = Some(clean(zone, 40));
    }
    let succeeded = activity.ended.filter(|_| activity.status == "Successful");
    if activity.description.starts_with(LAUNCHING) {
        life.launched = Some(activity.started);
        life.in_service = succeeded;
        if activity.status == "Failed" || activity.status == "Cancelled" {
            life.reason = activity
                .message
                .as_deref()
                .map(|message| clean(message, 300));
        }
    } else if activity.description.starts_with(TERMINATING) {
        life.terminating = Some(activity.started);
        life.terminated = succeeded;
        life.reason = Some(clean(&activity.cause, 300)).filter(|cause| !cause.is_empty());
    }
}

/// A look counts those that are healthy, and names those that are not, or the first of them. Those that it does not name
/// are healthy, if they are as many as it counted: else who is not known.
fn find_healthy(lives: &mut [Life], look: &Look) {
    let at = look.sample.at;
    let there = |life: &Life| {
        life.launched.is_some_and(|launched| launched <= at)
            && life.terminating.is_none_or(|terminating| terminating > at)
    };
    let named = |life: &Life| look.waiting.iter().any(|one| one.instance == life.id);
    for one in &look.waiting {
        if let Some(life) = lives.iter_mut().find(|life| life.id == one.instance) {
            life.state = Some(state(&one.state, one.reason.as_deref()));
        }
    }
    let healthy = |life: &Life| there(life) && !named(life);
    if lives.iter().filter(|life| healthy(life)).count() != look.sample.healthy as usize {
        return;
    }
    for life in lives.iter_mut().filter(|life| healthy(life)) {
        life.healthy.get_or_insert(at);
        life.state = Some("healthy".to_owned());
    }
}

/// As `unhealthy (Target.ResponseCodeMismatch)`.
fn state(state: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(" ({reason})"));
    clean(&format!("{state}{}", reason.unwrap_or_default()), 100)
}
