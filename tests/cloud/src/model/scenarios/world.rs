//! A world for the model to act in: one load balancer, a listener on port 80, and fleets (a target group and a
//! group of the same name) whose instances run an [`App`].

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::requests::{fixed, group, paths, processes_of};
use crate::model::{Check, CheckOutcome, Cloud, Effect, Result, Settings, asg, elb};

/// How the instances of a fleet behave.
#[derive(Clone, Debug)]
pub(super) enum App {
    Good,
    /// Passes its health checks from so many seconds after its start.
    GoodAfter(u64),
    /// Passes them until so many seconds after its start, then answers 500.
    BadAfter(u64),
    Answers(u16),
    Hangs,
    Refuses,
    /// EC2 will not launch it, for this reason.
    NoLaunch(&'static str),
    /// Its instance ends by itself so many seconds after its start.
    DiesAfter(u64),
}

pub(super) struct World {
    pub(super) cloud: Cloud,
    pub(super) now: Timestamp,
    pub(super) listener: String,
    apps: BTreeMap<String, App>,
    started: BTreeMap<String, (String, Timestamp)>,
    /// Ids in order of their launch and of their termination.
    pub(super) launched: Vec<String>,
    pub(super) terminated: Vec<String>,
    pub(super) checks: Vec<Check>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let mut cloud = Cloud::new(1, settings);
        for (subnet, zone) in [
            ("subnet-a", "us-east-1a"),
            ("subnet-b", "us-east-1b"),
            ("subnet-c", "us-east-1c"),
        ] {
            cloud.learn_subnet(subnet, zone, "vpc-1");
        }
        let balancer = elb::CreateLoadBalancerInput {
            name: "lb".into(),
            subnets: Some(vec!["subnet-a".to_owned(), "subnet-b".to_owned()].into()),
            ..Default::default()
        };
        let balancer = cloud.at(now).create_load_balancer(balancer).unwrap();
        let balancer = balancer
            .load_balancers
            .unwrap()
            .items
            .remove(0)
            .load_balancer_arn;
        let listener = elb::CreateListenerInput {
            load_balancer_arn: balancer.unwrap(),
            protocol: Some("HTTP".into()),
            port: Some(80),
            default_actions: vec![fixed(503)].into(),
            ..Default::default()
        };
        let listener = cloud.create_listener(listener).unwrap();
        let listener = listener
            .listeners
            .unwrap()
            .items
            .remove(0)
            .listener_arn
            .unwrap();
        Self {
            cloud,
            now,
            listener,
            apps: BTreeMap::new(),
            started: BTreeMap::new(),
            launched: Vec::new(),
            terminated: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// A target group with quick checks and 30 s of deregistration delay.
    pub(super) fn target_group(&mut self, name: &str) -> String {
        let request = elb::CreateTargetGroupInput {
            name: name.into(),
            protocol: Some("HTTP".into()),
            port: Some(8080),
            vpc_id: Some("vpc-1".into()),
            health_check_interval_seconds: Some(10),
            health_check_timeout_seconds: Some(5),
            healthy_threshold_count: Some(2),
            unhealthy_threshold_count: Some(2),
            ..Default::default()
        };
        let created = self.cloud.create_target_group(request).unwrap();
        let arn = created
            .target_groups
            .unwrap()
            .items
            .remove(0)
            .target_group_arn
            .unwrap();
        let delay = elb::TargetGroupAttribute {
            key: Some("deregistration_delay.timeout_seconds".into()),
            value: Some("30".into()),
        };
        let attributes = elb::ModifyTargetGroupAttributesInput {
            target_group_arn: arn.clone(),
            attributes: vec![delay].into(),
        };
        self.cloud
            .modify_target_group_attributes(attributes)
            .unwrap();
        arn
    }

    pub(super) fn arn(&self, name: &str) -> String {
        let groups = self.cloud.target_groups.values();
        groups
            .filter(|group| group.name == name)
            .map(|group| group.arn.clone())
            .next()
            .unwrap()
    }

    /// A fleet of `size` instances that run `app`, min 0 and max 10, with a grace period of 60 s.
    pub(super) fn fleet(&mut self, name: &str, size: i32, app: App) {
        self.apps.insert(name.to_owned(), app);
        let arn = self.target_group(name);
        let request = group(name, size, &arn);
        self.cloud.create_auto_scaling_group(request).unwrap();
    }

    pub(super) fn behave(&mut self, name: &str, app: App) {
        self.apps.insert(name.to_owned(), app);
    }

    /// Sends everything to these fleets by weight, with one rule of priority 1.
    pub(super) fn route(&mut self, weights: &[(&str, i32)]) {
        let action = self.forward(weights);
        let existing = self
            .cloud
            .rules_of(&self.listener)
            .first()
            .map(|rule| (rule.arn.clone(), rule.priority));
        match existing {
            Some((rule_arn, priority)) if priority.to_string() == "1" => {
                let request = elb::ModifyRuleInput {
                    rule_arn,
                    actions: Some(vec![action].into()),
                    ..Default::default()
                };
                self.cloud.modify_rule(request).unwrap();
            }
            _ => {
                let request = elb::CreateRuleInput {
                    listener_arn: self.listener.clone(),
                    priority: 1,
                    conditions: vec![paths(&["/*"])].into(),
                    actions: vec![action].into(),
                    ..Default::default()
                };
                self.cloud.create_rule(request).unwrap();
            }
        }
    }

    pub(super) fn forward(&self, weights: &[(&str, i32)]) -> elb::Action {
        let tuples = weights.iter().map(|(name, weight)| elb::TargetGroupTuple {
            target_group_arn: Some(self.arn(name)),
            weight: Some(*weight),
        });
        elb::Action {
            r#type: "forward".into(),
            forward_config: Some(elb::ForwardActionConfig {
                target_groups: Some(tuples.collect()),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Lets so many seconds go by.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            self.act();
            let death = self.deaths().into_iter().map(|(at, _)| at).min();
            let next = [self.cloud.next_due(), death].into_iter().flatten().min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None => break,
            }
        }
        self.now = end;
        self.act();
        // What a test asks for next may change it.
        self.cloud.at(end);
    }

    /// Does what is to be done at this moment, until nothing is.
    fn act(&mut self) {
        loop {
            let effects = self.cloud.advance(self.now);
            let deaths = self.deaths().into_iter().filter(|(at, _)| *at <= self.now);
            let deaths: Vec<String> = deaths.map(|(_, id)| id).collect();
            if effects.is_empty() && deaths.is_empty() {
                return;
            }
            for effect in effects {
                self.perform(effect);
            }
            for id in deaths {
                self.started.remove(&id);
                self.cloud.instance_died(&id);
            }
        }
    }

    fn deaths(&self) -> Vec<(Timestamp, String)> {
        let running = self.started.iter();
        let dying = running.filter_map(|(id, (fleet, at))| match self.apps.get(fleet) {
            Some(App::DiesAfter(seconds)) => {
                Some((*at + Duration::from_secs(*seconds), id.clone()))
            }
            _ => None,
        });
        dying.collect()
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::LaunchInstance(launch) => {
                self.launched.push(launch.id.clone());
                if let Some(App::NoLaunch(reason)) = self.apps.get(&launch.group) {
                    self.cloud.launch_failed(&launch.id, reason);
                    return;
                }
                let port = u16::try_from(10_000 + self.launched.len()).unwrap();
                self.cloud
                    .instance_started(&launch.id, ([127, 0, 0, 1], port).into());
                self.started.insert(launch.id, (launch.group, self.now));
            }
            Effect::TerminateInstance { id } => {
                self.started.remove(&id);
                self.terminated.push(id);
            }
            Effect::CheckTarget(check) => {
                let outcome = self.outcome(&check.target);
                self.cloud.target_checked(check.id, &outcome);
                self.checks.push(check);
            }
        }
    }

    fn outcome(&self, id: &str) -> CheckOutcome {
        let Some((fleet, at)) = self.started.get(id) else {
            return CheckOutcome::Failed;
        };
        let age = self.now.duration_since(*at).as_secs().unsigned_abs();
        match self.apps[fleet] {
            App::Good | App::NoLaunch(_) | App::DiesAfter(_) => CheckOutcome::Passed,
            App::GoodAfter(seconds) if age >= seconds => CheckOutcome::Passed,
            App::GoodAfter(_) | App::Refuses => CheckOutcome::Failed,
            App::BadAfter(seconds) if age < seconds => CheckOutcome::Passed,
            App::BadAfter(_) => CheckOutcome::WrongCode(500),
            App::Answers(code) => CheckOutcome::WrongCode(code),
            App::Hangs => CheckOutcome::TimedOut,
        }
    }

    pub(super) fn listed(&self, name: &str) -> Option<asg::AutoScalingGroup> {
        let request = asg::AutoScalingGroupNamesType {
            auto_scaling_group_names: Some(vec![name.to_owned()].into()),
            ..Default::default()
        };
        let listed = self.cloud.describe_auto_scaling_groups(request).unwrap();
        listed.auto_scaling_groups.unwrap().items.pop()
    }

    pub(super) fn instances(&self, name: &str) -> Vec<asg::Instance> {
        self.listed(name)
            .map_or_else(Vec::new, |group| group.instances.unwrap().items)
    }

    /// The life cycle states of a fleet's instances, oldest first: `InService Pending`.
    pub(super) fn states(&self, name: &str) -> String {
        let states = self
            .instances(name)
            .into_iter()
            .map(|instance| instance.lifecycle_state.unwrap());
        states.collect::<Vec<_>>().join(" ")
    }

    /// Their zones by letter: `abc`.
    pub(super) fn zones(&self, name: &str) -> String {
        let zones = self
            .instances(name)
            .into_iter()
            .map(|instance| instance.availability_zone.unwrap());
        zones.map(|zone| zone.chars().last().unwrap()).collect()
    }

    /// The health of a fleet's targets, oldest first: `healthy initial(Elb.InitialHealthChecking)`.
    pub(super) fn health(&self, name: &str) -> String {
        let request = elb::DescribeTargetHealthInput {
            target_group_arn: self.arn(name),
            ..Default::default()
        };
        let described = self.cloud.describe_target_health(request).unwrap();
        let mut targets = described.target_health_descriptions.unwrap().items;
        let order = |id: &str| self.launched.iter().position(|launched| launched == id);
        targets.sort_by_key(|target| order(&target.target.as_ref().unwrap().id));
        let health = targets.into_iter().map(|target| {
            let health = target.target_health.unwrap();
            match health.reason {
                Some(reason) => format!("{}({reason})", health.state.unwrap()),
                None => health.state.unwrap(),
            }
        });
        health.collect::<Vec<_>>().join(" ")
    }

    /// A fleet's scaling activities, oldest first.
    pub(super) fn activities(&self, name: &str) -> Vec<asg::Activity> {
        let request = asg::DescribeScalingActivitiesType {
            auto_scaling_group_name: Some(name.to_owned()),
            ..Default::default()
        };
        let mut listed = self
            .cloud
            .describe_scaling_activities(request)
            .unwrap()
            .activities
            .unwrap()
            .items;
        listed.reverse();
        listed
    }

    pub(super) fn causes(&self, name: &str) -> Vec<String> {
        self.activities(name)
            .into_iter()
            .map(|activity| activity.cause.unwrap())
            .collect()
    }

    pub(super) fn statuses(&self, name: &str) -> String {
        let statuses = self
            .activities(name)
            .into_iter()
            .map(|activity| activity.status_code.unwrap());
        statuses.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn desire(&mut self, name: &str, desired: i32) -> Result<()> {
        self.cloud
            .set_desired_capacity(&asg::SetDesiredCapacityType {
                auto_scaling_group_name: name.into(),
                desired_capacity: desired,
                honor_cooldown: None,
            })
    }

    pub(super) fn resize(
        &mut self,
        name: &str,
        min: i32,
        max: i32,
        desired: Option<i32>,
    ) -> Result<()> {
        self.cloud
            .update_auto_scaling_group(asg::UpdateAutoScalingGroupType {
                auto_scaling_group_name: name.into(),
                min_size: Some(min),
                max_size: Some(max),
                desired_capacity: desired,
                ..Default::default()
            })
    }

    pub(super) fn suspend(&mut self, name: &str, processes: &[&str]) {
        self.cloud
            .suspend_processes(&processes_of(name, processes))
            .unwrap();
    }

    pub(super) fn resume(&mut self, name: &str, processes: &[&str]) {
        self.cloud
            .resume_processes(&processes_of(name, processes))
            .unwrap();
    }

    pub(super) fn delete(&mut self, name: &str, force: bool) -> Result<()> {
        self.cloud
            .delete_auto_scaling_group(&asg::DeleteAutoScalingGroupType {
                auto_scaling_group_name: name.into(),
                force_delete: Some(force),
            })
    }
}
