//! `cargo xtask image`: the tarball that `docker save` would write, without a docker engine.
//!
//! One layer that holds one static binary, as `FROM scratch` + `COPY` makes it. The same input gives the same
//! bytes: every time in it is 1970, every owner root.
//!
//! The two layouts: <https://github.com/moby/docker-image-spec/blob/main/spec.md> ("docker save" before
//! version 25) and <https://github.com/opencontainers/image-spec/blob/main/image-layout.md> (since).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression as Level, GzBuilder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Image tarball options.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// The program that the image runs: a static Linux binary.
    #[arg(long)]
    pub(crate) binary: PathBuf,
    /// The image's tag, and VERSION in its environment.
    #[arg(long)]
    pub(crate) version: String,
    /// One more variable of the image's environment; may be given again.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) environment: Vec<String>,
    /// How the tarball is laid out: `docker` as docker before version 25 saved images, `oci` as it does since.
    #[arg(long, value_enum, default_value_t = Layout::Oci)]
    pub(crate) layout: Layout,
    #[arg(long, value_enum, default_value_t = Compression::Gzip)]
    pub(crate) compression: Compression,
    /// Where to write it: `.tar.gz`, `.tar.zst` or `.tar`.
    #[arg(long)]
    pub(crate) output: PathBuf,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Docker,
    Oci,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    None,
}

fn name_and_value(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Writes the image.
pub(crate) fn run(options: &Options) -> Result<()> {
    let binary = std::fs::read(&options.binary)
        .with_context(|| format!("cannot read the binary {}", options.binary.display()))?;
    let name = options
        .binary
        .file_name()
        .and_then(|name| name.to_str())
        .context("the binary has no file name")?;
    let architecture = architecture(&binary).with_context(|| {
        format!(
            "{} cannot be the program of an image",
            options.binary.display()
        )
    })?;
    let tar = archive(name, &binary, architecture, options)?;
    let bytes = compress(tar, options.compression)?;
    if let Some(directory) = options.output.parent() {
        std::fs::create_dir_all(directory)?;
    }
    write_whole(&options.output, &bytes)
}

/// The image's architecture by the binary's ELF header (`e_machine`, see `man 5 elf`).
fn architecture(binary: &[u8]) -> Result<&'static str> {
    match (binary.get(..4), binary.get(18)) {
        (Some(b"\x7fELF"), Some(0x3e)) => Ok("amd64"),
        (Some(b"\x7fELF"), Some(0xb7)) => Ok("arm64"),
        (Some(b"\x7fELF"), _) => bail!("it is a program for neither x86_64 nor arm64"),
        _ => bail!("it is not a Linux program (an ELF file)"),
    }
}

fn archive(name: &str, binary: &[u8], architecture: &str, options: &Options) -> Result<Vec<u8>> {
    let layer = tar_of(&[(name.to_owned(), binary.to_vec(), 0o755)])?;
    let mut environment = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("VERSION={}", options.version),
    ];
    environment.extend(options.environment.iter().cloned());
    let config = serde_json::to_vec(&json!({
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": environment, "Entrypoint": [format!("/{name}")], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": format!("COPY {name} /{name}")}],
    }))?;
    let tag = format!("{name}:{}", options.version);
    match options.layout {
        Layout::Docker => docker_layout(&tag, config, layer),
        Layout::Oci => oci_layout(&tag, config, layer),
    }
}

fn docker_layout(tag: &str, config: Vec<u8>, layer: Vec<u8>) -> Result<Vec<u8>> {
    let config_path = format!("{}.json", sha256(&config));
    let layer_id = sha256(&layer);
    let layer_path = format!("{layer_id}/layer.tar");
    let (name, version) = tag.split_once(':').unwrap_or((tag, "latest"));
    let manifest = json!([{"Config": config_path, "RepoTags": [tag], "Layers": [layer_path]}]);
    tar_of(&[
        (format!("{layer_id}/VERSION"), b"1.0".to_vec(), 0o644),
        (
            format!("{layer_id}/json"),
            json_file(&json!({"id": layer_id}))?,
            0o644,
        ),
        (layer_path, layer, 0o644),
        (config_path, config, 0o644),
        ("manifest.json".to_owned(), json_file(&manifest)?, 0o644),
        (
            "repositories".to_owned(),
            json_file(&json!({name: {version: layer_id}}))?,
            0o644,
        ),
    ])
}

fn oci_layout(tag: &str, config: Vec<u8>, layer: Vec<u8>) -> Result<Vec<u8>> {
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", sha256(bytes));
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(bytes)), "size": bytes.len()});
    let image = json_file(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &image);
    entry["annotations"] = json!({"io.containerd.image.name": format!("docker.io/library/{tag}")});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let manifest = json!([{"Config": blob(&config), "RepoTags": [tag], "Layers": [blob(&layer)]}]);
    tar_of(&[
        (blob(&config), config, 0o644),
        (blob(&image), image, 0o644),
        (blob(&layer), layer, 0o644),
        ("index.json".to_owned(), json_file(&index)?, 0o644),
        ("manifest.json".to_owned(), json_file(&manifest)?, 0o644),
        (
            "oci-layout".to_owned(),
            json_file(&json!({"imageLayoutVersion": "1.0.0"}))?,
            0o644,
        ),
    ])
}

/// A tar of (path, content, mode), reproducibly: no times, no owners.
fn tar_of(files: &[(String, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

fn compress(tar: Vec<u8>, compression: Compression) -> Result<Vec<u8>> {
    Ok(match compression {
        Compression::Gzip => {
            let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Level::fast());
            encoder.write_all(&tar)?;
            encoder.finish()?
        }
        Compression::Zstd => compress_to_vec(tar.as_slice(), CompressionLevel::Fastest),
        Compression::None => tar,
    })
}

/// Writes beside and renames, so that nobody sees half a file.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension(format!("part-{}", std::process::id()));
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn json_file(value: &Value) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    fn options(layout: Layout, compression: Compression) -> Options {
        Options {
            binary: "hello".into(),
            version: "v1".to_owned(),
            environment: vec!["HELLO_HEALTH=500".to_owned()],
            layout,
            compression,
            output: "unused".into(),
        }
    }

    fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (
                    entry.path().unwrap().to_string_lossy().into_owned(),
                    content,
                )
            })
            .collect()
    }

    #[test]
    fn both_layouts_lead_from_the_manifest_to_the_program() {
        for layout in [Layout::Docker, Layout::Oci] {
            let tar = archive(
                "hello",
                b"program",
                "amd64",
                &options(layout, Compression::None),
            )
            .unwrap();
            let files = files(&tar);
            let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
            assert_eq!(manifest[0]["RepoTags"], json!(["hello:v1"]), "{layout:?}");

            let config: Value =
                serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
            assert_eq!(
                config["config"]["Entrypoint"],
                json!(["/hello"]),
                "{layout:?}"
            );
            let environment = config["config"]["Env"].as_array().unwrap();
            assert!(environment.contains(&json!("VERSION=v1")), "{layout:?}");
            assert!(
                environment.contains(&json!("HELLO_HEALTH=500")),
                "{layout:?}"
            );

            let layer = &files[manifest[0]["Layers"][0].as_str().unwrap()];
            assert_eq!(
                config["rootfs"]["diff_ids"][0],
                format!("sha256:{}", sha256(layer)),
                "{layout:?}"
            );
            assert_eq!(self::files(layer)["hello"], b"program", "{layout:?}");
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_and_they_unpack() {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let options = options(Layout::Oci, compression);
            let tar = archive("hello", b"program", "amd64", &options).unwrap();
            let bytes = compress(tar.clone(), compression).unwrap();
            assert_eq!(
                bytes,
                compress(
                    archive("hello", b"program", "amd64", &options).unwrap(),
                    compression
                )
                .unwrap()
            );

            let mut unpacked = Vec::new();
            match compression {
                Compression::Gzip => {
                    flate2::read::GzDecoder::new(bytes.as_slice())
                        .read_to_end(&mut unpacked)
                        .unwrap();
                }
                Compression::Zstd => {
                    ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
                        .unwrap()
                        .read_to_end(&mut unpacked)
                        .unwrap();
                }
                Compression::None => unpacked.clone_from(&bytes),
            }
            assert_eq!(unpacked, tar, "{compression:?}");
        }
    }

    #[test]
    fn only_a_linux_program_of_a_known_architecture_will_do() {
        let elf = |machine: u8| {
            let mut bytes = b"\x7fELF".to_vec();
            bytes.resize(20, 0);
            bytes[18] = machine;
            bytes
        };
        assert_eq!(architecture(&elf(0x3e)).unwrap(), "amd64");
        assert_eq!(architecture(&elf(0xb7)).unwrap(), "arm64");
        assert!(architecture(&elf(0x08)).is_err());
        assert!(architecture(b"#!/bin/sh").is_err());
        assert!(architecture(b"").is_err());
    }
}
