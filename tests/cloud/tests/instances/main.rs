//! Instances as they are launched, boot, run, fail and end: real processes of real images, from an S3 in memory.
//!
//! The images hold this machine's own shell, with the libraries it needs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod image;
mod s3;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use exuvia_cloud::instance::{Event, Machines, Settings, Spec};
use image::Image;
use s3::S3;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

const EXUVIA_CLOUD: &str = env!("CARGO_BIN_EXE_exuvia-cloud");

struct World {
    s3: S3,
    machines: Machines,
    events: UnboundedReceiver<Event>,
    state_dir: PathBuf,
}

impl World {
    async fn new(name: &str) -> Self {
        let name = format!("exuvia-instances-{name}-{}", std::process::id());
        let state_dir = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&state_dir);
        let s3 = S3::start().await;
        let (machines, events) = machines(&state_dir, &s3.endpoint);
        Self {
            s3,
            machines,
            events,
            state_dir,
        }
    }

    /// Release 42 of hello in qa, of this archive.
    fn release(&self, archive: &[u8]) -> &Self {
        let pinned = self.s3.put("artifacts/hello/qa/v1.tar.gz", archive);
        self.manifest(&pinned, None)
    }

    fn release_with_config(&self, archive: &[u8], config: &str) -> &Self {
        let pinned = self.s3.put("artifacts/hello/qa/v1.tar.gz", archive);
        let config = self
            .s3
            .put("artifacts/hello/qa/config.env", config.as_bytes());
        self.manifest(&pinned, Some(&config))
    }

    fn manifest(&self, artifact: &Value, config: Option<&Value>) -> &Self {
        let manifest = json!({
            "schema": 1, "app": "hello", "environment": "qa", "release": 42, "version": "v1",
            "artifact": artifact, "config": config,
            "target": {
                "listenerArn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/lb/1/2",
                "priority": 100, "conditions": {"hosts": [], "paths": ["/*"]},
                "vpcId": "vpc-1", "subnets": ["subnet-1"], "launchTemplate": {"id": "lt-1", "version": 3}, "port": 8080,
                "healthCheck": {"path": "/", "intervalSeconds": 10, "timeoutSeconds": 5, "healthyThreshold": 2,
                                "unhealthyThreshold": 2, "successCodes": "200"},
                "capacity": {"min": 1, "max": 2, "initial": 1},
                "strategy": {"type": "allAtOnce", "bakeSeconds": 60},
                "timeouts": {"bootSeconds": 600, "drainSeconds": 300},
            },
            "execution": "arn:aws:states:us-east-1:000000000000:execution:exuvia:1",
            "createdAt": "2026-11-21T12:00:00Z",
        });
        self.s3.put(
            "ledger/hello/qa/releases/000042.json",
            manifest.to_string().as_bytes(),
        );
        self
    }

    fn launch(&self, id: &str) {
        self.machines.launch(spec(id));
    }

    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.recv());
        event
            .await
            .expect("an event is due")
            .expect("the machines go on")
    }

    async fn started(&mut self, id: &str) -> SocketAddr {
        match self.event().await {
            Event::Started { id: started, addr } if started == id => addr,
            other => panic!("{other:?}"),
        }
    }

    /// Empty before the launch.
    fn log(&self, id: &str) -> String {
        fs::read_to_string(self.state_dir.join("instances").join(id).join("log"))
            .unwrap_or_default()
    }

    /// Waits for this line of the container.
    async fn logs(&self, id: &str, line: &str) {
        wait_until(&format!("{line:?} in the log"), || {
            let log = self.log(id);
            if log.lines().any(|l| l == line) {
                Ok(())
            } else {
                Err(log)
            }
        })
        .await;
    }

    async fn boot_report(&self, id: &str) -> Value {
        let key = format!("ledger/hello/qa/boot/000042/{id}.json");
        wait_until("a boot report", || {
            let report = self.s3.get(&key);
            report.ok_or_else(|| self.log(id))
        })
        .await;
        serde_json::from_slice(&self.s3.get(&key).unwrap()).unwrap()
    }

    async fn terminated(&mut self, id: &str) {
        self.machines.terminate(id);
        assert_eq!(self.event().await, Event::Died { id: id.to_owned() });
        assert!(
            !self
                .state_dir
                .join("instances")
                .join(id)
                .join("work")
                .exists()
        );
        assert!(self.log(id).ends_with("the machine is terminated\n"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.state_dir);
        }
    }
}

fn machines(state_dir: &Path, endpoint: &str) -> (Machines, UnboundedReceiver<Event>) {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    let settings = Settings {
        state_dir: state_dir.to_owned(),
        endpoint: endpoint.to_owned(),
        speed: 20.0,
    };
    let machines = Machines::with_program(settings, sender, EXUVIA_CLOUD.into()).unwrap();
    (machines, events)
}

fn spec(id: &str) -> Spec {
    let tags = [
        ("exuvia:app", "hello"),
        ("exuvia:environment", "qa"),
        ("exuvia:release", "42"),
        ("exuvia:ledger", "ledger"),
    ];
    Spec {
        id: id.to_owned(),
        tags: BTreeMap::from(tags.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        launch_template_id: "lt-1".to_owned(),
        launch_template_version: "3".to_owned(),
    }
}

async fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match probe() {
            Ok(found) => return found,
            Err(instead) => assert!(Instant::now() < deadline, "no {what}, but:\n{instead}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether any process' command line has this in it.
fn is_running(marker: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(marker))
}

#[tokio::test]
async fn an_instance_runs_what_its_release_pins_until_it_is_terminated() {
    let mut world = World::new("runs").await;
    let script = "
        echo \"$GREETING, $IMAGE, port $PORT, release $RELEASE, version $VERSION, host $HOSTNAME\"
        echo \"in $(pwd) as process $$ with $0 $1\"
        echo writable > /data && cat /data
        echo void > /dev/null && test -e /proc/self/exe && echo has proc and dev
        test -e /work/main || test -e /etc/ssl || echo sees only its own files
        trap 'echo stopping; exit 0' INT
        while :; do sleep 0.05; done";
    let image = Image::running(script)
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
    assert!(!work.exists() && !world.log("i-1").is_empty());
}
