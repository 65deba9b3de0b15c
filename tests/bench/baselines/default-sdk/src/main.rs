//! What one gets by following the SDK's guide
//! (<https://docs.aws.amazon.com/sdk-for-rust/latest/dg/lambda.html>): its default features, the default credentials and
//! settings, and two services.

use aws_config::BehaviorVersion;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let s3 = aws_sdk_s3::Client::new(&config);
    let autoscaling = aws_sdk_autoscaling::Client::new(&config);
    let (s3, autoscaling) = (&s3, &autoscaling);
    run(service_fn(move |event: LambdaEvent<Value>| async move {
        handle(s3, autoscaling, &event.payload).await
    }))
    .await
}

async fn handle(
    s3: &aws_sdk_s3::Client,
    autoscaling: &aws_sdk_autoscaling::Client,
    event: &Value,
) -> Result<Value, Error> {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let mut bytes = 0;
    for _ in 0..number("objects") {
        let object = s3.get_object().bucket(text("bucket")).key(text("key"));
        let body = object.send().await?.body.collect().await?;
        bytes += body.into_bytes().len();
    }
    let mut groups = 0;
    for _ in 0..number("groups") {
        let described = autoscaling.describe_auto_scaling_groups().send().await?;
        groups += described.auto_scaling_groups().len();
    }
    Ok(json!({ "bytes": bytes, "groups": groups }))
}
