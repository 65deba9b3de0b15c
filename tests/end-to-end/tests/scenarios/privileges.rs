//! What functions, instances and uploaders may do, and that nobody may do more: the local AWS goes by their roles and
//! policies. What they may is shown by every other scenario as well.

use std::path::PathBuf;

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::identity::{Identity, resource, resource_of, root};
use exuvia_end_to_end::image::Image;
use exuvia_end_to_end::setting;
use tokio::task::JoinSet;

/// The place of somebody else, with settings that are none of the others' business.
const ELSEWHERE: &str = "elsewhere/test";

/// How many functions are tried at once.
const AT_ONCE: usize = 3;

/// The words that the commands have in common.
struct Words {
    artifacts: String,
    ledger: String,
    /// A file to upload.
    file: String,
    sign: String,
    start: String,
}

impl Words {
    async fn new(app: &App) -> Self {
        let file = std::env::temp_dir().join(format!("exuvia-{}", app.place.app));
        std::fs::write(&file, "SECRET=1\n").unwrap();
        let digest = file.with_extension("digest");
        std::fs::write(&digest, [1; 32]).unwrap();
        let bucket = setting("EXUVIA_ARTIFACTS_BUCKET");
        let key = format!("{ELSEWHERE}/config.env");
        let put = ["s3api", "put-object", "--bucket", &bucket, "--key", &key];
        root(&[&put[..], &["--body", file.to_str().unwrap()]].concat()).await;
        let key = resource_of("exuvia", "SigningKey").await;
        Self {
            artifacts: bucket,
            ledger: setting("EXUVIA_LEDGER_BUCKET"),
            file: file.display().to_string(),
            sign: format!(
                "kms sign --key-id {key} --signing-algorithm ECDSA_SHA_256 --message fileb://{} --message-type",
                digest.display()
            ),
            start: format!(
                "stepfunctions start-execution --input {{}} --state-machine-arn {}",
                setting("EXUVIA_STATE_MACHINE_ARN")
            ),
        }
    }

    fn put(&self, bucket: &str, key: &str) -> String {
        format!(
            "s3api put-object --bucket {bucket} --key {key} --body {}",
            self.file
        )
    }

    fn get(bucket: &str, key: &str) -> String {
        format!("s3api get-object --bucket {bucket} --key {key} /dev/null")
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_uploader_deploys_its_app_and_does_nothing_else() {
    let app = App::new("uploaded").await;
    let words = Words::new(&app).await;
    let uploader = Identity::uploader(&app).await;
    let image = PathBuf::from(format!("{}.tar.gz", words.file));
    std::fs::write(&image, &Image::hello("v1", &[]).bytes).unwrap();

    let Words {
        artifacts, ledger, ..
    } = &words;
    let place = &app.place;
    uploader
        .may(&format!(
            "s3 cp --no-progress {} s3://{artifacts}/{place}/v1.tar.gz",
            image.display()
        ))
        .await;
    let deploy = app.deploy_of("v1").await;
    let follow =
        |execution: &str| format!("stepfunctions describe-execution --execution-arn {execution}");
    uploader.may(&follow(&deploy.arn)).await;
    for refused in [
        follow(
            &deploy
                .arn
                .replace("upload-uploaded_test_", "upload-other_test_"),
        ),
        format!(
            "stepfunctions stop-execution --execution-arn {}",
            deploy.arn
        ),
        words.put(artifacts, &format!("{ELSEWHERE}/v1.tar.gz")),
        words.put(artifacts, "uploaded/prod/v1.tar.gz"),
        words.put(ledger, &format!("{place}/live.json")),
        words.put(ledger, &format!("{place}/releases/000009.json")),
        // Not even what it has written itself.
        Words::get(artifacts, &format!("{place}/v1.tar.gz")),
        Words::get(artifacts, &format!("{ELSEWHERE}/config.env")),
        Words::get(ledger, &format!("{place}/live.json")),
        format!("s3api delete-object --bucket {artifacts} --key {place}/v1.tar.gz"),
        format!("s3api list-objects-v2 --bucket {artifacts}"),
        format!("{} DIGEST", words.sign),
        words.start.clone(),
        "lambda invoke --function-name exuvia-shift-traffic /dev/null".to_owned(),
        "ssm get-parameter --name /exuvia/uploaded/test".to_owned(),
        "autoscaling describe-auto-scaling-groups".to_owned(),
        "elbv2 describe-rules".to_owned(),
        format!(
            "elbv2 delete-listener --listener-arn {}",
            setting("EXUVIA_LISTENER_ARN")
        ),
    ] {
        uploader.may_not(&refused).await;
    }
    // By functions and instances that have nothing but their roles either.
    assert_eq!(deploy.end().await, "SUCCEEDED", "{:?}", deploy.path().await);
    app.serves("v1").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_instance_reads_what_its_own_app_is_made_of_and_no_more() {
    let app = App::with_v1("confined").await;
    let words = Words::new(&app).await;
    let instance = Identity::of_instances(&app).await;
    let Words {
        artifacts, ledger, ..
    } = &words;
    let place = &app.place;
    let manifest = app.ledger("releases/000001.json").await;
    let pinned = manifest["artifact"]["versionId"].as_str().unwrap();
    for allowed in [
        Words::get(ledger, &format!("{place}/releases/000001.json")),
        Words::get(
            artifacts,
            &format!("{place}/v1.tar.gz --version-id {pinned}"),
        ),
        words.put(ledger, &format!("{place}/boot/000009/i-1.json")),
    ] {
        instance.may(&allowed).await;
    }
    let other = App::with_v1("neighbour").await;
    let of_other = other.ledger("releases/000001.json").await;
    let of_other = of_other["artifact"]["versionId"].as_str().unwrap();
    for refused in [
        // What happens to be newest is not what its release pins.
        Words::get(artifacts, &format!("{place}/v1.tar.gz")),
        Words::get(artifacts, &format!("{ELSEWHERE}/config.env")),
        Words::get(
            artifacts,
            &format!("{}/v1.tar.gz --version-id {of_other}", other.place),
        ),
        Words::get(ledger, &format!("{}/releases/000001.json", other.place)),
        Words::get(ledger, &format!("{place}/live.json")),
        words.put(ledger, &format!("{place}/releases/000002.json")),
        words.put(ledger, &format!("{place}/live.json")),
        words.put(ledger, &format!("{}/boot/000001/i-1.json", other.place)),
        words.put(artifacts, &format!("{place}/v2.tar.gz")),
        format!("s3api list-objects-v2 --bucket {ledger}"),
        format!("{} DIGEST", words.sign),
        words.start.clone(),
        "ssm get-parameter --name /exuvia/confined/test".to_owned(),
        format!(
            "autoscaling complete-lifecycle-action --lifecycle-action-result ABANDON --lifecycle-hook-name boot \
                 --instance-id i-1 --auto-scaling-group-name {}",
            other.group(1)
        ),
        format!(
            "autoscaling set-desired-capacity --desired-capacity 4 --auto-scaling-group-name {}",
            app.group(1)
        ),
    ] {
        instance.may_not(&refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
#[allow(clippy::too_many_lines)] // one table: what each may, and what it may not
async fn a_function_may_do_what_it_does_and_nothing_else() {
    let app = App::with_v1("governed").await;
    let words = Words::new(&app).await;
    let Words {
        artifacts, ledger, ..
    } = &words;
    let place = &app.place;
    let template = resource(&app, "LaunchTemplate").await;
    let of_builder = resource_of("exuvia-hello-qa-builder", "LaunchTemplate").await;
    let subnet = setting("EXUVIA_SUBNETS")
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let create = |name: &str, template: &str, version: &str| {
        format!(
            "autoscaling create-auto-scaling-group --auto-scaling-group-name {name} --min-size 0 --max-size 0 \
             --vpc-zone-identifier {subnet} --launch-template LaunchTemplateId={template},Version={version}"
        )
    };
    let tagged = |key: &str| format!("--tags Key={key},Value=1,PropagateAtLaunch=true");
    // What is not an app's: a group, and a rule.
    let foreign = "not-of-exuvia";
    let words_of_root = create(foreign, &template, "1");
    root(&words_of_root.split_whitespace().collect::<Vec<_>>()).await;
    let listener = setting("EXUVIA_LISTENER_ARN");
    let rule = [
        "elbv2",
        "create-rule",
        "--listener-arn",
        &listener,
        "--priority",
        "999",
        "--conditions",
    ];
    let rule = [
        &rule[..],
        &["Field=path-pattern,Values=/not-of-exuvia", "--actions"],
    ]
    .concat();
    let rule = [
        &rule[..],
        &["Type=fixed-response,FixedResponseConfig={StatusCode=204}"],
    ]
    .concat();
    let rule = root(&rule).await["Rules"][0]["RuleArn"]
        .as_str()
        .unwrap()
        .to_owned();
    let modify = "--actions Type=fixed-response,FixedResponseConfig={StatusCode=503}";
    let group = app.group(1);
    let on = |call: &str, group: &str, more: &str| {
        format!("autoscaling {call} --auto-scaling-group-name {group} {more}")
    };
    let tags = |call: &str, group: &str, key: &str| {
        format!(
            "autoscaling {call} --tags ResourceId={group},ResourceType=auto-scaling-group,Key={key},Value=,\
             PropagateAtLaunch=false"
        )
    };
    let live = format!("{place}/live.json");
    let dead_letters = resource_of("exuvia", "DeadLetters").await;
    let release = format!("{ELSEWHERE}/releases/000001.json");

    let mut trials = JoinSet::new();
    for (function, allowed, refused) in [
        (
            "trigger",
            vec![],
            vec![
                words.put(ledger, &live),
                Words::get(artifacts, &format!("{place}/v1.tar.gz")),
                "stepfunctions list-state-machines".to_owned(),
                "lambda invoke --function-name exuvia-plan /dev/null".to_owned(),
            ],
        ),
        (
            "validate",
            vec![Words::get(artifacts, &format!("{place}/v1.tar.gz"))],
            vec![
                words.put(ledger, &release),
                words.put(artifacts, &format!("{place}/v2.tar.gz")),
                format!("{} DIGEST", words.sign),
                words.start.clone(),
                "ssm get-parameter --name /others/secret".to_owned(),
                "ssm get-parameter --name /slack/deploys".to_owned(),
            ],
        ),
        (
            "lock",
            vec![words.put(ledger, &format!("{ELSEWHERE}/lock.json"))],
            vec![
                words.put(ledger, &release),
                words.put(ledger, &live),
                words.start.clone(),
            ],
        ),
        (
            "plan",
            vec![
                words.put(ledger, &release),
                format!("{} DIGEST", words.sign),
            ],
            vec![
                format!("{} RAW", words.sign),
                words.put(ledger, &live),
                Words::get(artifacts, &format!("{place}/v1.tar.gz")),
                format!("s3api delete-object --bucket {ledger} --key {release}"),
                on("delete-auto-scaling-group", &group, ""),
            ],
        ),
        (
            "launch",
            vec![tags("create-or-update-tags", &group, "exuvia:held")],
            vec![
                // Without its tag, of what is not pinned, of what is no app's.
                create("governed-1", &template, "1"),
                format!(
                    "{} {}",
                    create("governed-2", &template, "$Latest"),
                    tagged("exuvia:release")
                ),
                format!(
                    "{} {}",
                    create("governed-3", &of_builder, "1"),
                    tagged("exuvia:release")
                ),
                tags("create-or-update-tags", foreign, "exuvia:held"),
                tags("create-or-update-tags", &group, "exuvia:release"),
                on("suspend-processes", foreign, ""),
                on("delete-auto-scaling-group", &group, ""),
                format!("elbv2 modify-rule --rule-arn {rule} {modify}"),
                format!(
                    "elbv2 create-target-group --name governed-x --protocol HTTP --port 80 --vpc-id {}",
                    setting("EXUVIA_VPC_ID")
                ),
                words.put(ledger, &release),
                format!("{} DIGEST", words.sign),
            ],
        ),
        (
            "check-health",
            vec![on("set-desired-capacity", &group, "--desired-capacity 2")],
            vec![
                on("set-desired-capacity", foreign, "--desired-capacity 0"),
                on("update-auto-scaling-group", &group, "--max-size 0"),
                words.put(ledger, &live),
            ],
        ),
        (
            "shift-traffic",
            vec![tags("delete-tags", &group, "exuvia:held")],
            vec![
                tags("delete-tags", &group, "exuvia:release"),
                on("resume-processes", foreign, ""),
                format!("elbv2 modify-rule --rule-arn {rule} {modify}"),
                format!("elbv2 delete-rule --rule-arn {rule}"),
                on("delete-auto-scaling-group", &group, ""),
                words.put(ledger, &release),
            ],
        ),
        (
            "retire",
            vec![],
            vec![
                on("delete-auto-scaling-group", foreign, ""),
                on("update-auto-scaling-group", foreign, "--max-size 0"),
                format!("elbv2 delete-rule --rule-arn {rule}"),
                words.put(ledger, &live),
            ],
        ),
        (
            "notify",
            vec![words.put(ledger, "refused/nobody.json")],
            vec![
                words.put(ledger, &live),
                "sns list-topics".to_owned(),
                Words::get(artifacts, &format!("{ELSEWHERE}/config.env")),
            ],
        ),
        (
            "build",
            vec![words.put(ledger, &format!("{ELSEWHERE}/builds/1/build.json"))],
            vec![
                format!(
                    "{} {}",
                    create("governed-4", &template, "1"),
                    tagged("exuvia:build")
                ),
                format!(
                    "{} {}",
                    create("governed-5", &of_builder, "1"),
                    tagged("exuvia:release")
                ),
                on("delete-auto-scaling-group", &group, ""),
                on("delete-auto-scaling-group", foreign, ""),
                Words::get(artifacts, &format!("{ELSEWHERE}/config.env")),
                words.put(ledger, &release),
                "ssm get-parameter --name /exuvia/governed/test".to_owned(),
            ],
        ),
        (
            "report",
            vec![
                words.put(ledger, "governed/test/reports/e1.html"),
                Words::get(ledger, &live),
                "autoscaling describe-auto-scaling-groups".to_owned(),
            ],
            vec![
                words.put(ledger, &live),
                words.put(ledger, &release),
                words.put(artifacts, "governed/test/reports/e1.html"),
                words.start.clone(),
                on("delete-auto-scaling-group", &group, ""),
                "ssm get-parameter --name /exuvia/governed/test".to_owned(),
            ],
        ),
        (
            "recover",
            vec![],
            vec![
                words.put(ledger, &live),
                Words::get(ledger, &live),
                "sns list-topics".to_owned(),
            ],
        ),
        (
            "slack",
            vec![
                words.put(ledger, &format!("{ELSEWHERE}/slack/e1.json")),
                "ssm get-parameter --name /slack/deploys --with-decryption".to_owned(),
            ],
            vec![
                words.put(ledger, &live),
                Words::get(ledger, &live),
                Words::get(artifacts, &format!("{ELSEWHERE}/config.env")),
                "ssm get-parameter --name /exuvia/governed/test".to_owned(),
                // Of SQS alone the AWS CLI takes no address from its environment.
                format!(
                    "sqs receive-message --endpoint-url {} --queue-url {dead_letters}",
                    setting("AWS_ENDPOINT_URL")
                ),
                words.start.clone(),
            ],
        ),
    ] {
        // The AWS CLI takes its time to start: a few functions are tried at once.
        if trials.len() == AT_ONCE {
            trials.join_next().await.unwrap().unwrap();
        }
        trials.spawn(async move {
            let function = Identity::of_function(function).await;
            for command in allowed {
                function.may(&command).await;
            }
            for command in refused {
                function.may_not(&command).await;
            }
        });
    }
    while let Some(tried) = trials.join_next().await {
        tried.unwrap();
    }
    app.serves("v1").await;
    root(&[
        "autoscaling",
        "delete-auto-scaling-group",
        "--auto-scaling-group-name",
        foreign,
    ])
    .await;
    root(&["elbv2", "delete-rule", "--rule-arn", &rule]).await;
}
