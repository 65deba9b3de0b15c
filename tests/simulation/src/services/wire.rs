//! What the services' protocols have in common.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::services::{Request, Response};

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
    // The names are constants; a value that is none in HTTP came from a test's own hands.
    builder.body(body.into()).unwrap_or_default()
}

/// An error of AWS's JSON 1.1 protocol.
#[derive(Debug)]
pub(super) struct JsonError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl JsonError {
    fn not_implemented(what: &str) -> Self {
        Self {
            status: 501,
            code: "NotImplemented",
            message: format!("the simulation does not implement {what}"),
        }
    }
}

/// Answers a request of AWS's JSON 1.1 protocol to one of these operations, whose parameters are all texts.
/// <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>
pub(super) fn json_1_1(
    request: &Request,
    operations: &[(&str, &[&str])],
    perform: impl FnOnce(&str, &Texts) -> Result<Value, JsonError>,
) -> Response {
    let performed = texts(request, operations)
        .and_then(|(operation, parameters)| perform(operation, &parameters));
    let (status, body) = match performed {
        Ok(body) => (200, body),
        Err(error) => {
            let body = json!({ "__type": error.code, "message": error.message });
            (error.status, body)
        }
    };
    let headers = [("content-type", "application/x-amz-json-1.1")];
    response(status, &headers, body.to_string())
}

/// Parameters by name.
pub(super) type Texts = BTreeMap<String, String>;

fn texts<'a>(
    request: &Request,
    operations: &[(&'a str, &[&str])],
) -> Result<(&'a str, Texts), JsonError> {
    let target = request.headers().get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let mut known = operations.iter();
    let Some((operation, names)) = known.find(|(name, _)| target == Some(name)) else {
        let target = target.unwrap_or("a request without x-amz-target");
        return Err(JsonError::not_implemented(target));
    };
    let parameters: Map<String, Value> =
        serde_json::from_slice(request.body()).map_err(|error| JsonError {
            status: 400,
            code: "SerializationException",
            message: error.to_string(),
        })?;
    if let Some(other) = parameters.keys().find(|key| !names.contains(&key.as_str())) {
        let what = format!("{operation}'s parameter {other}");
        return Err(JsonError::not_implemented(&what));
    }
    let text = |name: &&str| match parameters.get(*name) {
        Some(Value::String(text)) => Ok(((*name).to_owned(), text.clone())),
        _ => Err(JsonError {
            status: 400,
            code: "ValidationException",
            message: format!("{name} must be given, as a text"),
        }),
    };
    let texts: Result<Texts, JsonError> = names.iter().map(text).collect();
    Ok((operation, texts?))
}

/// The pairs of a query or of a form; a name without `=` has an empty value.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| decode(&text.replace('+', " "));
        (decode(name), decode(value))
    })
}

/// Undoes percent-encoding.
pub(super) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as it may stand in XML.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'', '\r']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}
