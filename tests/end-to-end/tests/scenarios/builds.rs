//! Sources: built on an instance of their own, which is gone afterwards, whatever came of it. Instances here have no
//! docker engine, so every build fails, and says why.

use exuvia_end_to_end::app::App;

const CONTEXT: &[u8] = b"whatever it is, no builder here can look into it";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_source_is_given_to_a_builder_that_is_gone_afterwards() {
    let app = App::with_v1("build").await;
    app.set_up_builder().await;
    let build = app.upload_source("v2", CONTEXT).await;
    assert_eq!(build.end().await, "BuildFailed", "{:?}", build.path().await);
    let path = build.path().await;
    assert!(
        path.iter().any(|state| state == "Wait For Build"),
        "{path:?}"
    );
    let outcome = app.outcome_of_build(&build).await;
    assert_eq!(outcome.kind, "buildFailed");
    let says = "this local AWS builds images only with cargo xtask up --docker";
    assert!(outcome.text.contains(says), "{outcome:?}");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
    assert_eq!(app.releases().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_build_that_is_stopped_leaves_no_builder() {
    let app = App::new("buildstop").await;
    app.set_up_builder().await;
    let build = app.upload_source("v1", CONTEXT).await;
    build.reaches("Wait For Build").await;
    build.stop().await;
    let recovery = app.recovery_of_build(&build).await;
    // What the builder had said by then counts, else that it was cut off.
    assert_eq!(
        recovery.end().await,
        "BuildFailed",
        "{:?}",
        recovery.path().await
    );
    let outcome = app.outcome_of_build(&build).await;
    assert_eq!(outcome.kind, "buildFailed");
    assert_eq!(app.groups().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn without_a_builder_a_source_is_refused() {
    let app = App::new("nobuilder").await;
    let build = app.upload_source("v1", CONTEXT).await;
    assert_eq!(build.end().await, "Rejected", "{:?}", build.path().await);
    let outcome = app.outcome_of_build(&build).await;
    assert_eq!(outcome.kind, "rejected");
    let says = "No builder is set up for nobuilder/test: deploy infra/builder.yaml";
    assert!(outcome.text.contains(says), "{outcome:?}");
    assert_eq!(app.groups().await, [""; 0]);
}
