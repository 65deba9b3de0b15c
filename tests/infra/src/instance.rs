//! An instance that has just been launched: its tags, what S3 holds for it, and what docker will do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What the script uses of a real system.
const REAL: [&str; 20] = [
    "basename",
    "bash",
    "cat",
    "cp",
    "cut",
    "date",
    "dirname",
    "env",
    "grep",
    "head",
    "ln",
    "mkdir",
    "python3",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "tail",
    "tee",
    "timeout",
];

pub(crate) const AMAZON_LINUX: [&str; 3] = ["aws", "curl", "dnf"];
pub(crate) const DEBIAN: [&str; 3] = ["apt-get", "curl", "unattended-upgrade"];

pub(crate) struct Instance {
    world: PathBuf,
    manifest: Value,
}

/// What came of its boot.
pub(crate) struct Boot {
    pub(crate) succeeded: bool,
    /// What the console shows.
    pub(crate) console: String,
    /// The commands that it gave.
    pub(crate) calls: String,
    /// The boot report in the ledger.
    pub(crate) report: Option<Value>,
    /// The environment file, and its mode.
    pub(crate) environment: Option<(String, u32)>,
}

impl Instance {
    /// Of release 42 of hello in qa, with an artifact and without settings; all goes well.
    pub(crate) fn launched(system: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let world =
            std::env::temp_dir().join(format!("exuvia-boot-{}-{number}", std::process::id()));
        let manifest = json!({
            "schema": 1, "app": "hello", "environment": "qa", "release": 42, "version": "3f2a1c",
            "target": {"port": 8080},
        });
        let instance = Self { world, manifest };
        for name in system {
            instance.provide(name);
        }
        for name in ["systemctl", "sleep"] {
            instance.provide(name);
        }
        for name in REAL {
            symlink(real(name), instance.path(&format!("path/{name}"))).unwrap();
        }
        instance
            .write("metadata/instance-id", "i-0abc")
            .write("metadata/placement/region", "eu-central-1")
            .write("metadata/tags/instance/exuvia:app", "hello")
            .write("metadata/tags/instance/exuvia:environment", "qa")
            .write("metadata/tags/instance/exuvia:release", "42")
            .write("metadata/tags/instance/exuvia:ledger", "the-ledger")
            .pins("artifact", "hello/qa/3f2a1c.tar.gz", "the image")
            .docker("load", "Loaded image: hello:3f2a1c\n")
            .docker("inspect", "[{}]\n")
    }

    /// The manifest pins these bytes, and S3 has them.
    pub(crate) fn pins(mut self, name: &str, key: &str, bytes: &str) -> Self {
        let sha256 = format!("{:x}", Sha256::digest(bytes));
        self.manifest[name] =
            json!({"bucket": "artifacts", "key": key, "versionId": "v1", "sha256": sha256});
        self.write(&format!("s3/artifacts/{key}@v1"), bytes)
    }

    pub(crate) fn docker(self, command: &str, prints: &str) -> Self {
        self.write(&format!("docker/{command}"), prints)
    }

    pub(crate) fn docker_fails(self, command: &str, prints: &str) -> Self {
        self.write(&format!("docker/{command}.fails"), "")
            .docker(command, prints)
    }

    pub(crate) fn write(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    pub(crate) fn boots(self) -> Boot {
        let manifest = self.path("s3/the-ledger/hello/qa/releases/000042.json");
        if !self.world.join("no-manifest").exists() {
            fs::write(manifest, self.manifest.to_string()).unwrap();
        }
        if self.world.join("path/aws").exists() {
            self.provide_once("docker");
        }
        let output = Command::new(real("bash"))
            .arg(Path::new(REPOSITORY).join("infra/boot.sh"))
            .env_clear()
            .env("PATH", self.world.join("path"))
            .env("WORLD", &self.world)
            .env("STAND_INS", stand_in(""))
            .env("EXUVIA_DIRECTORY", self.world.join("work"))
            .env("EXUVIA_WATCH_SECONDS", "1")
            .output()
            .unwrap();
        let text = |path: &str| fs::read_to_string(self.world.join(path)).ok();
        let mode = || {
            Some(
                fs::metadata(self.world.join("work/env"))
                    .ok()?
                    .permissions()
                    .mode()
                    & 0o777,
            )
        };
        Boot {
            succeeded: output.status.success(),
            console: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            calls: text("calls").unwrap_or_default(),
            report: text("s3/the-ledger/hello/qa/boot/000042/i-0abc.json").map(|report| {
                serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"))
            }),
            environment: text("work/env").zip(mode()),
        }
    }

    fn provide_once(&self, name: &str) {
        if !self.world.join("path").join(name).exists() {
            self.provide(name);
        }
    }

    /// Puts a stand-in on the path.
    fn provide(&self, name: &str) {
        let program = match name {
            "aws" | "curl" | "docker" => stand_in(name),
            _ => stand_in("recorded"),
        };
        symlink(program, self.path(&format!("path/{name}"))).unwrap();
    }

    /// A path in the instance's world, whose directory is there.
    fn path(&self, path: &str) -> PathBuf {
        let path = self.world.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.world);
    }
}

fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("stand-ins")
        .join(name)
}

fn real(program: &str) -> PathBuf {
    // Where versions of Python are managed, what is on PATH is only a script that looks for one.
    if program == "python3" {
        let output = Command::new(program)
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .unwrap();
        return PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    }
    let path = std::env::var_os("PATH").unwrap();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(program));
    let found = files.find(|file| file.exists());
    fs::canonicalize(found.unwrap_or_else(|| panic!("{program} is not on PATH"))).unwrap()
}
