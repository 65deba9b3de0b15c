//! Lists of keys, in pages.

use std::fmt::Write as _;

use crate::services::s3::S3;
use crate::services::s3::answer::{Call, Failure};
use crate::services::{Response, wire};

impl S3 {
    /// `ListObjectsV2`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.
    pub(super) fn list_objects(&self, call: &Call) -> Result<Response, Failure> {
        let parameters = [
            "list-type",
            "prefix",
            "start-after",
            "continuation-token",
            "max-keys",
        ];
        call.only(&parameters, &[])?;
        let parameter = |name: &str| call.query.get(name).map(String::as_str);
        if parameter("list-type") != Some("2") {
            return Err(Failure::not_implemented("lists that are not of type 2"));
        }
        let invalid = |message| Failure::new(400, "InvalidArgument", message);
        let most = match parameter("max-keys").map(str::parse) {
            None => self.page_size,
            Some(Ok(wanted)) => self.page_size.min(wanted),
            Some(Err(_)) => {
                return Err(invalid(
                    "Provided max-keys not an integer or within integer range",
                ));
            }
        };
        let prefix = parameter("prefix").unwrap_or_default();
        let after = match parameter("continuation-token") {
            Some(token) => Some(
                last_key(token)
                    .ok_or_else(|| invalid("The continuation token provided is incorrect"))?,
            ),
            None => parameter("start-after").map(ToOwned::to_owned),
        };
        let mut objects = self
            .live(&call.bucket, prefix)
            .filter(|(key, ..)| after.as_deref().is_none_or(|after| *key > after));
        let page: Vec<_> = objects.by_ref().take(most).collect();
        let more = most > 0 && objects.next().is_some();

        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name>\
             <Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{more}</IsTruncated>",
            wire::escape(&call.bucket),
            wire::escape(prefix),
            page.len(),
        );
        if let Some((last, ..)) = page.last().filter(|_| more) {
            let token = token(last);
            let _ = write!(
                xml,
                "<NextContinuationToken>{token}</NextContinuationToken>"
            );
        }
        for (key, written_at, content) in page {
            let _ = write!(
                xml,
                "<Contents><Key>{}</Key><LastModified>{}.000Z</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                wire::escape(key),
                written_at.strftime("%Y-%m-%dT%H:%M:%S"),
                wire::escape(&content.etag),
                content.body.len(),
            );
        }
        xml.push_str("</ListBucketResult>");
        let headers = [("content-type", "application/xml")];
        Ok(wire::response(200, &headers, xml))
    }
}

/// What continues a list after a key: opaque, as S3's is.
fn token(key: &str) -> String {
    key.bytes().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    })
}

fn last_key(token: &str) -> Option<String> {
    let digits = token.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}
