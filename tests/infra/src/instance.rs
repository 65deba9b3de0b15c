//! An instance that has just been launched: its tags, what the ledger and S3 hold for it, and what docker will do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What the script, or a stand-in, uses of a real system.
const REAL: [&str; 35] = [
    "base64",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "df",
    "dirname",
    "env",
    "grep",
    "gzip",
    "head",
    "install",
    "ln",
    "ls",
    "mkdir",
    "mkfifo",
    "od",
    "openssl",
    "python3",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sort",
    "tail",
    "tar",
    "tee",
    "timeout",
    "tr",
    "true",
    "wc",
    "xargs",
];

pub(crate) const AMAZON_LINUX: [&str; 4] = ["aws", "curl", "dnf", "docker"];
pub(crate) const DEBIAN: [&str; 4] = ["apt-get", "curl", "dpkg", "unattended-upgrade"];

pub(crate) const SIGNING_KEY: &str = "arn:aws:kms:eu-central-1:1:key/pipeline";

/// What the user data is, and where it reads and reports.
struct Script {
    name: &'static str,
    manifest: &'static str,
    report: &'static str,
}

const BOOT: Script = Script {
    name: "boot.sh",
    manifest: "s3/the-ledger/hello/qa/releases/000042.json",
    report: "s3/the-ledger/hello/qa/boot/000042/i-0abc.json",
};

const BUILD: Script = Script {
    name: "build.sh",
    manifest: "s3/the-ledger/hello/qa/builds/0123456789ab/build.json",
    report: "s3/the-ledger/hello/qa/builds/0123456789ab/report.json",
};

pub(crate) struct Instance {
    world: PathBuf,
    script: Script,
    manifest: Value,
    /// The file of the private key that the manifest is signed with.
    signed_with: Option<&'static str>,
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
    /// What docker was given to load last.
    pub(crate) loaded: Option<Vec<u8>>,
    /// The artifact that it uploaded.
    pub(crate) uploaded: Option<Vec<u8>>,
    /// The names at the top of the context that docker was given to build.
    pub(crate) context: Vec<String>,
}

impl Boot {
    /// The first command that begins so; empty if there is none.
    pub(crate) fn call(&self, start: &str) -> &str {
        let mut calls = self.calls.lines();
        calls
            .find(|call| call.starts_with(start))
            .unwrap_or_default()
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        let calls = self.calls.lines();
        calls.filter(|call| call.starts_with(start)).count()
    }

    /// Where a command is among all; the first that contains this.
    pub(crate) fn position(&self, part: &str) -> usize {
        let position = self.calls.lines().position(|call| call.contains(part));
        position.unwrap_or_else(|| panic!("no {part} in {}", self.calls))
    }
}

impl Instance {
    /// Of release 42 of hello in qa, with an artifact and without settings; all goes well.
    pub(crate) fn launched(system: &[&str]) -> Self {
        let manifest = json!({
            "schema": 1, "app": "hello", "environment": "qa", "release": 42, "version": "3f2a1c",
            "target": {"port": 8080},
        });
        Self::with(system, BOOT, manifest)
            .tagged("aws:autoscaling:groupName", "hello-qa-000042")
            .tagged("exuvia:release", "42")
            .pins("artifact", "hello/qa/3f2a1c.tar.gz", "the image")
            .write("uname.prints", "aarch64\n")
            .docker("load", "Loaded image: hello:3f2a1c\n")
            .docker("image-inspect", "sha256:1 arm64\n")
            .docker("run", "c0ffee\n")
            .docker("container-inspect", "[{}]\n")
    }

    /// That is to build version 3f2a1c of hello in qa from these files; all goes well.
    pub(crate) fn builder(system: &[&str], files: &[(&str, &str)]) -> Self {
        let manifest = json!({
            "schema": 1, "app": "hello", "environment": "qa", "build": "0123456789ab", "version": "3f2a1c",
            "artifact": {"bucket": "artifacts", "key": "hello/qa/3f2a1c.tar.gz"},
        });
        Self::with(system, BUILD, manifest)
            .tagged("exuvia:build", "0123456789ab")
            .pins("source", "hello/qa/3f2a1c.src.tar.gz", archive(files))
            .docker("build", "#5 RUN make\n")
            .docker("save", "the image")
    }

    fn with(system: &[&str], script: Script, manifest: Value) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let world =
            std::env::temp_dir().join(format!("exuvia-boot-{}-{number}", std::process::id()));
        let instance = Self {
            world,
            script,
            manifest,
            signed_with: Some("pipeline"),
        };
        for name in system {
            instance.provide(name);
        }
        for name in ["systemctl", "sleep", "journalctl", "uname"] {
            instance.provide(name);
        }
        for name in REAL {
            symlink(real(name), instance.path(&format!("path/{name}"))).unwrap();
        }
        instance
            .write("metadata/instance-id", "i-0abc")
            .write("metadata/placement/region", "eu-central-1")
            .tagged("exuvia:app", "hello")
            .tagged("exuvia:environment", "qa")
            .tagged("exuvia:ledger", "the-ledger")
            .tagged("exuvia:signing-key", SIGNING_KEY)
            .key("pipeline")
    }

    pub(crate) fn tagged(self, name: &str, value: &str) -> Self {
        self.write(&format!("metadata/tags/instance/{name}"), value)
    }

    pub(crate) fn untagged(self, name: &str) -> Self {
        self.without(&format!("metadata/tags/instance/{name}"))
    }

    /// The manifest says so.
    pub(crate) fn manifest(mut self, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        self.manifest.pointer_mut(parent).unwrap()[field] = value;
        self
    }

    /// The manifest is signed with another key than the instance is told, or not at all.
    pub(crate) fn signed_with(mut self, key: Option<&'static str>) -> Self {
        self.signed_with = key;
        self
    }

    /// A key of KMS, that instances may verify with.
    pub(crate) fn key(self, name: &str) -> Self {
        let private = self.path(&format!("private/{name}"));
        let public = self.path(&format!("keys/{name}"));
        let pem = openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]);
        fs::write(&private, pem).unwrap();
        fs::write(public, openssl(&["ec", "-pubout", "-in", text(&private)])).unwrap();
        self
    }

    /// The manifest pins these bytes, and S3 has them.
    pub(crate) fn pins(mut self, name: &str, key: &str, bytes: impl AsRef<[u8]>) -> Self {
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
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

    pub(crate) fn write(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(path);
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    pub(crate) fn boots(&self) -> Boot {
        self.boots_after(|_| ())
    }

    /// Signs the manifest, lets something happen to it, and boots.
    pub(crate) fn boots_after(&self, change: impl FnOnce(&mut String)) -> Boot {
        let mut manifest = self.manifest.to_string();
        let file = self.path(self.script.manifest);
        if let Some(key) = self.signed_with {
            fs::write(&file, &manifest).unwrap();
            let private = self.path(&format!("private/{key}"));
            let signed = openssl(&["dgst", "-sha256", "-sign", text(&private), text(&file)]);
            let raw = self.path("signature");
            fs::write(&raw, signed).unwrap();
            let signature = openssl(&["base64", "-A", "-in", text(&raw)]);
            let metadata = json!({"signature": String::from_utf8(signature).unwrap()}).to_string();
            fs::write(file.with_extension("json.metadata"), metadata).unwrap();
        }
        change(&mut manifest);
        if !manifest.is_empty() {
            fs::write(file, manifest).unwrap();
        } else if file.exists() {
            fs::remove_file(file).unwrap();
        }
        self.runs_the_script()
    }

    fn runs_the_script(&self) -> Boot {
        let _ = fs::remove_file(self.path("calls"));
        let output = Command::new(real("bash"))
            .arg(Path::new(REPOSITORY).join("infra").join(self.script.name))
            .env_clear()
            .env("PATH", self.world.join("path"))
            .env("WORLD", &self.world)
            .env("STAND_INS", stand_in(""))
            .env("EXUVIA_DIRECTORY", self.world.join("work"))
            .env("EXUVIA_SPACE", self.world.join("space"))
            .env("EXUVIA_WATCH_SECONDS", "0")
            .output()
            .unwrap();
        let text = |path: &str| fs::read_to_string(self.world.join(path)).ok();
        let mode = |path: &str| {
            let metadata = fs::metadata(self.world.join(path)).ok()?;
            Some(metadata.permissions().mode() & 0o777)
        };
        assert_eq!(mode("work"), Some(0o700));
        Boot {
            succeeded: output.status.success(),
            console: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            calls: text("calls").unwrap_or_default(),
            report: text(self.script.report).map(|report| {
                serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"))
            }),
            environment: text("work/env").zip(mode("work/env")),
            loaded: fs::read(self.world.join("loaded")).ok(),
            uploaded: fs::read(self.world.join("s3/artifacts/hello/qa/3f2a1c.tar.gz")).ok(),
            context: files_of(&self.world.join("built")),
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

/// A tar archive of these files that gzip has packed.
pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("exuvia-source-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    for (name, contents) in files {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--directory", text(&directory), "."]);
    let output = tar.output().unwrap();
    fs::remove_dir_all(directory).unwrap();
    output.stdout
}

fn files_of(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("stand-ins")
        .join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    output.stdout
}

fn real(program: &str) -> PathBuf {
    // Where versions of Python are managed, what is on PATH is only a script that looks for one.
    if program == "python3" {
        static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
            let mut python = Command::new("python3");
            python.args(["-c", "import sys; print(sys.executable)"]);
            let output = python.output().unwrap();
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        });
        return PYTHON.clone();
    }
    let path = std::env::var_os("PATH").unwrap();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(program));
    let found = files.find(|file| file.exists());
    fs::canonicalize(found.unwrap_or_else(|| panic!("{program} is not on PATH"))).unwrap()
}
