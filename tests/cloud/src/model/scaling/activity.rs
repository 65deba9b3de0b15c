//! Scaling activities: what a group did, why, and how it went.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Activity.html>

use jiff::Timestamp;

use super::{
    super::{Cloud, Result, asg, paging, timestamp},
    group::Place,
};

#[derive(Clone, Debug)]
pub(in super::super) struct Activity {
    id: String,
    /// Grows with every activity.
    order: u64,
    group: String,
    group_arn: String,
    description: String,
    cause: String,
    details: String,
    status: Status,
    message: Option<String>,
    started: Timestamp,
    ended: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    PreInService,
    InProgress,
    MidLifecycleAction,
    WaitingForDraining,
    Successful,
    Failed,
    Cancelled,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::PreInService => "PreInService",
            Self::InProgress => "InProgress",
            Self::MidLifecycleAction => "MidLifecycleAction",
            Self::WaitingForDraining => "WaitingForELBConnectionDraining",
            Self::Successful => "Successful",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    fn progress(self) -> i32 {
        match self {
            Self::PreInService => 30,
            Self::InProgress => 50,
            Self::MidLifecycleAction | Self::WaitingForDraining => 60,
            Self::Successful | Self::Failed | Self::Cancelled => 100,
        }
    }
}

impl Cloud {
    /// Its id.
    pub(super) fn begin_activity(
        &mut self,
        group: &str,
        description: String,
        cause: String,
        place: &Place,
        status: Status,
    ) -> String {
        let id = self.ids.uuid();
        let details = match &place.subnet {
            Some(subnet) => {
                serde_json::json!({ "Subnet ID": subnet, "Availability Zone": place.zone })
            }
            None => serde_json::json!({ "Availability Zone": place.zone }),
        };
        let arn = self.groups.get(group).map(|group| group.arn.clone());
        let order = self.ids.sequence();
        self.activities.push(Activity {
            id: id.clone(),
            order,
            group: group.to_owned(),
            group_arn: arn.unwrap_or_default(),
            description,
            cause,
            details: details.to_string(),
            status,
            message: None,
            started: self.now,
            ended: None,
        });
        id
    }

    pub(super) fn set_activity_status(&mut self, id: &str, status: Status) {
        if let Some(activity) = self.open_activity(id) {
            activity.status = status;
        }
    }

    pub(super) fn end_activity(&mut self, id: &str, status: Status, message: Option<&str>) {
        let now = self.now;
        let Some(activity) = self.open_activity(id) else {
            return;
        };
        activity.status = status;
        activity.ended = Some(now);
        if let Some(message) = message {
            activity.description = format!("{}.  Status Reason: {message}", activity.description);
            activity.message = Some(message.to_owned());
        }
    }

    fn open_activity(&mut self, id: &str) -> Option<&mut Activity> {
        let mut newest = self.activities.iter_mut().rev();
        newest.find(|activity| activity.id == id && activity.ended.is_none())
    }

    pub(super) fn activity(&self, id: &str) -> Option<asg::Activity> {
        self.activities
            .iter()
            .rev()
            .find(|activity| activity.id == id)
            .map(listed)
    }

    /// Newest first. <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeScalingActivities.html>
    pub fn describe_scaling_activities(
        &self,
        request: asg::DescribeScalingActivitiesType,
    ) -> Result<asg::ActivitiesType> {
        let named = request.auto_scaling_group_name.as_deref();
        let deleted = request.include_deleted_groups.unwrap_or(false);
        if let Some(name) = named
            && !deleted
        {
            self.group(name)?;
        }
        let ids = request
            .activity_ids
            .map(|ids| ids.items)
            .unwrap_or_default();
        let wanted = |activity: &&Activity| {
            named.is_none_or(|name| activity.group == name)
                && (ids.is_empty() || ids.contains(&activity.id))
                && (deleted
                    || self
                        .groups
                        .get(&activity.group)
                        .is_some_and(|group| group.arn == activity.group_arn))
        };
        let found: Vec<&Activity> = self.activities.iter().rev().filter(wanted).collect();
        let size = paging::max_records(request.max_records, 100, 100)?;
        let (found, next_token) = paging::page(
            found,
            |activity| format!("{:020}", u64::MAX - activity.order),
            request.next_token.as_deref(),
            size,
            paging::bad_next_token,
        )?;
        Ok(asg::ActivitiesType {
            activities: Some(found.into_iter().map(listed).collect()),
            next_token,
        })
    }
}

fn listed(activity: &Activity) -> asg::Activity {
    asg::Activity {
        activity_id: Some(activity.id.clone()),
        auto_scaling_group_name: Some(activity.group.clone()),
        auto_scaling_group_a_r_n: Some(activity.group_arn.clone()),
        description: Some(activity.description.clone()),
        cause: Some(activity.cause.clone()),
        details: Some(activity.details.clone()),
        start_time: Some(timestamp(activity.started)),
        end_time: activity.ended.map(timestamp),
        status_code: Some(activity.status.name().into()),
        status_message: activity.message.clone(),
        progress: Some(activity.status.progress()),
        ..Default::default()
    }
}
