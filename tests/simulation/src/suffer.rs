//! What people, AWS and bad luck do to the world.

use exuvia_cloud::wire::Service;
use exuvia_core::build::METADATA_BUILD;
use exuvia_core::target::{Order, Target};
use jiff::Timestamp;
use serde_json::json;

use crate::approvals::Habit;
use crate::fault::Action;
use crate::image::image;
use crate::machines::{Behaviour, Built};
use crate::scenario::{self, PLACE};
use crate::world::{ARTIFACTS, Deed, KEY, LEDGER, STATE_MACHINE, Services, State, Upload, later};

impl State {
    /// Lets a fault of the world happen; those of a call happen in the call.
    #[allow(clippy::too_many_lines)] // one arm a fault: all that may happen, in one place
    pub fn suffer(&mut self, what: Action) {
        let now = self.estate.now;
        match what {
            Action::StopOther(who) => {
                if let Some(index) = self.find(&who) {
                    self.stop(index);
                }
            }
            Action::Redrive(who) => {
                if let Some(index) = self.find(&who) {
                    self.redrive(index);
                }
            }
            Action::Upload(behaviour) => self.upload(&behaviour),
            Action::UploadAs(key) => self.put(key, b"no image".to_vec(), "no image"),
            Action::Source(behaviour) => self.upload_source(&behaviour),
            Action::Config(settings) => {
                let key = format!("{PLACE}/config.env");
                self.put(key, format!("{settings}\n").into_bytes(), "config");
            }
            Action::Start(what) => {
                let mut input = json!({ "app": "hello", "environment": "qa" });
                match what.parse::<u32>() {
                    Ok(release) => input["release"] = release.into(),
                    Err(_) if what == "live" => {}
                    Err(_) => input["version"] = what.into(),
                }
                let name = format!("console-{}", self.estate.executions.len());
                let _ = self.start(STATE_MACHINE, &name, &input.to_string());
            }
            Action::Renew(hours) => {
                let input = json!({
                    "app": "hello",
                    "environment": "qa",
                    "renew": { "olderThanHours": hours },
                });
                let name = format!("renewal-{}", self.estate.executions.len());
                let _ = self.start(STATE_MACHINE, &name, &input.to_string());
            }
            Action::Remove => {
                let input = json!({ "app": "hello", "environment": "qa", "operation": "remove" });
                let name = format!("console-{}", self.estate.executions.len());
                let _ = self.start(STATE_MACHINE, &name, &input.to_string());
            }
            Action::Strategy(name) => {
                let parameter = format!("/exuvia/{PLACE}");
                let ssm = &mut self.estate.services.ssm;
                let target = ssm.get(&parameter).unwrap_or_default();
                let target: Result<Target, _> = serde_json::from_str(target);
                if let (Ok(mut target), Some(strategy)) = (target, scenario::strategy(&name)) {
                    target.strategy = strategy;
                    let target = serde_json::to_string(&target).unwrap_or_default();
                    ssm.put(&parameter, target, now);
                }
            }
            Action::Worker(order) => {
                let order = match order.as_str() {
                    "stop-first" => Order::StopFirst,
                    _ => Order::Overlap,
                };
                self.estate.worker = Some(order);
                let parameter = format!("/exuvia/{PLACE}");
                let ssm = &mut self.estate.services.ssm;
                let target = ssm.get(&parameter).unwrap_or_default();
                if let Ok(target) = serde_json::from_str(target) {
                    let target = serde_json::to_string(&scenario::of_worker(target, order));
                    ssm.put(&parameter, target.unwrap_or_default(), now);
                }
            }
            Action::AskApproval(timeout_seconds) => {
                let parameter = format!("/exuvia/{PLACE}");
                let target = self.estate.services.ssm.get(&parameter).unwrap_or_default();
                if let Ok(mut target) = serde_json::from_str::<serde_json::Value>(target) {
                    target["approval"] = json!({ "timeoutSeconds": timeout_seconds });
                    let ssm = &mut self.estate.services.ssm;
                    ssm.put(&parameter, target.to_string(), now);
                }
            }
            Action::Retain(minutes) => {
                let parameter = format!("/exuvia/{PLACE}");
                let target = self.estate.services.ssm.get(&parameter).unwrap_or_default();
                if let Ok(mut target) = serde_json::from_str::<serde_json::Value>(target) {
                    target["retainMinutes"] = json!(minutes);
                    let ssm = &mut self.estate.services.ssm;
                    ssm.put(&parameter, target.to_string(), now);
                }
            }
            Action::Approve(after) => {
                let approves = true;
                self.habit = Some(Habit { approves, after });
            }
            Action::Refuse(after) => {
                let approves = false;
                self.habit = Some(Habit { approves, after });
            }
            Action::Morning(time) => {
                let parameter = format!("/exuvia/{PLACE}");
                let target = self.estate.services.ssm.get(&parameter).unwrap_or_default();
                let target: Result<Target, _> = serde_json::from_str(target);
                if let Ok(mut target) = target {
                    target.scaling = scenario::scaling(later(now, time));
                    let target = serde_json::to_string(&target).unwrap_or_default();
                    self.estate.services.ssm.put(&parameter, target, now);
                }
            }
            Action::Load(requests) => {
                self.estate.flow();
                self.estate.services.cloudwatch.set_load(requests, now);
            }
            Action::WatchAlarm(name) => {
                let parameter = format!("/exuvia/{PLACE}");
                let target = self.estate.services.ssm.get(&parameter).unwrap_or_default();
                if let Ok(mut target) = serde_json::from_str::<serde_json::Value>(target) {
                    target["alarms"] = json!([name]);
                    self.estate
                        .services
                        .ssm
                        .put(&parameter, target.to_string(), now);
                }
            }
            Action::AlarmFires(name) => self.estate.services.cloudwatch.set_alarm(&name, true, now),
            Action::AlarmRests(name) => {
                self.estate.services.cloudwatch.set_alarm(&name, false, now);
            }
            Action::RepeatEvent => {
                if let Some(upload) = self.estate.uploads.last() {
                    self.deeds.push(Deed::DeliverUpload(upload.clone()));
                }
            }
            Action::RepeatStatusEvent => {
                let ended = |status| ["FAILED", "TIMED_OUT", "ABORTED"].contains(&status);
                let mut executions = self.estate.executions.iter();
                if let Some(index) = executions.position(|execution| ended(execution.status)) {
                    self.deeds.push(Deed::DeliverStatus(index));
                }
            }
            Action::DelayEvent(time) => self.delay_event = Some(time),
            Action::LoseStatusEvent => self.lose_status_event = true,
            Action::Lag(time) => self.estate.cloud.set_describe_lag(time),
            Action::KillInstances(count) => {
                if let Some(group) = self.live_group() {
                    self.kill(&group, None, count as usize);
                }
            }
            Action::KillZone(zone) => {
                let groups = self.estate.cloud.survey().groups;
                for group in groups {
                    self.kill(&group.name, Some(&zone), usize::MAX);
                }
            }
            Action::KillNewInstances(count) => {
                let groups = self.estate.cloud.survey().groups;
                if let Some(group) = groups.last() {
                    self.kill(&group.name, None, count as usize);
                }
            }
            Action::KillOldInstances(count) => {
                let live = self.live_group();
                let mut groups = self.estate.cloud.survey().groups.into_iter();
                if let Some(group) = groups.find(|group| Some(&group.name) != live.as_ref()) {
                    self.kill(&group.name, None, count as usize);
                }
            }
            Action::FirstBoots(behaviour) => {
                if let Some(behaviour) = Behaviour::named(&behaviour) {
                    self.estate.machines.learn(&image("v1"), behaviour);
                }
            }
            Action::NoCapacity => self.estate.cloud.allow_no_more_instances(),
            Action::Scale(by) => self.scale(by),
            Action::ScheduleScaleIn(time) => {
                if let Some(group) = self.estate.committed_group() {
                    // To the second, as such actions are.
                    let at = Timestamp::from_second(later(now, time).as_second()).unwrap_or(now);
                    let form = format!(
                        "Action=PutScheduledUpdateGroupAction&Version=2011-01-01&AutoScalingGroupName={group}&\
                         ScheduledActionName=night&StartTime={at:.0}&DesiredCapacity=1"
                    );
                    self.ask_cloud(Service::AutoScaling, &form);
                    self.scale_ins.push(at);
                }
            }
            Action::DeleteLiveGroup => {
                if let Some(group) = self.live_group() {
                    self.watch.allow(0);
                    let form = format!(
                        "Action=DeleteAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName={group}&ForceDelete=true"
                    );
                    self.ask_cloud(Service::AutoScaling, &form);
                }
            }
            Action::DeleteRule => {
                let survey = self.estate.cloud.survey();
                if let Some(rule) = survey.rules.first() {
                    self.watch.allow(0);
                    let form = format!("Action=DeleteRule&Version=2015-12-01&RuleArn={}", rule.arn);
                    self.ask_cloud(Service::ElasticLoadBalancing, &form);
                }
            }
            Action::Priority(priority) => {
                let name = format!("/exuvia/{PLACE}");
                let target = self.estate.services.ssm.get(&name).unwrap_or_default();
                let target = serde_json::from_str::<serde_json::Value>(target);
                if let Ok(mut target) = target {
                    target["priority"] = priority.into();
                    self.estate.services.ssm.put(&name, target.to_string(), now);
                }
            }
            Action::PointBack => {
                // Its targets were not checked any more: at first none is known to be healthy.
                self.watch.allow(0);
                let survey = self.estate.cloud.survey();
                let rule = survey.rules.first().map(|rule| rule.arn.clone());
                let groups = survey.target_groups.into_iter();
                let oldest = groups.min_by_key(|group| group.name.clone());
                if let (Some(rule), Some(oldest)) = (rule, oldest) {
                    let form = format!(
                        "Action=ModifyRule&Version=2015-12-01&RuleArn={rule}&Actions.member.1.Type=forward&\
                         Actions.member.1.TargetGroupArn={}",
                        oldest.arn
                    );
                    self.ask_cloud(Service::ElasticLoadBalancing, &form);
                }
            }
            Action::Overwrite => {
                if let Some(upload) = self.estate.uploads.last().cloned() {
                    let body = image(&format!("{}-again", upload.key));
                    let behaviour = Behaviour::named("good");
                    if let Some(behaviour) = behaviour {
                        self.estate.machines.learn(&body, behaviour);
                    }
                    self.put(upload.key, body, "good");
                }
            }
            Action::DeleteArtifact => {
                if let Some(upload) = self.estate.uploads.last() {
                    let (key, id) = (upload.key.clone(), upload.version_id.clone());
                    self.estate.services.s3.delete_version(ARTIFACTS, &key, &id);
                }
            }
            Action::DeleteConfig => {
                let key = format!("{PLACE}/config.env");
                self.estate.services.s3.delete(ARTIFACTS, &key, now);
            }
            Action::Forge => {
                let prefix = format!("{PLACE}/releases/");
                let s3 = &mut self.estate.services.s3;
                let keys: Vec<String> = s3
                    .keys(LEDGER, &prefix)
                    .into_iter()
                    .map(str::to_owned)
                    .collect();
                if let [oldest, .., newest] = keys.as_slice() {
                    s3.copy(LEDGER, oldest, newest, now);
                }
            }
            Action::DisableKey(time) => {
                self.estate.services.kms.set_enabled(KEY, false);
                self.outages.push(("key".to_owned(), later(now, time)));
            }
            Action::TopicFails(time) => self.outages.push(("sns".to_owned(), later(now, time))),
            Action::Outage(service, time) => self.outages.push((service, later(now, time))),
            // Of a call, and `stop`, which its execution's own.
            _ => {}
        }
    }

    fn upload(&mut self, behaviour: &str) {
        self.upload_to(PLACE, behaviour);
    }

    /// A person uploads an artifact as a new version of an app in an environment.
    pub fn upload_to(&mut self, place: &str, behaviour: &str) {
        let name = format!("v{}", self.estate.uploads.len() + 1);
        let key = format!("{place}/{name}.tar");
        let body = match Behaviour::named(behaviour) {
            Some(known) => {
                let body = image(&name);
                self.estate.machines.learn(&body, known);
                body
            }
            None => b"this is not an image".to_vec(),
        };
        self.put(key, body, behaviour);
    }

    /// A source, which takes its build where the behaviour says, and else makes an image of that behaviour.
    fn upload_source(&mut self, behaviour: &str) {
        let name = format!("v{}", self.estate.uploads.len() + 1);
        let key = format!("{PLACE}/{name}.src.tar.gz");
        let body = format!("the source of {name}").into_bytes();
        if let Some(known) = Behaviour::named(behaviour) {
            self.estate.machines.learn(&body, known);
        }
        self.put(key, body, behaviour);
    }

    /// What a builder has built.
    pub fn upload_built(&mut self, built: Built) {
        let body = image(&format!("{} by {}", built.key, built.build));
        self.estate.machines.learn(&body, built.behaviour);
        self.put_with(built.key, body, built.behaviour.name, Some(&built.build));
    }

    fn put(&mut self, key: String, body: Vec<u8>, behaviour: &str) {
        self.put_with(key, body, behaviour, None);
    }

    fn put_with(&mut self, key: String, body: Vec<u8>, behaviour: &str, build: Option<&str>) {
        let now = self.estate.now;
        let size = body.len();
        let Services { s3, .. } = &mut self.estate.services;
        let version_id = s3.put(ARTIFACTS, &key, body, now);
        if let Some(build) = build {
            s3.describe(ARTIFACTS, &key, METADATA_BUILD, build);
        }
        let upload = Upload {
            key,
            version_id,
            size,
            behaviour: behaviour.to_owned(),
            at: now,
        };
        self.deeds.push(Deed::DeliverUpload(upload.clone()));
        self.estate.uploads.push(upload);
    }

    /// The group that gets the most requests; of a worker that of the release that is live.
    pub fn live_group(&self) -> Option<String> {
        if self.estate.worker.is_some() {
            return self.estate.committed_group();
        }
        let survey = self.estate.cloud.survey();
        let weights = survey.rules.into_iter().flat_map(|rule| rule.weights);
        let weights = weights.filter(|(_, weight)| *weight > 0);
        weights
            .max_by_key(|(_, weight)| *weight)
            .map(|(name, _)| name)
    }

    fn kill(&mut self, group: &str, zone: Option<&str>, most: usize) {
        for id in self
            .estate
            .machines
            .running(group, zone)
            .into_iter()
            .take(most)
        {
            self.estate.machines.terminate(&id);
            self.watch.died(group);
            let now = self.estate.now;
            self.estate.cloud.at(now).instance_died(&id);
        }
    }

    fn scale(&mut self, by: i32) {
        let Some(name) = self.live_group() else {
            return;
        };
        let survey = self.estate.cloud.survey();
        let Some(group) = survey.groups.iter().find(|group| group.name == name) else {
            return;
        };
        let desired = (group.desired + by).clamp(group.min, group.max);
        if by < 0 {
            let desired = usize::try_from(desired).unwrap_or(0);
            self.watch.scaled_in(&self.estate, &name, desired);
        }
        let form = format!(
            "Action=SetDesiredCapacity&Version=2011-01-01&AutoScalingGroupName={name}&DesiredCapacity={desired}"
        );
        self.ask_cloud(Service::AutoScaling, &form);
    }
}
