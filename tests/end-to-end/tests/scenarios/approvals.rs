//! Somebody has to approve before a new release gets traffic.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_deploy_waits_for_approval_and_holds_up_no_newer_one() {
    let parameters = ["RenewalSchedule=", "Approval={\"timeoutSeconds\":3600}"];
    let app = App::with_parameters("gated", &parameters).await;
    let first = app.upload("v1", &Image::hello("v1", &[])).await;
    app.approve(&first).await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
    app.serves("v1").await;

    let refused = app.upload("v2", &Image::hello("v2", &[])).await;
    app.refuse(&refused, "not on a Friday").await;
    assert_eq!(refused.end().await, "RolledBack");
    let outcome = app.outcome(&refused).await;
    assert!(
        outcome
            .text
            .contains("It was not approved: not on a Friday. Release 2 never had traffic."),
        "{outcome:?}"
    );
    app.serves("v1").await;

    // It would wait for an hour; what a person starts who does not want to be asked goes first.
    let older = app.upload("v3", &Image::hello("v3", &[])).await;
    let [token, _] = app.is_asked(&older).await;
    let input = app.input(&json!({"version": "v2", "approval": false}));
    let newer = app.start(input).await;
    assert_eq!(older.end().await, "SUCCEEDED");
    assert_eq!(older.path().await.last().unwrap(), "Superseded");
    let outcome = app.outcome(&older).await;
    assert!(
        outcome.text.contains("A newer deploy goes first"),
        "{outcome:?}"
    );
    assert_eq!(newer.end().await, "SUCCEEDED", "{:?}", newer.path().await);
    let path = newer.path().await;
    assert!(!path.contains(&"Wait For Approval".to_owned()), "{path:?}");
    app.serves("v2").await;
    // Its token is of no use any more, and is in no report.
    let report = app.ledger(&format!("reports/{}.json", older.name())).await;
    assert!(!report.to_string().contains(&token), "{report}");

    let input = app.input(&json!({"version": "v1", "approval": {"timeoutSeconds": 60}}));
    let unheard = app.start(input).await;
    assert_eq!(unheard.end().await, "RolledBack");
    let outcome = app.outcome(&unheard).await;
    assert!(
        outcome.text.contains("Nobody approved it within 60 s"),
        "{outcome:?}"
    );
    app.serves("v2").await;
    app.is_clean(Some(4)).await;
}
