//! What every function's `main` does: read its input, run its handler, report its errors by name.

pub use lambda_runtime::Error;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    lambda_runtime::tracing::init_default_subscriber();
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
