//! Builds of an app.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::build::BuildId;
use exuvia_core::fleet::TAG_APP;

use super::seen::Notice;
use super::{App, deploy_stack};
use crate::execution::Execution;
use crate::setting;

const BUILDS: &str = "EXUVIA_BUILD_STATE_MACHINE_ARN";

impl App {
    /// Lets images of the app be built, by `infra/builder.yaml`.
    pub async fn set_up_builder(&self) {
        let (app, environment) = (&self.place.app, &self.place.environment);
        let parameters = [
            format!("App={app}"),
            format!("Environment={environment}"),
            format!("VpcId={}", setting("EXUVIA_VPC_ID")),
            format!("Subnets={}", setting("EXUVIA_SUBNETS")),
            format!("AmiId={}", setting("EXUVIA_AMI_ID")),
            // A machine takes real time, of which the cloud's passes a multiple.
            "TimeoutSeconds=7200".to_owned(),
        ];
        let stack = format!("exuvia-{app}-{environment}-builder");
        deploy_stack("builder.yaml", &stack, &parameters).await;
    }

    /// Uploads a source; the execution that this starts.
    pub async fn upload_source(&self, version: &str, bytes: &[u8]) -> Execution {
        let before = self.executions_of(BUILDS).await;
        self.s3
            .put_object()
            .bucket(setting("EXUVIA_ARTIFACTS_BUCKET"))
            .key(format!("{}/{version}.src.tar.gz", self.place))
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await
            .unwrap();
        let place = self.place.to_string().replace('/', "_");
        let prefix = format!("upload-{place}_{version}-src-");
        self.find_build(|arn| {
            let name = arn.rsplit(':').next().unwrap();
            !before.iter().any(|known| known == arn) && name.starts_with(&prefix)
        })
        .await
    }

    /// The execution that cleans up after a build that was cut off.
    pub async fn recovery_of_build(&self, build: &Execution) -> Execution {
        let began = Instant::now();
        loop {
            for arn in self.executions_of(BUILDS).await {
                let execution = Execution {
                    client: self.sfn.clone(),
                    arn,
                };
                let recovers = execution.name().starts_with("recover-");
                if recovers && execution.input().await["recover"] == *build.arn {
                    return execution;
                }
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "no recovery was started"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The names of all Auto Scaling groups of the app, builders' among them.
    pub async fn groups(&self) -> Vec<String> {
        let groups = self.autoscaling.describe_auto_scaling_groups();
        let groups = groups.send().await.unwrap();
        let is_ours = |group: &&aws_sdk_autoscaling::types::AutoScalingGroup| {
            let mut tags = group.tags().iter();
            tags.any(|tag| {
                tag.key() == Some(TAG_APP) && tag.value() == Some(self.place.app.as_str())
            })
        };
        let ours = groups.auto_scaling_groups().iter().filter(is_ours);
        ours.map(|group| group.auto_scaling_group_name().unwrap().to_owned())
            .collect()
    }

    /// The one final outcome that was told of a build.
    pub async fn outcome_of_build(&self, build: &Execution) -> Notice {
        self.told_once(&format!("build-outcome-{}", BuildId::of(&build.arn)))
            .await
    }

    async fn find_build(&self, is_it: impl Fn(&str) -> bool) -> Execution {
        let began = Instant::now();
        loop {
            let mut all = self.executions_of(BUILDS).await.into_iter();
            if let Some(arn) = all.find(|arn| is_it(arn)) {
                return Execution {
                    client: self.sfn.clone(),
                    arn,
                };
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the upload started no build"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
