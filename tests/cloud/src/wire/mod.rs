//! AWS's query protocol: form-encoded requests, XML answers, on top of the model.
//!
//! Pure, as the model is: [`answer`] may be called from an HTTP server or from a test's own SDK connector.

mod autoscaling;
mod elasticloadbalancing;
mod form;
mod gaps;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use winterbaume_core::{MockResponse, protocol::xml::aws_query_error_response};

use crate::model::{Cloud, Error, Result};

/// The two services, named as in the credential scope of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    AutoScaling,
    ElasticLoadBalancing,
}

/// What to answer with: always XML.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

type Params = HashMap<String, String>;

impl Service {
    pub fn from_scope(name: &str) -> Option<Self> {
        match name {
            "autoscaling" => Some(Self::AutoScaling),
            "elasticloadbalancing" => Some(Self::ElasticLoadBalancing),
            _ => None,
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::AutoScaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
            Self::ElasticLoadBalancing => {
                "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AutoScaling => "Auto Scaling",
            Self::ElasticLoadBalancing => "Elastic Load Balancing",
        }
    }
}

/// One parameter of a form-encoded request.
pub fn parameter(body: &str, name: &str) -> Option<String> {
    form::parse(body).remove(name)
}

/// A list in a form-encoded request.
pub fn list(body: &str, name: &str) -> Vec<String> {
    gaps::list(&form::parse(body), name)
}

/// Whether a form-encoded request only looks and changes nothing.
pub fn only_looks(body: &str) -> bool {
    parameter(body, "Action").is_some_and(|action| action.starts_with("Describe"))
}

/// Performs one form-encoded request on the model as it stands.
pub fn answer(cloud: &mut Cloud, service: Service, body: &str) -> Answer {
    let params = form::parse(body);
    let action = params.get("Action").map_or("", String::as_str);
    let classic = params
        .get("Version")
        .is_some_and(|version| version == "2012-06-01");
    let response = match service {
        Service::ElasticLoadBalancing if classic => Some(Err(Error::not_modelled(
            "The classic load balancer (API version 2012-06-01)",
        ))),
        Service::AutoScaling => autoscaling::perform(cloud, action, &params),
        Service::ElasticLoadBalancing => elasticloadbalancing::perform(cloud, action, &params),
    };
    response
        .unwrap_or_else(|| Err(not_an_action(service, action)))
        .map_or_else(
            |error| refusal(service, &error),
            |response| Answer {
                status: response.status,
                body: String::from_utf8_lossy(&response.body).into_owned(),
            },
        )
}

/// An error in AWS's shape.
pub fn refusal(service: Service, error: &Error) -> Answer {
    let response = aws_query_error_response(
        error.status,
        error.code,
        &error.message,
        service.namespace(),
    );
    Answer {
        status: error.status,
        body: String::from_utf8_lossy(&response.body).into_owned(),
    }
}

fn not_an_action(service: Service, action: &str) -> Error {
    Error::new(
        "InvalidAction",
        format!(
            "The action '{action}' of {} is not modelled by this local AWS",
            service.name()
        ),
    )
}

/// An action with a result: read the request, do it, write the result.
fn with_result<I, O>(
    params: &Params,
    read: fn(&Params) -> Result<I, String>,
    act: impl FnOnce(I) -> Result<O>,
    write: fn(&O) -> MockResponse,
) -> Result<MockResponse> {
    let request = read(params).map_err(Error::validation)?;
    act(request).map(|result| write(&result))
}

/// An action without a result.
fn without_result<I>(
    params: &Params,
    read: fn(&Params) -> Result<I, String>,
    act: impl FnOnce(I) -> Result<()>,
    write: fn() -> MockResponse,
) -> Result<MockResponse> {
    let request = read(params).map_err(Error::validation)?;
    act(request).map(|()| write())
}

/// Refuses a request that lacks what its action requires: a generated struct would have it empty.
fn require(params: &Params, required: &[&str]) -> Result<()> {
    for name in required {
        let prefix = format!("{name}.");
        let given = params.get(*name).is_some_and(|value| !value.is_empty())
            || params.keys().any(|key| key.starts_with(&prefix));
        if !given {
            return Err(Error::validation(format!(
                "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must \
                 not be null"
            )));
        }
    }
    Ok(())
}
