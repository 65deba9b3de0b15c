//! What is counted of a deploy stays within its bounds. Times are measured, and not asserted.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use exuvia_bench::deploys::lab::Lab;
use exuvia_bench::deploys::{apps, cost, growth, overhead, peers, rollback};

#[test]
fn a_deploy_takes_as_many_calls_and_transitions_for_ten_instances_as_for_one() {
    let grown = growth::measure(&Lab::new().unwrap(), &[1, 10]).unwrap();
    let [one, ten] = grown.as_slice() else {
        panic!("{grown:?}")
    };
    assert_eq!(one.deploy.states, ten.deploy.states);
    assert_eq!(one.deploy.calls, ten.deploy.calls);
    assert_eq!((one.deploy.retries, ten.deploy.retries), (0, 0));
    // Of 25,000, and of 262,144 bytes.
    assert!(ten.deploy.events <= 800, "{}", ten.deploy.events);
    let most = one.deploy.most_carried.max(ten.deploy.most_carried);
    assert!((500..16_384).contains(&most), "{most}");
    // A boot of four minutes.
    let polls = one.deploy.entered("Check Health");
    assert!((2..=8).contains(&polls), "{polls}");
    let transitions = one.deploy.transitions_without_bake();
    let odin = peers::odin_transitions(growth::BOOT.into(), cost::DRAIN);
    assert!(transitions * 10 <= odin * 6, "{transitions} of {odin}");
    assert!(one.deploy.transitions() <= transitions + 12);
}

#[test]
fn a_deploy_is_measured_from_its_upload_to_its_traffic() {
    let found = overhead::measure(&Lab::new().unwrap(), 2).unwrap();
    for booting in found {
        assert!(booting.deploys.len() >= 2);
        for deploy in booting.deploys {
            // At least as long as they boot, and a hold of one interval of the health check.
            assert!(
                deploy.boot > f64::from(booting.seconds) * 0.95,
                "{deploy:?}"
            );
            assert!((deploy.hold - 10.0).abs() < 1e-9, "{deploy:?}");
            assert!(deploy.before > 0.5 && deploy.after > 0.0, "{deploy:?}");
            let odin = peers::odin(deploy.boot);
            assert!((1..=odin.polls).contains(&deploy.polls), "{deploy:?}");
            assert!((deploy.polls..=40).contains(&deploy.looks), "{deploy:?}");
            assert!(odin.traffic >= deploy.boot);
        }
    }
}

#[test]
fn the_first_look_after_the_evidence_rolls_back() {
    for failing in rollback::measure(&Lab::new().unwrap(), 2).unwrap() {
        for deploy in failing.deploys {
            assert_eq!(deploy.looks, 1, "{:?}: {deploy:?}", failing.failure);
            assert!(deploy.look <= deploy.pause + 1.0, "{deploy:?}");
            assert!(deploy.traffic > deploy.look, "{deploy:?}");
            assert!(deploy.notice > deploy.traffic, "{deploy:?}");
        }
    }
}

#[test]
fn a_deploy_costs_less_than_half_a_cent() {
    let bill = cost::measure(&Lab::new().unwrap()).unwrap();
    let named = |what: &str| {
        let lines = bill.lines();
        lines.into_iter().find(|line| line.what == what).unwrap()
    };
    assert!(bill.dollars() < 0.005, "{}", bill.dollars());
    for counted in [
        "state transitions",
        "invocations",
        "S3: writes and lists",
        "S3: reads",
        "KMS: signatures made and checked",
        "SNS: notices",
        "report: invocations",
        "report: S3, writes and lists",
    ] {
        assert!(named(counted).count > 0.0, "{counted}");
    }
    assert!(named("state transitions").count <= 115.0);
    let odin = cost::odin(bill.boot);
    assert!(odin[0].count >= 70.0);
}

#[test]
fn deploys_that_are_throttled_are_tried_again_and_succeed() {
    let found = apps::measure(15, true).unwrap();
    assert_eq!(found.succeeded, 15, "{:?}", found.otherwise);
    assert!(found.in_order);
    assert_eq!(found.took.len(), 15);
    let elb = &found.under_quotas["Elastic Load Balancing, all"];
    assert!(elb.throttled > 0, "{elb:?}");
}

#[test]
fn of_uploads_at_once_one_goes_live() {
    let found = apps::contend(5).unwrap();
    let endings = [("Succeeded", 1), ("Superseded", 4)];
    let endings = endings.map(|(state, count)| (state.to_owned(), count));
    assert_eq!(found.endings, endings.into());
    assert!(found.asked >= 5);
}
