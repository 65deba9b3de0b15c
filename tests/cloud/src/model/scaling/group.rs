//! What a group is, and how one begins.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    super::{Cloud, Error, Result, asg, limits},
    attachment::Attachment,
    hook::Hook,
    process::Process,
    schedule::Schedule,
};

#[derive(Clone, Debug)]
pub(in super::super) struct Group {
    pub(in super::super) name: String,
    pub(in super::super) arn: String,
    pub(super) created: Timestamp,
    pub(in super::super) min: i32,
    pub(in super::super) max: i32,
    pub(in super::super) desired: i32,
    pub(super) places: Vec<Place>,
    pub(super) launch_template: Template,
    /// What was asked for besides the template. Instances here have no type, so it is kept and listed.
    pub(super) mixed: Option<asg::MixedInstancesPolicy>,
    pub(super) health_check_type: String,
    /// Seconds.
    pub(super) grace: i32,
    pub(super) termination_policies: Vec<String>,
    pub(super) protect_new: bool,
    /// Kept and listed; nothing here looks at them.
    pub(super) bystanders: Bystanders,
    pub(super) tags: BTreeMap<String, GroupTag>,
    pub(super) attachments: BTreeMap<String, Attachment>,
    pub(super) suspended: BTreeMap<Process, String>,
    pub(super) hooks: BTreeMap<String, Hook>,
    pub(super) policies: BTreeMap<String, asg::ScalingPolicy>,
    pub(super) schedules: BTreeMap<String, Schedule>,
    pub(in super::super) deletion: Option<Deletion>,
    /// When the group next compares what it has with what it should have.
    pub(super) evaluate_at: Option<Timestamp>,
    /// Why the desired capacity is what it is; told with each activity until it is reached.
    pub(super) reason: Option<String>,
    /// How many of the next launches replace unhealthy instances.
    pub(super) replacing: usize,
    /// Launches that failed since one succeeded, and when to try again.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Timestamp>,
}

/// Where an instance may be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) zone: String,
    pub(super) subnet: Option<String>,
}

/// A launch template by id or by name, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    /// A number, `$Latest` or `$Default`.
    pub(super) version: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bystanders {
    pub(super) default_cooldown: i32,
    pub(super) default_instance_warmup: Option<i32>,
    pub(super) max_instance_lifetime: Option<i32>,
    pub(super) capacity_rebalance: Option<bool>,
    pub(super) maintenance: Option<asg::InstanceMaintenancePolicy>,
}

#[derive(Clone, Debug)]
pub(super) struct GroupTag {
    pub(super) value: String,
    pub(super) propagate: bool,
}

#[derive(Clone, Debug)]
pub(in super::super) struct Deletion {
    pub(super) forced: bool,
    /// When the group is gone, once it is empty.
    pub(super) gone_at: Option<Timestamp>,
}

impl Group {
    pub(in super::super) fn due(&self) -> Option<Timestamp> {
        let gone = self.deletion.as_ref().and_then(|deletion| deletion.gone_at);
        let schedules = self.schedules.values().filter_map(|schedule| schedule.next);
        let detached = self.attachments.values().filter_map(Attachment::gone_at);
        [self.evaluate_at, gone]
            .into_iter()
            .flatten()
            .chain(schedules)
            .chain(detached)
            .min()
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.evaluate_at = Some(self.evaluate_at.map_or(at, |already| already.min(at)));
    }

    /// What it should have now.
    pub(super) fn wanted(&self) -> usize {
        if self.deletion.is_some() {
            return 0;
        }
        usize::try_from(self.desired).unwrap_or(0)
    }

    pub(super) fn zones(&self) -> Vec<String> {
        let mut zones: Vec<String> = Vec::new();
        for place in &self.places {
            if !zones.contains(&place.zone) {
                zones.push(place.zone.clone());
            }
        }
        zones
    }

    pub(super) fn checks_load_balancer(&self) -> bool {
        self.health_check_type
            .split(',')
            .any(|kind| kind.trim() == "ELB")
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html>
    pub fn create_auto_scaling_group(
        &mut self,
        request: asg::CreateAutoScalingGroupType,
    ) -> Result<()> {
        let name = request.auto_scaling_group_name.clone();
        limits::scaling_name("autoScalingGroupName", &name)?;
        if self.groups.contains_key(&name) {
            return Err(Error::new(
                "AlreadyExists",
                format!(
                    "AutoScalingGroup by this name already exists - A group with the name {name} already exists"
                ),
            ));
        }
        if self.groups.len() >= self.settings.quotas.groups {
            return Err(Error::new(
                "LimitExceeded",
                format!(
                    "You have already reached your limit of {} AutoScalingGroups",
                    self.settings.quotas.groups
                ),
            ));
        }
        let launch_template = launch_template(&request)?;
        let (min, max) = (request.min_size, request.max_size);
        let desired = request.desired_capacity.unwrap_or(min);
        check_capacity(min, max, desired)?;
        let health_check_type = health_check_type(request.health_check_type.as_deref())?;
        let grace = grace_period(request.health_check_grace_period)?;
        let termination_policies = super::pick::policies(request.termination_policies)?;
        let places = self.places(
            request.v_p_c_zone_identifier.as_deref(),
            request.availability_zones.map(|zones| zones.items),
        )?;
        let tags =
            super::group_tags::parse(&request.tags.map(|tags| tags.items).unwrap_or_default())?;
        let attached = attached_arns(request.target_group_a_r_ns, request.traffic_sources)?;
        self.check_attachable(&attached, 0)?;
        let hooks = request
            .lifecycle_hook_specification_list
            .map(|list| list.items);
        let hooks = hooks
            .unwrap_or_default()
            .into_iter()
            .map(Hook::from_specification);
        let hooks = hooks.collect::<Result<BTreeMap<_, _>>>()?;

        let (region, account) = (&self.settings.region, &self.settings.account);
        let arn = format!(
            "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:{}:autoScalingGroupName/{name}",
            self.ids.uuid()
        );
        let reason = (desired > 0).then(|| {
            format!(
                "At {} a user request created an AutoScalingGroup changing the desired capacity from 0 to {desired}.",
                super::super::spoken(self.now)
            )
        });
        let group = Group {
            name: name.clone(),
            arn,
            created: self.now,
            min,
            max,
            desired,
            places,
            launch_template,
            mixed: request.mixed_instances_policy,
            health_check_type,
            grace,
            termination_policies,
            protect_new: request
                .new_instances_protected_from_scale_in
                .unwrap_or(false),
            bystanders: Bystanders {
                default_cooldown: request.default_cooldown.unwrap_or(300),
                default_instance_warmup: request.default_instance_warmup,
                max_instance_lifetime: request.max_instance_lifetime,
                capacity_rebalance: request.capacity_rebalance,
                maintenance: request.instance_maintenance_policy,
            },
            tags,
            attachments: attached
                .into_iter()
                .map(|arn| (arn, Attachment::Adding))
                .collect(),
            suspended: BTreeMap::new(),
            hooks,
            policies: BTreeMap::new(),
            schedules: BTreeMap::new(),
            deletion: None,
            evaluate_at: None,
            reason,
            replacing: 0,
            failures: 0,
            retry_at: None,
        };
        self.groups.insert(name.clone(), group);
        self.wake(&name);
        Ok(())
    }

    /// The subnets of a `VPCZoneIdentifier` (comma-separated), or else the zones by themselves.
    pub(super) fn places(
        &mut self,
        subnets: Option<&str>,
        zones: Option<Vec<String>>,
    ) -> Result<Vec<Place>> {
        let subnets = subnets.unwrap_or_default().split(',').map(str::trim);
        let subnets: Vec<&str> = subnets.filter(|subnet| !subnet.is_empty()).collect();
        let mut places = Vec::new();
        for subnet in subnets {
            if !subnet.starts_with("subnet-") {
                return Err(Error::validation(format!(
                    "The subnet ID '{subnet}' is not valid: a VPCZoneIdentifier is a comma-separated list of subnet ids"
                )));
            }
            let zone = self.zone_of(subnet);
            places.push(Place {
                zone,
                subnet: Some(subnet.to_owned()),
            });
        }
        if places.is_empty() {
            places = zones
                .unwrap_or_default()
                .into_iter()
                .map(|zone| Place { zone, subnet: None })
                .collect();
        }
        if places.is_empty() {
            return Err(Error::validation(
                "At least one Availability Zone or VPC Subnet is required.",
            ));
        }
        Ok(places)
    }
}

pub(super) fn check_capacity(min: i32, max: i32, desired: i32) -> Result<()> {
    if min < 0 || max < 0 || desired < 0 {
        return Err(Error::validation(
            "Capacity cannot be negative: minimum, maximum and desired capacity must be 0 or more",
        ));
    }
    if min > max {
        return Err(Error::validation(format!(
            "Max bound, {max}, must be greater than or equal to min bound, {min}"
        )));
    }
    if !(min..=max).contains(&desired) {
        return Err(Error::validation(format!(
            "Desired capacity:{desired} must be between the specified min size:{min} and max size:{max}"
        )));
    }
    Ok(())
}

pub(super) fn health_check_type(given: Option<&str>) -> Result<String> {
    let kinds = given.unwrap_or("EC2");
    if kinds
        .split(',')
        .all(|kind| matches!(kind.trim(), "EC2" | "ELB"))
    {
        return Ok(kinds.to_owned());
    }
    Err(Error::validation(format!(
        "Invalid HealthCheckType '{kinds}': this local AWS knows EC2 and ELB"
    )))
}

pub(super) fn grace_period(given: Option<i32>) -> Result<i32> {
    let grace = given.unwrap_or(0);
    if grace < 0 {
        return Err(Error::validation(format!(
            "HealthCheckGracePeriod cannot be negative: {grace}"
        )));
    }
    Ok(grace)
}

impl Template {
    pub(super) fn parse(template: asg::LaunchTemplateSpecification) -> Result<Self> {
        let (id, name) = (template.launch_template_id, template.launch_template_name);
        if id.is_some() == name.is_some() {
            return Err(Error::validation(
                "Valid requests must contain either launchTemplateId or LaunchTemplateName, and not both",
            ));
        }
        Ok(Self {
            id,
            name,
            version: template.version,
        })
    }

    pub(super) fn listed(&self) -> asg::LaunchTemplateSpecification {
        asg::LaunchTemplateSpecification {
            launch_template_id: self.id.clone(),
            launch_template_name: self.name.clone(),
            version: self.version.clone(),
        }
    }
}

fn launch_template(request: &asg::CreateAutoScalingGroupType) -> Result<Template> {
    if let Some(name) = &request.launch_configuration_name {
        // Accounts created since October 2024 cannot make launch configurations.
        return Err(Error::validation(format!(
            "Launch configuration name not found - Launch configuration {name} not found"
        )));
    }
    let mixed = request.mixed_instances_policy.as_ref();
    let of_mixed = mixed.and_then(|mixed| mixed.launch_template.as_ref());
    if mixed.is_some() && request.launch_template.is_some() {
        return Err(Error::validation(
            "Valid requests must contain either LaunchTemplate or MixedInstancesPolicy, and not both",
        ));
    }
    if let Some(mixed) = of_mixed {
        check_overrides(mixed)?;
    }
    let of_mixed = of_mixed.and_then(|mixed| mixed.launch_template_specification.clone());
    let Some(template) = request.launch_template.clone().or(of_mixed) else {
        return Err(Error::validation(
            "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or \
             MixedInstancesPolicy parameter.",
        ));
    };
    Template::parse(template)
}

/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_LaunchTemplate.html>: 40 overrides at most.
fn check_overrides(mixed: &asg::LaunchTemplate) -> Result<()> {
    let overrides = mixed.overrides.as_ref();
    let overrides = overrides.map_or(&[][..], |overrides| &overrides.items);
    if overrides.len() > 40 {
        return Err(Error::validation(format!(
            "You can specify up to 40 overrides, not {}",
            overrides.len()
        )));
    }
    let typed = |one: &asg::LaunchTemplateOverrides| one.instance_type.is_some();
    if !overrides.iter().all(typed) {
        return Err(Error::not_modelled("overrides without InstanceType"));
    }
    Ok(())
}

/// The target groups named in either of the two ways of attaching.
fn attached_arns(
    arns: Option<asg::TargetGroupARNs>,
    sources: Option<asg::TrafficSources>,
) -> Result<Vec<String>> {
    let mut arns = arns.map(|arns| arns.items).unwrap_or_default();
    arns.extend(super::attachment::source_arns(
        sources.map(|sources| sources.items).unwrap_or_default(),
    )?);
    Ok(arns)
}
