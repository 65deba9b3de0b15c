//! S3's REST protocol, path-style: `/bucket/key?query`.
//!
//! Operations: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>.
//! Errors: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::services::s3::{Content, S3, Version};
use crate::services::{Kms, Request, Response, wire};

/// The headers of every request that say nothing of what is asked for.
const HEADERS: [&str; 11] = [
    "accept",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-user-agent",
];
const CHECKSUM: &str = "x-amz-checksum-crc32";
/// What the headers of user metadata begin with.
const METADATA: &str = "x-amz-meta-";

pub(super) struct Failure {
    status: u16,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl Failure {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    pub(super) fn not_implemented(what: impl Into<String>) -> Self {
        let what = what.into();
        let message = format!("the simulation does not implement {what}");
        Self::new(501, "NotImplemented", message)
    }

    fn no_such_key() -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
    }

    fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", message)
    }
}

/// One request, taken apart.
pub(super) struct Call<'a> {
    request: &'a Request,
    pub(super) bucket: String,
    key: String,
    pub(super) query: BTreeMap<String, String>,
}

impl<'a> Call<'a> {
    fn read(request: &'a Request) -> Self {
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Self {
            request,
            bucket: wire::decode(bucket),
            key: wire::decode(key),
            query: wire::pairs(request.uri().query().unwrap_or_default()).collect(),
        }
    }

    /// Fails if the request says more than these.
    pub(super) fn only(&self, query: &[&str], headers: &[&str]) -> Result<(), Failure> {
        let known = |name: &&str| !query.contains(name) && *name != "x-id";
        if let Some(name) = self.query.keys().map(String::as_str).find(known) {
            let method = self.request.method();
            return Err(Failure::not_implemented(format!("{method} with ?{name}")));
        }
        let names = self.request.headers().keys().map(http::HeaderName::as_str);
        let may_have_metadata = *self.request.method() == Method::PUT;
        let mut unknown = names.filter(|name| {
            let is_metadata = may_have_metadata && name.starts_with(METADATA);
            !HEADERS.contains(name) && !headers.contains(name) && !is_metadata
        });
        if let Some(name) = unknown.next() {
            let value = self.header(name).unwrap_or_default();
            let method = self.request.method();
            return Err(Failure::not_implemented(format!(
                "{method} with the header {name}: {value}"
            )));
        }
        Ok(())
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let names = self.request.headers().keys();
        let names = names.filter_map(|name| name.as_str().strip_prefix(METADATA));
        let pair = |name: &str| {
            let value = self.header(&format!("{METADATA}{name}"))?;
            Some((name.to_owned(), value.to_owned()))
        };
        names.filter_map(pair).collect()
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.request.headers().get(name)?.to_str().ok()
    }
}

impl S3 {
    pub fn answer(&mut self, request: &Request, now: Timestamp, keys: &Kms) -> Response {
        let call = Call::read(request);
        let failure = match self.perform(&call, now, keys) {
            Ok(answer) => return answer,
            Err(failure) => failure,
        };
        // What answers a HEAD has no body. Only what the simulation cannot do is told nevertheless.
        let body = if *request.method() == Method::HEAD && failure.status != 501 {
            String::new()
        } else {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
                failure.code,
                wire::escape(&failure.message)
            )
        };
        let headers = failure.headers.iter();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        headers.push(("content-type", "application/xml"));
        wire::response(failure.status, &headers, body)
    }

    fn perform(&mut self, call: &Call, now: Timestamp, keys: &Kms) -> Result<Response, Failure> {
        if !self.buckets.contains_key(&call.bucket) {
            let message = "The specified bucket does not exist";
            return Err(Failure::new(404, "NoSuchBucket", message));
        }
        match (call.request.method(), call.key.as_str()) {
            (&Method::GET, "") => self.list_objects(call),
            (method, "") => Err(Failure::not_implemented(format!("{method} of a bucket"))),
            (&Method::GET, _) => self.get_object(call, keys),
            (&Method::HEAD, _) => self.head_object(call),
            (&Method::PUT, _) => self.put_object(call, now, keys),
            (&Method::DELETE, _) => self.delete_object(call, now),
            (method, _) => Err(Failure::not_implemented(format!("{method} of an object"))),
        }
    }

    fn get_object(&self, call: &Call, keys: &Kms) -> Result<Response, Failure> {
        call.only(&["versionId"], &["x-amz-checksum-mode"])?;
        let (version, content) = self.find(call)?;
        check_key(keys, &content.kms_key)?;
        let mut headers = Vec::new();
        // A version's checksum is told only if it is asked for, and the SDK then verifies it.
        match (call.header("x-amz-checksum-mode"), &content.checksum) {
            (Some("ENABLED"), Some(checksum)) => {
                headers.push((CHECKSUM, checksum.clone()));
                headers.push(("x-amz-checksum-type", "FULL_OBJECT".to_owned()));
            }
            (None | Some("ENABLED"), _) => {}
            (Some(mode), _) => {
                return Err(Failure::not_implemented(format!(
                    "the checksum mode {mode}"
                )));
            }
        }
        let answer = describe(version, content, &headers);
        Ok(answer.map(|_| content.body.clone()))
    }

    fn head_object(&self, call: &Call) -> Result<Response, Failure> {
        call.only(&["versionId"], &[])?;
        let (version, content) = self.find(call)?;
        Ok(describe(version, content, &[]))
    }

    /// The version that is asked for, or the newest.
    fn find(&self, call: &Call) -> Result<(&Version, &Content), Failure> {
        let versions = self.versions(&call.bucket, &call.key);
        let Some(id) = call.query.get("versionId") else {
            let newest = versions.last().ok_or_else(Failure::no_such_key)?;
            return match &newest.content {
                Some(content) => Ok((newest, content)),
                None => Err(Failure {
                    headers: marker_headers(newest),
                    ..Failure::no_such_key()
                }),
            };
        };
        // S3's own look like this; which ids it takes for malformed is not documented.
        let letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if id.len() != 32 || !id.chars().all(letter) {
            let message = "Invalid version id specified";
            return Err(Failure::new(400, "InvalidArgument", message));
        }
        let found = versions.iter().find(|version| version.id == *id);
        let found = found.ok_or_else(|| {
            let message = "The specified version does not exist.";
            Failure::new(404, "NoSuchVersion", message)
        })?;
        found
            .content
            .as_ref()
            .map(|content| (found, content))
            .ok_or_else(|| {
                let message = "The specified method is not allowed against this resource.";
                let mut failure = Failure::new(405, "MethodNotAllowed", message);
                failure.headers = marker_headers(found);
                let modified = http_date(found.written_at);
                failure.headers.push(("last-modified", modified));
                failure.headers.push(("allow", "DELETE".to_owned()));
                failure
            })
    }

    fn put_object(&mut self, call: &Call, now: Timestamp, keys: &Kms) -> Result<Response, Failure> {
        let headers = [
            "if-match",
            "if-none-match",
            CHECKSUM,
            // Which of the checksums it is.
            "x-amz-sdk-checksum-algorithm",
        ];
        call.only(&[], &headers)?;
        let kms_key = self.default_kms_key.clone();
        // In which order S3 looks at the key and at the conditions is not documented.
        check_key(keys, &kms_key)?;
        let newest = self.newest(&call.bucket, &call.key);
        match (call.header("if-none-match"), call.header("if-match")) {
            (None, None) => {}
            (Some("*"), None) if newest.is_none() => {}
            (Some("*"), None) => return Err(Failure::precondition_failed()),
            (None, Some(etag)) => check_match(newest, etag)?,
            (Some(etag), _) => {
                return Err(Failure::not_implemented(format!(
                    "If-None-Match: {etag} of a PUT, or with an If-Match"
                )));
            }
        }
        let content = Content {
            body: call.request.body().clone(),
            etag: self.next_etag(),
            kms_key,
            media_type: call.header("content-type").unwrap_or(BINARY).to_owned(),
            checksum: call.header(CHECKSUM).map(ToOwned::to_owned),
            metadata: call.metadata(),
        };
        let mut headers = encryption_headers(&content.kms_key);
        headers.push(("etag", content.etag.clone()));
        if let Some(checksum) = &content.checksum {
            headers.push((CHECKSUM, checksum.clone()));
            headers.push(("x-amz-checksum-type", "FULL_OBJECT".to_owned()));
        }
        let id = self.write(&call.bucket, &call.key, Some(content), now);
        headers.push(("x-amz-version-id", id));
        Ok(respond(200, &headers, Vec::new()))
    }

    fn delete_object(&mut self, call: &Call, now: Timestamp) -> Result<Response, Failure> {
        call.only(&[], &["if-match"])?;
        if let Some(etag) = call.header("if-match") {
            check_match(self.newest(&call.bucket, &call.key), etag)?;
        }
        let id = self.delete(&call.bucket, &call.key, now);
        let headers = [
            ("x-amz-delete-marker", "true".to_owned()),
            ("x-amz-version-id", id),
        ];
        Ok(respond(204, &headers, Vec::new()))
    }
}

const BINARY: &str = "binary/octet-stream";

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>: only the current version counts,
/// and a delete marker is as good as nothing.
fn check_match(newest: Option<&Content>, etag: &str) -> Result<(), Failure> {
    if etag == "*" {
        return Err(Failure::not_implemented("If-Match: *"));
    }
    match newest {
        None => Err(Failure::no_such_key()),
        Some(content) if content.etag.trim_matches('"') == etag.trim_matches('"') => Ok(()),
        Some(_) => Err(Failure::precondition_failed()),
    }
}

/// Whether S3 can encrypt and decrypt with the key; KMS's own errors come with a prefix.
fn check_key(keys: &Kms, key: &str) -> Result<(), Failure> {
    match keys.is_enabled(key) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::new(
            400,
            "KMS.DisabledException",
            format!("{key} is disabled."),
        )),
        None => Err(Failure::new(
            400,
            "KMS.NotFoundException",
            format!("Key '{key}' does not exist"),
        )),
    }
}

type Headers = Vec<(&'static str, String)>;

/// An answer that describes an object: with its user metadata.
fn describe(version: &Version, content: &Content, headers: &[(&'static str, String)]) -> Response {
    let all = content_headers(version, content);
    let mut answer = respond(200, &[&all, headers].concat(), Vec::new());
    for (name, value) in &content.metadata {
        // It came in as a header, so it can be one again.
        if let (Ok(name), Ok(value)) = (
            format!("{METADATA}{name}").parse::<http::HeaderName>(),
            value.parse(),
        ) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn respond(status: u16, headers: &[(&'static str, String)], body: Vec<u8>) -> Response {
    let headers = headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    wire::response(status, &headers, body)
}

fn content_headers(version: &Version, content: &Content) -> Headers {
    let mut headers = encryption_headers(&content.kms_key);
    headers.extend([
        ("accept-ranges", "bytes".to_owned()),
        ("content-length", content.body.len().to_string()),
        ("content-type", content.media_type.clone()),
        ("etag", content.etag.clone()),
        ("last-modified", http_date(version.written_at)),
        ("x-amz-version-id", version.id.clone()),
    ]);
    headers
}

fn encryption_headers(kms_key: &str) -> Headers {
    vec![
        ("x-amz-server-side-encryption", "aws:kms".to_owned()),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            kms_key.to_owned(),
        ),
    ]
}

fn marker_headers(marker: &Version) -> Headers {
    vec![
        ("x-amz-delete-marker", "true".to_owned()),
        ("x-amz-version-id", marker.id.clone()),
    ]
}

/// Whole seconds, as `Last-Modified` tells them.
fn http_date(time: Timestamp) -> String {
    let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&time);
    // It knows no years before 0.
    printed.unwrap_or_default()
}
