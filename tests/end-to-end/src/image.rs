//! Images that behave in a certain way, and files that are none.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// What there is to upload.
pub struct Image {
    pub bytes: Vec<u8>,
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The program of examples/hello, which needs no file beside it.
pub fn static_hello() -> PathBuf {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    root().join("target").join(triple).join("debug/hello")
}

impl Image {
    /// hello, as `cargo xtask image` packs it, with these variables in its environment.
    pub fn hello(version: &str, environment: &[&str]) -> Self {
        Self::packed(version, environment, "oci", "gzip")
    }

    /// The same in one of the layouts and compressions that `docker save` knows.
    pub fn packed(version: &str, environment: &[&str], layout: &str, compression: &str) -> Self {
        let output = root().join(format!(
            "target/images/test-{}-{:?}-{version}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut xtask = Command::new(root().join("target/debug/xtask"));
        xtask
            .args(["image", "--version", version, "--layout", layout])
            .args(["--compression", compression])
            .arg("--binary")
            .arg(static_hello())
            .arg("--output")
            .arg(&output);
        for variable in environment {
            xtask.args(["--env", variable]);
        }
        let made = xtask.output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let bytes = std::fs::read(&output).unwrap();
        std::fs::remove_file(&output).unwrap();
        Self { bytes }
    }

    /// An image whose command is a program that is not in it.
    pub fn without_its_program() -> Self {
        Self::of_config(r#"{"os":"linux","config":{"Cmd":["/missing"]}}"#)
    }

    /// An image that says nothing of what to run.
    pub fn without_command() -> Self {
        Self::of_config(r#"{"os":"linux","config":{}}"#)
    }

    /// An image for a processor that no instance has.
    pub fn for_another_machine() -> Self {
        Self::of_config(r#"{"architecture":"s390x","os":"linux","config":{"Cmd":["/hello"]}}"#)
    }

    fn of_config(config: &str) -> Self {
        Self::of_files(&[
            ("layer.tar", &tar_of(&[("readme", b"nothing to run")])),
            ("config.json", config.as_bytes()),
            (
                "manifest.json",
                br#"[{"Config":"config.json","RepoTags":null,"Layers":["layer.tar"]}]"#,
            ),
        ])
    }

    /// A compressed tar of these files.
    pub fn of_files(files: &[(&str, &[u8])]) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&tar_of(files)).unwrap();
        Self {
            bytes: encoder.finish().unwrap(),
        }
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
        }
    }
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}
