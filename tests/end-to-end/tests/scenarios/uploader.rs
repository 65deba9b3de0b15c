//! An uploader that is no person: `infra/deploy-action/deploy.sh`, as a CI runs it. It must say what has come of its own
//! upload, and fail unless that is live.

use std::path::{Path, PathBuf};

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::{config, setting};
use tokio::process::Command;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../infra/deploy-action/deploy.sh"
);

/// What the script has told.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    log: String,
    /// `GITHUB_OUTPUT` and `GITHUB_STEP_SUMMARY`.
    outputs: String,
    summary: String,
}

impl Told {
    fn output(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.split_once('=').is_some_and(|(key, _)| key == name);
        let line = self.outputs.lines().find(|line| named(line))?;
        line.split_once('=').map(|(_, value)| value)
    }

    fn outcome(&self) -> (Option<i32>, &str) {
        (self.code, self.output("outcome").unwrap_or_default())
    }
}

/// A directory of its own for one run.
fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("exuvia-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

async fn run(directory: &Path, variables: &[(&str, &str)]) -> Told {
    let file = |name: &str| directory.join(name);
    let ran = Command::new(SCRIPT)
        .env("EXUVIA_POLL_SECONDS", "1")
        .env("GITHUB_OUTPUT", file("outputs"))
        .env("GITHUB_STEP_SUMMARY", file("summary"))
        .envs(variables.iter().copied())
        .output()
        .await
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap_or_default();
    let told = Told {
        code: ran.status.code(),
        log: String::from_utf8_lossy(&ran.stdout).into_owned()
            + &String::from_utf8_lossy(&ran.stderr),
        outputs: read("outputs"),
        summary: read("summary"),
    };
    std::fs::remove_dir_all(directory).unwrap();
    told
}

/// Deploys an image by the script.
async fn deploy(app: &App, version: &str, image: &Image) -> Told {
    let directory = directory(&format!("{}-{version}", app.place.app));
    let archive = directory.join("image.tar.gz");
    std::fs::write(&archive, &image.bytes).unwrap();
    let variables = [
        ("EXUVIA_APP", app.place.app.as_str()),
        ("EXUVIA_ENVIRONMENT", app.place.environment.as_str()),
        ("EXUVIA_VERSION", version),
        ("EXUVIA_ARCHIVE", archive.to_str().unwrap()),
        ("EXUVIA_UPLOADED_BY", "<alice>"),
        ("EXUVIA_UPLOADED_FROM", "https://ci.example/runs/7"),
    ];
    run(&directory, &variables).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_ci_passes_only_if_its_version_is_live() {
    let app = App::new("ci").await;
    let good = deploy(&app, "v1", &Image::hello("v1", &[])).await;
    assert_eq!(good.outcome(), (Some(0), "succeeded"), "{good:?}");
    assert_eq!(good.output("release"), Some("1"));
    assert!(
        good.log.contains("ci/test: v1 (release 1) is live"),
        "{good:?}"
    );
    app.serves("v1").await;
    // Whoever reads the channel learns whose it is.
    let by = "Uploaded by &lt;alice&gt;, from https://ci.example/runs/7.";
    let notices = app.notices().await;
    let telling = notices.iter().filter(|notice| notice.text.contains(by));
    let kinds: Vec<&str> = telling.map(|notice| notice.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "succeeded"], "{notices:?}");

    let bad = Image::hello("v2", &["HELLO_HEALTH=500"]);
    let bad = deploy(&app, "v2", &bad).await;
    assert_eq!(bad.outcome(), (Some(1), "rolled-back"), "{bad:?}");
    assert_eq!(bad.output("release"), Some("2"));
    // Why, in the log and in the summary.
    for text in [&bad.log, &bad.summary] {
        assert!(text.contains("0 of 2 instances are healthy"), "{bad:?}");
    }
    // The link is that of the very execution.
    let execution = app.deploy_of("v2").await;
    assert_eq!(bad.output("execution-arn"), Some(execution.arn.as_str()));
    assert!(
        bad.output("console-url")
            .is_some_and(|url| url.ends_with(&execution.arn)),
        "{bad:?}"
    );

    let refused = Image::of_bytes(b"this is not an image\n");
    let refused = deploy(&app, "v3", &refused).await;
    assert_eq!(refused.outcome(), (Some(1), "rejected"), "{refused:?}");
    assert!(refused.log.contains("not an image archive"), "{refused:?}");
    app.serves("v1").await;
    app.is_clean(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_ci_hears_that_a_newer_version_went_first() {
    let parameters = ["RenewalSchedule=", "BootSeconds=1200"];
    let app = App::with_parameters("outdone", &parameters).await;
    let never_healthy = Image::hello("v1", &["HELLO_HEALTH=500"]);
    let newer = async {
        app.deploy_of("v1").await.reaches("Check Health").await;
        deploy(&app, "v2", &Image::hello("v2", &[])).await
    };
    let (older, newer) = tokio::join!(deploy(&app, "v1", &never_healthy), newer);
    assert_eq!(older.outcome(), (Some(1), "superseded"), "{older:?}");
    assert!(older.log.contains("a newer deploy went first"), "{older:?}");
    assert_eq!(newer.outcome(), (Some(0), "succeeded"), "{newer:?}");
    app.serves("v2").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn what_is_wrong_is_refused_before_anything_is_uploaded() {
    let archive = std::env::temp_dir().join(format!("exuvia-{}.tar.gz", std::process::id()));
    std::fs::write(&archive, b"anything").unwrap();
    let good = [
        ("EXUVIA_APP", "nobody"),
        ("EXUVIA_ENVIRONMENT", "test"),
        ("EXUVIA_VERSION", "v1"),
        ("EXUVIA_ARCHIVE", archive.to_str().unwrap()),
    ];
    for (n, (name, value)) in [
        ("EXUVIA_APP", "Nobody"),
        ("EXUVIA_APP", ""),
        ("EXUVIA_ENVIRONMENT", "test/../other"),
        ("EXUVIA_VERSION", "v1 $(id)"),
        ("EXUVIA_VERSION", "v1\nv2"),
        ("EXUVIA_VERSION", "v1.src"),
        ("EXUVIA_ARCHIVE", "/nowhere/image.tar.gz"),
        ("EXUVIA_ARCHIVE", "image.zip"),
        ("EXUVIA_IMAGE", "hello:v1"),
        ("EXUVIA_ARTIFACTS_BUCKET", "No Bucket"),
        ("EXUVIA_STATE_MACHINE_ARN", "exuvia-deploy"),
        ("EXUVIA_WAIT", "yes"),
        ("EXUVIA_TIMEOUT_SECONDS", "a[$(id)]"),
        ("EXUVIA_FAIL_IF_SUPERSEDED", "no"),
    ]
    .into_iter()
    .enumerate()
    {
        let variables = [&good[..], &[(name, value)]].concat();
        let told = run(&directory(&format!("wrong-{n}")), &variables).await;
        assert_eq!(told.code, Some(2), "{name}={value}: {told:?}");
        assert!(told.log.contains(name), "{name}={value}: {told:?}");
        assert_eq!(told.outputs, "", "{name}={value}");
    }
    std::fs::remove_file(&archive).unwrap();
    let objects = aws_sdk_s3::Client::new(&config().await)
        .list_objects_v2()
        .bucket(setting("EXUVIA_ARTIFACTS_BUCKET"))
        .prefix("nobody/")
        .send()
        .await
        .unwrap();
    assert_eq!(objects.key_count(), Some(0));
}
