//! A local AWS: ministack, and in front of it exuvia-cloud, which is Auto Scaling, the load balancer and the
//! instances. Everything of one is in one directory, so that several run side by side.

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

use crate::image;
use crate::process::{self, Lifetime};
use crate::tools;

pub(crate) const REGION: &str = "us-east-1";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The one that keeps it up ends all else first.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What there is to know about a local AWS, kept in its directory as `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// How many times as fast as real time its time runs.
    pub(crate) speed: u32,
    /// The real time at which both were the same.
    pub(crate) epoch: Timestamp,
    /// The process that keeps it up.
    keeper: i32,
    ministack_port: u16,
    cloud_port: u16,
    pub(crate) network: Option<network::Network>,
    pub(crate) pipeline: Option<stacks::Pipeline>,
    pub(crate) apps: Vec<stacks::App>,
}

impl State {
    /// Where every AWS client is to be pointed at.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.cloud_port)
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

    fn is_running(&self, directory: &Path) -> bool {
        process::is_running(self.keeper, directory)
    }

    fn stop(&self, directory: &Path) {
        process::end_group(self.keeper, directory, ENDS_WITHIN);
        keeper::end_left(directory);
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
    pub(crate) async fn start(directory: &Path, speed: u32, lifetime: Lifetime) -> Result<Self> {
        let lock = lock(directory)?;
        if let Some(left) = read(directory)? {
            left.stop(directory);
        }
        clear(directory)?;
        std::fs::create_dir_all(directory.join("tmp"))?;

        let [ministack_port, cloud_port] = free_ports()?;
        let mut cloud = Self {
            directory: directory.to_owned(),
            lifetime,
            state: State {
                speed,
                epoch: Timestamp::now(),
                keeper: 0,
                ministack_port,
                cloud_port,
                network: None,
                pipeline: None,
                apps: Vec::new(),
            },
            keep: false,
            _lock: lock,
        };
        cloud.save()?;
        let mut keeper = cloud.start_keeper()?;
        cloud.state.keeper = pid(&keeper)?;
        cloud.save()?;
        cloud.wait_until_ready(&mut keeper).await?;
        Ok(cloud)
    }

    /// The one that runs in the directory, if there is one.
    pub(crate) fn join(directory: &Path) -> Result<Option<Self>> {
        let lock = lock(directory)?;
        Ok(running(directory)?.map(|state| Self {
            directory: directory.to_owned(),
            lifetime: Lifetime::Detached,
            state,
            keep: true,
            _lock: lock,
        }))
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
        let Some(state) = read(directory)? else {
            return Ok(false);
        };
        let ran = state.is_running(directory);
        state.stop(directory);
        std::fs::remove_file(directory.join("state.json"))?;
        Ok(ran)
    }

    fn start_keeper(&self) -> Result<Child> {
        // This very program, even where cargo has meanwhile replaced its file.
        let program = std::env::current_exe().ok().filter(|path| path.exists());
        let program = program.unwrap_or_else(|| "/proc/self/exe".into());
        let log = File::create(self.log())?;
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

    fn log(&self) -> PathBuf {
        self.directory.join("up.log")
    }

    async fn wait_until_ready(&self, keeper: &mut Child) -> Result<()> {
        loop {
            let said = std::fs::read_to_string(self.log()).unwrap_or_default();
            if said.lines().any(|line| line == keeper::READY) {
                return Ok(());
            }
            if keeper.try_wait()?.is_some() {
                bail!("{}", said.trim().trim_start_matches("error: "));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        if !self.keep {
            self.state.stop(&self.directory);
        }
    }
}

/// What runs in the directory, for those who only look.
pub(crate) fn running(directory: &Path) -> Result<Option<State>> {
    Ok(read(directory)?.filter(|state| state.is_running(directory)))
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

fn pid(child: &Child) -> Result<i32> {
    Ok(i32::try_from(child.id().context("it ended at once")?)?)
}
