//! How long the parts of AWS take that nobody configures, and how much of everything an account may have.

use std::time::Duration;

/// The account, its region, its quotas and its unhurried moments. Durations are in cloud time.
#[derive(Clone, Debug)]
pub struct Settings {
    pub account: String,
    pub region: String,
    /// What a load balancer's `DNSName` is.
    pub dns_name: String,

    /// From a change of a group to its reaction.
    pub evaluation: Duration,
    /// From the launch of an instance until EC2 calls it running, at least.
    pub ec2_pending: Duration,
    /// From the termination of an instance until EC2 calls it terminated.
    pub ec2_terminating: Duration,
    /// How long `Pending:Proceed` lasts.
    pub proceed: Duration,
    /// From an instance's death, or its target turning unhealthy, until its group marks it unhealthy.
    pub health_notice: Duration,
    /// Between a failed launch and the next attempt; doubled with each failure up to the second value.
    pub launch_retry: (Duration, Duration),
    /// How long an empty group says "Delete in progress".
    pub group_deletion: Duration,
    /// How long a target is `initial` with `Elb.RegistrationInProgress` before its first health check.
    pub target_registration: Duration,
    /// How long a load balancer is `provisioning`.
    pub load_balancer_provisioning: Duration,
    /// A describe does not yet know groups and target groups that are younger than this, and still lists those that
    /// went less than this ago.
    pub describe_lag: Duration,

    pub quotas: Quotas,
}

/// Default quotas per region.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-quotas.html>
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html>
#[derive(Clone, Debug)]
pub struct Quotas {
    pub groups: usize,
    pub target_groups_per_group: usize,
    pub hooks_per_group: usize,
    pub policies_per_group: usize,
    pub scheduled_actions_per_group: usize,
    pub load_balancers: usize,
    pub listeners_per_load_balancer: usize,
    pub rules_per_load_balancer: usize,
    pub target_groups: usize,
    pub target_groups_per_load_balancer: usize,
    pub target_groups_per_action: usize,
    pub targets_per_target_group: usize,
    pub condition_values_per_rule: usize,
    /// EC2 instances that may run at once: what an account's vCPU quota comes to.
    pub instances: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            account: "000000000000".into(),
            region: "us-east-1".into(),
            dns_name: "localhost".into(),
            evaluation: seconds(2),
            ec2_pending: seconds(8),
            ec2_terminating: seconds(20),
            proceed: seconds(2),
            health_notice: seconds(15),
            launch_retry: (seconds(15), seconds(600)),
            group_deletion: seconds(5),
            target_registration: seconds(4),
            load_balancer_provisioning: seconds(90),
            describe_lag: Duration::ZERO,
            quotas: Quotas::default(),
        }
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            groups: 500,
            target_groups_per_group: 50,
            hooks_per_group: 50,
            policies_per_group: 50,
            scheduled_actions_per_group: 125,
            load_balancers: 50,
            listeners_per_load_balancer: 50,
            rules_per_load_balancer: 100,
            target_groups: 3000,
            target_groups_per_load_balancer: 100,
            target_groups_per_action: 5,
            targets_per_target_group: 1000,
            condition_values_per_rule: 5,
            instances: 512,
        }
    }
}
