//! `CloudWatch`: alarms that are set by hand, and what a load balancer would count of a steady load.
//!
//! It speaks Smithy's RPC v2 CBOR, as the SDK's client does: <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>.

use std::collections::BTreeMap;

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::services::{Request, Response, wire};

#[derive(Clone, Debug, Default)]
pub struct CloudWatch {
    alarms: BTreeMap<String, Alarm>,
    /// Requests that come in a minute.
    load: u32,
    /// Up to when they have been counted.
    counted_until: Timestamp,
    /// By the end of the target group's ARN and the minute, in seconds.
    counts: BTreeMap<(String, i64), Count>,
}

#[derive(Clone, Debug)]
struct Alarm {
    is_in_alarm: bool,
    since: Timestamp,
}

/// What a target group had in a minute. An expectation: the simulation throws no dice for requests.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: f64,
    errors: f64,
    /// Seconds that an answer takes.
    takes: f64,
}

/// A target group's part in the load.
#[derive(Clone, Debug)]
pub struct Flow {
    pub target_group_arn: String,
    /// 0 to 1.
    pub share: f64,
    /// 0 to 1.
    pub errors: f64,
    /// Seconds.
    pub takes: f64,
}

impl CloudWatch {
    /// From now on so many requests come in a minute.
    pub fn set_load(&mut self, load: u32, now: Timestamp) {
        self.load = load;
        self.counted_until = now;
    }

    pub fn has_load(&self) -> bool {
        self.load > 0
    }

    /// Counts what has come in since the last time, when the traffic went like this.
    pub fn flow(&mut self, flows: &[Flow], now: Timestamp) {
        let mut from = self.counted_until;
        while from < now {
            let minute = from.as_second().div_euclid(60) * 60;
            let end = Timestamp::from_second(minute + 60).map_or(now, |end| end.min(now));
            let part = end.duration_since(from).as_secs_f64() / 60.0;
            for flow in flows {
                let group = flow.target_group_arn.rsplit(':').next().unwrap_or_default();
                let count = self.counts.entry((group.to_owned(), minute)).or_default();
                let requests = f64::from(self.load) * flow.share * part;
                count.requests += requests;
                count.errors += requests * flow.errors;
                count.takes = flow.takes;
            }
            from = end;
        }
        self.counted_until = now;
    }

    /// Puts an alarm into a state, and makes it if there is none of the name.
    pub fn set_alarm(&mut self, name: &str, is_in_alarm: bool, now: Timestamp) {
        let alarm = Alarm {
            is_in_alarm,
            since: now,
        };
        self.alarms.insert(name.to_owned(), alarm);
    }

    /// The names of the alarms that begin like this.
    pub fn alarms_named(&self, prefix: &str) -> Vec<&str> {
        let names = self.alarms.keys().map(String::as_str);
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// `PutMetricAlarm` and `DeleteAlarms`, `DescribeAlarms` by names, and `GetMetricData` of what an Application Load Balancer reports, in minutes.
    pub fn answer(&mut self, operation: &str, request: &Request, now: Timestamp) -> Response {
        let asked = match read(&mut Decoder::new(request.body()), 0) {
            Ok(asked) => asked,
            Err(error) => return refusal(400, "SerializationException", &error.to_string()),
        };
        let mut answer = Encoder::new(Vec::new());
        match operation {
            "DescribeAlarms" => self.describe(&asked, &mut answer),
            "PutMetricAlarm" => {
                // What watches nothing, or calls nobody, is no alarm of a policy.
                let called = asked["AlarmActions"][0].as_str().unwrap_or_default();
                let dimension = &asked["Dimensions"][0]["Value"];
                let Some(name) = asked["AlarmName"].as_str().filter(|_| {
                    called.contains(":scalingPolicy:")
                        && dimension.as_str().is_some_and(|value| !value.is_empty())
                }) else {
                    return refusal(400, "ValidationError", &asked.to_string());
                };
                self.set_alarm(name, false, now);
                answer.begin_map().end();
            }
            "DeleteAlarms" => {
                let named = asked["AlarmNames"].as_array().into_iter().flatten();
                for name in named.filter_map(Value::as_str) {
                    if self.alarms.remove(name).is_none() {
                        return refusal(404, "ResourceNotFound", name);
                    }
                }
                answer.begin_map().end();
            }
            "GetMetricData" => {
                if let Err(problem) = self.data(&asked, &mut answer) {
                    return refusal(501, "NotImplemented", &problem);
                }
            }
            other => {
                let problem = format!("the simulation does not implement {other}");
                return refusal(501, "NotImplemented", &problem);
            }
        }
        cbor(200, answer)
    }

    fn describe(&self, asked: &Value, answer: &mut Encoder) {
        let named = asked["AlarmNames"].as_array().into_iter().flatten();
        let found = named
            .filter_map(Value::as_str)
            .filter_map(|name| Some((name, self.alarms.get(name)?)));
        answer.begin_map();
        answer.str("MetricAlarms").begin_array();
        for (name, alarm) in found {
            let (state, reason) = if alarm.is_in_alarm {
                ("ALARM", "Threshold Crossed: simulated")
            } else {
                ("OK", "simulated")
            };
            answer.begin_map();
            answer.str("AlarmName").str(name);
            answer.str("StateValue").str(state);
            answer.str("StateReason").str(reason);
            let since = DateTime::from_nanos(alarm.since.as_nanosecond()).ok();
            if let Some(since) = since {
                answer.str("StateTransitionedTimestamp").timestamp(&since);
            }
            answer.end();
        }
        answer.end().str("CompositeAlarms").array(0).end();
    }

    fn data(&self, asked: &Value, answer: &mut Encoder) -> Result<(), String> {
        let time = |name: &str| {
            asked[name]
                .as_i64()
                .ok_or(format!("a request without {name}"))
        };
        let (from, until) = (time("StartTime")?, time("EndTime")?);
        answer.begin_map().str("MetricDataResults").begin_array();
        for query in asked["MetricDataQueries"].as_array().into_iter().flatten() {
            let statistic = &query["MetricStat"];
            let metric = &statistic["Metric"];
            if statistic["Period"] != 60 || metric["Namespace"] != "AWS/ApplicationELB" {
                return Err(format!("a query like {query}"));
            }
            let mut dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            let group = dimensions.find(|dimension| dimension["Name"] == "TargetGroup");
            let group = group
                .and_then(|group| group["Value"].as_str())
                .unwrap_or_default();
            let of =
                |count: &Count| match (metric["MetricName"].as_str(), statistic["Stat"].as_str()) {
                    (Some("RequestCount"), Some("Sum")) => Ok(count.requests.round()),
                    (Some("HTTPCode_Target_5XX_Count"), Some("Sum")) => Ok(count.errors.round()),
                    (Some("TargetResponseTime"), Some("p90")) => Ok(count.takes),
                    other => Err(format!("the metric {other:?}")),
                };
            let minutes = self
                .counts
                .range((group.to_owned(), from)..(group.to_owned(), until));
            let mut values = Vec::new();
            for ((_, minute), count) in minutes {
                let value = of(count)?;
                // What is 0 is not reported, nor anything of a minute without a request.
                if value > 0.0 && count.requests >= 1.0 {
                    values.push((*minute, value));
                }
            }
            answer.begin_map();
            answer
                .str("Id")
                .str(query["Id"].as_str().unwrap_or_default());
            answer.str("StatusCode").str("Complete");
            answer.str("Timestamps").array(values.len());
            for (minute, _) in &values {
                answer.timestamp(&DateTime::from_secs(*minute));
            }
            answer.str("Values").array(values.len());
            for (_, value) in &values {
                answer.double(*value);
            }
            answer.end();
        }
        answer.end().end();
        Ok(())
    }
}

/// An error as the protocol has it.
pub fn refusal(status: u16, code: &str, message: &str) -> Response {
    let mut answer = Encoder::new(Vec::new());
    answer.begin_map();
    answer
        .str("__type")
        .str(code)
        .str("message")
        .str(message)
        .end();
    cbor(status, answer)
}

fn cbor(status: u16, answer: Encoder) -> Response {
    let headers = [
        ("content-type", "application/cbor"),
        ("smithy-protocol", "rpc-v2-cbor"),
    ];
    wire::response(status, &headers, answer.into_writer())
}

/// Any CBOR as JSON; a time is its seconds.
fn read(from: &mut Decoder<'_>, depth: u32) -> Result<Value, DeserializeError> {
    if depth > 16 {
        return Err(DeserializeError::custom("too deep", from.position()));
    }
    Ok(match from.datatype()? {
        Type::String | Type::StringIndef => Value::String(from.string()?),
        Type::Bool => Value::Bool(from.boolean()?),
        Type::F16 | Type::F32 | Type::F64 => Value::from(from.double()?),
        Type::Tag => Value::from(from.timestamp()?.secs()),
        Type::Array | Type::ArrayIndef => {
            let (mut list, length) = (Vec::new(), from.list()?);
            while more(from, length, list.len())? {
                list.push(read(from, depth + 1)?);
            }
            Value::Array(list)
        }
        Type::Map | Type::MapIndef => {
            let (mut map, length) = (Map::new(), from.map()?);
            while more(from, length, map.len())? {
                let key = from.string()?;
                map.insert(key, read(from, depth + 1)?);
            }
            Value::Object(map)
        }
        Type::Null => {
            from.null()?;
            Value::Null
        }
        _ => Value::from(from.long()?),
    })
}

/// Whether a list or a map goes on; past its end, if that is marked.
fn more(
    from: &mut Decoder<'_>,
    length: Option<u64>,
    so_far: usize,
) -> Result<bool, DeserializeError> {
    match length {
        Some(length) => Ok(u64::try_from(so_far).is_ok_and(|so_far| so_far < length)),
        None if from.datatype()? == Type::Break => {
            from.skip()?;
            Ok(false)
        }
        None => Ok(true),
    }
}
