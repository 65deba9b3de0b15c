//! The functions of the pipeline, all in this process: the same handlers that run in Lambda, with the same clients.

use std::time::Duration;

use exuvia_aws::{SdkConfig, Settings, function};
use exuvia_core::error::StepError;
use serde_json::Value;

/// The state machines' substitutions: what their definitions call each of its functions.
pub const STEPS: [(&str, &str); 9] = [
    ("ValidateFunction", "validate"),
    ("LockFunction", "lock"),
    ("PlanFunction", "plan"),
    ("LaunchFunction", "launch"),
    ("CheckHealthFunction", "check-health"),
    ("ShiftTrafficFunction", "shift-traffic"),
    ("RetireFunction", "retire"),
    ("NotifyFunction", "notify"),
    ("BuildFunction", "build"),
];

pub struct Functions {
    trigger: exuvia_trigger::Handler,
    validate: exuvia_validate::Handler,
    lock: exuvia_lock::Handler,
    plan: exuvia_plan::Handler,
    launch: exuvia_launch::Handler,
    check_health: exuvia_check_health::Handler,
    shift_traffic: exuvia_shift_traffic::Handler,
    retire: exuvia_retire::Handler,
    notify: exuvia_notify::Handler,
    recover: exuvia_recover::Handler,
    build: exuvia_build::Handler,
    report: exuvia_report::Handler,
}

impl Functions {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            trigger: exuvia_trigger::Handler::new(config, settings)?,
            validate: exuvia_validate::Handler::new(config, settings)?,
            lock: exuvia_lock::Handler::new(config, settings)?,
            plan: exuvia_plan::Handler::new(config, settings)?,
            launch: exuvia_launch::Handler::new(config, settings)?,
            check_health: exuvia_check_health::Handler::new(config, settings)?,
            shift_traffic: exuvia_shift_traffic::Handler::new(config, settings)?,
            retire: exuvia_retire::Handler::new(config, settings)?,
            notify: exuvia_notify::Handler::new(config, settings)?,
            recover: exuvia_recover::Handler::new(config, settings)?,
            build: exuvia_build::Handler::new(config, settings)?,
            report: exuvia_report::Handler::new(config, settings)?,
        })
    }

    pub async fn invoke(&self, name: &str, payload: Value) -> Result<Value, StepError> {
        match name {
            "trigger" => function::invoke(|input| self.trigger.handle(input), payload).await,
            "validate" => function::invoke(|input| self.validate.handle(input), payload).await,
            "lock" => function::invoke(|input| self.lock.handle(input), payload).await,
            "plan" => function::invoke(|input| self.plan.handle(input), payload).await,
            "launch" => function::invoke(|input| self.launch.handle(input), payload).await,
            "check-health" => {
                function::invoke(|input| self.check_health.handle(input), payload).await
            }
            "shift-traffic" => {
                function::invoke(|input| self.shift_traffic.handle(input), payload).await
            }
            "retire" => function::invoke(|input| self.retire.handle(input), payload).await,
            "notify" => function::invoke(|input| self.notify.handle(input), payload).await,
            "recover" => function::invoke(|input| self.recover.handle(input), payload).await,
            "report" => function::invoke(|input| self.report.handle(input), payload).await,
            "build" => function::invoke(|input| self.build.handle(input), payload).await,
            other => Err(StepError::Unreadable {
                what: "the simulation".to_owned(),
                problem: format!("there is no function {other}"),
            }),
        }
    }
}

/// `Timeout` in `infra/pipeline.yaml`: Lambda ends a function that takes longer.
pub fn timeout(function: &str) -> Duration {
    Duration::from_secs(match function {
        "validate" => 900,
        "build" => 120,
        "check-health" | "report" => 60,
        _ => 30,
    })
}
