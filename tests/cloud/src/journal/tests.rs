use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

/// A cloud that keeps a journal, and a world around it that answers when it likes.
struct World {
    path: PathBuf,
    journal: Journal,
    cloud: Cloud,
    now: Timestamp,
    /// What the cloud wants and the world has not answered.
    open: Vec<Effect>,
    running: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Step {
    /// So many milliseconds go by, and nobody looks meanwhile.
    Pass(u32),
    /// One of the open effects is answered, in one of several ways.
    Answer(prop::sample::Index, u8),
    /// An instance ends by itself.
    Die(prop::sample::Index),
    Ask(Ask),
    Look,
    Kill,
}

#[derive(Clone, Debug)]
enum Ask {
    Group(u8),
    Delete(u8, bool),
    Desire(u8, u8),
    Route(u8, u8),
    Suspend(u8, &'static str),
    Resume(u8),
    Hook(u8),
    Schedule(u8, u8, u16),
    Nonsense,
}

const NAMES: [&str; 2] = ["blue", "green"];
const BEGINNING: Beginning = Beginning {
    seed: 7,
    epoch: Timestamp::UNIX_EPOCH,
    speed: 10.0,
};

fn step() -> impl Strategy<Value = Step> {
    let process = prop::sample::select(vec!["Launch", "Terminate", "HealthCheck", "AZRebalance"]);
    let ask = prop_oneof![
        2 => any::<u8>().prop_map(Ask::Group),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(group, force)| Ask::Delete(group, force)),
        3 => (any::<u8>(), 0..5_u8).prop_map(|(group, size)| Ask::Desire(group, size)),
        3 => (0..3_u8, 0..3_u8).prop_map(|(blue, green)| Ask::Route(blue, green)),
        1 => (any::<u8>(), process).prop_map(|(group, process)| Ask::Suspend(group, process)),
        1 => any::<u8>().prop_map(Ask::Resume),
        1 => any::<u8>().prop_map(Ask::Hook),
        1 => (any::<u8>(), 0..5_u8, any::<u16>()).prop_map(|(group, size, after)| Ask::Schedule(group, size, after)),
        1 => Just(Ask::Nonsense),
    ];
    prop_oneof![
        6 => (0..40_000_u32).prop_map(Step::Pass),
        8 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(which, how)| Step::Answer(which, how)),
        1 => any::<prop::sample::Index>().prop_map(Step::Die),
        4 => ask.prop_map(Step::Ask),
        2 => Just(Step::Look),
        1 => Just(Step::Kill),
    ]
}

fn pick(group: u8) -> &'static str {
    NAMES[usize::from(group) % NAMES.len()]
}

impl World {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("exuvia-journal-{}-{count}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (journal, replayed) = Journal::open(&path, BEGINNING).unwrap();
        let mut world = Self {
            path,
            journal,
            cloud: replayed.cloud,
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            open: Vec::new(),
            running: BTreeSet::new(),
        };
        for (id, zone) in [("subnet-1", "us-east-1a"), ("subnet-2", "us-east-1b")] {
            let (id, zone, vpc) = (id.into(), zone.into(), "vpc-1".into());
            world.tell(Input::Subnet { id, zone, vpc });
        }
        let answer = world
            .elb("CreateLoadBalancer&Name=lb&Subnets.member.1=subnet-1&Subnets.member.2=subnet-2");
        let balancer = between(&answer, "<LoadBalancerArn>");
        let default = "DefaultActions.member.1.Type=fixed-response&\
                       DefaultActions.member.1.FixedResponseConfig.StatusCode=503";
        world.elb(&format!(
            "CreateListener&LoadBalancerArn={balancer}&Protocol=HTTP&Port=80&{default}"
        ));
        for name in NAMES {
            world.elb(&format!(
                "CreateTargetGroup&Name={name}&Protocol=HTTP&Port=80&VpcId=vpc-1&HealthCheckIntervalSeconds=10"
            ));
        }
        world
    }

    fn tell(&mut self, input: Input) -> Option<Answer> {
        self.open.extend(self.cloud.advance(self.now));
        let entry = Entry::new(self.now, input);
        self.journal.write(&entry).unwrap();
        entry.tell(&mut self.cloud)
    }

    fn request(&mut self, service: Service, action: &str) -> String {
        let form = format!("Action={action}");
        self.tell(Input::Request { service, form }).unwrap().body
    }

    fn elb(&mut self, action: &str) -> String {
        self.request(Service::ElasticLoadBalancing, action)
    }

    fn asg(&mut self, action: &str) -> String {
        self.request(Service::AutoScaling, action)
    }

    fn arn(&self, list: &str, name: &str) -> String {
        let summary = self.cloud.summary();
        let listed = summary[list].as_array().unwrap().iter();
        let found = listed.filter(|entry| name.is_empty() || entry["name"] == name);
        found
            .map(|entry| entry["arn"].as_str().unwrap().to_owned())
            .next()
            .unwrap()
    }

    fn ask(&mut self, ask: &Ask) {
        match ask {
            Ask::Group(group) => {
                let name = pick(*group);
                let arn = self.arn("targetGroups", name);
                self.asg(&format!(
                    "CreateAutoScalingGroup&AutoScalingGroupName={name}&MinSize=0&MaxSize=4&DesiredCapacity=2&\
                     LaunchTemplate.LaunchTemplateId=lt-1&VPCZoneIdentifier=subnet-1,subnet-2&HealthCheckType=ELB&\
                     HealthCheckGracePeriod=30&TargetGroupARNs.member.1={arn}"
                ))
            }
            Ask::Delete(group, force) => self.asg(&format!(
                "DeleteAutoScalingGroup&AutoScalingGroupName={}&ForceDelete={force}",
                pick(*group)
            )),
            Ask::Desire(group, size) => self.asg(&format!(
                "SetDesiredCapacity&AutoScalingGroupName={}&DesiredCapacity={size}",
                pick(*group)
            )),
            Ask::Route(blue, green) => {
                let [one, two] = NAMES.map(|name| self.arn("targetGroups", name));
                let listener = self.arn("listeners", "");
                let forward = "Actions.member.1.ForwardConfig.TargetGroups.member";
                let actions = format!(
                    "Actions.member.1.Type=forward&{forward}.1.TargetGroupArn={one}&{forward}.1.Weight={blue}&\
                     {forward}.2.TargetGroupArn={two}&{forward}.2.Weight={green}"
                );
                let rules = &self.cloud.summary()["listeners"][0]["rules"];
                let rule = rules.as_array().unwrap().iter().find(|rule| rule["priority"] == "1");
                match rule.map(|rule| rule["arn"].as_str().unwrap().to_owned()) {
                    Some(rule) => self.elb(&format!("ModifyRule&RuleArn={rule}&{actions}")),
                    None => self.elb(&format!(
                        "CreateRule&ListenerArn={listener}&Priority=1&Conditions.member.1.Field=path-pattern&\
                         Conditions.member.1.Values.member.1=%2F*&{actions}"
                    )),
                }
            }
            Ask::Suspend(group, process) => self.asg(&format!(
                "SuspendProcesses&AutoScalingGroupName={}&ScalingProcesses.member.1={process}",
                pick(*group)
            )),
            Ask::Resume(group) => {
                self.asg(&format!("ResumeProcesses&AutoScalingGroupName={}", pick(*group)))
            }
            Ask::Hook(group) => self.asg(&format!(
                "PutLifecycleHook&AutoScalingGroupName={}&LifecycleHookName=hook&HeartbeatTimeout=60&\
                 LifecycleTransition=autoscaling:EC2_INSTANCE_TERMINATING",
                pick(*group)
            )),
            Ask::Schedule(group, size, after) => {
                let start = self.now + Duration::from_secs(60 + u64::from(*after) % 300);
                self.asg(&format!(
                    "PutScheduledUpdateGroupAction&AutoScalingGroupName={}&ScheduledActionName=one&\
                     DesiredCapacity={size}&StartTime={start:.0}",
                    pick(*group)
                ))
            }
            Ask::Nonsense => self.asg("Nonsense"),
        };
    }

    fn answer(&mut self, which: prop::sample::Index, how: u8) {
        self.open.extend(self.cloud.advance(self.now));
        if self.open.is_empty() {
            return;
        }
        let input = match self.open.remove(which.index(self.open.len())) {
            Effect::LaunchInstance(launch) if how.is_multiple_of(5) => Input::LaunchFailed {
                id: launch.id,
                reason: "No capacity.".into(),
            },
            Effect::LaunchInstance(launch) => {
                self.running.insert(launch.id.clone());
                let address = ([127, 0, 0, 1], 20_000 + u16::from(how)).into();
                Input::Started {
                    id: launch.id,
                    address,
                }
            }
            Effect::TerminateInstance { id } => {
                // One that was not launched yet is not there.
                self.running.remove(&id);
                Input::Died { id }
            }
            Effect::CheckTarget(check) => Input::Checked {
                check: check.id,
                outcome: match how % 6 {
                    0 => CheckOutcome::WrongCode(500),
                    1 => CheckOutcome::TimedOut,
                    _ => CheckOutcome::Passed,
                },
            },
        };
        self.tell(input);
    }

    fn die(&mut self, which: prop::sample::Index) {
        self.open.extend(self.cloud.advance(self.now));
        let ids: Vec<String> = self.running.iter().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = which.get(&ids).clone();
        self.running.remove(&id);
        self.open.retain(
            |effect| !matches!(effect, Effect::TerminateInstance { id: other } if *other == id),
        );
        self.tell(Input::Died { id });
    }

    /// What anybody can see of it, without leaving a trace in the journal.
    fn look(cloud: &mut Cloud) -> Vec<String> {
        let looks = [
            (Service::AutoScaling, "DescribeAutoScalingGroups"),
            (Service::AutoScaling, "DescribeScalingActivities"),
            (Service::AutoScaling, "DescribeScheduledActions"),
            (Service::ElasticLoadBalancing, "DescribeTargetGroups"),
        ];
        let mut seen: Vec<String> = looks
            .map(|(service, action)| {
                let form = format!("Action={action}");
                assert!(wire::only_looks(&form));
                let answer = wire::answer(cloud, service, &form).body;
                // What follows is an id of the request's own.
                answer
                    .split("<ResponseMetadata>")
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .into();
        seen.push(cloud.summary().to_string());
        seen
    }

    /// The process is killed in the middle of a line, and another goes on from the journal.
    fn kill(&mut self) {
        self.open.extend(self.cloud.advance(self.now));
        self.journal.file.write_all(b"{\"at\":\"2026-").unwrap();
        let other = Beginning {
            seed: 8,
            ..BEGINNING
        };
        let (journal, mut replayed) = Journal::open(&self.path, other).unwrap();
        assert_eq!(replayed.beginning, BEGINNING);
        assert_eq!(replayed.open(self.now), self.open);
        assert_eq!(replayed.running, self.running);
        assert_eq!(replayed.cloud.next_due(), self.cloud.next_due());
        assert_eq!(Self::look(&mut replayed.cloud), Self::look(&mut self.cloud));
        assert_eq!(format!("{:?}", replayed.cloud), format!("{:?}", self.cloud));
        self.journal = journal;
        self.cloud = replayed.cloud;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Pass(millis) => self.now += Duration::from_millis((*millis).into()),
            Step::Answer(which, how) => self.answer(*which, *how),
            Step::Die(which) => self.die(*which),
            Step::Ask(ask) => self.ask(ask),
            Step::Look => drop(Self::look(self.cloud.at(self.now))),
            Step::Kill => self.kill(),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn between(text: &str, open: &str) -> String {
    let (_, rest) = text.split_once(open).unwrap();
    rest.split('<').next().unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cloud_that_was_killed_goes_on_as_the_one_that_it_was(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        world.ask(&Ask::Group(0));
        world.ask(&Ask::Route(1, 0));
        for step in &steps {
            world.step(step);
        }
        world.kill();
    }
}

#[test]
fn a_journal_that_is_none_is_refused() {
    let path = std::env::temp_dir().join(format!("exuvia-no-journal-{}", std::process::id()));
    for text in ["[]\n", "{\"seed\":1}\n", "no\n"] {
        std::fs::write(&path, text).unwrap();
        assert!(Journal::open(&path, BEGINNING).is_err(), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::remove_file(path).unwrap();
}
