//! While a release has traffic it is judged by what it answers, and by the alarms that its target names.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use serde_json::json;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_canary_that_answers_with_errors_goes_no_further() {
    let parameters = [
        "RenewalSchedule=",
        "Strategy=canary",
        "StrategyPercent=20",
        "StrategySeconds=400",
        "BakeSeconds=10",
    ];
    let app = App::with_parameters("judged", &parameters).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);

    // Its health check passes, and a fifth of what users get from it is a 500.
    let user = User::of(&app.host);
    let erring = Image::hello("v2", &["HELLO_ERRORS=20"]);
    let bad = app.upload("v2", &erring).await;
    assert_eq!(bad.end().await, "RolledBack", "{:?}", bad.path().await);
    let path = bad.path().await;
    let shifts = path.iter().filter(|state| *state == "Shift Traffic");
    assert_eq!(shifts.count(), 1, "{path:?}");
    let outcome = app.outcome(&bad).await;
    assert_eq!(outcome.kind, "rolledBack");
    let says = "requests on release 2, 0.0% of";
    assert!(
        outcome.text.contains("5xx ") && outcome.text.contains(says),
        "{outcome:?}"
    );
    let experience = user.experience().await;
    let errors: u32 = experience.failures.values().sum();
    // A fifth of a fifth, for a while.
    assert!(
        errors > 0 && errors * 25 < experience.answered + errors,
        "{experience:?}"
    );
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_canary_that_is_slower_goes_no_further() {
    let parameters = [
        "RenewalSchedule=",
        "Strategy=canary",
        "StrategyPercent=50",
        "StrategySeconds=1200",
        "BakeSeconds=10",
    ];
    let app = App::with_parameters("slowed", &parameters).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);

    // Its health check is as quick as ever.
    let user = User::of(&app.host);
    let slower = Image::hello("v2", &["HELLO_SLOW=150"]);
    let bad = app.upload("v2", &slower).await;
    assert_eq!(bad.end().await, "RolledBack", "{:?}", bad.path().await);
    let path = bad.path().await;
    let shifts = path.iter().filter(|state| *state == "Shift Traffic");
    assert_eq!(shifts.count(), 1, "{path:?}");
    let outcome = app.outcome(&bad).await;
    assert!(
        outcome.kind == "rolledBack" && outcome.text.contains("on release 2"),
        "{outcome:?}"
    );
    let experience = user.experience().await;
    assert!(experience.failures.is_empty(), "{experience:?}");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_alarm_that_fires_under_the_traffic_takes_it_back() {
    let parameters = [
        "RenewalSchedule=",
        "AlarmNames=alarmed-5xx",
        "BakeSeconds=300",
    ];
    let app = App::with_parameters("alarmed", &parameters).await;
    let v1 = Image::hello("v1", &[]);
    let without = app.upload("v1", &v1).await;
    assert_eq!(without.end().await, "Rejected");
    let outcome = app.outcome(&without).await;
    let says = "alarms[0] is \"alarmed-5xx\", and there is no alarm of that name";
    assert!(outcome.text.contains(says), "{outcome:?}");

    let put = "put-metric-alarm --alarm-name alarmed-5xx --namespace Alarmed --metric-name Errors --statistic Sum \
               --period 60 --evaluation-periods 1 --threshold 1 --comparison-operator GreaterThanThreshold";
    cloudwatch(put).await;
    let bake = json!({"version": "v1", "strategy": {"type": "allAtOnce", "bakeSeconds": 20}});
    let first = app.start(app.input(&bake)).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);

    // In ALARM since before it does not count, until it has been well in between.
    set("ALARM").await;
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Evaluate").await;
    set("OK").await;
    assert_eq!(deploy.status().await, "RUNNING");
    set("ALARM").await;
    assert_eq!(
        deploy.end().await,
        "RolledBack",
        "{:?}",
        deploy.path().await
    );
    let outcome = app.outcome(&deploy).await;
    let says = "alarmed-5xx went into ALARM after the traffic began to move: as the test says";
    assert!(outcome.text.contains(says), "{outcome:?}");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

async fn set(state: &str) {
    let command = "set-alarm-state --alarm-name alarmed-5xx --state-reason";
    let command = command.split(' ');
    let arguments = command.chain(["as the test says", "--state-value", state]);
    run(&arguments.collect::<Vec<_>>()).await;
}

async fn cloudwatch(command: &str) {
    run(&command.split_whitespace().collect::<Vec<_>>()).await;
}

async fn run(arguments: &[&str]) {
    let done = Command::new("aws")
        .arg("cloudwatch")
        .args(arguments)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {said}");
}
