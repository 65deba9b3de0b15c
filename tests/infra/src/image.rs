//! What comes of the archive: how it gets into docker, and which images are refused.

use crate::instance::{AMAZON_LINUX, DEBIAN, Instance};

const KEY: &str = "hello/qa/3f2a1c.tar.gz";

fn launched() -> Instance {
    Instance::launched(&AMAZON_LINUX)
}

#[test]
fn the_content_tells_how_it_is_compressed() {
    // Gzip and a plain tar docker reads by itself; the stand-in for zstd writes capitals.
    let gzip = b"\x1f\x8b\x08\x00the image".to_vec();
    let zstd = b"\x28\xb5\x2f\xfdthe image".to_vec();
    let skippable = b"\x53\x2a\x4d\x18the image".to_vec();
    let (loaded_zstd, loaded_skippable) = (
        b"\x28\xb5\x2f\xfdTHE IMAGE".to_vec(),
        b"\x53\x2a\x4d\x18THE IMAGE".to_vec(),
    );
    let tar = b"manifest.json\0\0\0\n".to_vec();
    for system in [AMAZON_LINUX, DEBIAN] {
        for (bytes, loaded) in [
            (&gzip, &gzip),
            (&tar, &tar),
            (&b"ab".to_vec(), &b"ab".to_vec()),
            (&zstd, &loaded_zstd),
            (&skippable, &loaded_skippable),
        ] {
            let boot = Instance::launched(&system)
                .pins("artifact", KEY, bytes)
                .boots();
            assert!(boot.succeeded, "{}", boot.console);
            assert_eq!(boot.loaded.as_ref(), Some(loaded), "{}", boot.calls);
            assert_eq!(boot.count("zstd") == 1, bytes != loaded, "{}", boot.calls);
        }
    }
}

#[test]
fn bytes_that_the_manifest_does_not_pin_are_removed_again() {
    let names = "Loaded image: hello:3f2a1c\nLoaded image ID: sha256:2\n";
    let boot = launched()
        .docker("load", names)
        .write("s3/artifacts/hello/qa/3f2a1c.tar.gz@v1", "other bytes")
        .boots();
    assert!(!boot.succeeded);
    assert_eq!(boot.report.as_ref().unwrap()["step"], "verify");
    let removed = "docker image rm --force hello:3f2a1c sha256:2";
    assert_eq!(boot.call("docker image rm"), removed, "{}", boot.calls);
    assert_eq!(boot.count("docker run"), 0, "{}", boot.calls);
}

#[test]
fn a_download_that_breaks_is_begun_anew() {
    let boot = launched().write("breaks", "2").boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert_eq!(boot.count("docker load"), 3);
    assert_eq!(boot.loaded.as_deref(), Some(&b"the image"[..]));
}

#[test]
fn an_archive_larger_than_any_pipe_is_read_to_its_end_whatever_docker_does() {
    let large = vec![b'x'; 3 << 20];
    let boot = launched().pins("artifact", KEY, &large).boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert_eq!(boot.loaded.map(|loaded| loaded.len()), Some(large.len()));
    // Docker gives up at once: the download is not what failed, and is not begun anew.
    let boot = launched()
        .pins("artifact", KEY, &large)
        .docker_fails(
            "load",
            "open /var/lib/docker/tmp/x: no space left on device",
        )
        .boots();
    let report = boot.report.as_ref().unwrap();
    assert_eq!(report["step"], "load", "{report}");
    assert_eq!(boot.count("docker load"), 1, "{}", boot.calls);
}

#[test]
fn an_image_may_have_several_names_but_an_archive_one_image() {
    let names = "Loaded image: hello:3f2a1c\nLoaded image: hello:latest\n";
    let boot = launched()
        .docker("load", names)
        .docker("image-inspect", "sha256:1 arm64\nsha256:1 arm64\n")
        .boots();
    assert!(boot.succeeded, "{}", boot.console);
    assert!(boot.call("docker run").ends_with(" hello:3f2a1c"));
    let boot = launched()
        .docker("load", names)
        .docker("image-inspect", "sha256:1 arm64\nsha256:2 arm64\n")
        .boots();
    let report = boot.report.unwrap();
    assert_eq!(
        report["error"],
        "hello/qa/3f2a1c.tar.gz holds several images (hello:3f2a1c hello:latest): save one"
    );
}

#[test]
fn an_image_of_another_architecture_is_called_that() {
    for (machine, image, runs) in [
        ("aarch64", "arm64", true),
        ("aarch64", "", true),
        ("x86_64", "amd64", true),
        ("x86_64", "386", true),
        ("aarch64", "amd64", false),
        ("aarch64", "arm", false),
        ("x86_64", "arm64", false),
    ] {
        let boot = launched()
            .write("uname.prints", machine)
            .docker("image-inspect", &format!("sha256:1 {image}\n"))
            .boots();
        assert_eq!(boot.succeeded, runs, "{machine} {image}: {}", boot.console);
        if !runs {
            let report = boot.report.as_ref().unwrap();
            let says = format!(
                "the image hello:3f2a1c is for another architecture, {image}, than the instance's {machine}: build it with \
                 docker build --platform, or change Architecture, AmiId and InstanceType"
            );
            assert_eq!(report["error"], says);
            assert_eq!(boot.count("docker run"), 0, "{}", boot.calls);
        }
    }
}
