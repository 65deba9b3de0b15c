//! S3's REST protocol, path-style: `/bucket/key?query`.

use jiff::Timestamp;

use crate::services::s3::S3;
use crate::services::{Kms, Request, Response, wire};

impl S3 {
    pub fn answer(&mut self, _request: &Request, _now: Timestamp, _keys: &Kms) -> Response {
        wire::response(501, &[], "")
    }
}
