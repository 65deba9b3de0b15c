//! A local AWS: ministack, and in front of it exuvia-cloud, which is Auto Scaling, the load balancer and the
//! instances; and beside it a stand-in for Slack. Everything of one is in one directory, so that several run side by side.

pub(crate) mod keeper;
pub(crate) mod network;
pub(crate) mod stacks;

use std::fs::File;
use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::compile;
use crate::image;
use crate::process::{self, Lifetime};
use crate::tools;

pub(crate) const REGION: &str = "us-east-1";
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What its instances are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Instances {
    /// Processes of what the image holds.
    Processes,
    /// Machines in namespaces, which boot by `infra/boot.sh` and have a docker engine.
    Docker,
}

impl Instances {
    pub(crate) fn with(docker: bool) -> Self {
        if docker {
            Self::Docker
        } else {
            Self::Processes
        }
    }

    /// Says in one line why this computer cannot have them, and what to do.
    pub(crate) async fn check(self) -> Result<()> {
        if self == Self::Processes {
            return Ok(());
        }
        let mut check = process::tied(compile::cloud_binary());
        check.arg("machine-check");
        let output = check.output().await.context("cannot run exuvia-cloud")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("{}", said.trim().trim_start_matches("exuvia: "));
        }
        Ok(())
    }
}

/// What there is to know about a local AWS, kept in its directory as `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many times as fast as real time its time runs.
    pub(crate) speed: u32,
    /// The real time at which both were the same.
    pub(crate) epoch: Timestamp,
    pub(crate) instances: Instances,
    ministack_port: u16,
    cloud_port: u16,
    slack_port: u16,
    pub(crate) network: Option<network::Network>,
    pub(crate) pipeline: Option<stacks::Pipeline>,
    pub(crate) apps: Vec<stacks::App>,
}

impl State {
    /// Where every AWS client is to be pointed at.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.cloud_port)
    }

    /// Where Slack's stand-in is.
    pub(crate) fn slack(&self) -> String {
        format!("http://127.0.0.1:{}", self.slack_port)
    }

    /// What an AWS client needs to know to reach it.
    pub(crate) fn client_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_PAGER", String::new()),
        ]
    }

    /// The same for the SDK.
    pub(crate) fn sdk(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(self.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test", "test", None, None, "local",
            )))
            .build()
    }

    /// Cloud time passes `speed` times as fast.
    pub(crate) fn now(&self) -> Timestamp {
        let real = Timestamp::now().duration_since(self.epoch).as_secs_f64();
        let cloud = jiff::SignedDuration::from_secs_f64(real * f64::from(self.speed));
        self.epoch.checked_add(cloud).unwrap_or(Timestamp::MAX)
    }

    /// The pinned AWS CLI.
    pub(crate) fn aws(&self, arguments: &[&str]) -> Command {
        let mut command = process::tied(tools::python_tool("python"));
        forget_other_aws(&mut command);
        command.envs(self.client_environment());
        command
            .arg(tools::root().join("xtask/python/aws_quickly.py"))
            .args(arguments);
        command
    }
}

/// A local AWS that this process may change: nobody else does until this is dropped.
pub(crate) struct LocalCloud {
    directory: PathBuf,
    lifetime: Lifetime,
    pub(crate) state: State,
    /// Whether it goes on when this is dropped.
    keep: bool,
    _lock: Flock<File>,
}

impl LocalCloud {
    /// Starts one in the directory, from nothing.
    pub(crate) async fn start(
        directory: &Path,
        speed: u32,
        instances: Instances,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let lock = lock(directory)?;
        keeper::stop(directory);
        clear(directory)?;
        std::fs::create_dir_all(directory.join("tmp"))?;

        let [ministack_port, cloud_port, slack_port] = free_ports()?;
        let cloud = Self {
            directory: directory.to_owned(),
            lifetime,
            state: State {
                speed,
                epoch: Timestamp::now(),
                instances,
                ministack_port,
                cloud_port,
                slack_port,
                network: None,
                pipeline: None,
                apps: Vec::new(),
            },
            keep: false,
            _lock: lock,
        };
        cloud.save()?;
        let mut keeper = cloud.start_keeper()?;
        cloud
            .until_ready(|| Ok(keeper.try_wait()?.is_none()))
            .await?;
        Ok(cloud)
    }

    /// The one that runs in the directory, if there is one.
    pub(crate) async fn join(directory: &Path) -> Result<Option<Self>> {
        let lock = lock(directory)?;
        let Some(state) = running(directory)? else {
            return Ok(None);
        };
        let cloud = Self {
            directory: directory.to_owned(),
            lifetime: Lifetime::Detached,
            state,
            keep: true,
            _lock: lock,
        };
        // Whoever started it may have been killed at once.
        cloud
            .until_ready(|| Ok(keeper::is_running(directory)))
            .await?;
        Ok(Some(cloud))
    }

    /// Leaves it running when this is dropped; it must have been started as detached.
    pub(crate) fn keep(&mut self) {
        self.keep = self.lifetime == Lifetime::Detached;
    }

    /// Writes down what is known, for the next command.
    pub(crate) fn save(&self) -> Result<()> {
        image::write_whole(
            &self.directory.join("state.json"),
            &serde_json::to_vec_pretty(&self.state)?,
        )
    }

    /// Where its logs are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends the one in the directory, complete or not; whether there was one.
    pub(crate) fn stop_in(directory: &Path) -> Result<bool> {
        let _lock = lock(directory)?;
        let ran = keeper::is_running(directory);
        keeper::stop(directory);
        let state = directory.join("state.json");
        if state.exists() {
            std::fs::remove_file(state)?;
        }
        Ok(ran)
    }

    fn start_keeper(&self) -> Result<Child> {
        // This very program, even where cargo has meanwhile replaced its file.
        let program = std::env::current_exe().ok().filter(|path| path.exists());
        let program = program.unwrap_or_else(|| "/proc/self/exe".into());
        let log = File::create(log_in(&self.directory))?;
        let mut command = process::service(program, self.lifetime);
        command.args(["up", "--keep"]).arg(&self.directory);
        // What happens later is told here as well, if this is a terminal.
        command.stdout(Stdio::inherit()).stderr(log);
        if !std::io::stdout().is_terminal() {
            // Whoever reads the other end is not to wait for it.
            command.stdout(Stdio::null());
        }
        command.spawn().context("cannot start what keeps it up")
    }

    async fn until_ready(&self, mut runs: impl FnMut() -> Result<bool>) -> Result<()> {
        loop {
            // Looked at first: what it said last counts.
            let runs = runs()?;
            let said = std::fs::read_to_string(log_in(&self.directory)).unwrap_or_default();
            if said.lines().any(|line| line == keeper::READY) {
                return Ok(());
            }
            if !runs {
                bail!("{}", why_it_ended(&self.directory).unwrap_or(said));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        if !self.keep {
            keeper::stop(&self.directory);
        }
    }
}

/// What runs in the directory, for those who only look.
pub(crate) fn running(directory: &Path) -> Result<Option<State>> {
    if keeper::is_running(directory) {
        read(directory)
    } else {
        Ok(None)
    }
}

/// Why the last one in the directory ended, if nobody asked it to.
pub(crate) fn why_it_ended(directory: &Path) -> Option<String> {
    let said = std::fs::read_to_string(log_in(directory)).ok()?;
    let (_, error) = said.rsplit_once("\nerror: ")?;
    Some(error.trim().to_owned())
}

fn log_in(directory: &Path) -> PathBuf {
    directory.join("up.log")
}

fn read(directory: &Path) -> Result<Option<State>> {
    let path = directory.join("state.json");
    match std::fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn lock(directory: &Path) -> Result<Flock<File>> {
    std::fs::create_dir_all(directory)?;
    let file = File::create(directory.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
        anyhow::anyhow!(
            "another `cargo xtask` is at work in {} ({error}): wait until it has ended",
            directory.display()
        )
    })
}

fn clear(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name() == "lock" {
            continue;
        }
        let path = entry.path();
        let removed = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Ports that nothing listens on; all are held until all are found, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Nothing of another AWS account, a profile for instance, may come in from the outside.
pub(crate) fn forget_other_aws(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["AWS_", "MINISTACK_", "LOCALSTACK_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}
