//! What the policies of `infra/app.yaml` let an uploader and an instance do, by IAM's own simulator: all that they need, and
//! nothing that is another app's.

use exuvia_end_to_end::app::App;
use exuvia_end_to_end::setting;
use tokio::process::Command;

async fn aws(arguments: &[&str]) -> String {
    let ran = Command::new("aws").args(arguments).output().await.unwrap();
    assert!(
        ran.status.success(),
        "aws {arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// What a resource of the app's stack is called.
async fn resource(app: &App, logical_id: &str) -> String {
    let stack = format!("exuvia-{}-{}", app.place.app, app.place.environment);
    let describe = ["cloudformation", "describe-stack-resource"];
    let which = ["--stack-name", &stack, "--logical-resource-id", logical_id];
    let query = "StackResourceDetail.PhysicalResourceId";
    let only = ["--query", query, "--output", "text"];
    aws(&[&describe[..], &which[..], &only[..]].concat()).await
}

/// Checks what policies together say of actions on resources.
async fn check(policies: &[String], table: &[(&str, Vec<String>, &str)]) {
    for (action, resources, decision) in table {
        for resource in resources {
            let mut arguments = vec!["iam", "simulate-custom-policy", "--policy-input-list"];
            arguments.extend(policies.iter().map(String::as_str));
            arguments.extend(["--action-names", action, "--resource-arns", resource]);
            let query = "EvaluationResults[].EvalDecision";
            arguments.extend(["--query", query, "--output", "text"]);
            assert_eq!(aws(&arguments).await, *decision, "{action} on {resource}");
        }
    }
}

fn of_bucket(bucket: &str, keys: &[&str]) -> Vec<String> {
    let arn = |key: &&str| format!("arn:aws:s3:::{}/{key}", setting(bucket));
    keys.iter().map(arn).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_uploader_uploads_and_follows_and_nothing_else() {
    let app = App::new("granted").await;
    let policy = resource(&app, "UploaderPolicy").await;
    let get = ["iam", "get-policy-version", "--policy-arn", &policy];
    let only = ["--version-id", "v1", "--query", "PolicyVersion.Document"];
    let policy = aws(&[&get[..], &only[..]].concat()).await;

    let artifacts = |keys: &[&str]| of_bucket("EXUVIA_ARTIFACTS_BUCKET", keys);
    let executions = |names: &[&str]| {
        let machine = setting("EXUVIA_STATE_MACHINE_ARN");
        let prefix = machine.replace(":stateMachine:", ":execution:");
        let arn = |name: &&str| format!("{prefix}:{name}");
        names.iter().map(arn).collect::<Vec<_>>()
    };
    let own = ["granted/test/v1.tar.gz", "granted/test/config.env"];
    let others = [
        "granted/test2/v1.tar.gz",
        "granted2/test/v1.tar.gz",
        "granted-test/x/v1.tar.gz",
    ];
    let followed = executions(&["upload-granted_test_v1-0123"]);
    let not_followed = executions(&[
        "upload-granted_test2_v1-0123",
        "upload-granted-test_x_v1-0123",
        "upload-granted2_test_v1-0123",
        "recover-0123",
        "started-by-a-person",
    ]);
    let table = [
        ("s3:PutObject", artifacts(&own), "allowed"),
        ("s3:PutObject", artifacts(&others), "implicitDeny"),
        (
            "s3:PutObject",
            of_bucket("EXUVIA_LEDGER_BUCKET", &["granted/test/live.json"]),
            "implicitDeny",
        ),
        ("s3:GetObject", artifacts(&own), "implicitDeny"),
        ("s3:DeleteObject", artifacts(&own), "implicitDeny"),
        ("states:DescribeExecution", followed.clone(), "allowed"),
        ("states:GetExecutionHistory", followed.clone(), "allowed"),
        ("states:StopExecution", followed, "implicitDeny"),
        ("states:DescribeExecution", not_followed, "implicitDeny"),
        (
            "states:StartExecution",
            vec![setting("EXUVIA_STATE_MACHINE_ARN")],
            "implicitDeny",
        ),
    ];
    check(&[policy], &table).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_instance_reaches_what_is_its_apps_and_nothing_else() {
    let app = App::new("reached").await;
    let role = resource(&app, "InstanceRole").await;
    let list = ["iam", "list-attached-role-policies", "--role-name", &role];
    let only = ["--query", "AttachedPolicies", "--output", "json"];
    assert_eq!(aws(&[&list[..], &only[..]].concat()).await, "[]");
    let list = ["iam", "list-role-policies", "--role-name", &role];
    let only = ["--query", "PolicyNames", "--output", "text"];
    let names = aws(&[&list[..], &only[..]].concat()).await;
    let mut policies = Vec::new();
    for name in names.split_whitespace() {
        let get = ["iam", "get-role-policy", "--role-name", &role];
        let only = ["--policy-name", name, "--query", "PolicyDocument"];
        policies.push(aws(&[&get[..], &only[..]].concat()).await);
    }

    let artifacts = |keys: &[&str]| of_bucket("EXUVIA_ARTIFACTS_BUCKET", keys);
    let ledger = |keys: &[&str]| of_bucket("EXUVIA_LEDGER_BUCKET", keys);
    let own = ["reached/test/v1.tar.gz", "reached/test/config.env"];
    let others = ["reached/test2/v1.tar.gz", "reached2/test/config.env"];
    let source = ["reached/test/v1.src.tar.gz"];
    let manifest = ["reached/test/releases/000001.json"];
    let report = ["reached/test/boot/000001/i-1.json"];
    let any = || vec!["*".to_owned()];
    let table = [
        ("s3:GetObjectVersion", artifacts(&own), "allowed"),
        ("s3:GetObjectVersion", artifacts(&others), "implicitDeny"),
        ("s3:GetObjectVersion", artifacts(&source), "explicitDeny"),
        ("s3:PutObject", artifacts(&own), "implicitDeny"),
        ("s3:GetObject", ledger(&manifest), "allowed"),
        ("s3:PutObject", ledger(&manifest), "implicitDeny"),
        ("s3:PutObject", ledger(&report), "allowed"),
        (
            "s3:GetObject",
            ledger(&["reached2/test/releases/000001.json"]),
            "implicitDeny",
        ),
        (
            "s3:PutObject",
            ledger(&["reached/test/live.json", "reached/test/lock.json"]),
            "implicitDeny",
        ),
        ("ssm:GetParameter", any(), "implicitDeny"),
        ("autoscaling:CompleteLifecycleAction", any(), "implicitDeny"),
        ("kms:Sign", any(), "implicitDeny"),
        ("ssmmessages:OpenDataChannel", any(), "allowed"),
    ];
    check(&policies, &table).await;
}
