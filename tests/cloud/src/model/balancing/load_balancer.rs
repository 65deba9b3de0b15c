//! Load balancers: the outermost thing, which has listeners.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::{Cloud, Error, Result, elb, limits, paging, timestamp};

#[derive(Clone, Debug)]
pub(in super::super) struct LoadBalancer {
    pub(super) arn: String,
    name: String,
    created: Timestamp,
    subnets: Vec<String>,
    zones: Vec<String>,
    security_groups: Vec<String>,
    scheme: String,
    pub(super) vpc: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

impl Cloud {
    /// With the same settings again, it answers the existing one.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html>
    pub fn create_load_balancer(
        &mut self,
        request: elb::CreateLoadBalancerInput,
    ) -> Result<elb::CreateLoadBalancerOutput> {
        let name = request.name;
        limits::balancing_name("Load balancer", &name)?;
        if name.starts_with("internal-") {
            return Err(Error::validation(format!(
                "Load balancer name '{name}' cannot begin with 'internal-'"
            )));
        }
        match request.r#type.as_deref() {
            None | Some("application") => {}
            Some(other) => {
                return Err(Error::not_modelled(format!(
                    "A load balancer of type {other}"
                )));
            }
        }
        let scheme = request.scheme.unwrap_or_else(|| "internet-facing".into());
        if !matches!(scheme.as_str(), "internet-facing" | "internal") {
            return Err(Error::new(
                "InvalidScheme",
                format!("Scheme '{scheme}' is not valid"),
            ));
        }
        let mut subnets = request
            .subnets
            .map(|subnets| subnets.items)
            .unwrap_or_default();
        let mappings = request
            .subnet_mappings
            .map(|mappings| mappings.items)
            .unwrap_or_default();
        subnets.extend(mappings.into_iter().filter_map(|mapping| mapping.subnet_id));
        let zones: Vec<String> = subnets.iter().map(|subnet| self.zone_of(subnet)).collect();
        let distinct: std::collections::BTreeSet<&String> = zones.iter().collect();
        if distinct.len() < 2 {
            return Err(Error::validation(
                "At least two subnets in two different Availability Zones must be specified",
            ));
        }
        let tags = super::resource_tags::parse(request.tags)?;
        let security_groups = request
            .security_groups
            .map(|groups| groups.items)
            .unwrap_or_default();
        if let Some(existing) = self
            .load_balancers
            .values()
            .find(|balancer| balancer.name == name)
        {
            if existing.subnets == subnets
                && existing.scheme == scheme
                && existing.security_groups == security_groups
            {
                return Ok(elb::CreateLoadBalancerOutput {
                    load_balancers: Some(vec![self.listed_load_balancer(existing)].into()),
                });
            }
            return Err(Error::new(
                "DuplicateLoadBalancerName",
                format!(
                    "A load balancer with the same name '{name}' exists, but with different settings"
                ),
            ));
        }
        if self.load_balancers.len() >= self.settings.quotas.load_balancers {
            return Err(Error::new(
                "TooManyLoadBalancers",
                format!(
                    "There may be at most {} load balancers",
                    self.settings.quotas.load_balancers
                ),
            ));
        }
        let vpc = subnets
            .iter()
            .find_map(|subnet| self.subnets.get(subnet)?.vpc.clone());
        let suffix = self.ids.hex(16);
        let arn = self.balancing_arn(&format!("loadbalancer/app/{name}/{suffix}"));
        let balancer = LoadBalancer {
            arn: arn.clone(),
            name,
            created: self.now,
            subnets,
            zones,
            security_groups,
            scheme,
            vpc,
            tags,
        };
        let listed = self.listed_load_balancer(&balancer);
        self.load_balancers.insert(arn, balancer);
        Ok(elb::CreateLoadBalancerOutput {
            load_balancers: Some(vec![listed].into()),
        })
    }

    fn listed_load_balancer(&self, balancer: &LoadBalancer) -> elb::LoadBalancer {
        let ready = balancer.created + self.settings.load_balancer_provisioning <= self.now;
        let zones = balancer.subnets.iter().zip(&balancer.zones);
        let zones = zones.map(|(subnet, zone)| elb::AvailabilityZone {
            subnet_id: Some(subnet.clone()),
            zone_name: Some(zone.clone()),
            ..Default::default()
        });
        elb::LoadBalancer {
            load_balancer_arn: Some(balancer.arn.clone()),
            load_balancer_name: Some(balancer.name.clone()),
            d_n_s_name: Some(self.settings.dns_name.clone()),
            canonical_hosted_zone_id: Some("Z35SXDOTRQ7X7K".into()),
            created_time: Some(timestamp(balancer.created)),
            scheme: Some(balancer.scheme.clone()),
            vpc_id: balancer.vpc.clone(),
            state: Some(elb::LoadBalancerState {
                code: Some(if ready { "active" } else { "provisioning" }.into()),
                reason: None,
            }),
            r#type: Some("application".into()),
            ip_address_type: Some("ipv4".into()),
            availability_zones: Some(zones.collect()),
            security_groups: Some(balancer.security_groups.clone().into()),
            ..Default::default()
        }
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html>
    pub fn describe_load_balancers(
        &self,
        request: elb::DescribeLoadBalancersInput,
    ) -> Result<elb::DescribeLoadBalancersOutput> {
        let arns = request
            .load_balancer_arns
            .map(|arns| arns.items)
            .unwrap_or_default();
        let names = request.names.map(|names| names.items).unwrap_or_default();
        for arn in &arns {
            self.load_balancer(arn)?;
        }
        for name in &names {
            if !self
                .load_balancers
                .values()
                .any(|balancer| balancer.name == *name)
            {
                return Err(Error::new(
                    "LoadBalancerNotFound",
                    format!("Load balancers '[{name}]' not found"),
                ));
            }
        }
        let all = arns.is_empty() && names.is_empty();
        let found = self.load_balancers.values();
        let found = found.filter(|balancer| {
            all || arns.contains(&balancer.arn) || names.contains(&balancer.name)
        });
        let (found, next_marker) = paging::page(
            found.collect(),
            |balancer| balancer.arn.clone(),
            request.marker.as_deref(),
            paging::page_size(request.page_size)?,
            paging::bad_marker,
        )?;
        Ok(elb::DescribeLoadBalancersOutput {
            load_balancers: Some(
                found
                    .into_iter()
                    .map(|balancer| self.listed_load_balancer(balancer))
                    .collect(),
            ),
            next_marker,
        })
    }

    /// With its listeners and rules. One that does not exist is no error.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteLoadBalancer.html>
    pub fn delete_load_balancer(
        &mut self,
        request: &elb::DeleteLoadBalancerInput,
    ) -> Result<elb::DeleteLoadBalancerOutput> {
        let arn = &request.load_balancer_arn;
        self.load_balancers.remove(arn);
        self.listeners
            .retain(|_, listener| listener.load_balancer != *arn);
        let listeners = &self.listeners;
        self.rules
            .retain(|_, rule| listeners.contains_key(&rule.listener));
        Ok(elb::DeleteLoadBalancerOutput::default())
    }
}
