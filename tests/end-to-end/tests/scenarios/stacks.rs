//! The app's stack changes, or goes, while a deploy runs.

use std::process::Stdio;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::User;
use exuvia_end_to_end::image::Image;
use serde_json::json;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_stack_that_is_updated_during_a_deploy_concerns_the_next() {
    let app = App::with_v1("restack").await;
    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    deploy.reaches("Wait For Boot").await;
    app.update_stack(&[
        "MaxSize=3",
        "DiskGiB=20",
        "MixedInstanceTypes=t4g.small,c7g.medium",
        "SpotPercent=50",
    ])
    .await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.serves("v2").await;

    let next = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(next.end().await, "SUCCEEDED", "{:?}", next.path().await);
    let experience = user.experience().await;
    assert!(experience.failures.is_empty(), "{experience:?}");
    let (before, after) = (
        app.ledger("releases/000002.json").await["target"].clone(),
        app.ledger("releases/000003.json").await["target"].clone(),
    );
    assert_eq!(before["capacity"]["max"], 4);
    assert_eq!(after["capacity"]["max"], 3);
    assert_ne!(before["launchTemplate"], after["launchTemplate"]);
    assert_eq!(before["mixedInstances"], json!(null));
    let mixed = json!({"instanceTypes": ["t4g.small", "c7g.medium"], "spotPercent": 50});
    assert_eq!(after["mixedInstances"], mixed);
    app.is_clean(Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn without_its_stack_a_deploy_ends_well_and_the_app_can_still_be_removed() {
    let app = App::with_v1("unstack").await;
    let user = User::of(&app.host);
    let deploy = app.upload("v2", &Image::hello("v2", &[])).await;
    // Its instances have booted by then: without their role none could.
    deploy.reaches("Shift Traffic").await;
    delete_stack(&app.stack()).await;
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.serves("v2").await;

    let next = app.upload("v3", &Image::hello("v3", &[])).await;
    assert_eq!(next.end().await, "Rejected");
    let outcome = app.outcome(&next).await;
    assert!(outcome.text.contains("infra/app.yaml"), "{outcome:?}");
    app.serves("v2").await;
    let experience = user.experience().await;
    assert!(experience.failures.is_empty(), "{experience:?}");

    let removal = app.start(app.input(&json!({"operation": "remove"}))).await;
    assert_eq!(
        removal.end().await,
        "SUCCEEDED",
        "{:?}",
        removal.path().await
    );
    app.is_clean(None).await;
}

async fn delete_stack(stack: &str) {
    for arguments in [&["delete-stack"][..], &["wait", "stack-delete-complete"]] {
        let done = Command::new("aws")
            .arg("cloudformation")
            .args(arguments)
            .args(["--stack-name", stack])
            .stdin(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(done.success(), "{arguments:?}");
    }
}
