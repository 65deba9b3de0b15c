//! Requests as AWS reads them: which service, which operation, about what; and the answers that are faults.

use exuvia_cloud::wire;
use serde_json::{Value, json};

use crate::connector::Invocation;
use crate::fault::Action;
use crate::privileges::Privilege;
use crate::services::{Request, Response, cloudwatch_refusal};
use crate::world::{CallMade, State};

/// A request, as far as it was read.
#[derive(Clone, Debug)]
pub struct Call {
    /// As in the credential scope of the signature: `s3`, `autoscaling`, `elasticloadbalancing`, `states` ...
    pub service: String,
    pub operation: String,
    /// The key, the group, the execution: what it concerns.
    pub about: String,
    /// The body of a query request.
    pub form: String,
    is_conditional_write: bool,
}

impl Call {
    pub fn read(request: &Request) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or("")
        };
        let service = header("authorization")
            .split_once("Credential=")
            .and_then(|(_, credential)| credential.split([',', ' ']).next()?.split('/').nth(3))
            .unwrap_or("unsigned")
            .to_owned();
        let body = String::from_utf8_lossy(request.body());
        let target = header("x-amz-target");
        let mut call = Self {
            service,
            operation: String::new(),
            about: String::new(),
            form: String::new(),
            is_conditional_write: false,
        };
        if call.service == "s3" {
            let query = request.uri().query().unwrap_or("");
            let operation = match request.method().as_str() {
                "PUT" => "PutObject",
                "DELETE" => "DeleteObject",
                "HEAD" => "HeadObject",
                _ if query.contains("list-type=2") => "ListObjectsV2",
                _ => "GetObject",
            };
            operation.clone_into(&mut call.operation);
            // Without the bucket.
            let path = request.uri().path().trim_start_matches('/');
            path.split_once('/')
                .map_or("", |(_, key)| key)
                .clone_into(&mut call.about);
            call.is_conditional_write =
                !header("if-match").is_empty() || !header("if-none-match").is_empty();
        } else if let Some((_, operation)) = target.rsplit_once('.') {
            operation.clone_into(&mut call.operation);
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            let named = ["name", "executionArn", "Name", "KeyId"];
            let about = named.iter().find_map(|name| body[*name].as_str());
            about.unwrap_or_default().clone_into(&mut call.about);
        } else if let Some((_, operation)) = request.uri().path().split_once("/operation/") {
            // RPC v2 CBOR, which CloudWatch speaks.
            operation.clone_into(&mut call.operation);
        } else {
            call.operation = wire::parameter(&body, "Action").unwrap_or_default();
            let named = [
                "AutoScalingGroupName",
                "AutoScalingGroupNames.member.1",
                "Tags.member.1.ResourceId",
                "RuleArn",
                "TargetGroupArn",
                "Name",
                "Names.member.1",
                "Subject",
            ];
            let about = named.iter().find_map(|name| wire::parameter(&body, name));
            call.about = about.unwrap_or_default();
            call.form = body.into_owned();
        }
        call
    }

    pub fn made(
        &self,
        by: &Invocation,
        number: u32,
        privilege: Privilege,
        is_throttled: bool,
    ) -> CallMade {
        CallMade {
            visit: by.visit.clone(),
            call: number,
            function: by.function.clone(),
            service: self.service.clone(),
            operation: self.operation.clone(),
            privilege,
            is_conditional_write: self.is_conditional_write,
            at: by.world.elapsed(),
            is_throttled,
        }
    }
}

impl State {
    /// The answer to a request; what it changes is changed.
    pub fn answer(&mut self, call: &Call, request: &Request) -> Response {
        let now = self.estate.now;
        // Before what is asked for moves the traffic.
        self.estate.flow();
        let services = &mut self.estate.services;
        match call.service.as_str() {
            "s3" => services.s3.answer(request, now, &services.kms),
            "ssm" => services.ssm.answer(request),
            "kms" => services.kms.answer(request),
            "sns" => {
                let answer = services.sns.answer(request, now, &services.kms);
                if answer.status().is_success() {
                    let published = services.sns.published.last();
                    let message = published.map(|one| one.message.clone());
                    self.read_notice(&message.unwrap_or_default());
                }
                answer
            }
            "monitoring" => services.cloudwatch.answer(&call.operation, request, now),
            "states" => self.answer_for_states(call, request),
            other => match wire::Service::from_scope(other) {
                Some(service) => {
                    let cloud = &mut self.estate.cloud;
                    let cloud = if wire::only_looks(&call.form) {
                        cloud.look_at(now)
                    } else {
                        cloud.at(now)
                    };
                    let answer = wire::answer(cloud, service, &call.form);
                    response(answer.status, "text/xml", answer.body)
                }
                None => response(
                    501,
                    "text/plain",
                    format!("there is no service {other} here"),
                ),
            },
        }
    }
}

pub fn response(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = http::HeaderValue::from_str(kind) {
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, kind);
    }
    response
}

/// How a service says no, for a reason of its own.
pub fn error_answer(call: &Call, fault: Option<&Action>) -> Response {
    let (status, code) = match (fault, call.service.as_str()) {
        (Some(Action::Throttle), "s3") => (503, "SlowDown"),
        (Some(Action::Throttle), "ssm" | "kms" | "states" | "monitoring") => {
            (400, "ThrottlingException")
        }
        (Some(Action::Throttle), _) => (400, "Throttling"),
        (Some(Action::Deny), "ssm" | "kms" | "states") => (400, "AccessDeniedException"),
        (Some(Action::Deny), "sns") => (403, "AuthorizationError"),
        (Some(Action::Deny), _) => (403, "AccessDenied"),
        (Some(Action::Conflict), _) => (409, "ConditionalRequestConflict"),
        (_, "s3") => (500, "InternalError"),
        (_, "ssm" | "kms" | "states") => (500, "InternalServerError"),
        _ => (500, "InternalFailure"),
    };
    let message = "Simulated";
    match call.service.as_str() {
        "s3" if call.operation == "HeadObject" => response(status, "application/xml", ""),
        "s3" => response(
            status,
            "application/xml",
            format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
        ),
        "monitoring" => cloudwatch_refusal(status, code, message),
        "ssm" | "kms" | "states" => response(
            status,
            "application/x-amz-json-1.1",
            json!({ "__type": code, "message": message }).to_string(),
        ),
        _ => response(
            status,
            "text/xml",
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                 <RequestId>0</RequestId></ErrorResponse>"
            ),
        ),
    }
}
