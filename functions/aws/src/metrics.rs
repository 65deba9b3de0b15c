//! What `CloudWatch` knows: alarms, and what the load balancer has counted of a target group.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_cloudwatch as cloudwatch;
use aws_sdk_cloudwatch::primitives::DateTime;
use cloudwatch::types::{
    AlarmType, ComparisonOperator, Dimension, Metric, MetricDataQuery, MetricDataResult,
    MetricStat, StateValue, Statistic, StatusCode,
};
use exuvia_core::alarm::{Alarm, State};
use exuvia_core::compare::Minute;
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
use exuvia_core::scaling::{self, Policy, Scaling, Side};
use jiff::Timestamp;

use crate::error::{failed, is};
use crate::fleet::signed;
use crate::timestamp;
use crate::{Lazy, lazily};

pub struct Metrics(Lazy<cloudwatch::Client>);

/// What an alarm of a step policy watches.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    pub fleet: &'a FleetName,
    pub side: &'a Side,
    /// Of a policy by requests.
    pub target_group: Option<&'a str>,
    /// For so long the metric must be beyond the threshold.
    pub minutes: u32,
}

/// The metrics of a minute, with their statistics:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>. Of these only
/// the first is there in every minute with a request; a count of 0 is left out.
const WANTED: [(&str, &str); 3] = [
    ("RequestCount", "Sum"),
    ("HTTPCode_Target_5XX_Count", "Sum"),
    ("TargetResponseTime", "p90"),
];

impl Metrics {
    /// A deploy goes on without what `CloudWatch` does not tell, so there is less patience with it than with others.
    pub fn new(config: &SdkConfig) -> Self {
        let patience = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(4))
            .operation_timeout(Duration::from_secs(8))
            .build();
        Self(lazily(config, |config| {
            let config = cloudwatch::config::Builder::from(config).timeout_config(patience);
            cloudwatch::Client::from_conf(config.build())
        }))
    }

    /// Those of these alarms that exist, of metrics and of other alarms.
    pub async fn alarms(&self, names: &[String]) -> Result<Vec<Alarm>, StepError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self
            .0
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .max_records(100)
            .send()
            .await
            .map_err(|error| failed("DescribeAlarms", error))?;
        let of_metrics = answer.metric_alarms().iter().map(|alarm| Alarm {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            state: state(alarm.state_value()),
            reason: alarm.state_reason().unwrap_or_default().to_owned(),
            since: since(
                alarm.state_transitioned_timestamp(),
                alarm.state_updated_timestamp(),
            ),
        });
        let of_alarms = answer.composite_alarms().iter().map(|alarm| Alarm {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            state: state(alarm.state_value()),
            reason: alarm.state_reason().unwrap_or_default().to_owned(),
            since: since(
                alarm.state_transitioned_timestamp(),
                alarm.state_updated_timestamp(),
            ),
        });
        Ok(of_metrics.chain(of_alarms).collect())
    }

    /// Puts the alarm that calls a step policy by its ARN. Under the same name it replaces itself.
    pub async fn watch(&self, watched: &Watched<'_>, policy_arn: String) -> Result<(), StepError> {
        let Watched {
            fleet,
            side,
            target_group,
            minutes,
        } = *watched;
        let name = side.alarm(fleet);
        let dimension =
            |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let alarm = self.0.put_metric_alarm().alarm_name(&name);
        let alarm = match side.metric {
            // Without detailed monitoring EC2 tells of it every five minutes.
            scaling::Metric::AverageCpu => {
                let period = if minutes.is_multiple_of(5) { 5 } else { 1 };
                alarm
                    .namespace("AWS/EC2")
                    .metric_name("CPUUtilization")
                    .statistic(Statistic::Average)
                    .dimensions(dimension("AutoScalingGroupName", &fleet.to_string()))
                    .period(signed(period * 60))
                    .evaluation_periods(signed(minutes / period))
            }
            scaling::Metric::RequestsPerTarget => {
                let group = target_group.and_then(|arn| arn.rsplit(':').next());
                alarm
                    .namespace("AWS/ApplicationELB")
                    .metric_name("RequestCountPerTarget")
                    .statistic(Statistic::Sum)
                    .dimensions(dimension("TargetGroup", group.unwrap_or_default()))
                    .period(60)
                    .evaluation_periods(signed(minutes))
            }
        };
        let (comparison, missing) = match (side.is_above, side.metric) {
            (true, _) => (ComparisonOperator::GreaterThanOrEqualToThreshold, "missing"),
            // Of a minute without requests nothing is told.
            (false, scaling::Metric::RequestsPerTarget) => {
                (ComparisonOperator::LessThanOrEqualToThreshold, "breaching")
            }
            (false, scaling::Metric::AverageCpu) => {
                (ComparisonOperator::LessThanOrEqualToThreshold, "missing")
            }
        };
        alarm
            .alarm_description(format!("Scales {fleet}; it goes with it"))
            .threshold(side.threshold.into())
            .comparison_operator(comparison)
            .treat_missing_data(missing)
            .alarm_actions(policy_arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("PutMetricAlarm {name}"), error))
    }

    /// Deletes the alarms of a fleet's step policies; not an error if there are none.
    pub async fn forget(&self, fleet: &FleetName, scaling: &Scaling) -> Result<(), StepError> {
        for side in scaling.policies.iter().flat_map(Policy::sides) {
            let name = side.alarm(fleet);
            // One by one: of several of which one is missing none might be deleted.
            match self.0.delete_alarms().alarm_names(&name).send().await {
                Ok(_) => {}
                Err(error) if is(&error, "ResourceNotFound") => {}
                Err(error) => return Err(failed(format!("DeleteAlarms {name}"), error)),
            }
        }
        Ok(())
    }

    /// What the load balancer of a listener has counted of each of these target groups, in the minutes from `from` to `until`,
    /// exclusive, that have any; in one call.
    pub async fn minutes(
        &self,
        listener_arn: &str,
        target_groups: &[&str],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Vec<Minute>>, StepError> {
        let action = || "GetMetricData of AWS/ApplicationELB".to_owned();
        let mut queries = Vec::new();
        for (index, target_group) in target_groups.iter().enumerate() {
            let names = dimensions(listener_arn, target_group);
            let names = names.ok_or_else(|| StepError::AwsRefused {
                action: action(),
                problem: format!(
                    "{listener_arn} and {target_group} are not a listener of an Application Load Balancer and a target group"
                ),
            })?;
            queries.extend(WANTED.map(|wanted| query(index, wanted, &names)));
        }
        let mut pages = self
            .0
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(date_time(from))
            .end_time(date_time(until))
            .into_paginator()
            .send();
        let mut counted = vec![BTreeMap::new(); target_groups.len()];
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(action(), error))?;
            for result in page.metric_data_results() {
                read(&mut counted, result).map_err(|problem| StepError::AwsUnavailable {
                    action: action(),
                    problem,
                })?;
            }
        }
        Ok(counted
            .into_iter()
            .map(|minutes| minutes.into_values().collect())
            .collect())
    }
}

/// The load balancer and the target group as metrics name them: the ends of their ARNs. A listener's has its load balancer's
/// name in it: `arn:aws:elasticloadbalancing:us-east-1:1:listener/app/lb/50dc6c495c0c9188/f2f7dc8efc522ab2`.
fn dimensions(listener_arn: &str, target_group_arn: &str) -> Option<[(&'static str, String); 2]> {
    let (_, listener) = listener_arn.split_once(":listener/")?;
    let (load_balancer, _) = listener.rsplit_once('/')?;
    let (_, target_group) = target_group_arn.split_once(":targetgroup/")?;
    Some([
        ("TargetGroup", format!("targetgroup/{target_group}")),
        ("LoadBalancer", load_balancer.to_owned()),
    ])
}

fn query(
    index: usize,
    (name, statistic): (&str, &str),
    dimensions: &[(&str, String); 2],
) -> MetricDataQuery {
    let metric = Metric::builder()
        .namespace("AWS/ApplicationELB")
        .metric_name(name)
        .set_dimensions(Some(
            dimensions
                .iter()
                .map(|(name, value)| Dimension::builder().name(*name).value(value).build())
                .collect(),
        ))
        .build();
    let statistic = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat(statistic)
        .build();
    MetricDataQuery::builder()
        .id(format!("g{index}_{name}"))
        .metric_stat(statistic)
        .build()
}

/// Puts a metric's values into the minutes that they are of.
fn read(
    counted: &mut [BTreeMap<Timestamp, Minute>],
    result: &MetricDataResult,
) -> Result<(), String> {
    let id = result.id().unwrap_or_default();
    if let Some(StatusCode::InternalError | StatusCode::Forbidden) = result.status_code() {
        let code = result.status_code().map_or("", StatusCode::as_str);
        return Err(format!("{id}: {code}"));
    }
    let known = id.strip_prefix('g').and_then(|id| id.split_once('_'));
    let Some((minutes, name)) = known.and_then(|(index, name)| {
        let minutes = counted.get_mut(index.parse::<usize>().ok()?)?;
        Some((minutes, name))
    }) else {
        return Err(format!("an answer to {id:?}, which was not asked for"));
    };
    for (at, value) in result.timestamps().iter().zip(result.values()) {
        let start = Timestamp::from_second(at.secs()).map_err(|error| error.to_string())?;
        let minute = minutes.entry(start).or_insert(Minute {
            start,
            requests: 0,
            errors: 0,
            response_time: None,
        });
        match name {
            "RequestCount" => minute.requests = whole(*value),
            "HTTPCode_Target_5XX_Count" => minute.errors = whole(*value),
            _ => minute.response_time = Some(*value).filter(|time| time.is_finite()),
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count; what is none becomes 0
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn state(value: Option<&StateValue>) -> State {
    match value {
        Some(StateValue::Ok) => State::Ok,
        Some(StateValue::Alarm) => State::Alarm,
        _ => State::InsufficientData,
    }
}

/// An alarm that has not changed its state since `CloudWatch` began to note that has only the other time.
fn since(transitioned: Option<&DateTime>, updated: Option<&DateTime>) -> Option<Timestamp> {
    timestamp(transitioned.or(updated)?)
}

fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_a_load_balancer_and_a_target_group_by_the_ends_of_their_arns() {
        let of = |kind: &str| format!("arn:aws:elasticloadbalancing:us-east-1:1:{kind}");
        let listener = of("listener/app/lb/50dc/f2f7");
        let group = of("targetgroup/hello-qa-000001/73e2");
        let [target_group, load_balancer] = dimensions(&listener, &group).unwrap();
        assert_eq!(load_balancer, ("LoadBalancer", "app/lb/50dc".to_owned()));
        assert_eq!(
            target_group,
            ("TargetGroup", "targetgroup/hello-qa-000001/73e2".to_owned())
        );
        assert_eq!(dimensions(&group, &listener), None);
    }

    #[test]
    fn values_are_put_into_their_minutes() {
        let result = |id: &str, values: &[(i64, f64)]| {
            let mut result = MetricDataResult::builder()
                .id(id)
                .status_code(StatusCode::Complete);
            for (at, value) in values {
                result = result.timestamps(DateTime::from_secs(*at)).values(*value);
            }
            result.build()
        };
        let mut counted = vec![BTreeMap::new(); 2];
        // CloudWatch's newest come first, and what is 0 not at all.
        for result in [
            result("g1_RequestCount", &[(120, 40.0), (60, 30.0)]),
            result("g1_HTTPCode_Target_5XX_Count", &[(120, 2.0)]),
            result("g1_TargetResponseTime", &[(60, 0.25), (120, f64::NAN)]),
            result("g0_RequestCount", &[]),
        ] {
            read(&mut counted, &result).unwrap();
        }
        assert!(counted[0].is_empty());
        let minutes: Vec<_> = counted[1]
            .values()
            .map(|minute| {
                (
                    minute.start.as_second(),
                    minute.requests,
                    minute.errors,
                    minute.response_time,
                )
            })
            .collect();
        assert_eq!(minutes, [(60, 30, 0, Some(0.25)), (120, 40, 2, None)]);

        for (id, code) in [
            ("g0_RequestCount", StatusCode::InternalError),
            ("g7_RequestCount", StatusCode::Complete),
            ("x", StatusCode::Complete),
        ] {
            let result = MetricDataResult::builder().id(id).status_code(code).build();
            assert!(read(&mut counted, &result).unwrap_err().contains(id));
        }
    }
}
