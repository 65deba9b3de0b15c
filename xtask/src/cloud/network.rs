//! What a user of AWS has before Exuvia: a network, a load balancer with a listener, and an AMI.

use anyhow::{Context as _, Result};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ProtocolEnum,
};
use serde::{Deserialize, Serialize};

use super::{State, free_ports};
use crate::process;

/// The SSM parameter that holds the AMI's id. (The names under /aws/ are AWS's own, and the local AWS has none.)
const AMI_PARAMETER: &str = "/local/ami";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    pub(crate) vpc: String,
    pub(crate) subnets: Vec<String>,
    /// The load balancer's.
    pub(crate) security_group: String,
    pub(crate) load_balancer_arn: String,
    pub(crate) listener_arn: String,
    /// The listener's: a real one on loopback.
    pub(crate) port: u16,
    /// The name of the SSM parameter that holds the AMI's id.
    pub(crate) ami_parameter: String,
}

impl Network {
    /// Where the load balancer answers.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The default VPC, and a load balancer in it whose listener answers 404 until there is a rule.
pub(crate) async fn create(state: &State) -> Result<Network> {
    let ((vpc, subnets, security_group), ()) =
        tokio::try_join!(Box::pin(default_vpc(state)), put_ami(state))?;
    let client = aws_sdk_elasticloadbalancingv2::Client::new(&state.sdk());
    let made = client
        .create_load_balancer()
        .name("local")
        .set_subnets(Some(subnets.clone()))
        .security_groups(&security_group)
        .send()
        .await;
    let load_balancer_arn = made
        .context("cannot create the load balancer")?
        .load_balancers()
        .first()
        .and_then(|balancer| balancer.load_balancer_arn())
        .context("the load balancer has no ARN")?
        .to_owned();

    let [port] = free_ports()?;
    let nothing_here = FixedResponseActionConfig::builder()
        .status_code("404")
        .content_type("text/plain")
        .message_body("Nothing is deployed here yet.\n")
        .build();
    let made = client
        .create_listener()
        .load_balancer_arn(&load_balancer_arn)
        .protocol(ProtocolEnum::Http)
        .port(i32::from(port))
        .default_actions(
            Action::builder()
                .r#type(ActionTypeEnum::FixedResponse)
                .fixed_response_config(nothing_here)
                .build(),
        )
        .send()
        .await;
    let listener_arn = made
        .context("cannot create the listener")?
        .listeners()
        .first()
        .and_then(|listener| listener.listener_arn())
        .context("the listener has no ARN")?
        .to_owned();
    Ok(Network {
        vpc,
        subnets,
        security_group,
        load_balancer_arn,
        listener_arn,
        port,
        ami_parameter: AMI_PARAMETER.to_owned(),
    })
}

/// Its id, its subnets and its security group.
async fn default_vpc(state: &State) -> Result<(String, Vec<String>, String)> {
    let vpc = [
        "ec2",
        "describe-vpcs",
        "--filters",
        "Name=isDefault,Values=true",
    ];
    let vpc = state.aws(&[&vpc[..], &["--query", "Vpcs[0].VpcId", "--output", "text"]].concat());
    let subnets = [
        "ec2",
        "describe-subnets",
        "--filters",
        "Name=default-for-az,Values=true",
    ];
    let subnets = state.aws(
        &[
            &subnets[..],
            &["--query", "Subnets[].SubnetId", "--output", "text"],
        ]
        .concat(),
    );
    let group = [
        "ec2",
        "describe-security-groups",
        "--filters",
        "Name=group-name,Values=default",
    ];
    let group = state.aws(
        &[
            &group[..],
            &["--query", "SecurityGroups[0].GroupId", "--output", "text"],
        ]
        .concat(),
    );
    let (vpc, subnets, group) = tokio::try_join!(
        process::output(vpc, "aws ec2 describe-vpcs"),
        process::output(subnets, "aws ec2 describe-subnets"),
        process::output(group, "aws ec2 describe-security-groups")
    )?;
    let subnets = subnets.split_whitespace().map(str::to_owned).collect();
    Ok((vpc, subnets, group.trim().to_owned()))
}

async fn put_ami(state: &State) -> Result<()> {
    let put = [
        "ssm",
        "put-parameter",
        "--name",
        AMI_PARAMETER,
        "--type",
        "String",
        "--overwrite",
    ];
    let put = state.aws(&[&put[..], &["--value", "ami-0123456789abcdef0"]].concat());
    process::output(put, "aws ssm put-parameter")
        .await
        .map(drop)
}
