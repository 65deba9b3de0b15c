//! The settings: validated, deployed as a release, and told of by their names.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::client::ask;
use exuvia_end_to_end::image::Image;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn settings_wait_for_a_version_and_are_releases_from_then_on() {
    let app = App::new("settings").await;
    let key = format!("{}/config.env", app.place);
    let first = app
        .upload_to(&key, b"GREETING=Good evening\nLEVEL=info\n")
        .await;
    assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
    assert_eq!(first.path().await.last().unwrap(), "Skipped");
    let outcome = app.outcome(&first).await;
    assert_eq!(outcome.kind, "skipped");
    assert!(
        outcome.text.contains("kept for the first version"),
        "{outcome:?}"
    );
    assert_eq!(app.releases().await, 0);
    app.is_clean(None).await;

    let version = app.upload("v1", &Image::hello("v1", &[])).await;
    assert_eq!(version.end().await, "SUCCEEDED");
    assert!(ask(&app.host).await.1.contains("Good evening"));

    let second = app
        .upload_to(&key, b"GREETING=Good night\nTOKEN=sesame\n")
        .await;
    assert_eq!(second.end().await, "SUCCEEDED");
    assert!(ask(&app.host).await.1.contains("Good night"));
    let says = "Settings: added TOKEN; changed GREETING; removed LEVEL.";
    let notices = app.notices().await;
    let telling = notices.iter().filter(|notice| notice.text.contains(says));
    let telling: Vec<&str> = telling.map(|notice| notice.kind.as_str()).collect();
    assert_eq!(telling, ["started", "succeeded"], "{notices:?}");

    for (file, says) in [
        (
            &b"TOKEN=sesame\nGREETING=\"Good night\"\n"[..],
            "line 2: the value of GREETING is in quotes",
        ),
        (
            b"GREETING=Good night\r\nTOKEN=sesame\r\n",
            "line 1: the line ends with a carriage return",
        ),
        (
            b"TOKEN=sesame\nKEY=\"Good\nnight\"\n",
            "line 2: the value of KEY begins with a quote that is closed on line 3",
        ),
    ] {
        let refused = app.upload_to(&key, file).await;
        assert_eq!(refused.end().await, "Rejected");
        let outcome = app.outcome(&refused).await;
        assert!(outcome.text.contains(says), "{outcome:?}");
    }

    // Back to the release that the first settings came with, whatever was uploaded since.
    let back = app.start(app.input(&json!({"release": 1}))).await;
    assert_eq!(back.end().await, "SUCCEEDED");
    let outcome = app.outcome(&back).await;
    let says = "Settings: added LEVEL; changed GREETING; removed TOKEN.";
    assert!(outcome.text.contains(says), "{outcome:?}");
    assert!(ask(&app.host).await.1.contains("Good evening"));

    for notice in app.notices().await {
        for value in ["sesame", "Good night", "Good evening"] {
            assert!(!notice.text.contains(value), "{notice:?}");
        }
    }
    app.is_clean(Some(3)).await;
}
