//! A small builder of archives: what `docker save` writes, and what it never would.

use std::io::Write as _;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

pub(super) struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(super) fn file(mut self, path: &str, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        let mut header = Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, path, data).unwrap();
        self
    }

    pub(super) fn json(self, path: &str, value: &Value) -> Self {
        self.file(path, value.to_string())
    }

    pub(super) fn link(mut self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    /// An entry as it stands, however odd.
    pub(super) fn raw(mut self, kind: EntryType, path: &str, claimed: u64, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(claimed);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(super) fn build(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

pub(super) fn config() -> Value {
    json!({
        "architecture": "arm64", "os": "linux",
        "config": {
            "Env": ["PATH=/bin", "GREETING=hi"], "Entrypoint": ["/app"], "Cmd": ["serve"],
            "WorkingDir": "/srv", "User": "1000", "ExposedPorts": {"8080/tcp": {}}, "StopSignal": "SIGINT",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
    })
}

pub(super) fn manifest() -> Value {
    json!([{"Config": "c0ffee.json", "RepoTags": ["hello:v1", "hello:latest"],
            "Layers": ["one/layer.tar", "two/layer.tar"]}])
}

/// What a layer holds matters to nobody here, but it is a tar.
pub(super) fn layer(text: &str) -> Vec<u8> {
    Tar::new().file("etc/greeting", text).build()
}

/// As docker before 25 writes it: the manifest comes last, a layer seen before is a link.
pub(super) fn docker() -> Tar {
    Tar::new()
        .file("one/layer.tar", layer("1"))
        .json("one/json", &json!({"id": "one"}))
        .link(EntryType::Symlink, "two/layer.tar", "../one/layer.tar")
        .json("c0ffee.json", &config())
        .json("manifest.json", &manifest())
}

/// As buildx and skopeo write it: blobs by digest, layers compressed, an attestation beside the image.
pub(super) fn oci() -> Tar {
    oci_blobs().json(
        "index.json",
        &json!({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:aa", "size": 1,
             "platform": {"os": "linux", "architecture": "arm64"},
             "annotations": {"io.containerd.image.name": "docker.io/library/hello:v1"}},
            {"digest": "sha256:ee", "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ]}),
    )
}

pub(super) fn oci_blobs() -> Tar {
    Tar::new()
        .json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))
        .file("blobs/sha256/01", gzip(&layer("1")))
        .file("blobs/sha256/02", zstd(&layer("2")))
        .json("blobs/sha256/cc", &config())
        .json(
            "blobs/sha256/aa",
            &json!({"schemaVersion": 2, "config": {"digest": "sha256:cc"},
                    "layers": [{"digest": "sha256:01"}, {"digest": "sha256:02"}]}),
        )
}

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Two members or frames, as parallel compressors write them.
pub(super) fn in_two(data: &[u8], compress: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (first, second) = data.split_at(data.len() / 3);
    [compress(first), compress(second)].concat()
}
