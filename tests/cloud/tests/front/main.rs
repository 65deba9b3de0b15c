//! The program as others see it: one HTTP endpoint, and listeners of a load balancer.

#![allow(clippy::unwrap_used)]

mod cloud;

use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, Tag};
use aws_sdk_elasticloadbalancingv2::{
    error::ProvideErrorMetadata,
    types::{
        Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, ProtocolEnum,
        RuleCondition, TargetDescription, TargetGroupTuple, TargetHealthStateEnum, TargetTypeEnum,
    },
};
use cloud::{Cloud, get, raw};

#[tokio::test]
async fn everything_else_is_passed_on_as_it_came() {
    let cloud = Cloud::start().await;
    let body = "x".repeat(3_000_000);
    for (method, head, sent, seen) in [
        (
            "GET",
            "",
            "",
            "GET /b/k?a=%2F&b host=bucket.local body=0 auth=none",
        ),
        (
            "PUT",
            "",
            body.as_str(),
            "PUT /b/k?a=%2F&b host=bucket.local body=3000000 auth=none",
        ),
        (
            "POST",
            "authorization: AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, Signature=s\r\n",
            "some",
            "POST /b/k?a=%2F&b host=bucket.local body=4 auth=AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, Signature=s",
        ),
    ] {
        let length = format!("{head}content-length: {}\r\n", sent.len());
        let answer = raw(cloud.address, method, &length, sent.as_bytes()).await;
        assert_eq!(answer.body, seen, "{method}");
        assert_eq!(
            (answer.status, answer.header("x-upstream")),
            (299, Some("yes"))
        );
    }
}

#[tokio::test]
async fn a_body_in_chunks_stays_one() {
    let cloud = Cloud::start().await;
    let answer = raw(
        cloud.address,
        "PUT",
        "transfer-encoding: chunked\r\n",
        b"4\r\nsome\r\n3\r\nyes\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(
        answer.body,
        "PUT /b/k?a=%2F&b host=bucket.local body=7 auth=none"
    );
}

#[tokio::test]
async fn a_head_has_a_length_and_no_body() {
    let cloud = Cloud::start().await;
    let answer = raw(cloud.address, "HEAD", "", b"").await;
    let length = "HEAD /b/k?a=%2F&b host=bucket.local body=0 auth=none"
        .len()
        .to_string();
    assert_eq!(
        (
            answer.status,
            answer.header("content-length"),
            answer.body.as_str()
        ),
        (299, Some(length.as_str()), "")
    );
}

#[tokio::test]
async fn without_the_other_aws_it_says_so() {
    let cloud = Cloud::start_before("http://127.0.0.1:9").await;
    let answer = raw(cloud.address, "GET", "", b"").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.body.contains("no answer from http://127.0.0.1:9"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn an_action_that_is_not_modelled_is_named() {
    let cloud = Cloud::start().await;
    let refused = cloud
        .scaling
        .start_instance_refresh()
        .auto_scaling_group_name("g")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("InvalidAction"));
    assert!(refused.message().unwrap().contains("StartInstanceRefresh"));
    let refused = cloud
        .balancing
        .describe_listener_attributes()
        .listener_arn("l")
        .send()
        .await
        .unwrap_err();
    assert!(
        refused
            .message()
            .unwrap()
            .contains("DescribeListenerAttributes")
    );
}

#[tokio::test]
async fn a_group_as_an_sdk_sees_it() {
    let cloud = Cloud::start().await;
    let template = LaunchTemplateSpecification::builder()
        .launch_template_id("lt-1")
        .version("3")
        .build();
    let tag = Tag::builder()
        .key("exuvia:app")
        .value("hellö")
        .propagate_at_launch(true)
        .build();
    cloud
        .scaling
        .create_auto_scaling_group()
        .auto_scaling_group_name("g")
        .min_size(0)
        .max_size(4)
        .launch_template(template)
        .vpc_zone_identifier("subnet-1,subnet-2")
        .tags(tag)
        .send()
        .await
        .unwrap();
    let listed = cloud
        .scaling
        .describe_auto_scaling_groups()
        .auto_scaling_group_names("g")
        .send()
        .await
        .unwrap();
    let group = &listed.auto_scaling_groups()[0];
    assert_eq!(
        (
            group.max_size(),
            group.desired_capacity(),
            group.availability_zones().len()
        ),
        (Some(4), Some(0), 2)
    );
    assert_eq!(group.tags()[0].value(), Some("hellö"));
    let none = cloud
        .scaling
        .describe_auto_scaling_groups()
        .auto_scaling_group_names("x")
        .send()
        .await
        .unwrap();
    assert!(none.auto_scaling_groups().is_empty());
    let refused = cloud
        .scaling
        .set_desired_capacity()
        .auto_scaling_group_name("g")
        .desired_capacity(9)
        .send()
        .await;
    assert_eq!(refused.unwrap_err().code(), Some("ValidationError"));
    cloud
        .scaling
        .delete_auto_scaling_group()
        .auto_scaling_group_name("g")
        .send()
        .await
        .unwrap();
    let going = cloud
        .scaling
        .describe_auto_scaling_groups()
        .send()
        .await
        .unwrap();
    assert!(
        going
            .auto_scaling_groups()
            .iter()
            .all(|group| group.status() == Some("Delete in progress"))
    );
}

fn fixed(status: u16, body: &str) -> Action {
    let config = FixedResponseActionConfig::builder()
        .status_code(status.to_string())
        .message_body(body)
        .build();
    Action::builder()
        .r#type(ActionTypeEnum::FixedResponse)
        .fixed_response_config(config)
        .build()
}

#[tokio::test]
async fn traffic_follows_the_rule() {
    let cloud = Cloud::start().await;
    let elb = &cloud.balancing;
    let balancer = elb
        .create_load_balancer()
        .name("lb")
        .subnets("subnet-1")
        .subnets("subnet-2")
        .send()
        .await
        .unwrap();
    let balancer = balancer.load_balancers()[0]
        .load_balancer_arn()
        .unwrap()
        .to_owned();
    let port = cloud::free_port();
    let create = elb
        .create_listener()
        .load_balancer_arn(&balancer)
        .protocol(ProtocolEnum::Http);
    let listener = create
        .port(port.into())
        .default_actions(fixed(503, "nothing"))
        .send()
        .await
        .unwrap();
    let listener = listener.listeners()[0].listener_arn().unwrap().to_owned();
    assert_eq!(get(port).await, (503, "nothing".into()));

    let mut groups = Vec::new();
    for name in ["one", "two"] {
        let server = cloud::server(name).await;
        let create = elb
            .create_target_group()
            .name(name)
            .protocol(ProtocolEnum::Http)
            .port(80)
            .vpc_id("vpc-1");
        let group = create.target_type(TargetTypeEnum::Ip).send().await.unwrap();
        let arn = group.target_groups()[0]
            .target_group_arn()
            .unwrap()
            .to_owned();
        let target = TargetDescription::builder()
            .id("127.0.0.1")
            .port(server.into())
            .build();
        elb.register_targets()
            .target_group_arn(&arn)
            .targets(target)
            .send()
            .await
            .unwrap();
        groups.push(arn);
    }
    let weights = |one: i32, two: i32| {
        let tuple = |arn: &String, weight| {
            TargetGroupTuple::builder()
                .target_group_arn(arn)
                .weight(weight)
                .build()
        };
        let config = ForwardActionConfig::builder()
            .target_groups(tuple(&groups[0], one))
            .target_groups(tuple(&groups[1], two))
            .build();
        Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .forward_config(config)
            .build()
    };
    let condition = RuleCondition::builder()
        .field("path-pattern")
        .values("/*")
        .build();
    let rule = elb
        .create_rule()
        .listener_arn(&listener)
        .priority(100)
        .conditions(condition)
        .actions(weights(1, 0));
    let rule = rule.send().await.unwrap();
    let rule = rule.rules()[0].rule_arn().unwrap().to_owned();
    for arn in &groups {
        cloud::until(async || {
            let health = elb
                .describe_target_health()
                .target_group_arn(arn)
                .send()
                .await
                .unwrap();
            let state = health.target_health_descriptions()[0]
                .target_health()
                .unwrap()
                .state()
                .cloned();
            state == Some(TargetHealthStateEnum::Healthy)
        })
        .await;
    }
    assert_eq!(get(port).await, (200, "one".into()));
    elb.modify_rule()
        .rule_arn(&rule)
        .actions(weights(0, 1))
        .send()
        .await
        .unwrap();
    assert_eq!(
        get(port).await,
        (200, "two".into()),
        "it is in effect when the call returns"
    );

    let refused = elb
        .delete_target_group()
        .target_group_arn(&groups[0])
        .send()
        .await
        .unwrap_err();
    assert!(refused.into_service_error().is_resource_in_use_exception());
    let refused = elb
        .describe_target_groups()
        .names("three")
        .send()
        .await
        .unwrap_err();
    assert!(
        refused
            .into_service_error()
            .is_target_group_not_found_exception()
    );

    let state: serde_json::Value = serde_json::from_str(&cloud.state().await).unwrap();
    assert_eq!(
        state["listeners"][0]["rules"][0]["action"]["forward"][1]["weight"],
        1
    );
    elb.delete_listener()
        .listener_arn(&listener)
        .send()
        .await
        .unwrap();
    assert!(
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_by_name() {
    let cloud = Cloud::start().await;
    let elb = &cloud.balancing;
    let balancer = elb
        .create_load_balancer()
        .name("lb")
        .subnets("subnet-1")
        .subnets("subnet-2")
        .send()
        .await
        .unwrap();
    let balancer = balancer.load_balancers()[0]
        .load_balancer_arn()
        .unwrap()
        .to_owned();
    let taken = cloud::server("taken").await;
    let create = elb
        .create_listener()
        .load_balancer_arn(&balancer)
        .protocol(ProtocolEnum::Http)
        .port(taken.into());
    let refused = create
        .default_actions(fixed(503, ""))
        .send()
        .await
        .unwrap_err();
    assert!(
        refused
            .message()
            .unwrap()
            .contains(&format!("127.0.0.1:{taken}"))
    );
    let listed = elb
        .describe_listeners()
        .load_balancer_arn(&balancer)
        .send()
        .await
        .unwrap();
    assert!(listed.listeners().is_empty());
}

#[tokio::test]
async fn it_ends_when_it_is_asked_to() {
    let mut cloud = Cloud::start().await;
    assert!(cloud.terminate().await.success());
}
