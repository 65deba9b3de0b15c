//! Images of a shell script, as `docker save` would write them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// What a script may call.
const PROGRAMS: [&str; 4] = ["sh", "sleep", "cat", "id"];

#[derive(Clone)]
pub(crate) struct Image {
    files: Vec<(String, Vec<u8>, u32)>,
    config: Value,
}

impl Image {
    /// `script`, run by this machine's `/bin/sh`.
    pub(crate) fn running(script: &str) -> Self {
        Self {
            files: vec![("/script".to_owned(), script.as_bytes().to_vec(), 0o644)],
            config: json!({"Entrypoint": ["sh", "-c", script, "script"], "Cmd": null}),
        }
    }

    fn set(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    pub(crate) fn env(self, env: &[&str]) -> Self {
        self.set("Env", json!(env))
    }

    pub(crate) fn argument(self, argument: &str) -> Self {
        self.set("Cmd", json!([argument]))
    }

    pub(crate) fn stop_signal(self, signal: &str) -> Self {
        self.set("StopSignal", json!(signal))
    }

    pub(crate) fn working_dir(self, path: &str) -> Self {
        self.set("WorkingDir", json!(path))
    }

    pub(crate) fn user(self, user: &str) -> Self {
        self.set("User", json!(user))
    }

    pub(crate) fn entrypoint(self, entrypoint: &[&str]) -> Self {
        self.set("Entrypoint", json!(entrypoint))
    }

    pub(crate) fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.push((path.to_owned(), bytes.to_vec(), 0o755));
        self
    }

    /// A program of this machine, with the libraries that it needs.
    pub(crate) fn program(mut self, path: &str, program: &Path) -> Self {
        for library in libraries_of(program) {
            let bytes = fs::read(&library).unwrap();
            self = self.file(&library, &bytes);
        }
        self.file(path, &fs::read(program).unwrap())
    }

    /// As docker before 25: two layers, gzip around all of it.
    pub(crate) fn saved(&self) -> Vec<u8> {
        let (base, top) = self.layers();
        let mut tar = Builder::new(Vec::new());
        add(&mut tar, "1/layer.tar", &base, 0o644);
        add(&mut tar, "2/layer.tar", &top, 0o644);
        add(
            &mut tar,
            "image.json",
            self.config().to_string().as_bytes(),
            0o644,
        );
        let manifest = json!([{"Config": "image.json", "RepoTags": ["hello:v1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]);
        add(
            &mut tar,
            "manifest.json",
            manifest.to_string().as_bytes(),
            0o644,
        );
        gzip(&tar.into_inner().unwrap())
    }

    /// As an OCI layout with compressed layers, itself a plain tar.
    pub(crate) fn saved_as_oci(&self) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        let mut blob = |bytes: &[u8]| {
            let digest = format!("{:x}", Sha256::digest(bytes));
            add(&mut tar, &format!("blobs/sha256/{digest}"), bytes, 0o644);
            json!({"digest": format!("sha256:{digest}"), "size": bytes.len()})
        };
        let (base, top) = self.layers();
        let layers = json!([blob(&gzip(&base)), blob(&top)]);
        let config = blob(self.config().to_string().as_bytes());
        let manifest = blob(
            json!({"config": config, "layers": layers})
                .to_string()
                .as_bytes(),
        );
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        add(&mut tar, "index.json", index.to_string().as_bytes(), 0o644);
        tar.into_inner().unwrap()
    }

    fn config(&self) -> Value {
        json!({"architecture": "amd64", "os": "linux", "config": self.config})
    }

    fn layers(&self) -> (Vec<u8>, Vec<u8>) {
        let mut top = Builder::new(Vec::new());
        for (path, bytes, mode) in &self.files {
            add(&mut top, path.trim_start_matches('/'), bytes, *mode);
        }
        (base(), top.into_inner().unwrap())
    }
}

/// This machine's programs, with the libraries that `ldd` names.
fn base() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let path = format!("/bin/{program}");
        add(
            &mut tar,
            path.trim_start_matches('/'),
            &fs::read(&path).unwrap(),
            0o755,
        );
        libraries.extend(libraries_of(Path::new(&path)));
    }
    for library in libraries {
        let bytes = fs::read(&library).unwrap();
        add(&mut tar, library.trim_start_matches('/'), &bytes, 0o755);
    }
    tar.into_inner().unwrap()
}

fn libraries_of(program: &Path) -> Vec<String> {
    let listed = Command::new("ldd").arg(program).output().unwrap().stdout;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    paths.map(ToOwned::to_owned).collect()
}

fn add(tar: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
