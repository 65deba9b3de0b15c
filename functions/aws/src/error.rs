//! Which failed calls are worth another try.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use exuvia_core::error::StepError;

/// Error codes by which services say "less", besides 429. Retried by the SDK first, by Step Functions then.
const LESS: [&str; 7] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "RequestThrottled",
    "SlowDown",
];

/// Error codes by which services say "later", besides any 5xx. Retried as well.
const LATER: [&str; 7] = [
    "KMSInternalException",
    // KMS, and S3 of an object, whose key a person has disabled: until it is enabled again.
    "DisabledException",
    "KMS.DisabledException",
    "ConditionalRequestConflict",
    "OperationAborted",
    "ResourceContention",
    "InternalFailure",
];

/// The code of a service's error, if the service answered with one.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

pub(crate) fn is<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    expected: &str,
) -> bool {
    code(error) == Some(expected)
}

/// The HTTP status of the answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// What a failed call means to a step. `action` is AWS's name of it with what it was for.
// By value, so that it can stand as it is in a `map_err`.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn failed<E>(action: impl Into<String>, error: SdkError<E, HttpResponse>) -> StepError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let action = action.into();
    let answered = matches!(error, SdkError::ServiceError(_));
    let is_one_of = |codes: &[&str]| code(&error).is_some_and(|code| codes.contains(&code));
    let less = is_one_of(&LESS) || status(&error) == Some(429);
    let later =
        !answered || is_one_of(&LATER) || status(&error).is_some_and(|status| status >= 500);
    let problem = match error.as_service_error() {
        Some(service) => match (service.code(), service.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            // A HEAD has no body to name a code in.
            (None, _) if status(&error) == Some(403) => {
                "access denied (403), or the key that it is encrypted with cannot be used"
                    .to_owned()
            }
            _ => DisplayErrorContext(&error).to_string(),
        },
        None => DisplayErrorContext(&error).to_string(),
    };
    if less {
        StepError::AwsThrottled { action, problem }
    } else if later {
        StepError::AwsUnavailable { action, problem }
    } else {
        StepError::AwsRefused { action, problem }
    }
}
