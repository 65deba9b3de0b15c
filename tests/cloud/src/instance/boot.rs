//! What the real boot script does between the start of an instance and that of its container.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use exuvia_core::archive::{Image, inspect};
use exuvia_core::artifact::Pinned;
use exuvia_core::fleet::TAG_SIGNING_KEY;
use exuvia_core::manifest::Manifest;
use exuvia_core::name::Place;
use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};

use super::command::{self, Environment};
use super::container::Container;
use super::layers;
use super::ledger::{Clients, Ledger, download};
use super::log::Log;
use super::rootfs::Rootfs;

/// The steps of a boot, by the names that its report has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Download,
    Verify,
    Load,
    Configure,
    Run,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Load => "load",
            Self::Configure => "configure",
            Self::Run => "run",
        }
    }
}

/// Why a boot failed: one sentence that a person can act on.
#[derive(Clone, Debug)]
pub(super) struct BootFailure {
    pub(super) step: Step,
    pub(super) error: String,
}

fn at(step: Step) -> impl Fn(String) -> BootFailure {
    move |error| BootFailure { step, error }
}

/// What the boot made ready.
#[derive(Debug)]
pub(super) struct Ready {
    /// The description of the container.
    pub(super) container: PathBuf,
    /// Where the container says why it could not start.
    pub(super) failure: PathBuf,
    pub(super) stop_signal: Signal,
}

/// An instance learns all it needs from its tags.
pub(super) fn ledger(tags: &BTreeMap<String, String>) -> Result<Ledger, String> {
    let tag = |name: &str| {
        let value = tags.get(name).map(String::as_str);
        value.ok_or_else(|| format!("the instance has no tag {name}"))
    };
    let wrong = |name: &str, error: &dyn std::fmt::Display| format!("the tag {name}: {error}");
    Ok(Ledger {
        bucket: tag("exuvia:ledger")?.to_owned(),
        place: Place {
            app: tag("exuvia:app")?
                .parse()
                .map_err(|error| wrong("exuvia:app", &error))?,
            environment: tag("exuvia:environment")?
                .parse()
                .map_err(|error| wrong("exuvia:environment", &error))?,
        },
        release: tag("exuvia:release")?
            .parse()
            .map_err(|error| wrong("exuvia:release", &error))?,
        signing_key: tag(TAG_SIGNING_KEY)?.to_owned(),
    })
}

/// One boot.
pub(super) struct Boot<'a> {
    pub(super) clients: &'a Clients,
    pub(super) ledger: &'a Ledger,
    /// The directory that the boot and the container use.
    pub(super) work: &'a Path,
    pub(super) log: &'a Log,
    pub(super) instance_id: &'a str,
    pub(super) addr: SocketAddr,
}

impl Boot<'_> {
    pub(super) async fn boot(&self) -> Result<Ready, BootFailure> {
        let manifest = self.ledger.manifest(&self.clients.s3).await;
        let manifest = manifest.map_err(at(Step::Download))?;
        let manifest = self.ledger.verify(self.clients, manifest).await;
        let manifest = manifest.map_err(at(Step::Verify))?;
        self.log.line(&format!(
            "{} release {} is version {}",
            self.ledger.place, manifest.release, manifest.version
        ));
        self.fetch(&manifest.artifact, "archive").await?;
        if let Some(config) = &manifest.config {
            self.fetch(config, "config.env").await?;
        }
        let work = self.work.to_owned();
        let image = blocking(move || unpack(&work))
            .await
            .map_err(at(Step::Load))?;
        self.log.line(&format!(
            "unpacked {} (layers: {}, for {}/{})",
            image.tag.as_deref().unwrap_or("the image"),
            image.layers.len(),
            image.os,
            image.architecture
        ));
        let ready = self.configure(&image, &manifest);
        ready.map_err(at(Step::Configure))?
    }

    async fn fetch(&self, pinned: &Pinned, name: &str) -> Result<(), BootFailure> {
        let path = self.work.join(name);
        let downloaded = download(&self.clients.s3, pinned, &path).await;
        downloaded.map_err(at(Step::Download))?;
        let (work, name, expected) = (self.work.to_owned(), name.to_owned(), pinned.clone());
        let verified = blocking(move || verify(&work, &name, &expected)).await;
        verified.map_err(at(Step::Verify))?;
        self.log.line(&format!(
            "downloaded s3://{}/{} ({} bytes, sha256 {})",
            pinned.bucket, pinned.key, pinned.size, pinned.sha256
        ));
        Ok(())
    }

    /// The outer error is one of the configuration; the inner one says that the command cannot be run.
    fn configure(
        &self,
        image: &Image,
        manifest: &Manifest,
    ) -> Result<Result<Ready, BootFailure>, String> {
        let text = |error: io::Error| error.to_string();
        let rootfs = Rootfs::new(self.work.join("rootfs"));
        let user = command::user(&rootfs, &image.user)?;
        let mut environment = Environment::of(image, self.instance_id, &user.home);
        if manifest.config.is_some() {
            let file = fs::read(self.work.join("config.env")).map_err(text)?;
            environment.read_file(&file)?;
        }
        // Also that of a worker, which has none on an instance: here all share one network.
        environment.set("PORT", &self.addr.port().to_string());
        environment.set("RELEASE", &manifest.release.to_string());
        environment.set("VERSION", &manifest.version.to_string());
        for path in ["/etc/resolv.conf", "/etc/hosts"] {
            rootfs.copy_from_host(path).map_err(text)?;
        }
        let working_dir = Path::new("/").join(&image.working_dir);
        let real = rootfs.resolve(&working_dir, true).map_err(text)?;
        fs::create_dir_all(real).map_err(|error| {
            format!(
                "the image's WORKDIR {} cannot be made: {error}",
                working_dir.display()
            )
        })?;
        let arguments: Vec<String> = image.command_line().map(ToOwned::to_owned).collect();
        let called = arguments.first().map_or("", String::as_str);
        let path = environment.get("PATH").unwrap_or_default().to_owned();
        let program = match command::find(&rootfs, called, &path, &working_dir) {
            Ok(program) => program,
            Err(error) => return Ok(Err(at(Step::Run)(error))),
        };
        let container = Container {
            rootfs: rootfs.root().to_owned(),
            program,
            arguments,
            environment: environment.into_pairs(),
            working_dir,
            user,
            failure: self.work.join("failure"),
            parent: process::id(),
        };
        let description = self.work.join("container.json");
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&description)
            .map_err(text)?;
        serde_json::to_writer(file, &container).map_err(|error| error.to_string())?;
        Ok(Ok(Ready {
            container: description,
            failure: container.failure,
            stop_signal: stop_signal(image.stop_signal.as_deref()),
        }))
    }
}

/// `SIGINT`, `INT` or `2`; what cannot be told or caught is SIGTERM, docker's default.
fn stop_signal(named: Option<&str>) -> Signal {
    let named = named.unwrap_or_default();
    let by_number = || Signal::try_from(named.parse::<i32>().ok()?).ok();
    named
        .parse()
        .ok()
        .or_else(|| format!("SIG{named}").parse().ok())
        .or_else(by_number)
        .filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGCHLD))
        .unwrap_or(Signal::SIGTERM)
}

/// Runs what takes long, so that the machine can be stopped meanwhile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(format!("the boot broke off: {error}")),
    }
}

fn verify(work: &Path, name: &str, expected: &Pinned) -> Result<(), String> {
    let what = format!("s3://{}/{}", expected.bucket, expected.key);
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 256 << 10];
    let mut file = File::open(work.join(name)).map_err(|error| error.to_string())?;
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
    if size != expected.size {
        return Err(format!(
            "{what} has {size} bytes and not the {} that the manifest pins",
            expected.size
        ));
    }
    let sha256 = format!("{:x}", hash.finalize());
    if sha256 != expected.sha256 {
        return Err(format!(
            "{what} has the SHA-256 {sha256} and not the {} that the manifest pins",
            expected.sha256
        ));
    }
    Ok(())
}

fn unpack(work: &Path) -> Result<Image, String> {
    let text = |error: io::Error| error.to_string();
    let archive = BufReader::new(File::open(work.join("archive")).map_err(text)?);
    // What this machine's disk cannot hold fails by itself.
    let inspection = inspect(archive, u64::MAX).map_err(|error| error.to_string())?;
    layers::unpack(work, &inspection.image)
        .map_err(|error| format!("the image cannot be unpacked: {error}"))?;
    fs::remove_file(work.join("archive")).map_err(text)?;
    Ok(inspection.image)
}
