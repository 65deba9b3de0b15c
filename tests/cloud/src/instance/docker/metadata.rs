//! The instance metadata service, version 2: what a machine may ask about itself.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::super::Spec;
use crate::authority::Role;

pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The one that everything here is in.
const REGION: &str = "us-east-1";
const TOKEN: &str = "bG9jYWwgbWV0YWRhdGEgdG9rZW4=";
const WANTS_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const WANTS_TOKEN: &str = "x-aws-ec2-metadata-token";
const CREDENTIALS_LAST: Duration = Duration::from_hours(6);

/// Serves until the machine ends; before `from`, requests are taken but not answered.
pub(super) async fn serve(listener: TcpListener, spec: Spec, role: Role, from: Instant) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (spec, role) = (spec.clone(), role.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (status, text) = answer(&spec, &role, &request);
                async move {
                    tokio::time::sleep_until(from).await;
                    let mut response = Response::new(Full::new(Bytes::from(text)));
                    *response.status_mut() = status;
                    response
                        .headers_mut()
                        .insert(WANTS_TTL, hyper::header::HeaderValue::from_static("21600"));
                    Ok::<_, Infallible>(response)
                }
            });
            // One that breaks off is the client's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer<B>(spec: &Spec, role: &Role, request: &Request<B>) -> (StatusCode, String) {
    let path = request.uri().path();
    if path == "/latest/api/token" {
        return token(request.method(), request.headers());
    }
    let given = request.headers().get(WANTS_TOKEN);
    if given.is_none_or(|given| given != TOKEN) {
        return (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
    }
    match path
        .strip_prefix("/latest/")
        .and_then(|path| about(spec, role, path))
    {
        Some(text) => (StatusCode::OK, text),
        None => (StatusCode::NOT_FOUND, "Not Found".to_owned()),
    }
}

fn token(method: &Method, headers: &HeaderMap) -> (StatusCode, String) {
    if method != Method::PUT {
        return (StatusCode::METHOD_NOT_ALLOWED, String::new());
    }
    let seconds = headers
        .get(WANTS_TTL)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    if seconds.is_none_or(|seconds| !(1..=21_600).contains(&seconds)) {
        return (StatusCode::BAD_REQUEST, "Bad Request".to_owned());
    }
    (StatusCode::OK, TOKEN.to_owned())
}

fn about(spec: &Spec, role: &Role, path: &str) -> Option<String> {
    if path == "dynamic/instance-identity/document" {
        return Some(json!({"instanceId": spec.id, "region": REGION}).to_string());
    }
    let path = path.strip_prefix("meta-data/")?;
    if let Some(tag) = path.strip_prefix("tags/instance/") {
        return spec.tags.get(tag).cloned();
    }
    match path {
        "instance-id" | "hostname" | "local-hostname" => Some(spec.id.clone()),
        "placement/region" => Some(REGION.to_owned()),
        "placement/availability-zone" => Some(spec.availability_zone.clone()),
        "iam/security-credentials/" => Some(role.role.clone()),
        _ => (path == format!("iam/security-credentials/{}", role.role)).then(|| credentials(role)),
    }
}

fn credentials(role: &Role) -> String {
    let now = Timestamp::now();
    json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "AccessKeyId": role.access_key_id,
        "SecretAccessKey": role.secret_access_key,
        "Token": role.token,
        "Expiration": (now + CREDENTIALS_LAST).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn asked(method: &str, path: &str, header: (&str, &str)) -> (u16, String) {
        let spec = Spec {
            id: "i-1".to_owned(),
            tags: BTreeMap::from([("exuvia:app".to_owned(), "hello".to_owned())]),
            launch_template_id: "lt-1".to_owned(),
            launch_template_version: "1".to_owned(),
            availability_zone: "us-east-1b".to_owned(),
            port: None,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header.0, header.1)
            .body(())
            .unwrap();
        let role = Role {
            role: "hello-qa".to_owned(),
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: "secret".to_owned(),
            token: "token".to_owned(),
        };
        let (status, text) = answer(&spec, &role, &request);
        (status.as_u16(), text)
    }

    #[test]
    fn only_who_has_a_token_is_answered() {
        let token = asked("PUT", "/latest/api/token", (WANTS_TTL, "60"));
        assert_eq!(token, (200, TOKEN.to_owned()));
        for (method, path, header, status) in [
            ("PUT", "/latest/api/token", ("accept", "*/*"), 400),
            ("PUT", "/latest/api/token", (WANTS_TTL, "99999"), 400),
            ("GET", "/latest/api/token", (WANTS_TTL, "60"), 405),
            (
                "GET",
                "/latest/meta-data/instance-id",
                ("accept", "*/*"),
                401,
            ),
            (
                "GET",
                "/latest/meta-data/instance-id",
                (WANTS_TOKEN, "guessed"),
                401,
            ),
            (
                "GET",
                "/latest/meta-data/tags/instance/exuvia:none",
                (WANTS_TOKEN, TOKEN),
                404,
            ),
        ] {
            assert_eq!(
                asked(method, path, header).0,
                status,
                "{method} {path} {header:?}"
            );
        }
    }

    #[test]
    fn what_a_machine_learns_about_itself() {
        let told = |path: &str| asked("GET", &format!("/latest/{path}"), (WANTS_TOKEN, TOKEN)).1;
        assert_eq!(told("meta-data/instance-id"), "i-1");
        assert_eq!(told("meta-data/placement/region"), "us-east-1");
        assert_eq!(told("meta-data/placement/availability-zone"), "us-east-1b");
        assert_eq!(told("meta-data/tags/instance/exuvia:app"), "hello");
        let role = told("meta-data/iam/security-credentials/");
        assert!(told(&format!("meta-data/iam/security-credentials/{role}")).contains("ASIA1"));
    }
}
