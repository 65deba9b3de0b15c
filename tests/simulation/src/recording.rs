//! What a function was given, what it asked AWS and what it was answered, so that the program that Lambda runs can be
//! given the same.

use std::time::Duration;

use serde_json::Value;

use crate::calls::Call;
use crate::services::{Request, Response};

/// One invocation that succeeded.
#[derive(Clone, Debug)]
pub struct Recording {
    pub function: String,
    pub input: Value,
    pub exchanges: Vec<Exchange>,
    pub output: Value,
    /// In virtual time, without its start.
    pub took: Duration,
}

/// A request to AWS, and the answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As in the credential scope of the request's signature.
    pub service: String,
    pub operation: String,
    pub method: String,
    pub path: String,
    pub answer: Response,
}

impl Exchange {
    pub fn of(request: &Request, answer: &Response) -> Self {
        let call = Call::read(request);
        Self {
            service: call.service,
            operation: call.operation,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            answer: answer.clone(),
        }
    }
}
