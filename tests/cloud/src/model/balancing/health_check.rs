//! A target group's health check settings, and what they may be for HTTP.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>

use super::super::{Error, Result, elb};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HealthCheck {
    pub(super) path: String,
    /// `traffic-port` or a number.
    pub(super) port: String,
    /// Seconds, 5 to 300.
    pub(super) interval: u16,
    /// Seconds, 2 to 120, less than the interval.
    pub(super) timeout: u16,
    pub(super) healthy_threshold: u16,
    pub(super) unhealthy_threshold: u16,
    /// `200`, `200,202` or `200-299`, within 200 to 499.
    pub(super) matcher: String,
}

/// The settings that a request gives; the same in creating and modifying.
#[derive(Default)]
pub(super) struct Given {
    pub(super) enabled: Option<bool>,
    pub(super) protocol: Option<String>,
    pub(super) path: Option<String>,
    pub(super) port: Option<String>,
    pub(super) interval: Option<i32>,
    pub(super) timeout: Option<i32>,
    pub(super) healthy_threshold: Option<i32>,
    pub(super) unhealthy_threshold: Option<i32>,
    pub(super) matcher: Option<elb::Matcher>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".into(),
            port: "traffic-port".into(),
            interval: 30,
            timeout: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".into(),
        }
    }
}

impl HealthCheck {
    /// These settings with those given put over them.
    pub(super) fn with(&self, given: Given) -> Result<Self> {
        if given.enabled == Some(false) {
            return Err(Error::validation(
                "Health check enabled must be true for target groups with target type 'instance' or 'ip'",
            ));
        }
        if let Some(protocol) = given.protocol.filter(|protocol| protocol != "HTTP") {
            return Err(Error::not_modelled(format!(
                "A health check with protocol {protocol}"
            )));
        }
        let checked = Self {
            path: given.path.unwrap_or_else(|| self.path.clone()),
            port: given.port.unwrap_or_else(|| self.port.clone()),
            interval: seconds("interval", given.interval, self.interval, 5, 300)?,
            timeout: seconds("timeout", given.timeout, self.timeout, 2, 120)?,
            healthy_threshold: seconds(
                "healthy threshold count",
                given.healthy_threshold,
                self.healthy_threshold,
                2,
                10,
            )?,
            unhealthy_threshold: seconds(
                "unhealthy threshold count",
                given.unhealthy_threshold,
                self.unhealthy_threshold,
                2,
                10,
            )?,
            matcher: match given.matcher {
                None => self.matcher.clone(),
                Some(matcher) if matcher.grpc_code.is_some() => {
                    return Err(Error::not_modelled("A gRPC matcher"));
                }
                Some(matcher) => matcher.http_code.unwrap_or_else(|| self.matcher.clone()),
            },
        };
        if !checked.path.starts_with('/') {
            return Err(Error::validation(format!(
                "Health check path '{}' must begin with a '/' character",
                checked.path
            )));
        }
        if checked.path.len() > 1024 {
            return Err(Error::validation(
                "Health check path cannot be longer than '1024' characters",
            ));
        }
        let port_number = checked.port.parse::<u16>().is_ok_and(|port| port > 0);
        if checked.port != "traffic-port" && !port_number {
            return Err(Error::validation(format!(
                "Health check port '{}' must be 'traffic-port' or an integer between '1' and '65535' inclusive",
                checked.port
            )));
        }
        if checked.timeout >= checked.interval {
            return Err(Error::validation(format!(
                "Health check interval '{}' must be greater than the timeout '{}'",
                checked.interval, checked.timeout
            )));
        }
        if !is_matcher(&checked.matcher) {
            return Err(Error::validation(format!(
                "Health check matcher HTTP code '{}' must be codes or ranges of codes between '200' and '499'",
                checked.matcher
            )));
        }
        Ok(checked)
    }
}

fn seconds(what: &str, given: Option<i32>, before: u16, from: u16, to: u16) -> Result<u16> {
    let Some(given) = given else {
        return Ok(before);
    };
    u16::try_from(given)
        .ok()
        .filter(|value| (from..=to).contains(value))
        .ok_or_else(|| {
            Error::validation(format!(
                "Health check {what} '{given}' must be between '{from}' and '{to}' inclusive"
            ))
        })
}

fn is_matcher(text: &str) -> bool {
    let code = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|code| (200..=499).contains(code))
    };
    text.split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => matches!((code(from), code(to)), (Some(from), Some(to)) if from <= to),
        None => code(part).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_health_check_may_be() {
        for (given, complaint) in [
            (Given::default(), None),
            (
                Given {
                    path: Some("health".into()),
                    ..Given::default()
                },
                Some("must begin with a '/'"),
            ),
            (
                Given {
                    interval: Some(4),
                    ..Given::default()
                },
                Some("between '5' and '300'"),
            ),
            (
                Given {
                    timeout: Some(30),
                    ..Given::default()
                },
                Some("greater than the timeout"),
            ),
            (
                Given {
                    healthy_threshold: Some(1),
                    ..Given::default()
                },
                Some("between '2' and '10'"),
            ),
            (
                Given {
                    enabled: Some(false),
                    ..Given::default()
                },
                Some("must be true"),
            ),
            (
                Given {
                    port: Some("none".into()),
                    ..Given::default()
                },
                Some("traffic-port"),
            ),
        ] {
            let answer = HealthCheck::default().with(given);
            match complaint {
                None => assert_eq!(answer.unwrap(), HealthCheck::default()),
                Some(complaint) => assert!(
                    answer.unwrap_err().message.contains(complaint),
                    "{complaint}"
                ),
            }
        }
    }

    #[test]
    fn matchers() {
        for (text, good) in [
            ("200", true),
            ("200,202", true),
            ("200-299,404", true),
            ("", false),
            ("500", false),
            ("300-200", false),
        ] {
            assert_eq!(is_matcher(text), good, "{text}");
        }
    }
}
