//! What every function's `main` does: read its input, run its handler, report its errors by name.

pub use lambda_runtime::Error;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::level_filters::LevelFilter;

use exuvia_core::error::StepError;

/// Serves one handler until Lambda ends the process.
///
/// An error's name in Step Functions is [`StepError::name`], its cause the error's text.
pub async fn serve<I, O, F>(handler: impl Fn(I) -> F) -> Result<(), Error>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    log();
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        invoke(handler, event.payload).await.map_err(|error| {
            tracing::error!(error = error.name(), "{error}");
            Diagnostic {
                error_type: error.name().to_owned(),
                error_message: error.to_string(),
            }
        })
    }))
    .await
}

/// As Lambda is told to want it (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html>).
/// `lambda_runtime` has the same, and filters by module besides, whose regular expressions are in each program then.
fn log() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let lines = tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .with_max_level(level(&variable("AWS_LAMBDA_LOG_LEVEL")));
    if variable("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json") {
        lines.json().init();
    } else {
        lines.init();
    }
}

fn level(name: &str) -> LevelFilter {
    match name {
        "" => LevelFilter::INFO,
        // There is nothing above an error.
        "FATAL" => LevelFilter::ERROR,
        _ => name.parse().unwrap_or(LevelFilter::INFO),
    }
}

/// One invocation: from the event's JSON to the answer's.
pub async fn invoke<I, O, F>(handler: impl Fn(I) -> F, payload: Value) -> Result<Value, StepError>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    let input =
        serde_path_to_error::deserialize(payload).map_err(|error| StepError::Unreadable {
            what: "the step's input".to_owned(),
            problem: error.to_string(),
        })?;
    // Boxed: a handler's future is deep, and the runtime wraps it deeper still.
    let output = Box::pin(handler(input)).await?;
    serde_json::to_value(output).map_err(|error| StepError::Unreadable {
        what: "the step's output".to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_as_lambda_names_it() {
        let levels = ["", "INFO", "WARN", "FATAL", "what"].map(level);
        let [info, warn, error] = [LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR];
        assert_eq!(levels, [info, info, warn, error, info]);
    }
}
