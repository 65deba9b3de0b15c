//! Target groups: where a rule sends requests, and how the targets there are checked.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    super::{CheckOutcome, Cloud, Error, Result, elb, limits},
    attributes::Attributes,
    health_check::{Given, HealthCheck},
    slow_start::SlowStart,
    target::{State, Target, TargetKey},
};

#[derive(Clone, Debug)]
pub(in super::super) struct TargetGroup {
    pub(in super::super) arn: String,
    pub(in super::super) name: String,
    pub(super) created: Timestamp,
    pub(in super::super) port: u16,
    pub(super) vpc: Option<String>,
    pub(super) kind: Kind,
    pub(super) check: HealthCheck,
    pub(super) attributes: Attributes,
    pub(super) tags: BTreeMap<String, String>,
    pub(in super::super) targets: BTreeMap<TargetKey, Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instance,
    Ip,
}

impl Kind {
    fn parse(text: Option<&str>) -> Result<Self> {
        match text {
            None | Some("instance") => Ok(Self::Instance),
            Some("ip") => Ok(Self::Ip),
            Some(other) => Err(Error::not_modelled(format!(
                "A target group of type {other}"
            ))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Ip => "ip",
        }
    }
}

impl TargetGroup {
    pub(in super::super) fn due(&self) -> Option<Timestamp> {
        self.targets.values().filter_map(Target::due).min()
    }

    pub(super) fn of(&self, id: &str) -> impl Iterator<Item = &Target> {
        self.targets
            .iter()
            .filter(move |(key, _)| key.id == id)
            .map(|(_, target)| target)
    }

    pub(in super::super) fn has_healthy(&self, id: &str) -> bool {
        self.of(id).any(|target| target.state == State::Healthy)
    }

    /// The ids of the targets that are unhealthy.
    pub(in super::super) fn unhealthy(&self) -> impl Iterator<Item = &str> {
        let targets = self.targets.iter();
        targets
            .filter(|(_, target)| matches!(target.state, State::Unhealthy(_)))
            .map(|(key, _)| key.id.as_str())
    }

    pub(in super::super) fn has_registered(&self, id: &str) -> bool {
        self.of(id).any(Target::is_registered)
    }

    /// Whether the target is in another state now.
    pub(in super::super) fn checked(
        &mut self,
        key: &TargetKey,
        check: u64,
        outcome: &CheckOutcome,
        now: Timestamp,
    ) -> bool {
        let (healthy, unhealthy) = (self.check.healthy_threshold, self.check.unhealthy_threshold);
        // A target starts slowly only beside one that does not.
        let others = self.targets.iter().filter(|(other, _)| *other != key);
        let mut warm =
            others.filter(|(_, other)| other.state == State::Healthy && other.slow_start.is_none());
        let duration = self.attributes.slow_start();
        let slowly = warm.next().is_some() && !duration.is_zero();
        let Some(target) = self
            .targets
            .get_mut(key)
            .filter(|target| target.check == Some(check))
        else {
            return false;
        };
        let before = target.state.clone();
        target.checked(outcome, healthy, unhealthy);
        let has_changed = target.state != before;
        if slowly && has_changed && target.state == State::Healthy {
            target.slow_start = Some(SlowStart::new(now, duration));
        }
        has_changed
    }
}

impl Cloud {
    /// With the same settings again, it answers the existing one.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html>
    pub fn create_target_group(
        &mut self,
        request: elb::CreateTargetGroupInput,
    ) -> Result<elb::CreateTargetGroupOutput> {
        limits::balancing_name("Target group", &request.name)?;
        let kind = Kind::parse(request.target_type.as_deref())?;
        match request.protocol.as_deref() {
            Some("HTTP") => {}
            None => return Err(Error::validation("A protocol must be specified")),
            Some(other) => {
                return Err(Error::not_modelled(format!(
                    "A target group with protocol {other}"
                )));
            }
        }
        if let Some(version) = request
            .protocol_version
            .filter(|version| version != "HTTP1")
        {
            return Err(Error::not_modelled(format!("Protocol version {version}")));
        }
        let Some(port) = request.port else {
            return Err(Error::validation("A port must be specified"));
        };
        let port = u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| {
                Error::validation(format!(
                    "Target group port '{port}' must be between '1' and '65535' inclusive"
                ))
            })?;
        if request.vpc_id.is_none() {
            return Err(Error::validation("A VPC ID must be specified"));
        }
        let check = HealthCheck::default().with(Given {
            enabled: request.health_check_enabled,
            protocol: request.health_check_protocol,
            path: request.health_check_path,
            port: request.health_check_port,
            interval: request.health_check_interval_seconds,
            timeout: request.health_check_timeout_seconds,
            healthy_threshold: request.healthy_threshold_count,
            unhealthy_threshold: request.unhealthy_threshold_count,
            matcher: request.matcher,
        })?;
        let tags = super::resource_tags::parse(request.tags)?;
        if let Some(existing) = self
            .target_groups
            .values()
            .find(|group| group.name == request.name)
        {
            let same = (existing.kind, existing.port, &existing.vpc, &existing.check)
                == (kind, port, &request.vpc_id, &check);
            if same {
                return Ok(elb::CreateTargetGroupOutput {
                    target_groups: Some(vec![self.listed_target_group(existing)].into()),
                });
            }
            return Err(Error::new(
                "DuplicateTargetGroupName",
                format!(
                    "A target group with the same name '{}' exists, but with different settings",
                    request.name
                ),
            ));
        }
        if self.target_groups.len() >= self.settings.quotas.target_groups {
            return Err(Error::new(
                "TooManyTargetGroups",
                format!(
                    "There may be at most {} target groups",
                    self.settings.quotas.target_groups
                ),
            ));
        }
        let suffix = self.ids.hex(16);
        let arn = self.balancing_arn(&format!("targetgroup/{}/{suffix}", request.name));
        let group = TargetGroup {
            arn: arn.clone(),
            name: request.name,
            created: self.now,
            port,
            vpc: request.vpc_id,
            kind,
            check,
            attributes: Attributes::default(),
            tags,
            targets: BTreeMap::new(),
        };
        let listed = self.listed_target_group(&group);
        self.target_groups.insert(arn, group);
        Ok(elb::CreateTargetGroupOutput {
            target_groups: Some(vec![listed].into()),
        })
    }

    pub(super) fn listed_target_group(&self, group: &TargetGroup) -> elb::TargetGroup {
        let check = &group.check;
        let balancers: Vec<String> = self.load_balancer_of(&group.arn).into_iter().collect();
        elb::TargetGroup {
            target_group_arn: Some(group.arn.clone()),
            target_group_name: Some(group.name.clone()),
            protocol: Some("HTTP".into()),
            protocol_version: Some("HTTP1".into()),
            port: Some(i32::from(group.port)),
            vpc_id: group.vpc.clone(),
            target_type: Some(group.kind.name().into()),
            ip_address_type: Some("ipv4".into()),
            health_check_enabled: Some(true),
            health_check_protocol: Some("HTTP".into()),
            health_check_path: Some(check.path.clone()),
            health_check_port: Some(check.port.clone()),
            health_check_interval_seconds: Some(i32::from(check.interval)),
            health_check_timeout_seconds: Some(i32::from(check.timeout)),
            healthy_threshold_count: Some(i32::from(check.healthy_threshold)),
            unhealthy_threshold_count: Some(i32::from(check.unhealthy_threshold)),
            matcher: Some(elb::Matcher {
                http_code: Some(check.matcher.clone()),
                grpc_code: None,
            }),
            load_balancer_arns: Some(balancers.into()),
            ..Default::default()
        }
    }
}
