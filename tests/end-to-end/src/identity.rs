//! Somebody other than the account's root: a role or a user with its own credentials, and what AWS lets them do.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::app::App;

/// Credentials, as variables of the AWS CLI.
pub struct Identity {
    who: String,
    variables: Vec<(&'static str, String)>,
}

impl Identity {
    /// With the permissions of a function of the pipeline.
    pub async fn of_function(name: &str) -> Self {
        let function = format!("exuvia-{name}");
        let told = root(&[
            "lambda",
            "get-function-configuration",
            "--function-name",
            &function,
        ])
        .await;
        Self::of_role(name, told["Role"].as_str().unwrap()).await
    }

    /// With those of an app's instances.
    pub async fn of_instances(app: &App) -> Self {
        let name = resource(app, "InstanceRole").await;
        let told = root(&["iam", "get-role", "--role-name", &name]).await;
        Self::of_role("an instance", told["Role"]["Arn"].as_str().unwrap()).await
    }

    /// The root lets itself assume the role, which changes nothing in what the role may do.
    async fn of_role(who: &str, arn: &str) -> Self {
        let account = arn.split(':').nth(4).unwrap();
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")}},
            {"Effect": "Allow", "Action": "sts:AssumeRole",
             "Principal": {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}},
        ]});
        let name = arn.rsplit('/').next().unwrap();
        let trust = trust.to_string();
        root(&[
            "iam",
            "update-assume-role-policy",
            "--role-name",
            name,
            "--policy-document",
            &trust,
        ])
        .await;
        let assume = [
            "sts",
            "assume-role",
            "--role-session-name",
            "test",
            "--role-arn",
            arn,
        ];
        let told = root(&assume).await;
        Self::with(who, &told["Credentials"])
    }

    /// A person to whom the app's policy for uploaders is attached, and nothing else.
    pub async fn uploader(app: &App) -> Self {
        let user = format!("uploader-{}", app.place.app);
        let policy = resource(app, "UploaderPolicy").await;
        root(&["iam", "create-user", "--user-name", &user]).await;
        root(&[
            "iam",
            "attach-user-policy",
            "--user-name",
            &user,
            "--policy-arn",
            &policy,
        ])
        .await;
        let told = root(&["iam", "create-access-key", "--user-name", &user]).await;
        Self::with("an uploader", &told["AccessKey"])
    }

    fn with(who: &str, credentials: &Value) -> Self {
        let text = |name: &str| credentials[name].as_str().unwrap_or_default().to_owned();
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", text("AccessKeyId")),
            ("AWS_SECRET_ACCESS_KEY", text("SecretAccessKey")),
        ];
        let token = text("SessionToken");
        if !token.is_empty() {
            variables.push(("AWS_SESSION_TOKEN", token));
        }
        Self {
            who: who.to_owned(),
            variables,
        }
    }

    /// Asserts that AWS does what is asked.
    pub async fn may(&self, command: &str) {
        let told = self.try_to(command).await;
        assert!(told.is_ok(), "{} may not: {command}: {told:?}", self.who);
    }

    /// Asserts that AWS refuses it for want of permission, and for no other reason.
    pub async fn may_not(&self, command: &str) {
        let Err(refusal) = self.try_to(command).await else {
            panic!("{} may: {command}", self.who);
        };
        let denied = ["AccessDenied", "AuthorizationError", "(403)"];
        assert!(
            denied.iter().any(|code| refusal.contains(code)),
            "{}: {command}: {refusal}",
            self.who
        );
    }

    /// A command of the AWS CLI, its words separated by spaces.
    async fn try_to(&self, command: &str) -> Result<Value, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        run(&words, &self.variables).await
    }
}

/// The physical name of what the app's stack has under that logical one.
pub async fn resource(app: &App, logical: &str) -> String {
    resource_of(&app.stack(), logical).await
}

/// The same of any stack.
pub async fn resource_of(stack: &str, logical: &str) -> String {
    let describe = [
        "cloudformation",
        "describe-stack-resource",
        "--stack-name",
        stack,
    ];
    let told = root(&[&describe[..], &["--logical-resource-id", logical]].concat()).await;
    let physical = &told["StackResourceDetail"]["PhysicalResourceId"];
    physical.as_str().unwrap().to_owned()
}

/// A command of the account's root.
pub async fn root(words: &[&str]) -> Value {
    run(words, &[]).await.unwrap()
}

async fn run(words: &[&str], variables: &[(&'static str, String)]) -> Result<Value, String> {
    let mut aws = Command::new("aws");
    aws.args(words).args(["--output", "json"]);
    aws.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = aws.output().await.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}
