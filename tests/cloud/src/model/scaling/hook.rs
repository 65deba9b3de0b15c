//! Lifecycle hooks: an instance waits on its way in or out until somebody says to go on, or time runs out.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html>

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::{Cloud, Error, Result, asg},
    activity::Status,
    instance::Lifecycle,
};

#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) transition: Transition,
    /// Seconds, 30 to 7200.
    heartbeat: i32,
    default: Verdict,
    metadata: Option<String>,
    pub(super) target: Option<String>,
    pub(super) role: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Launching,
    Terminating,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    Abandon,
}

/// One hook that one instance waits for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) hook: String,
    pub(super) token: String,
    pub(super) heartbeat_until: Timestamp,
    /// However many heartbeats come, it ends then: after 100 heartbeat timeouts or 48 hours.
    global_until: Timestamp,
    pub(super) heartbeat: Duration,
    default: Verdict,
}

impl Transition {
    const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
    const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

    fn parse(text: &str) -> Result<Self> {
        match text {
            Self::LAUNCHING => Ok(Self::Launching),
            Self::TERMINATING => Ok(Self::Terminating),
            _ => Err(Error::validation(format!(
                "Invalid Lifecycle Transition '{text}': it must be {} or {}",
                Self::LAUNCHING,
                Self::TERMINATING
            ))),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Launching => Self::LAUNCHING,
            Self::Terminating => Self::TERMINATING,
        }
    }
}

impl Verdict {
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text {
            "CONTINUE" => Ok(Self::Continue),
            "ABANDON" => Ok(Self::Abandon),
            _ => Err(Error::validation(format!(
                "Invalid lifecycle action result '{text}': it must be CONTINUE or ABANDON"
            ))),
        }
    }
}

impl Wait {
    pub(super) fn deadline(&self) -> Timestamp {
        self.heartbeat_until.min(self.global_until)
    }
}

impl Hook {
    /// A heartbeat of 30 to 7200 seconds, 3600 unless told, and `ABANDON` unless told.
    pub(super) fn new(
        transition: &str,
        heartbeat: Option<i32>,
        default: Option<&str>,
        metadata: Option<String>,
    ) -> Result<Self> {
        let heartbeat = heartbeat.unwrap_or(3600);
        if !(30..=7200).contains(&heartbeat) {
            return Err(Error::validation(format!(
                "HeartbeatTimeout must be between 30 and 7200 seconds, not {heartbeat}"
            )));
        }
        Ok(Self {
            transition: Transition::parse(transition)?,
            heartbeat,
            default: Verdict::parse(default.unwrap_or("ABANDON"))?,
            metadata,
            target: None,
            role: None,
        })
    }

    pub(super) fn from_specification(
        given: asg::LifecycleHookSpecification,
    ) -> Result<(String, Self)> {
        let default = given.default_result.as_deref();
        let mut hook = Self::new(
            &given.lifecycle_transition,
            given.heartbeat_timeout,
            default,
            given.notification_metadata,
        )?;
        hook.target = given.notification_target_a_r_n;
        hook.role = given.role_a_r_n;
        Ok((given.lifecycle_hook_name, hook))
    }

    fn heartbeat(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.heartbeat).unwrap_or(0))
    }

    fn global(&self) -> Duration {
        self.heartbeat()
            .saturating_mul(100)
            .min(Duration::from_hours(48))
    }

    pub(super) fn listed(&self, name: &str, group: &str) -> asg::LifecycleHook {
        asg::LifecycleHook {
            lifecycle_hook_name: Some(name.to_owned()),
            auto_scaling_group_name: Some(group.to_owned()),
            lifecycle_transition: Some(self.transition.name().into()),
            heartbeat_timeout: Some(self.heartbeat),
            global_timeout: i32::try_from(self.global().as_secs()).ok(),
            default_result: Some(
                match self.default {
                    Verdict::Continue => "CONTINUE",
                    Verdict::Abandon => "ABANDON",
                }
                .into(),
            ),
            notification_metadata: self.metadata.clone(),
            notification_target_a_r_n: self.target.clone(),
            role_a_r_n: self.role.clone(),
        }
    }
}

impl Cloud {
    /// Puts an instance into `Pending:Wait` or `Terminating:Wait`, or on where no hook asks for it.
    pub(super) fn wait_for_hooks(&mut self, id: &str, transition: Transition) {
        let Some(group) = self
            .instances
            .get(id)
            .and_then(|instance| self.groups.get(&instance.group))
        else {
            return;
        };
        let hooks = group
            .hooks
            .iter()
            .filter(|(_, hook)| hook.transition == transition);
        let hooks: Vec<_> = hooks
            .map(|(name, hook)| (name.clone(), hook.clone()))
            .collect();
        if hooks.is_empty() {
            match transition {
                Transition::Launching => self.enter_service(id),
                Transition::Terminating => self.proceed_terminating(id),
            }
            return;
        }
        let now = self.now;
        let wait = |(name, hook): (String, Hook)| Wait {
            hook: name,
            token: self.ids.uuid(),
            heartbeat_until: now + hook.heartbeat(),
            global_until: now + hook.global(),
            heartbeat: hook.heartbeat(),
            default: hook.default,
        };
        let waits = hooks.into_iter().map(wait).collect();
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.waits = waits;
        instance.lifecycle = match transition {
            Transition::Launching => Lifecycle::PendingWait,
            Transition::Terminating => Lifecycle::TerminatingWait,
        };
        let activity = instance.activity.clone();
        self.set_activity_status(&activity, Status::MidLifecycleAction);
    }

    pub(super) fn expire_waits(&mut self, id: &str) {
        let now = self.now;
        while let Some(instance) = self.instances.get(id) {
            let Some(wait) = instance
                .waits
                .iter()
                .find(|wait| wait.deadline() <= now)
                .cloned()
            else {
                return;
            };
            self.resolve(id, &wait, wait.default, "Heartbeat Timeout");
        }
    }

    /// One hook is through. `ABANDON` ends the other waits as well; on the way in it ends the instance.
    pub(super) fn resolve(&mut self, id: &str, wait: &Wait, verdict: Verdict, why: &str) {
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.waits.retain(|other| other.hook != wait.hook);
        let abandoned = verdict == Verdict::Abandon;
        if abandoned {
            instance.waits.clear();
        }
        if !instance.waits.is_empty() {
            return;
        }
        if instance.lifecycle == Lifecycle::TerminatingWait {
            self.proceed_terminating(id);
        } else if abandoned {
            let message = format!(
                "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {} was \
                 abandoned: {why}",
                wait.token
            );
            let (activity, name) = (instance.activity.clone(), instance.group.clone());
            self.end_activity(&activity, Status::Cancelled, Some(&message));
            self.proceed_terminating(id);
            self.wake(&name);
        } else {
            self.proceed_pending(id, self.settings.proceed);
        }
    }
}
