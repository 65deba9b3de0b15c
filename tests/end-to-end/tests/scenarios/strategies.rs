//! The traffic moves in steps, as the app's stack or an execution's input says.

use std::collections::BTreeMap;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::{User, ask};
use exuvia_end_to_end::image::Image;
use serde_json::json;

/// How many of so many requests each version answers.
async fn shares(app: &App, requests: u32) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let (_, body) = ask(&app.host).await;
        *shares.entry(body).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_canary_has_its_share_first_and_then_everything() {
    let parameters = [
        "RenewalSchedule=",
        "Strategy=canary",
        "StrategyPercent=25",
        "StrategySeconds=60",
        "BakeSeconds=20",
    ];
    let app = App::with_parameters("canary", &parameters).await;
    // There is nothing to share the traffic with.
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
    assert_eq!(shifts(&first.path().await), 1);

    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Bake").await;
    assert_eq!(app.weights().await, BTreeMap::from([(1, 75), (2, 25)]));
    let shares = shares(&app, 60).await;
    let canary = shares.iter().find(|(body, _)| body.contains("v2"));
    let canary = canary.map_or(0, |(_, answered)| *answered);
    assert!((3..=30).contains(&canary), "{shares:?}");
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    assert_eq!(shifts(&deploy.path().await), 2);
    app.serves("v2").await;
    // Each step is told.
    let notices = app.notices().await;
    let told = notices
        .iter()
        .filter(|notice| notice.id.ends_with(deploy.name()));
    let told = told.filter(|notice| notice.id.starts_with("traffic-"));
    let told: Vec<&str> = told
        .map(|notice| notice.text.lines().next().unwrap())
        .collect();
    assert!(
        matches!(&told[..], [first, second]
            if first.contains("25% of the traffic") && second.contains("100% of the traffic")),
        "{notices:?}"
    );

    // It falls ill while it has its share: one rule change, and nobody has noticed but those who met it.
    let ill = Image::hello("v3", &["HELLO_EXIT_AFTER=5"]);
    let bad = app.upload("v3", &ill).await;
    assert_eq!(bad.end().await, "RolledBack", "{:?}", bad.path().await);
    assert!(shifts(&bad.path().await) <= 1, "{:?}", bad.path().await);
    let told = app.outcome(&bad).await;
    let says = if shifts(&bad.path().await) == 1 {
        "up to 25% of it"
    } else {
        "never had traffic"
    };
    assert!(told.text.contains(says), "{told:?}");
    app.serves("v2").await;

    // A person goes back faster than the stack says, or slower.
    let steps = json!([{"weight": 10, "holdSeconds": 10}, {"weight": 50, "holdSeconds": 10}, {"weight": 100, "holdSeconds": 5}]);
    let input = json!({"release": 1, "strategy": {"type": "steps", "steps": steps}});
    let back = app.start(app.input(&input)).await;
    assert_eq!(back.end().await, "SUCCEEDED", "{:?}", back.path().await);
    assert_eq!(shifts(&back.path().await), 3);
    app.serves("v1").await;
    let experience = user.experience().await;
    let lost: u32 = experience.failures.values().sum();
    // Of v3, which exits under way, some are lost; of all else none.
    assert!(lost * 20 < experience.answered, "{experience:?}");
    app.is_clean(Some(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn steps_that_do_not_end_at_everything_are_refused() {
    let app = App::with_v1("stepless").await;
    for (strategy, says) in [
        (
            json!({"type": "steps", "steps": [{"weight": 10, "holdSeconds": 10}]}),
            "strategy.steps ends at a weight of 10",
        ),
        (
            json!({"type": "linear", "percent": 1, "everySeconds": 86400, "bakeSeconds": 1}),
            "use 0 to 72000 seconds",
        ),
    ] {
        let deploy = app.start(app.input(&json!({"strategy": strategy}))).await;
        assert_eq!(deploy.end().await, "Rejected");
        let outcome = app.outcome(&deploy).await;
        assert!(outcome.text.contains(says), "{outcome:?}");
    }
    app.is_clean(Some(1)).await;
}

fn shifts(path: &[String]) -> usize {
    path.iter()
        .filter(|state| *state == "Shift Traffic")
        .count()
}
