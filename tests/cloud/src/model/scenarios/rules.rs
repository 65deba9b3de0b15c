//! Rules, their order and what they refuse.

use super::{
    App, World,
    requests::{fixed, paths},
};
use crate::model::elb;

fn rule(world: &World, priority: i32, action: elb::Action) -> elb::CreateRuleInput {
    elb::CreateRuleInput {
        listener_arn: world.listener.clone(),
        priority,
        conditions: vec![paths(&["/x"])].into(),
        actions: vec![action].into(),
        ..Default::default()
    }
}

fn world() -> World {
    let mut world = World::new();
    for name in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        world.target_group(name);
    }
    world
}

#[test]
fn forward_actions() {
    type Weights<'a> = &'a [(&'a str, i32)];
    let cases: [(Weights, Option<&str>); 7] = [
        (&[("t1", 0)], None),
        (&[("t1", 999), ("t2", 0)], None),
        (
            &[("t1", 1), ("t2", 1), ("t3", 1), ("t4", 1), ("t5", 1)],
            None,
        ),
        (
            &[
                ("t1", 1),
                ("t2", 1),
                ("t3", 1),
                ("t4", 1),
                ("t5", 1),
                ("t6", 1),
            ],
            Some("InvalidLoadBalancerAction"),
        ),
        (&[("t1", 1000)], Some("ValidationError")),
        (&[("t1", -1)], Some("ValidationError")),
        (&[("t1", 1), ("t1", 2)], Some("InvalidLoadBalancerAction")),
    ];
    for (weights, refused) in cases {
        let mut world = world();
        let request = rule(&world, 5, world.forward(weights));
        let answer = world.cloud.create_rule(request);
        assert_eq!(answer.err().map(|error| error.code), refused, "{weights:?}");
    }
}

#[test]
fn a_priority_is_taken_once() {
    let mut world = world();
    let request = rule(&world, 5, fixed(200));
    world.cloud.create_rule(request.clone()).unwrap();
    assert_eq!(
        world.cloud.create_rule(request).unwrap_err().code,
        "PriorityInUse"
    );
    for priority in [0, 50_001] {
        let request = rule(&world, priority, fixed(200));
        assert_eq!(
            world.cloud.create_rule(request).unwrap_err().code,
            "ValidationError",
            "{priority}"
        );
    }
}

#[test]
fn rules_are_tried_in_order_and_can_change_places() {
    let mut world = world();
    let mut arns = Vec::new();
    for (priority, status) in [(30, 203), (10, 201), (20, 202)] {
        let request = rule(&world, priority, fixed(status));
        let created = world.cloud.create_rule(request).unwrap();
        arns.push(created.rules.unwrap().items.remove(0).rule_arn.unwrap());
    }
    let order = |world: &World| -> Vec<u16> {
        let listener = world.cloud.listeners().remove(0);
        let status = |action: &crate::routes::Action| match action {
            crate::routes::Action::FixedResponse { status, .. } => *status,
            crate::routes::Action::Forward(_) => 0,
        };
        let rules = listener.rules.iter().map(|rule| status(&rule.action));
        rules.chain([status(&listener.default)]).collect()
    };
    assert_eq!(order(&world), [201, 202, 203, 503]);
    let pair = |arn: &String, priority| elb::RulePriorityPair {
        rule_arn: Some(arn.clone()),
        priority: Some(priority),
    };
    let swap = elb::SetRulePrioritiesInput {
        rule_priorities: vec![pair(&arns[0], 10), pair(&arns[1], 30)].into(),
    };
    world.cloud.set_rule_priorities(&swap).unwrap();
    assert_eq!(order(&world), [203, 202, 201, 503]);
    let clash = elb::SetRulePrioritiesInput {
        rule_priorities: vec![pair(&arns[0], 20)].into(),
    };
    assert_eq!(
        world.cloud.set_rule_priorities(&clash).unwrap_err().code,
        "PriorityInUse"
    );
}

#[test]
fn the_default_rule_is_the_listeners() {
    let mut world = world();
    let default = world
        .cloud
        .rules_of(&world.listener)
        .pop()
        .unwrap()
        .arn
        .clone();
    let delete = elb::DeleteRuleInput { rule_arn: default };
    assert_eq!(
        world.cloud.delete_rule(&delete).unwrap_err().code,
        "OperationNotPermitted"
    );
}

#[test]
fn conditions_that_are_refused() {
    let many = ["/1", "/2", "/3", "/4", "/5", "/6"];
    for (conditions, good) in [
        (vec![paths(&["/*"])], true),
        (vec![], false),
        (vec![paths(&[])], false),
        (vec![paths(&["/a"]), paths(&["/b"])], false),
        (vec![paths(&many)], false),
        (vec![paths(&["/a b"])], false),
    ] {
        let mut world = world();
        let mut request = rule(&world, 1, fixed(200));
        request.conditions = conditions.clone().into();
        assert_eq!(
            world.cloud.create_rule(request).is_ok(),
            good,
            "{conditions:?}"
        );
    }
}

#[test]
fn a_target_group_serves_one_load_balancer() {
    let mut world = world();
    world.fleet("blue", 1, App::Good);
    world.route(&[("blue", 1)]);
    let second = elb::CreateLoadBalancerInput {
        name: "second".into(),
        subnets: Some(vec!["subnet-a".to_owned(), "subnet-b".to_owned()].into()),
        ..Default::default()
    };
    let second = world
        .cloud
        .create_load_balancer(second)
        .unwrap()
        .load_balancers
        .unwrap()
        .items
        .remove(0);
    let listener = |port, action| elb::CreateListenerInput {
        load_balancer_arn: second.load_balancer_arn.clone().unwrap(),
        protocol: Some("HTTP".into()),
        port: Some(port),
        default_actions: vec![action].into(),
        ..Default::default()
    };
    let action = world.forward(&[("blue", 1)]);
    assert_eq!(
        world
            .cloud
            .create_listener(listener(81, action))
            .unwrap_err()
            .code,
        "TargetGroupAssociationLimit"
    );
    let action = world.forward(&[("t1", 1)]);
    world.cloud.create_listener(listener(81, action)).unwrap();
    assert_eq!(
        world
            .cloud
            .create_listener(listener(81, fixed(200)))
            .unwrap_err()
            .code,
        "DuplicateListener"
    );
}
