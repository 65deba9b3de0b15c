//! What the services' protocols have in common.

use crate::services::Response;

/// An answer; the headers' names are lower-case.
pub(super) fn response(
    status: u16,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> Response {
    let mut builder = http::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap_or_default()
}

/// An error of AWS's JSON 1.1 protocol.
pub(super) fn json_error(status: u16, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "__type": code, "message": message });
    json(status, &body)
}

/// An answer of AWS's JSON 1.1 protocol.
pub(super) fn json(status: u16, body: &serde_json::Value) -> Response {
    let headers = [("content-type", "application/x-amz-json-1.1")];
    response(status, &headers, body.to_string())
}
