//! A place for machines to be launched in: an S3 with a release, and what can be seen of them from outside.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exuvia_cloud::instance::{Event, Kind, Lifeline, Machines, Settings, Spec};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::s3::{S3, SIGNING_KEY};

pub(crate) const EXUVIA_CLOUD: &str = env!("CARGO_BIN_EXE_exuvia-cloud");

pub(crate) struct World {
    pub(crate) s3: S3,
    pub(crate) machines: Machines,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) state_dir: PathBuf,
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
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
    pub(crate) fn release(&self, archive: &[u8]) -> &Self {
        let pinned = self.s3.put("artifacts/hello/qa/v1.tar.gz", archive);
        self.manifest(&pinned, None)
    }

    pub(crate) fn release_with_config(&self, archive: &[u8], config: &str) -> &Self {
        let pinned = self.s3.put("artifacts/hello/qa/v1.tar.gz", archive);
        let config = self
            .s3
            .put("artifacts/hello/qa/config.env", config.as_bytes());
        self.manifest(&pinned, Some(&config))
    }

    pub(crate) fn manifest(&self, artifact: &Value, config: Option<&Value>) -> &Self {
        let manifest = manifest_of(42, artifact, config);
        self.s3.put_signed(MANIFEST, &manifest, &manifest);
        self
    }

    pub(crate) fn launch(&self, id: &str) {
        self.machines.launch(spec(id));
    }

    pub(crate) async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.recv());
        event
            .await
            .expect("an event is due")
            .expect("the machines go on")
    }

    pub(crate) async fn started(&mut self, id: &str) -> SocketAddr {
        match self.event().await {
            Event::Started { id: started, addr } if started == id => addr,
            other => panic!("{other:?}"),
        }
    }

    /// Empty before the launch.
    pub(crate) fn log(&self, id: &str) -> String {
        fs::read_to_string(self.state_dir.join("instances").join(id).join("log"))
            .unwrap_or_default()
    }

    /// Waits for this line of the container.
    pub(crate) async fn logs(&self, id: &str, line: &str) {
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

    pub(crate) async fn boot_report(&self, id: &str) -> Value {
        let key = format!("ledger/hello/qa/boot/000042/{id}.json");
        wait_until("a boot report", || {
            let report = self.s3.get(&key);
            report.ok_or_else(|| self.log(id))
        })
        .await;
        serde_json::from_slice(&self.s3.get(&key).unwrap()).unwrap()
    }

    pub(crate) async fn terminated(&mut self, id: &str) {
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

/// Where the manifest of release 42 is.
pub(crate) const MANIFEST: &str = "ledger/hello/qa/releases/000042.json";

/// A manifest of hello in qa.
pub(crate) fn manifest_of(release: u32, artifact: &Value, config: Option<&Value>) -> Vec<u8> {
    let manifest = json!({
        "schema": 1, "app": "hello", "environment": "qa", "release": release, "version": "v1",
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
    manifest.to_string().into_bytes()
}

pub(crate) fn machines(state_dir: &Path, endpoint: &str) -> (Machines, UnboundedReceiver<Event>) {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    let settings = Settings {
        state_dir: state_dir.to_owned(),
        endpoint: endpoint.to_owned(),
        scaling: endpoint.to_owned(),
        speed: 20.0,
        lifeline: Lifeline::Process,
        kind: Kind::Process,
    };
    let machines = Machines::with_program(settings, sender, EXUVIA_CLOUD.into()).unwrap();
    (machines, events)
}

pub(crate) fn spec(id: &str) -> Spec {
    let tags = [
        ("exuvia:app", "hello"),
        ("exuvia:environment", "qa"),
        ("exuvia:release", "42"),
        ("exuvia:ledger", "ledger"),
        ("exuvia:signing-key", SIGNING_KEY),
    ];
    Spec {
        id: id.to_owned(),
        tags: BTreeMap::from(tags.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        launch_template_id: "lt-1".to_owned(),
        launch_template_version: "3".to_owned(),
        availability_zone: "us-east-1a".to_owned(),
        port: Some(8080),
    }
}

pub(crate) async fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
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
pub(crate) fn is_running(marker: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(marker))
}
