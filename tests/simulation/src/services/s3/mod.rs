//! S3: versioned buckets, encrypted with a KMS key by default.

mod answer;
mod list;

use std::collections::BTreeMap;

use jiff::Timestamp;

#[derive(Clone, Debug)]
pub struct S3 {
    /// Buckets' objects by key; an object's versions from the oldest to the newest.
    buckets: BTreeMap<String, BTreeMap<String, Vec<Version>>>,
    default_kms_key: String,
    /// How many versions there have been: what version ids and `ETag`s are made of.
    written: u64,
    /// The most keys that one page of a list holds: 1000, as AWS has it. Tests may want less.
    pub page_size: usize,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub id: String,
    pub written_at: Timestamp,
    /// `None` if it is a delete marker.
    pub content: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub body: Vec<u8>,
    /// With its quotes.
    pub etag: String,
    /// ARN.
    pub kms_key: String,
    media_type: String,
    /// CRC-32, if it was uploaded with one.
    checksum: Option<String>,
    /// User metadata, by name.
    pub metadata: BTreeMap<String, String>,
}

impl Version {
    /// One of the user's metadata, by its name.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let metadata = &self.content.as_ref()?.metadata;
        metadata.get(name).map(String::as_str)
    }
}

impl S3 {
    /// Empty buckets; `default_kms_key` is the ARN of the key that all of them encrypt with.
    pub fn new(buckets: impl IntoIterator<Item = String>, default_kms_key: String) -> Self {
        Self {
            buckets: buckets
                .into_iter()
                .map(|bucket| (bucket, BTreeMap::new()))
                .collect(),
            default_kms_key,
            written: 0,
            page_size: 1000,
        }
    }

    /// Uploads an object and returns its version id. Panics without the bucket, as do all that write.
    pub fn put(&mut self, bucket: &str, key: &str, body: Vec<u8>, now: Timestamp) -> String {
        let kms_key = self.default_kms_key.clone();
        self.put_encrypted(bucket, key, body, &kms_key, now)
    }

    /// Uploads an object that is encrypted with that key (ARN), whatever the bucket's default.
    pub fn put_encrypted(
        &mut self,
        bucket: &str,
        key: &str,
        body: Vec<u8>,
        kms_key: &str,
        now: Timestamp,
    ) -> String {
        let content = Content {
            body,
            etag: self.next_etag(),
            kms_key: kms_key.to_owned(),
            media_type: "binary/octet-stream".to_owned(),
            checksum: None,
            metadata: BTreeMap::new(),
        };
        self.write(bucket, key, Some(content), now)
    }

    /// Gives an object's newest version metadata, as if it had been uploaded with that.
    pub fn describe(&mut self, bucket: &str, key: &str, name: &str, value: &str) {
        let versions = self.bucket(bucket).get_mut(key);
        let newest = versions.and_then(|versions| versions.last_mut()?.content.as_mut());
        if let Some(content) = newest {
            content.metadata.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The newest version of an object, unless it is deleted.
    pub fn get(&self, bucket: &str, key: &str) -> Option<&[u8]> {
        self.newest(bucket, key)
            .map(|content| content.body.as_slice())
    }

    /// Writes an object again as another is, its metadata included; whether that other is there.
    pub fn copy(&mut self, bucket: &str, from: &str, to: &str, now: Timestamp) -> bool {
        let Some(mut content) = self.newest(bucket, from).cloned() else {
            return false;
        };
        content.etag = self.next_etag();
        self.write(bucket, to, Some(content), now);
        true
    }

    /// Deletes an object, which leaves a delete marker; the marker's version id.
    pub fn delete(&mut self, bucket: &str, key: &str, now: Timestamp) -> String {
        self.write(bucket, key, None, now)
    }

    /// Deletes one version for good; whether it was there.
    pub fn delete_version(&mut self, bucket: &str, key: &str, id: &str) -> bool {
        let objects = self.bucket(bucket);
        let Some(versions) = objects.get_mut(key) else {
            return false;
        };
        let before = versions.len();
        versions.retain(|version| version.id != id);
        let after = versions.len();
        if after == 0 {
            objects.remove(key);
        }
        after < before
    }

    /// The keys with a prefix that are not deleted, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<&str> {
        self.live(bucket, prefix).map(|(key, ..)| key).collect()
    }

    /// All versions of an object, from the oldest to the newest, delete markers among them.
    pub fn versions(&self, bucket: &str, key: &str) -> &[Version] {
        let objects = self.buckets.get(bucket);
        objects
            .and_then(|objects| objects.get(key))
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn newest(&self, bucket: &str, key: &str) -> Option<&Content> {
        self.versions(bucket, key).last()?.content.as_ref()
    }

    /// Key, time and content of each object with a prefix that is not deleted, in order.
    fn live<'a, 'p>(
        &'a self,
        bucket: &str,
        prefix: &'p str,
    ) -> impl Iterator<Item = (&'a str, Timestamp, &'a Content)> + use<'a, 'p> {
        let objects = self.buckets.get(bucket).into_iter();
        objects
            .flat_map(move |objects| objects.range(prefix.to_owned()..))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter_map(|(key, versions)| {
                let newest = versions.last()?;
                Some((key.as_str(), newest.written_at, newest.content.as_ref()?))
            })
    }

    fn bucket(&mut self, bucket: &str) -> &mut BTreeMap<String, Vec<Version>> {
        match self.buckets.get_mut(bucket) {
            Some(objects) => objects,
            None => panic!("no bucket {bucket}"),
        }
    }

    fn write(
        &mut self,
        bucket: &str,
        key: &str,
        content: Option<Content>,
        now: Timestamp,
    ) -> String {
        self.written += 1;
        let id = format!("v{:031}", self.written);
        let version = Version {
            id: id.clone(),
            written_at: now,
            content,
        };
        let versions = self.bucket(bucket).entry(key.to_owned()).or_default();
        versions.push(version);
        id
    }

    /// Not a hash of the content, as it is none under KMS.
    fn next_etag(&self) -> String {
        format!("\"{:032x}\"", self.written + 1)
    }
}
