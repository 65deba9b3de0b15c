//! Instances as they are launched, boot, run, fail and end: real processes of real images, from an S3 in memory.
//!
//! The images hold this machine's own shell, with the libraries it needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod image;
mod killed;
mod s3;
mod world;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use image::Image;
use serde_json::{Value, json};
use world::{MANIFEST, World, is_running, machines, manifest_of, spec, wait_until};

#[tokio::test]
async fn an_instance_runs_what_its_release_pins_until_it_is_terminated() {
    let mut world = World::new("runs").await;
    let script = "
        echo \"$GREETING, $IMAGE, port $PORT, release $RELEASE, version $VERSION, host $HOSTNAME\"
        echo \"in $(pwd) as process $$ with $0 $1\"
        echo writable > /data && cat /data
        echo void > /dev/null && test -e /proc/self/exe && echo has proc and dev
        test -e {checkout} || test -e /etc/ssl || echo sees only its own files
        trap 'echo stopping; exit 0' INT
        while :; do sleep 0.05; done"
        .replace("{checkout}", env!("CARGO_MANIFEST_DIR"));
    let image = Image::running(&script)
        .env(&["GREETING=image", "IMAGE=kept", "PORT=1"])
        .argument("an argument")
        .stop_signal("SIGINT")
        .working_dir("/srv/app");
    world.release_with_config(&image.saved(), "# ours\nGREETING=Hello\nRELEASE=7\n");
    world.launch("i-1");
    let addr = world.started("i-1").await;
    let port = addr.port();
    world
        .logs(
            "i-1",
            &format!("Hello, kept, port {port}, release 42, version v1, host i-1"),
        )
        .await;
    // Where namespaces are not allowed, there is no /proc.
    if !world.log("i-1").contains("chroot alone") {
        world.logs("i-1", "has proc and dev").await;
    }
    world.logs("i-1", "sees only its own files").await;
    world.logs("i-1", "writable").await;
    assert!(world.log("i-1").contains("in /srv/app as process "));
    assert!(world.log("i-1").contains("with script an argument"));
    world.terminated("i-1").await;
    world.logs("i-1", "stopping").await;
}

#[tokio::test]
async fn a_container_that_ignores_the_stop_signal_is_killed_with_all_its_children() {
    let mut world = World::new("stubborn").await;
    let marker = format!("98{}", std::process::id());
    let script = format!("trap '' TERM; sleep {marker} & echo up; while :; do sleep 0.05; done");
    world.release(&Image::running(&script).saved());
    world.launch("i-1");
    world.started("i-1").await;
    world.logs("i-1", "up").await;
    assert!(is_running(&marker));
    let asked = Instant::now();
    world.terminated("i-1").await;
    assert!(
        asked.elapsed() >= Duration::from_secs(1),
        "it had its second"
    );
    wait_until("end of the child", || {
        if is_running(&marker) {
            Err(marker.clone())
        } else {
            Ok(())
        }
    })
    .await;
}

#[tokio::test]
async fn a_container_that_crashes_is_started_again_and_reported_once_it_did_so_three_times() {
    let mut world = World::new("crash").await;
    world.release(&Image::running("echo trying; echo no database >&2; exit 3").saved());
    world.launch("i-1");
    world.started("i-1").await;
    let report = world.boot_report("i-1").await;
    assert_eq!(report["instanceId"], "i-1");
    assert_eq!(report["step"], "run");
    assert_eq!(
        report["error"],
        "the container exited with code 3 three times"
    );
    let output = json!([
        "trying",
        "no database",
        "trying",
        "no database",
        "trying",
        "no database"
    ]);
    assert_eq!(report["output"], output);
    // As docker would: forever.
    wait_until("fourth start", || {
        let log = world.log("i-1");
        if log.matches("trying").count() > 3 {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    world.terminated("i-1").await;
}

#[tokio::test]
async fn a_boot_that_fails_says_at_which_step_and_why() {
    let good = Image::running("exec sleep 1000").saved();
    let world = World::new("fails").await;
    let pinned = world.s3.put("artifacts/hello/qa/v1.tar.gz", &good);
    let with = |field: &str, value: Value| {
        let mut changed = pinned.clone();
        changed[field] = value;
        changed
    };
    let other = "0".repeat(64);
    let other_text = world.s3.put("artifacts/hello/qa/v2.tar.gz", b"just text");
    let config = world
        .s3
        .put("artifacts/hello/qa/config.env", b"A B=secret\n");
    let image = |image: Image| world.s3.put("artifacts/hello/qa/v3.tar.gz", &image.saved());
    let none = None::<&Value>;
    let cases = [
        (
            "download",
            "version gone",
            with("versionId", json!("gone")),
            none,
        ),
        (
            "verify",
            "not the 5 that the manifest pins",
            with("size", json!(5)),
            none,
        ),
        ("verify", &other, with("sha256", json!(other)), none),
        (
            "load",
            "a text file that begins with \"just text\"",
            other_text,
            none,
        ),
        (
            "configure",
            "config.env, line 1",
            pinned.clone(),
            Some(&config),
        ),
        (
            "configure",
            "USER nobody-here",
            image(Image::running("").user("nobody-here")),
            none,
        ),
        (
            "run",
            "/none is not in the image",
            image(Image::running("").entrypoint(&["/none"])),
            none,
        ),
        (
            "run",
            "PATH",
            image(Image::running("").entrypoint(&["none"])),
            none,
        ),
        (
            "run",
            "not an executable file",
            image(Image::running("").entrypoint(&["/script"])),
            none,
        ),
        (
            "run",
            "not a program for this machine",
            image(
                Image::running("")
                    .file("/odd", b"\x7fELF\0odd")
                    .entrypoint(&["/odd"]),
            ),
            none,
        ),
        (
            "run",
            "interpreter or dynamic loader",
            image(
                Image::running("")
                    .file("/x", b"#!/none\n")
                    .entrypoint(&["/x"]),
            ),
            none,
        ),
    ];
    for (i, (step, says, artifact, config)) in cases.iter().enumerate() {
        let id = format!("i-{i}");
        world.manifest(artifact, *config).launch(&id);
        let report = world.boot_report(&id).await;
        let error = report["error"].as_str().unwrap();
        assert_eq!(report["step"], *step, "{says}: {error}");
        assert!(
            error.contains(says) && !error.contains("secret"),
            "{error} and not {says}"
        );
    }
    world.machines.shutdown().await;
}

#[tokio::test]
async fn an_instance_runs_nothing_that_is_not_signed_for_its_tags() {
    let world = World::new("signed").await;
    let good = Image::running("exec sleep 1000").saved();
    let artifact = world.s3.put("artifacts/hello/qa/v1.tar.gz", &good);
    let ours = manifest_of(42, &artifact, None);
    let others = manifest_of(41, &artifact, None);
    let mut changed = artifact.clone();
    changed["sha256"] = json!("0".repeat(64));
    let changed = manifest_of(42, &changed, None);
    world.s3.put(MANIFEST, &ours);
    let refused = async |id: &str, says: &str| {
        world.launch(id);
        let report = world.boot_report(id).await;
        let error = report["error"].as_str().unwrap();
        assert_eq!(report["step"], "verify", "{error}");
        assert!(error.contains(says), "{error} and not {says}");
    };
    refused("i-unsigned", "bears no signature").await;
    world.s3.put_signed(MANIFEST, &changed, &ours);
    refused("i-changed", "is not what the pipeline signed").await;
    world.s3.put_signed(MANIFEST, &ours, &others);
    refused("i-borrowed", "is not what the pipeline signed").await;
    // Whole, with its own signature, and of another release.
    world.s3.put_signed(MANIFEST, &others, &others);
    refused(
        "i-other",
        "is that of release 41 of hello/qa, put in its place",
    )
    .await;
    let mut spec = spec("i-key");
    let key = spec.tags.get_mut("exuvia:signing-key").unwrap();
    key.push_str("-gone");
    world.s3.put_signed(MANIFEST, &ours, &ours);
    world.machines.launch(spec);
    let report = world.boot_report("i-key").await;
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("no such key"), "{error}");
    world.machines.shutdown().await;
}

#[tokio::test]
async fn an_instance_can_be_terminated_at_any_moment_of_its_boot() {
    let mut world = World::new("early").await;
    world.release(&Image::running("exec sleep 1000").saved());
    for delay in [0, 5, 20, 60, 150] {
        let id = format!("i-{delay}");
        world.launch(&id);
        world.started(&id).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        world.terminated(&id).await;
    }
}

#[tokio::test]
async fn the_images_user_and_the_two_layouts_are_honoured() {
    let mut world = World::new("user").await;
    let image = Image::running("id -u; id -g; exec sleep 1000").user("1234:4321");
    for (id, archive) in [("i-docker", image.saved()), ("i-oci", image.saved_as_oci())] {
        world.release(&archive).launch(id);
        world.started(id).await;
        world.logs(id, "1234").await;
        world.logs(id, "4321").await;
        world.terminated(id).await;
    }
}

#[tokio::test]
async fn shutdown_leaves_no_process() {
    let mut world = World::new("shutdown").await;
    let marker = format!("97{}", std::process::id());
    world.release(&Image::running(&format!("sleep {marker} & sleep {marker}")).saved());
    for id in ["i-1", "i-2"] {
        world.launch(id);
        world.started(id).await;
    }
    wait_until("process", || {
        if is_running(&marker) {
            Ok(())
        } else {
            Err(world.log("i-1"))
        }
    })
    .await;
    world.machines.shutdown().await;
    wait_until("end", || {
        if is_running(&marker) {
            Err(marker.clone())
        } else {
            Ok(())
        }
    })
    .await;
}

/// Runs in a process of its own, started by the next test, to be killed.
#[tokio::test]
#[ignore = "started by instances_die_with_the_process_that_launched_them"]
async fn holder() {
    let state_dir = PathBuf::from(std::env::var("HOLDER_STATE_DIR").unwrap());
    let endpoint = std::env::var("HOLDER_ENDPOINT").unwrap();
    let (machines, _events) = machines(&state_dir, &endpoint);
    machines.launch(spec("i-1"));
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test]
async fn instances_die_with_the_process_that_launched_them() {
    let world = World::new("killed").await;
    let marker = format!("96{}", std::process::id());
    world.release(&Image::running(&format!("sleep {marker} & sleep {marker} & wait")).saved());
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--ignored"])
        .env("HOLDER_STATE_DIR", &world.state_dir)
        .env("HOLDER_ENDPOINT", &world.s3.endpoint)
        .spawn()
        .unwrap();
    wait_until("process", || {
        if is_running(&marker) {
            Ok(())
        } else {
            Err(String::new())
        }
    })
    .await;
    // As kill -9 does.
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("end", || {
        if is_running(&marker) {
            Err(marker.clone())
        } else {
            Ok(())
        }
    })
    .await;
    // What it left behind goes when the next one starts; the log stays.
    let work = world.state_dir.join("instances/i-1/work");
    assert!(work.exists());
    let (_machines, _events) = machines(&world.state_dir, &world.s3.endpoint);
    wait_until("end of what it left", || {
        if work.exists() {
            Err(work.display().to_string())
        } else {
            Ok(())
        }
    })
    .await;
    assert!(!world.log("i-1").is_empty());
}
