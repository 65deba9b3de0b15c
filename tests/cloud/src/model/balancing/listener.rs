//! Listeners: a port, and the rules for what comes in there.

use std::collections::BTreeMap;

use super::{
    super::{Cloud, Error, Result, elb, paging},
    condition::Conditions,
    rule::{Priority, Rule},
};

#[derive(Clone, Debug)]
pub(in super::super) struct Listener {
    pub(in super::super) arn: String,
    pub(super) load_balancer: String,
    pub(in super::super) port: u16,
    pub(super) tags: BTreeMap<String, String>,
}

fn checked_port(port: Option<i32>) -> Result<u16> {
    let Some(port) = port else {
        return Err(Error::validation("A listener port must be specified"));
    };
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            Error::validation(format!(
                "Listener port '{port}' must be between '1' and '65535' inclusive"
            ))
        })
}

fn check_protocol(protocol: Option<&str>) -> Result<()> {
    match protocol {
        Some("HTTP") => Ok(()),
        None => Err(Error::validation("A listener protocol must be specified")),
        Some("HTTPS") => Err(Error::not_modelled("A listener with protocol HTTPS")),
        Some(other) => Err(Error::new(
            "UnsupportedProtocol",
            format!("Listener protocol '{other}' is not supported by an application load balancer"),
        )),
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateListener.html>
    pub fn create_listener(
        &mut self,
        request: elb::CreateListenerInput,
    ) -> Result<elb::CreateListenerOutput> {
        let balancer_arn = request.load_balancer_arn;
        self.load_balancer(&balancer_arn)?;
        check_protocol(request.protocol.as_deref())?;
        let port = checked_port(request.port)?;
        self.check_port_free(&balancer_arn, port, None)?;
        let mine = self
            .listeners
            .values()
            .filter(|listener| listener.load_balancer == balancer_arn);
        let most = self.settings.quotas.listeners_per_load_balancer;
        if mine.count() >= most {
            return Err(Error::new(
                "TooManyListeners",
                format!("A load balancer may have at most {most} listeners"),
            ));
        }
        let action = self.action(request.default_actions, &balancer_arn)?;
        let tags = super::resource_tags::parse(request.tags)?;
        let path = balancer_arn
            .split_once(":loadbalancer/")
            .map_or("", |(_, path)| path)
            .to_owned();
        let suffix = self.ids.hex(16);
        let arn = self.balancing_arn(&format!("listener/{path}/{suffix}"));
        let rule_suffix = self.ids.hex(16);
        let rule = self.balancing_arn(&format!("listener-rule/{path}/{suffix}/{rule_suffix}"));
        self.listeners.insert(
            arn.clone(),
            Listener {
                arn: arn.clone(),
                load_balancer: balancer_arn,
                port,
                tags,
            },
        );
        self.rules.insert(
            rule.clone(),
            Rule {
                arn: rule,
                listener: arn.clone(),
                priority: Priority::Default,
                conditions: Conditions::default(),
                action,
                tags: BTreeMap::new(),
            },
        );
        Ok(elb::CreateListenerOutput {
            listeners: Some(vec![self.listed_listener(&arn)?].into()),
        })
    }

    /// One machine has each port once, so a port is taken whichever load balancer listens there.
    fn check_port_free(&self, balancer: &str, port: u16, but: Option<&str>) -> Result<()> {
        let mut others = self
            .listeners
            .values()
            .filter(|listener| but != Some(listener.arn.as_str()));
        match others.find(|listener| listener.port == port) {
            None => Ok(()),
            Some(listener) if listener.load_balancer == balancer => Err(Error::new(
                "DuplicateListener",
                format!(
                    "A listener already exists on this port for this load balancer '{balancer}'"
                ),
            )),
            Some(listener) => Err(Error::new(
                "InvalidConfigurationRequest",
                format!(
                    "Port {port} is taken by '{}' of another load balancer: on this local AWS all of them share \
                     one machine's ports",
                    listener.arn
                ),
            )),
        }
    }

    fn listed_listener(&self, arn: &str) -> Result<elb::Listener> {
        let listener = self.listener(arn)?;
        let default = self.default_rule(arn).map(|rule| rule.action.listed());
        Ok(elb::Listener {
            listener_arn: Some(listener.arn.clone()),
            load_balancer_arn: Some(listener.load_balancer.clone()),
            port: Some(i32::from(listener.port)),
            protocol: Some("HTTP".into()),
            default_actions: Some(default.into_iter().collect()),
            ..Default::default()
        })
    }

    pub(super) fn default_rule(&self, listener: &str) -> Option<&Rule> {
        let mut mine = self.rules.values().filter(|rule| rule.listener == listener);
        mine.find(|rule| rule.priority == Priority::Default)
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyListener.html>
    pub fn modify_listener(
        &mut self,
        request: elb::ModifyListenerInput,
    ) -> Result<elb::ModifyListenerOutput> {
        let arn = request.listener_arn;
        let balancer = self.listener(&arn)?.load_balancer.clone();
        if request.protocol.is_some() {
            check_protocol(request.protocol.as_deref())?;
        }
        let port = request
            .port
            .map(|port| checked_port(Some(port)))
            .transpose()?;
        if let Some(port) = port {
            self.check_port_free(&balancer, port, Some(&arn))?;
        }
        let action = request
            .default_actions
            .filter(|actions| !actions.items.is_empty());
        let action = action
            .map(|actions| self.action(actions, &balancer))
            .transpose()?;
        if let (Some(port), Some(listener)) = (port, self.listeners.get_mut(&arn)) {
            listener.port = port;
        }
        let rule = self.default_rule(&arn).map(|rule| rule.arn.clone());
        if let (Some(action), Some(rule)) =
            (action, rule.and_then(|rule| self.rules.get_mut(&rule)))
        {
            rule.action = action;
        }
        Ok(elb::ModifyListenerOutput {
            listeners: Some(vec![self.listed_listener(&arn)?].into()),
        })
    }

    /// With its rules. <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteListener.html>
    pub fn delete_listener(
        &mut self,
        request: &elb::DeleteListenerInput,
    ) -> Result<elb::DeleteListenerOutput> {
        let arn = &request.listener_arn;
        self.listener(arn)?;
        self.listeners.remove(arn);
        self.rules.retain(|_, rule| rule.listener != *arn);
        Ok(elb::DeleteListenerOutput::default())
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeListeners.html>
    pub fn describe_listeners(
        &self,
        request: elb::DescribeListenersInput,
    ) -> Result<elb::DescribeListenersOutput> {
        let arns = request
            .listener_arns
            .map(|arns| arns.items)
            .unwrap_or_default();
        for arn in &arns {
            self.listener(arn)?;
        }
        let balancer = request.load_balancer_arn;
        if let Some(balancer) = &balancer {
            self.load_balancer(balancer)?;
        } else if arns.is_empty() {
            return Err(Error::validation(
                "You must specify either listener ARNs or a load balancer ARN",
            ));
        }
        let found = self.listeners.values().filter(|listener| {
            balancer
                .as_ref()
                .is_none_or(|balancer| listener.load_balancer == *balancer)
                && (arns.is_empty() || arns.contains(&listener.arn))
        });
        let (found, next_marker) = paging::page(
            found.map(|listener| listener.arn.clone()).collect(),
            Clone::clone,
            request.marker.as_deref(),
            paging::page_size(request.page_size)?,
            paging::bad_marker,
        )?;
        let listeners = found
            .iter()
            .map(|arn| self.listed_listener(arn))
            .collect::<Result<Vec<_>>>()?;
        Ok(elb::DescribeListenersOutput {
            listeners: Some(listeners.into()),
            next_marker,
        })
    }
}
