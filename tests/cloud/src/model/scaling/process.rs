//! The processes of a group, each of which can be held back.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>

use super::super::{Cloud, Error, Result, asg, spoken};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Process {
    Launch,
    Terminate,
    AddToLoadBalancer,
    /// No alarm rings in this model: held back or not, it makes no difference here.
    AlarmNotification,
    AZRebalance,
    HealthCheck,
    /// Instance refresh is not modelled.
    InstanceRefresh,
    ReplaceUnhealthy,
    ScheduledActions,
}

impl Process {
    const ALL: [Self; 9] = [
        Self::Launch,
        Self::Terminate,
        Self::AddToLoadBalancer,
        Self::AlarmNotification,
        Self::AZRebalance,
        Self::HealthCheck,
        Self::InstanceRefresh,
        Self::ReplaceUnhealthy,
        Self::ScheduledActions,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Launch => "Launch",
            Self::Terminate => "Terminate",
            Self::AddToLoadBalancer => "AddToLoadBalancer",
            Self::AlarmNotification => "AlarmNotification",
            Self::AZRebalance => "AZRebalance",
            Self::HealthCheck => "HealthCheck",
            Self::InstanceRefresh => "InstanceRefresh",
            Self::ReplaceUnhealthy => "ReplaceUnhealthy",
            Self::ScheduledActions => "ScheduledActions",
        }
    }

    /// The processes that a request names; all where it names none.
    fn named(request: &asg::ScalingProcessQuery) -> Result<Vec<Self>> {
        let names = request
            .scaling_processes
            .as_ref()
            .map(|names| names.items.as_slice());
        match names {
            None | Some([]) => Ok(Self::ALL.to_vec()),
            Some(names) => names.iter().map(|name| Self::parse(name)).collect(),
        }
    }

    fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|process| process.name() == name)
            .ok_or_else(|| {
                Error::validation(format!(
                    "'{name}' is not a process of an Auto Scaling group: they are {}",
                    Self::ALL.map(Self::name).join(", ")
                ))
            })
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SuspendProcesses.html>
    pub fn suspend_processes(&mut self, request: &asg::ScalingProcessQuery) -> Result<()> {
        let processes = Process::named(request)?;
        let reason = format!("User suspended at {}", spoken(self.now));
        let group = self.standing_group(&request.auto_scaling_group_name)?;
        for process in processes {
            group
                .suspended
                .entry(process)
                .or_insert_with(|| reason.clone());
        }
        Ok(())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_ResumeProcesses.html>
    pub fn resume_processes(&mut self, request: &asg::ScalingProcessQuery) -> Result<()> {
        let processes = Process::named(request)?;
        let group = self.standing_group(&request.auto_scaling_group_name)?;
        group
            .suspended
            .retain(|process, _| !processes.contains(process));
        if processes.contains(&Process::Launch) {
            group.retry_at = None;
        }
        self.wake(&request.auto_scaling_group_name);
        Ok(())
    }
}
