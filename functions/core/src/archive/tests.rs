mod builder;

use std::io::{self, Read};

use builder::{Tar, config, docker, gzip, in_two, layer, manifest, oci, oci_blobs, zstd};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::*;
use crate::target::Architecture;

const PLENTY: u64 = 1 << 30;

fn inspected(bytes: &[u8]) -> Inspection {
    inspect(bytes, PLENTY).unwrap()
}

fn refused(bytes: &[u8]) -> NotAnImage {
    match inspect(bytes, PLENTY) {
        Err(InspectError::NotAnImage(why)) => why,
        other => panic!("refused for what it is was expected, not {other:?}"),
    }
}

/// `docker()` with another config.
fn docker_with(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut changed = config();
    change(&mut changed);
    docker().json("c0ffee.json", &changed).build()
}

#[test]
fn reads_what_docker_before_25_writes() {
    let image = inspected(&docker().build()).image;
    let linked = LayerRef {
        path: "one/layer.tar".into(),
        compression: Compression::None,
    };
    assert_eq!(
        image,
        Image {
            tag: Some("hello:v1".into()),
            architecture: "arm64".into(),
            os: "linux".into(),
            entrypoint: vec!["/app".into()],
            command: vec!["serve".into()],
            env: vec!["PATH=/bin".into(), "GREETING=hi".into()],
            working_dir: "/srv".into(),
            user: "1000".into(),
            exposed_ports: vec!["8080/tcp".into()],
            stop_signal: Some("SIGINT".into()),
            layers: vec![linked.clone(), linked],
        }
    );
}

#[test]
fn an_image_for_another_architecture_is_refused_in_these_words() {
    let says = "the image is for another architecture: it is for amd64, and the instances are arm64; build it with \
                `docker build --platform linux/arm64`, or change Architecture, AmiId and InstanceType in the app's stack";
    for (found, instances, refused) in [
        ("arm64", Architecture::Arm64, None),
        ("amd64", Architecture::X86_64, None),
        ("amd64", Architecture::Arm64, Some(says)),
    ] {
        let image = inspected(&docker_with(|config| config["architecture"] = json!(found))).image;
        let checked = image
            .check_runs_on(instances)
            .map_err(|why| why.to_string());
        assert_eq!(checked.err().as_deref(), refused, "{found}");
    }
    let unsaid = docker_with(|config| {
        config.as_object_mut().unwrap().remove("architecture");
    });
    assert_eq!(
        inspected(&unsaid).image.check_runs_on(Architecture::X86_64),
        Ok(())
    );
}

#[test]
fn reads_an_oci_layout() {
    let image = inspected(&oci().build()).image;
    assert_eq!(image.tag.as_deref(), Some("docker.io/library/hello:v1"));
    assert_eq!(
        image.layers,
        [
            LayerRef {
                path: "blobs/sha256/01".into(),
                compression: Compression::Gzip,
            },
            LayerRef {
                path: "blobs/sha256/02".into(),
                compression: Compression::Zstd,
            },
        ]
    );
    assert_eq!(image.command_line().collect::<Vec<_>>(), ["/app", "serve"]);
}

#[test]
fn reads_what_docker_since_25_writes_which_is_both() {
    let both = oci().json(
        "manifest.json",
        &json!([{"Config": "blobs/sha256/cc", "RepoTags": ["hello:v1"],
                 "Layers": ["blobs/sha256/01", "blobs/sha256/02"]}]),
    );
    let image = inspected(&both.build()).image;
    assert_eq!(image.tag.as_deref(), Some("hello:v1"));
    assert_eq!(image.layers.len(), 2);
}

#[test]
fn reads_a_nested_index_of_which_one_platform_was_saved() {
    let nested = oci_blobs()
        .json(
            "index.json",
            &json!({"manifests": [
            {"digest": "sha256:bb", "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}),
        )
        .json(
            "blobs/sha256/bb",
            &json!({"manifests": [
            {"digest": "sha256:dd", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:aa", "platform": {"os": "linux", "architecture": "arm64"}}]}),
        );
    let image = inspected(&nested.build()).image;
    assert_eq!(image.tag.as_deref(), Some("v1"));
    assert_eq!(image.architecture, "arm64");
}

#[test]
fn tells_the_compression_by_content_and_hashes_the_bytes_as_they_came() {
    let plain = docker().build();
    let skippable = [
        &[0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..],
        &zstd(&plain),
    ]
    .concat();
    let cases = [
        ("plain", plain.clone()),
        ("gzip", gzip(&plain)),
        ("gzip of two members", in_two(&plain, gzip)),
        ("zstd", zstd(&plain)),
        ("zstd of two frames", in_two(&plain, zstd)),
        ("zstd after a skippable frame", skippable),
        (
            "plain with more after its end",
            [&plain[..], b"anything"].concat(),
        ),
    ];
    let expected = inspected(&plain).image;
    for (name, bytes) in cases {
        let inspection = inspected(&bytes);
        assert_eq!(inspection.image, expected, "{name}");
        assert_eq!(inspection.size, bytes.len() as u64, "{name}");
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        assert_eq!(inspection.sha256, sha256, "{name}");
    }
}

#[test]
fn reads_paths_from_long_name_and_pax_headers() {
    let long = format!("{}/layer.tar", "a".repeat(150));
    let pax = format!("{} path={long}\n", long.len() + 10);
    assert_eq!(&pax[..4], "170 ");
    let manifest = json!([{"Config": "./c0ffee.json", "Layers": [long, "two/layer.tar"]}]);
    let rest = |tar: Tar| {
        tar.file("./two/layer.tar", layer("2"))
            .json("./c0ffee.json", &config())
            .json("./manifest.json", &manifest)
            .build()
    };
    let layer = layer("1");
    let gnu = rest(Tar::new().file(&long, &layer));
    let posix = rest(
        Tar::new()
            .raw(EntryType::XHeader, "pax", pax.len() as u64, pax.as_bytes())
            .raw(EntryType::Regular, "short", layer.len() as u64, &layer),
    );
    for (name, archive) in [("gnu", gnu), ("posix", posix)] {
        assert_eq!(inspected(&archive).image.layers[0].path, long, "{name}");
    }
}

#[test]
#[allow(clippy::too_many_lines)]
fn says_what_a_file_is_that_is_no_image() {
    let docker_tar = docker().build();
    let cases: &[(&str, Vec<u8>)] = &[
        ("empty", vec![]),
        ("text", b"FROM scratch\nCOPY app /\n".to_vec()),
        (
            "cut-off character",
            [&[b'a'; 39][..], "é".as_bytes()].concat(),
        ),
        ("html", b"<html>\x1b[31m<!-- -->".to_vec()),
        ("zip", b"PK\x03\x04rest".to_vec()),
        ("program", b"\x7fELF\x02\x01".to_vec()),
        ("unknown", vec![0xde, 0xad, 0xbe, 0xef]),
        ("gzip of text", gzip(b"hello")),
        ("gzip of nothing", gzip(b"")),
        ("gzip of gzip", gzip(&gzip(&docker_tar))),
        ("empty tar", vec![0; 1024]),
        (
            "source tar",
            Tar::new()
                .file("src/main.rs", "fn main() {}")
                .file("Cargo.toml", "")
                .build(),
        ),
        (
            "no image listed",
            Tar::new().json("manifest.json", &json!([])).build(),
        ),
        (
            "manifest not JSON",
            Tar::new().file("manifest.json", "[{").build(),
        ),
        (
            "manifest of another shape",
            Tar::new()
                .json("manifest.json", &json!([{"Layers": []}]))
                .build(),
        ),
        (
            "config missing",
            Tar::new().json("manifest.json", &manifest()).build(),
        ),
        (
            "config not JSON",
            docker().file("c0ffee.json", "\u{7f}").build(),
        ),
        (
            "several images",
            Tar::new()
                .json(
                    "manifest.json",
                    &json!([
            {"Config": "a", "RepoTags": ["hello:v1"]}, {"Config": "b.json", "RepoTags": null}]),
                )
                .build(),
        ),
        (
            "several platforms",
            oci_blobs()
                .json(
                    "blobs/sha256/ab",
                    &json!({"config": {"digest": "sha256:cc"}, "layers": []}),
                )
                .json(
                    "index.json",
                    &json!({"manifests": [
                {"digest": "sha256:aa", "platform": {"os": "linux", "architecture": "arm64"}},
                {"digest": "sha256:ab", "platform": {"os": "linux", "architecture": "amd64"}}]}),
                )
                .build(),
        ),
        (
            "layer missing",
            Tar::new()
                .file("one/layer.tar", "")
                .json("c0ffee.json", &config())
                .json("manifest.json", &manifest())
                .build(),
        ),
        (
            "layer links in a ring",
            docker()
                .link(EntryType::Symlink, "two/layer.tar", "layer.tar")
                .build(),
        ),
        (
            "index names itself",
            Tar::new()
                .json(
                    "index.json",
                    &json!({"manifests": [{"digest": "sha256:bb"}]}),
                )
                .json(
                    "blobs/sha256/bb",
                    &json!({"manifests": [{"digest": "sha256:bb"}, {"digest": "sha256:bb"}]}),
                )
                .build(),
        ),
        (
            "layers do not agree",
            docker_with(|c| c["rootfs"]["diff_ids"] = json!(["sha256:1"])),
        ),
        ("windows", docker_with(|c| c["os"] = json!("windows"))),
        (
            "no command",
            docker_with(|c| c["config"] = json!({"Entrypoint": [""], "Cmd": null})),
        ),
    ];
    let report: Vec<String> = cases
        .iter()
        .map(|(name, bytes)| format!("{name}: {}", refused(bytes)))
        .collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn an_archive_cut_off_anywhere_is_never_taken_for_a_whole_one() {
    let plain = docker().build();
    for (format, bytes) in [
        (Compression::Gzip, gzip(&plain)),
        (Compression::Zstd, zstd(&plain)),
    ] {
        for length in [4, 11, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
            let why = refused(&bytes[..length]);
            assert_eq!(
                why,
                NotAnImage::Truncated { format },
                "{format} at {length}"
            );
        }
    }
    let tar = Compression::None;
    for length in [513, plain.len() / 2, plain.len() / 2 + 100] {
        let why = refused(&plain[..length]);
        assert_eq!(
            why,
            NotAnImage::Truncated { format: tar },
            "tar at {length}"
        );
    }
}

#[test]
fn damage_inside_a_compressed_archive_is_found() {
    let plain = docker().build();
    for bytes in [gzip(&plain), zstd(&plain)] {
        let mut damaged = bytes.clone();
        let middle = bytes.len() / 2;
        damaged[middle] ^= 0xff;
        inspect(&damaged[..], PLENTY).unwrap_err();
        let longer = [&bytes[..], b"anything that is no further member"].concat();
        assert!(matches!(refused(&longer), NotAnImage::Damaged { .. }));
    }
}

#[test]
fn hostile_entries_are_refused() {
    let cases = [
        (
            "absolute",
            Tar::new().raw(EntryType::Regular, "/etc/passwd", 0, b""),
        ),
        ("up", Tar::new().raw(EntryType::Regular, "../x", 0, b"")),
        (
            "up in the middle",
            Tar::new().raw(EntryType::Regular, "a/../x", 0, b""),
        ),
        (
            "symlink out",
            Tar::new().link(EntryType::Symlink, "a/x", "../../etc/passwd"),
        ),
        (
            "symlink absolute",
            Tar::new().link(EntryType::Symlink, "x", "/etc/passwd"),
        ),
        (
            "hard link out",
            Tar::new().link(EntryType::Link, "a/x", "../etc/passwd"),
        ),
        ("device", Tar::new().raw(EntryType::Block, "sda", 0, b"")),
        ("sparse", Tar::new().raw(EntryType::GNUSparse, "x", 0, b"")),
    ];
    for (name, tar) in cases {
        let why = refused(&tar.build());
        assert!(matches!(why, NotAnImage::Hostile { .. }), "{name}: {why}");
    }
}

#[test]
fn metadata_is_bounded() {
    let megabytes = |n: usize| [&b"["[..], &vec![b' '; n << 20], b"]"].concat();
    let many = |n: usize, bytes: &[u8]| {
        (0..n).fold(Tar::new(), |tar, i| tar.file(&format!("{i}.json"), bytes))
    };
    let huge_name = Tar::new().raw(EntryType::GNULongName, "x", 100 << 20, b"");
    let cases = [
        ("one", Tar::new().file("manifest.json", megabytes(5))),
        ("together", many(12, &megabytes(3))),
        ("entries", many(10_002, b"")),
        ("a long name", huge_name),
    ];
    for (name, tar) in cases {
        let why = refused(&tar.build());
        assert!(
            matches!(why, NotAnImage::MetadataTooLarge { .. }),
            "{name}: {why}"
        );
    }
    // Only what is metadata counts: a large file that merely looks like JSON is a layer like any other.
    inspected(&docker().file("large", megabytes(5)).build());
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let bomb = gzip(&docker().file("zeros", vec![0; 3 << 20]).build());
    match inspect(&bomb[..], 1 << 20) {
        Err(InspectError::NotAnImage(why)) => {
            assert_eq!(why, NotAnImage::TooLarge { limit: 1 << 20 });
        }
        other => panic!("{other:?}"),
    }
}

/// Gives one byte at a time, and breaks at the end of what it has.
struct Breaking<'a>(&'a [u8]);

impl Read for Breaking<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.split_first() {
            Some((byte, rest)) if !buf.is_empty() => {
                buf[0] = *byte;
                self.0 = rest;
                Ok(1)
            }
            _ => Err(io::Error::new(io::ErrorKind::ConnectionReset, "gone")),
        }
    }
}

#[test]
fn an_error_of_the_reader_says_nothing_about_the_archive() {
    let plain = docker().build();
    for bytes in [vec![], plain.clone(), gzip(&plain), zstd(&plain)] {
        for length in [0, bytes.len().min(5), bytes.len() / 2, bytes.len()] {
            match inspect(Breaking(&bytes[..length]), PLENTY) {
                Err(InspectError::Read(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                }
                other => panic!("at {length}: {other:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), kind in 0..4) {
        let bytes = match kind {
            0 => bytes,
            1 => gzip(&bytes),
            2 => [&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat(),
            _ => Tar::new().file("manifest.json", &bytes).build(),
        };
        let _ = inspect(&bytes[..], 1 << 20);
    }

    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), to in any::<u8>(), kind in 0..4) {
        let plain = docker().build();
        let mut bytes = match kind {
            0 => plain,
            1 => oci().build(),
            2 => gzip(&plain),
            _ => zstd(&plain),
        };
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = inspect(&bytes[..], 1 << 24);
    }
}
