//! What is there before a schedule begins, and what then happens first.

use std::time::Duration;

use exuvia_cloud::model::{Cloud, Settings};
use exuvia_cloud::wire;
use exuvia_core::approval::Approval;
use exuvia_core::build::builder::Builder;
use exuvia_core::compare::Comparison;
use exuvia_core::scaling::{Adjustment, Metric, Policy, Scaling, ScheduledAction};
use exuvia_core::target::{
    Architecture, CapacityLimits, Conditions, HealthCheck, LaunchTemplate, LogDriver, Order,
    Strategy, Target, Timeouts, Worker,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::fault::Action;
use crate::machines::Machines;
use crate::retains;
use crate::services::{CloudWatch, Kms, S3, Sns, Ssm};
use crate::world::{ARTIFACTS, Estate, KEY, LEDGER, SIGNING_KEY, Services, TOPIC};

/// The app and environment that everything is about.
pub const PLACE: &str = "hello/qa";

pub struct Scenario {
    pub name: &'static str,
    /// What was deployed before, without a fault: opening actions, one after the other.
    pub(crate) before: &'static [&'static str],
    /// What happens, as faults in a schedule are written.
    pub opening: &'static [&'static str],
    /// What the executions come to, in order: the kind of each one's outcome.
    pub outcomes: &'static [&'static str],
    /// Whether the traffic is moved to a new fleet, if only for a while.
    pub shifts: bool,
}

/// The main scenarios: each is explored exhaustively.
pub const SCENARIOS: [Scenario; 63] = [
    Scenario {
        name: "first",
        before: &[],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "replace",
        before: &["upload:good"],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "rollback-at-boot",
        before: &["upload:good"],
        opening: &["upload:broken@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "rollback-in-bake",
        before: &["upload:good"],
        opening: &["upload:sick-later@0s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    Scenario {
        name: "config-change",
        before: &["upload:good"],
        opening: &["config:LEVEL=info@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "rerun",
        before: &["upload:good", "upload:good"],
        opening: &["start:1@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "supersede",
        before: &["upload:good"],
        opening: &["upload:slow@0s", "upload:good@40s"],
        outcomes: &["superseded", "succeeded"],
        shifts: true,
    },
    Scenario {
        name: "first-fails",
        before: &[],
        opening: &["upload:broken@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "deadline",
        before: &["upload:good"],
        opening: &["upload:never@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "dies-when-healthy",
        before: &["upload:good"],
        opening: &["upload:gasps@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "refused",
        before: &["upload:good"],
        opening: &["upload:not-an-image@0s"],
        outcomes: &["rejected"],
        shifts: false,
    },
    Scenario {
        name: "build",
        before: &["upload:good"],
        opening: &["source:good@0s"],
        outcomes: &["built", "succeeded"],
        shifts: true,
    },
    Scenario {
        name: "build-fails",
        before: &["upload:good"],
        opening: &["source:broken@0s"],
        outcomes: &["buildFailed"],
        shifts: false,
    },
    Scenario {
        name: "build-hangs",
        before: &["upload:good"],
        opening: &["source:never@0s"],
        outcomes: &["buildTimedOut"],
        shifts: false,
    },
    Scenario {
        name: "builder-dies",
        before: &["upload:good"],
        opening: &["source:dies-later@0s"],
        outcomes: &["builderLost"],
        shifts: false,
    },
    Scenario {
        name: "settings-first",
        before: &[],
        opening: &["config:LEVEL=info@0s", "upload:good@20s"],
        outcomes: &["skipped", "succeeded"],
        shifts: true,
    },
    Scenario {
        name: "renewal",
        before: &["upload:good"],
        opening: &["renew:0@0s", "renew:1@200s"],
        outcomes: &["succeeded", "skipped"],
        shifts: true,
    },
    Scenario {
        name: "renewal-gives-way",
        before: &["upload:good"],
        opening: &["renew:0@0s", "upload:good@10s"],
        outcomes: &["superseded", "succeeded"],
        shifts: true,
    },
    Scenario {
        name: "renewal-in-a-deploy",
        before: &["upload:good"],
        opening: &["upload:good@0s", "renew:0@20s"],
        outcomes: &["succeeded", "skipped"],
        shifts: true,
    },
    Scenario {
        name: "canary",
        before: &["upload:good"],
        opening: &["strategy:canary@0s", "upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "canary-falls-ill",
        before: &["upload:good"],
        opening: &["strategy:canary@0s", "upload:sick-later@0s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    // Its errors are seen when a minute of them is told, long before the next step.
    Scenario {
        name: "canary-errs",
        before: &["load:1200", "upload:good"],
        opening: &["strategy:patient@0s", "upload:errs@0s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    // What it is compared with is the time before as well.
    Scenario {
        name: "canary-drags",
        before: &["load:1200", "upload:good"],
        opening: &["strategy:patient@0s", "upload:drags@2700s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    // Three requests a minute tell nothing.
    Scenario {
        name: "canary-seldom-asked",
        before: &["load:30", "upload:good"],
        opening: &["strategy:patient@0s", "upload:errs@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "alarm-fires",
        before: &["upload:good"],
        opening: &[
            "alarm-rests:hello-5xx@0s",
            "watch-alarm:hello-5xx@0s",
            "strategy:canary@0s",
            "upload:good@0s",
            "alarm-fires:hello-5xx@d1/Bake#2",
        ],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    Scenario {
        name: "alarm-has-fired",
        before: &["upload:good"],
        opening: &[
            "alarm-fires:hello-5xx@0s",
            "watch-alarm:hello-5xx@0s",
            "upload:good@0s",
        ],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "linear",
        before: &["upload:good"],
        opening: &["strategy:linear@0s", "upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    // It comes while a tenth of the traffic is on trial: the new fleet is as large as it wants when it has all.
    Scenario {
        name: "morning-comes",
        before: &["upload:good"],
        opening: &["strategy:patient@0s", "morning:240s@0s", "upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    // It comes while the new fleet boots in vain: the old one, whose actions are held, catches up.
    Scenario {
        name: "morning-is-missed",
        before: &["morning:1800s", "upload:good"],
        opening: &["upload:never@1540s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "approved",
        before: &["upload:good"],
        opening: &["ask-approval:600@0s", "approve:40s@0s", "upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    // The first release as well: nobody has asked for it yet.
    Scenario {
        name: "not-approved",
        before: &[],
        opening: &["ask-approval:600@0s", "refuse:40s@0s", "upload:good@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "nobody-approves",
        before: &["upload:good"],
        opening: &["ask-approval:120@0s", "upload:good@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    // The older one would be approved long after the newer has taken its place.
    Scenario {
        name: "superseded-unapproved",
        before: &["upload:good"],
        opening: &[
            "ask-approval:900@0s",
            "approve:200s@0s",
            "upload:good@0s",
            "upload:good@100s",
        ],
        outcomes: &["superseded", "succeeded"],
        shifts: true,
    },
    // By then none of it is healthy any more.
    Scenario {
        name: "approved-too-late",
        before: &["upload:good"],
        opening: &[
            "ask-approval:600@0s",
            "approve:60s@0s",
            "upload:sick-later@0s",
        ],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    // It has lost an instance by then, and waits for the one in its place.
    Scenario {
        name: "approved-when-one-is-gone",
        before: &["upload:good"],
        opening: &[
            "ask-approval:600@0s",
            "approve:5s@0s",
            "upload:good@0s",
            "kill-new-instances:1@d1/Wait_For_Approval#1",
        ],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "renewal-unasked",
        before: &["upload:good"],
        opening: &["ask-approval:600@0s", "renew:0@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "worker-first",
        before: &["worker:overlap"],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "worker-replaces",
        before: &["worker:overlap", "upload:good"],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "worker-breaks-at-boot",
        before: &["worker:overlap", "upload:good"],
        opening: &["upload:broken@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    // In service, and watched.
    Scenario {
        name: "worker-breaks-at-work",
        before: &["worker:overlap", "upload:good"],
        opening: &["upload:reports-later@0s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    Scenario {
        name: "worker-never-ready",
        before: &["worker:overlap", "upload:good"],
        opening: &["upload:never@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "singleton-replaces",
        before: &["worker:stop-first", "upload:good"],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    Scenario {
        name: "singleton-breaks-at-boot",
        before: &["worker:stop-first", "upload:good"],
        opening: &["upload:broken@0s"],
        outcomes: &["rolledBack"],
        shifts: false,
    },
    Scenario {
        name: "singleton-breaks-at-work",
        before: &["worker:stop-first", "upload:good"],
        opening: &["upload:reports-later@0s"],
        outcomes: &["rolledBack"],
        shifts: true,
    },
    Scenario {
        name: "singleton-supersedes",
        before: &["worker:stop-first", "upload:good"],
        opening: &["upload:slow@0s", "upload:good@60s"],
        outcomes: &["superseded", "succeeded"],
        shifts: true,
    },
    Scenario {
        name: "remove-worker",
        before: &["worker:overlap", "upload:good"],
        opening: &["remove@0s"],
        outcomes: &["removed"],
        shifts: false,
    },
    Scenario {
        name: "remove",
        before: &["upload:good"],
        opening: &["remove@0s"],
        outcomes: &["removed"],
        shifts: false,
    },
    Scenario {
        name: "remove-nothing",
        before: &[],
        opening: &["remove@0s"],
        outcomes: &["skipped"],
        shifts: false,
    },
    Scenario {
        name: "remove-in-a-deploy",
        before: &["upload:good"],
        opening: &["upload:slow@0s", "remove@40s"],
        outcomes: &["superseded", "removed"],
        shifts: false,
    },
    Scenario {
        name: "remove-then-deploy",
        before: &["upload:good", "remove"],
        opening: &["upload:good@0s"],
        outcomes: &["succeeded"],
        shifts: true,
    },
    retains::RETAINED,
    retains::RETURNED_TO,
    retains::RETURNED_TO_AND_BACK,
    retains::RETURNED_TO_WHEN_ONE_IS_GONE,
    retains::RETURNED_TO_WHILE_ILL,
    retains::RETURNED_TO_TOO_LATE,
    retains::RETURNED_TO_IN_TIME,
    retains::RETURNED_TO_AFTER_A_SKIP,
    retains::RETURNED_TO_IN_THE_MORNING,
    retains::RETAINED_AND_REPLACED,
    retains::RETAINED_AND_FAILED,
    retains::RETAINED_AND_STOPPED,
    retains::RETAINED_AND_REMOVED,
];

impl Scenario {
    pub fn named(name: &str) -> Option<&'static Self> {
        static ALL: [Scenario; SCENARIOS.len()] = SCENARIOS;
        ALL.iter().find(|scenario| scenario.name == name)
    }

    pub fn before(&self) -> impl Iterator<Item = Action> {
        self.before.iter().filter_map(|action| action.parse().ok())
    }
}

/// An account in which the pipeline and the target stand, and nothing was deployed.
pub fn empty_estate() -> Estate {
    // Quicker than AWS where nothing depends on it: the less is polled, the more schedules are run.
    estate_with(Settings {
        ec2_terminating: Duration::from_secs(8),
        ..Settings::default()
    })
}

/// The same, where AWS is like that.
pub fn estate_with(settings: Settings) -> Estate {
    let now: Timestamp = Timestamp::from_second(1_795_262_400).unwrap_or_default();
    let mut cloud = Cloud::new(1, settings);
    for (subnet, zone) in [
        ("subnet-a", "us-east-1a"),
        ("subnet-b", "us-east-1b"),
        ("subnet-c", "us-east-1c"),
    ] {
        cloud.learn_subnet(subnet, zone, "vpc-1");
    }
    let mut ask = |form: &str| {
        let form = format!("Version=2015-12-01&{form}");
        wire::answer(cloud.at(now), wire::Service::ElasticLoadBalancing, &form).body
    };
    let balancer = ask(
        "Action=CreateLoadBalancer&Name=lb&Subnets.member.1=subnet-a&Subnets.member.2=subnet-b&\
         Subnets.member.3=subnet-c",
    );
    let listener = ask(&format!(
        "Action=CreateListener&LoadBalancerArn={}&Protocol=HTTP&Port=80&\
         DefaultActions.member.1.Type=fixed-response&\
         DefaultActions.member.1.FixedResponseConfig.StatusCode=503",
        between(&balancer, "<LoadBalancerArn>", "</LoadBalancerArn>")
    ));
    let target = target(between(&listener, "<ListenerArn>", "</ListenerArn>"));
    let target = serde_json::to_string(&target).unwrap_or_default();
    let mut services = Services {
        s3: S3::new([ARTIFACTS.to_owned(), LEDGER.to_owned()], KEY.to_owned()),
        ssm: Ssm::default(),
        kms: Kms::new([KEY.to_owned()]).with_signing_key(SIGNING_KEY),
        sns: Sns::new([TOPIC.to_owned()], KEY.to_owned()),
        cloudwatch: CloudWatch::default(),
    };
    services.ssm.put(&format!("/exuvia/{PLACE}"), target, now);
    services
        .ssm
        .put(&format!("/exuvia/{PLACE}/builder"), builder(), now);
    Estate {
        now,
        cloud,
        services,
        machines: Machines::default(),
        executions: Vec::new(),
        uploads: Vec::new(),
        worker: None,
        measure: None,
    }
}

const BAKE: u32 = 30;

/// How the traffic moves, by the names that schedules use.
pub fn strategy(name: &str) -> Option<Strategy> {
    match name {
        "all-at-once" => Some(Strategy::AllAtOnce { bake_seconds: BAKE }),
        "canary" => Some(Strategy::Canary {
            percent: 10,
            hold_seconds: 20,
            bake_seconds: BAKE,
        }),
        // Long enough for three minutes to be told of.
        "patient" => Some(Strategy::Canary {
            percent: 10,
            hold_seconds: 300,
            bake_seconds: BAKE,
        }),
        "linear" => Some(Strategy::Linear {
            percent: 40,
            every_seconds: 20,
            bake_seconds: BAKE,
        }),
        _ => None,
    }
}

/// The same app without a listener.
pub fn of_worker(target: Target, order: Order) -> Target {
    Target {
        worker: Some(Worker { order }),
        listener_arn: None,
        priority: None,
        conditions: None,
        vpc_id: None,
        port: None,
        health_check: None,
        ..target
    }
}

/// Policies, and larger sizes from that time of the day on, to the minute, with smaller ones from an hour before.
pub fn scaling(morning: Timestamp) -> Scaling {
    let action = |name: &str, at: Timestamp, min: u32| {
        let at = at.to_zoned(TimeZone::UTC);
        ScheduledAction {
            name: name.to_owned(),
            recurrence: format!("{} {} * * *", at.minute(), at.hour()),
            time_zone: "UTC".to_owned(),
            min: Some(min),
            max: None,
            desired: (min > 1).then_some(min),
        }
    };
    let step = |above, below, change| Adjustment {
        above,
        below,
        change,
    };
    Scaling {
        policies: vec![
            Policy::TargetTracking {
                metric: Metric::AverageCpu,
                value: 50,
            },
            Policy::Step {
                metric: Metric::RequestsPerTarget,
                steps: vec![step(Some(900), None, 2), step(None, Some(100), -1)],
                minutes: 3,
            },
        ],
        scheduled_actions: vec![
            action("morning", morning, 4),
            action("evening", morning - SignedDuration::from_hours(1), 1),
        ],
    }
}

fn target(listener_arn: &str) -> Target {
    Target {
        worker: None,
        listener_arn: Some(listener_arn.to_owned()),
        priority: Some(10),
        conditions: Some(Conditions {
            hosts: Vec::new(),
            paths: vec!["/*".to_owned()],
        }),
        vpc_id: Some("vpc-1".to_owned()),
        subnets: ["subnet-a", "subnet-b", "subnet-c"]
            .map(str::to_owned)
            .to_vec(),
        launch_template: LaunchTemplate {
            id: "lt-1".to_owned(),
            version: 1,
        },
        mixed_instances: None,
        port: Some(8080),
        architecture: Some(Architecture::Arm64),
        security_updates: true,
        log_driver: LogDriver::AwsLogs,
        health_check: Some(HealthCheck {
            path: "/".to_owned(),
            interval_seconds: 10,
            timeout_seconds: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            success_codes: "200".to_owned(),
        }),
        capacity: CapacityLimits {
            min: 1,
            max: 6,
            initial: 3,
        },
        scaling: Scaling::default(),
        strategy: Strategy::AllAtOnce { bake_seconds: BAKE },
        approval: Approval::default(),
        retain_minutes: 0,
        timeouts: Timeouts {
            boot_seconds: 180,
            drain_seconds: 10,
        },
        alarms: Vec::new(),
        comparison: Comparison::default(),
    }
}

fn builder() -> String {
    let builder = Builder {
        subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
        launch_template: LaunchTemplate {
            id: "lt-2".to_owned(),
            version: 1,
        },
        timeout_seconds: 180,
    };
    serde_json::to_string(&builder).unwrap_or_default()
}

pub fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(found, _)| found)
}
