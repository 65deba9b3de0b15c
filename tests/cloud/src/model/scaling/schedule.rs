//! Scheduled actions: a group's size, changed at a set time.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scheduled-scaling.html>

use jiff::{Timestamp, tz::TimeZone};

use super::{
    super::{Cloud, Error, Result, asg, limits, paging, spoken, timestamp},
    process::Process,
};
use crate::model::cron::Cron;

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    arn: String,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    recurrence: Option<(String, Cron)>,
    zone: Option<String>,
    min: Option<i32>,
    max: Option<i32>,
    desired: Option<i32>,
    /// When it acts next. One that is over keeps no time.
    pub(super) next: Option<Timestamp>,
}

impl Schedule {
    fn following(&self, after: Timestamp) -> Option<Timestamp> {
        let (_, cron) = self.recurrence.as_ref()?;
        let zone = zone(self.zone.as_deref()).unwrap_or(TimeZone::UTC);
        let from = self.start.map_or(after, |start| start.max(after));
        let next = match self.start {
            Some(start) if start > after => Some(start),
            _ => cron.next(from, &zone),
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }

    fn listed(&self, name: &str, group: &str) -> asg::ScheduledUpdateGroupAction {
        let start = self.next.or(self.start).map(timestamp);
        asg::ScheduledUpdateGroupAction {
            auto_scaling_group_name: Some(group.to_owned()),
            scheduled_action_name: Some(name.to_owned()),
            scheduled_action_a_r_n: Some(self.arn.clone()),
            start_time: start.clone(),
            time: start,
            end_time: self.end.map(timestamp),
            recurrence: self.recurrence.as_ref().map(|(text, _)| text.clone()),
            time_zone: self.zone.clone(),
            min_size: self.min,
            max_size: self.max,
            desired_capacity: self.desired,
        }
    }
}

fn zone(name: Option<&str>) -> Result<TimeZone> {
    let name = name.unwrap_or("UTC");
    TimeZone::get(name).map_err(|_| Error::validation(format!("Time zone '{name}' is not known")))
}

fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    let parse = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|error| Error::validation(format!("{field} '{text}' is not a time: {error}")))
    };
    text.map(parse).transpose()
}

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutScheduledUpdateGroupAction.html>
    pub fn put_scheduled_update_group_action(
        &mut self,
        request: asg::PutScheduledUpdateGroupActionType,
    ) -> Result<()> {
        limits::scaling_name("scheduledActionName", &request.scheduled_action_name)?;
        let given = request.start_time.as_deref().or(request.time.as_deref());
        let start = time("StartTime", given)?;
        let end = time("EndTime", request.end_time.as_deref())?;
        if [start, end].into_iter().flatten().any(|at| at <= self.now) {
            return Err(Error::validation(
                "Given start time or end time is in the past",
            ));
        }
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            return Err(Error::validation(
                "Given end time is not after its start time",
            ));
        }
        zone(request.time_zone.as_deref())?;
        let recurrence = match request.recurrence {
            Some(text) => {
                let cron = Cron::parse(&text).map_err(Error::validation)?;
                Some((text, cron))
            }
            None => None,
        };
        if recurrence.is_none() && start.is_none() {
            return Err(Error::validation(
                "Either StartTime or Recurrence must be given",
            ));
        }
        let (min, max, desired) = (request.min_size, request.max_size, request.desired_capacity);
        if min.is_none() && max.is_none() && desired.is_none() {
            return Err(Error::validation(
                "At least one of MinSize, MaxSize and DesiredCapacity must be given",
            ));
        }
        let (region, account, uuid) = (
            self.settings.region.clone(),
            self.settings.account.clone(),
            self.ids.uuid(),
        );
        let (now, quota) = (self.now, self.settings.quotas.scheduled_actions_per_group);
        let (group_name, name) = (
            request.auto_scaling_group_name,
            request.scheduled_action_name,
        );
        let group = self.standing_group(&group_name)?;
        if !group.schedules.contains_key(&name) && group.schedules.len() >= quota {
            return Err(Error::new(
                "LimitExceeded",
                format!("A group may have at most {quota} scheduled actions"),
            ));
        }
        let mut schedule = Schedule {
            arn: format!(
                "arn:aws:autoscaling:{region}:{account}:scheduledUpdateGroupAction:{uuid}:\
                 autoScalingGroupName/{group_name}:scheduledActionName/{name}"
            ),
            start,
            end,
            recurrence,
            zone: request.time_zone,
            min,
            max,
            desired,
            next: None,
        };
        schedule.next = schedule.following(now).or(start);
        group.schedules.insert(name, schedule);
        Ok(())
    }

    /// Lets the scheduled actions act that are due. One that falls due while they are held back is passed over.
    pub(super) fn run_schedules(&mut self, name: &str) {
        let now = self.now;
        let held = self.is_suspended(name, Process::ScheduledActions);
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let is_due = |schedule: &Schedule| schedule.next.is_some_and(|next| next <= now);
        let due = group
            .schedules
            .iter()
            .filter(|(_, schedule)| is_due(schedule));
        let due: Vec<(String, Schedule)> = due
            .map(|(name, schedule)| (name.clone(), schedule.clone()))
            .collect();
        for (action, schedule) in due {
            let next = schedule.following(now);
            if let Some(listed) = group.schedules.get_mut(&action) {
                listed.next = next;
            }
            if held || group.deletion.is_some() {
                continue;
            }
            if next.is_none() {
                group.schedules.remove(&action);
            }
            if let Ok((min, max, desired)) =
                group.sizes(schedule.min, schedule.max, schedule.desired)
            {
                let who = format!(
                    "At {} a scheduled action update of AutoScalingGroup constraints to min: {min}, max: {max}, \
                     desired: {desired}",
                    spoken(now)
                );
                group.resize(min, max, desired, &who);
                group.wake_at(now);
            }
        }
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteScheduledAction.html>
    pub fn delete_scheduled_action(
        &mut self,
        request: &asg::DeleteScheduledActionType,
    ) -> Result<()> {
        let group = self.group_mut(&request.auto_scaling_group_name)?;
        match group.schedules.remove(&request.scheduled_action_name) {
            Some(_) => Ok(()),
            None => Err(Error::validation("Scheduled action name not found")),
        }
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScheduledActions.html>
    pub fn describe_scheduled_actions(
        &self,
        request: asg::DescribeScheduledActionsType,
    ) -> Result<asg::ScheduledActionsType> {
        let names = request
            .scheduled_action_names
            .map(|names| names.items)
            .unwrap_or_default();
        let (from, to) = (
            time("StartTime", request.start_time.as_deref())?,
            time("EndTime", request.end_time.as_deref())?,
        );
        let mut found = Vec::new();
        for group in self.groups.values() {
            let wanted = request.auto_scaling_group_name.as_ref();
            if wanted.is_some_and(|name| *name != group.name) {
                continue;
            }
            for (name, schedule) in &group.schedules {
                let at = schedule.next.or(schedule.start);
                let inside = at.is_none_or(|at| {
                    from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to)
                });
                if inside && (names.is_empty() || names.contains(name)) {
                    found.push(schedule.listed(name, &group.name));
                }
            }
        }
        let (found, next_token) = paging::page(
            found,
            |action| action.scheduled_action_a_r_n.clone().unwrap_or_default(),
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 50, 100)?,
            paging::bad_next_token,
        )?;
        Ok(asg::ScheduledActionsType {
            scheduled_update_group_actions: Some(found.into()),
            next_token,
        })
    }
}
