//! What the load balancer reports of its requests: every minute of the cloud's clock, to the `CloudWatch` of the other local AWS.
//!
//! Of the metrics that there are, these: <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>.
//! Nothing is reported of what has had no requests, and no count of 0. How long an answer takes is real time, as it is for
//! whoever waits for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use tracing::warn;

use crate::clock::Clock;

/// A target group behind a load balancer, as metrics name them: `targetgroup/hello-qa-000001/73e2d6bc24d8a067` and
/// `app/lb/50dc6c495c0c9188`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    load_balancer: String,
    target_group: String,
}

impl Seat {
    pub fn of(load_balancer_arn: &str, target_group_arn: &str) -> Self {
        // What is behind the account's number; of a load balancer without its kind.
        let end = |arn: &str| arn.rsplit_once(':').map_or(arn, |(_, end)| end).to_owned();
        let load_balancer = end(load_balancer_arn);
        Self {
            load_balancer: load_balancer.trim_start_matches("loadbalancer/").to_owned(),
            target_group: end(target_group_arn),
        }
    }
}

/// What was counted of one seat since the last report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    requests: u64,
    /// Answers of the targets by the hundreds of their status.
    answers: BTreeMap<u16, u64>,
    /// Milliseconds until the answer began, and how often.
    times: BTreeMap<u64, u64>,
}

/// What the load balancer has counted; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<Seat, Count>>>);

impl Counts {
    /// A target was chosen for a request.
    pub fn requested(&self, seat: &Seat) {
        self.change(seat, |count| count.requests += 1);
    }

    /// A target has begun to answer.
    pub fn answered(&self, seat: &Seat, status: StatusCode, after: Duration) {
        self.change(seat, |count| {
            // Of a connection that has become another (101) there is no metric.
            if status >= StatusCode::OK {
                *count.answers.entry(status.as_u16() / 100).or_default() += 1;
            }
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            *count.times.entry(millis).or_default() += 1;
        });
    }

    fn change(&self, seat: &Seat, how: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(seat) {
            Some(count) => how(count),
            None => how(counts.entry(seat.clone()).or_default()),
        }
    }

    fn take(&self) -> BTreeMap<Seat, Count> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reports what was counted, minute by minute, for as long as the process lives. `upstream`: `http://127.0.0.1:4566`.
pub async fn report(counts: Counts, clock: Clock, upstream: String) {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    loop {
        let second = clock.now().as_second();
        let minute = second - second.rem_euclid(60);
        let end = Timestamp::from_second(minute + 60).unwrap_or(Timestamp::MAX);
        tokio::time::sleep(clock.until(end)).await;
        for form in forms(&counts.take(), minute) {
            if let Err(error) = put(&client, &upstream, form).await {
                warn!(%error, "CloudWatch does not take the load balancer's metrics");
            }
        }
    }
}

async fn put(
    client: &Client<HttpConnector, Full<Bytes>>,
    upstream: &str,
    form: String,
) -> anyhow::Result<()> {
    // As for every local request, the scope says for which service it is, and nobody checks the signature.
    let authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, \
                         SignedHeaders=host, Signature=none";
    let request = Request::post(upstream)
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form))?;
    let answer = client.request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}

/// `PutMetricData` takes so many different values in one datum.
const MOST_VALUES: usize = 150;

/// Requests of the query protocol, one for each seat:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>.
fn forms(counts: &BTreeMap<Seat, Count>, minute: i64) -> Vec<String> {
    let at = Timestamp::from_second(minute).unwrap_or_default();
    let form = |(seat, count): (&Seat, &Count)| {
        let mut form =
            "Action=PutMetricData&Version=2010-08-01&Namespace=AWS/ApplicationELB".to_owned();
        let mut number = 0;
        let mut datum = |name: &str, unit: &str, values: &[(f64, u64)]| {
            number += 1;
            let prefix = format!("MetricData.member.{number}");
            let _ = write!(
                form,
                "&{prefix}.MetricName={name}&{prefix}.Timestamp={at}&{prefix}.Unit={unit}\
                 &{prefix}.Dimensions.member.1.Name=TargetGroup&{prefix}.Dimensions.member.1.Value={}\
                 &{prefix}.Dimensions.member.2.Name=LoadBalancer&{prefix}.Dimensions.member.2.Value={}",
                seat.target_group, seat.load_balancer
            );
            for (place, (value, times)) in (1..).zip(values) {
                let _ = write!(
                    form,
                    "&{prefix}.Values.member.{place}={value:?}&{prefix}.Counts.member.{place}={times}.0"
                );
            }
        };
        #[allow(clippy::cast_precision_loss)] // counts and milliseconds
        let number_of = |count: u64| count as f64;
        // Each request counts 1, as on AWS, where the sum of the metric is the statistic to use.
        if count.requests > 0 {
            datum("RequestCount", "Count", &[(1.0, count.requests)]);
        }
        for (hundreds, answers) in &count.answers {
            let name = format!("HTTPCode_Target_{hundreds}XX_Count");
            datum(&name, "Count", &[(1.0, *answers)]);
        }
        let times: Vec<(f64, u64)> = count
            .times
            .iter()
            .map(|(millis, times)| (number_of(*millis) / 1_000.0, *times))
            .collect();
        for times in times.chunks(MOST_VALUES) {
            datum("TargetResponseTime", "Seconds", times);
        }
        form
    };
    counts.iter().map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat() -> Seat {
        let of = |kind: &str| format!("arn:aws:elasticloadbalancing:us-east-1:1:{kind}");
        Seat::of(
            &of("loadbalancer/app/lb/50dc"),
            &of("targetgroup/hello-qa-000001/73e2"),
        )
    }

    #[test]
    fn a_minute_is_reported_as_cloudwatch_takes_it() {
        let counts = Counts::default();
        for (status, millis) in [(200, 12), (503, 7), (200, 12)] {
            counts.requested(&seat());
            let status = StatusCode::from_u16(status).unwrap();
            counts.answered(&seat(), status, Duration::from_millis(millis));
        }
        counts.requested(&seat());
        let forms = forms(&counts.take(), 1_800_000_000);
        let [form] = forms.as_slice() else {
            panic!("{forms:?}")
        };
        let field = |name: &str| crate::wire::parameter(form, &format!("MetricData.member.{name}"));
        let told = |number: u32| {
            [
                "MetricName",
                "Values.member.1",
                "Counts.member.1",
                "Values.member.2",
                "Counts.member.2",
            ]
            .map(|name| field(&format!("{number}.{name}")).unwrap_or_default())
        };
        assert_eq!(told(1), ["RequestCount", "1.0", "4.0", "", ""]);
        assert_eq!(told(2), ["HTTPCode_Target_2XX_Count", "1.0", "2.0", "", ""]);
        assert_eq!(told(3), ["HTTPCode_Target_5XX_Count", "1.0", "1.0", "", ""]);
        assert_eq!(
            told(4),
            ["TargetResponseTime", "0.007", "1.0", "0.012", "2.0"]
        );
        assert_eq!(field("4.Timestamp").unwrap(), "2027-01-15T08:00:00Z");
        assert_eq!(
            field("4.Dimensions.member.1.Value").unwrap(),
            "targetgroup/hello-qa-000001/73e2"
        );
        assert_eq!(field("4.Dimensions.member.2.Value").unwrap(), "app/lb/50dc");
        // Nothing is left of it, and of nothing nothing is reported.
        assert_eq!(counts.take(), BTreeMap::new());
    }

    #[test]
    fn many_times_are_told_in_parts() {
        let counts = Counts::default();
        for millis in 0..400 {
            counts.answered(&seat(), StatusCode::OK, Duration::from_millis(millis));
        }
        let forms = forms(&counts.take(), 0);
        let times = forms[0].matches("MetricName=TargetResponseTime").count();
        assert_eq!(times, 3);
    }
}
