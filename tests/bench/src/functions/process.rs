//! One process of a function, from its start to its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::allowance::Allowance;
use super::endpoint::Endpoint;
use super::recordings::Recorded;
use super::replay::{Calls, Replay};
use super::runtime_api::{Ready, RuntimeApi};

/// What one cold start showed. Times in milliseconds; `cpu` is the processor's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// From the process's start until it asks for an invocation.
    pub init: f64,
    pub init_cpu: f64,
    /// From the first invocation's delivery until its first request has got to AWS, which may then take its time; none, if
    /// there is none.
    pub first_call: Option<f64>,
    pub first: Invocation,
    pub warm: Vec<Invocation>,
    /// Those of the last invocation: what a process keeps it does not ask for again.
    pub calls: Calls,
    /// By functions, what it takes a plain client of the SDK to make as many calls as they do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plain: BTreeMap<String, Vec<Invocation>>,
    /// The most memory that it had at once.
    pub peak_kib: u64,
}

/// From an invocation's delivery to the function's answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Invocation {
    pub whole: f64,
    /// Of it, while what stands in for AWS had a request.
    pub in_calls: f64,
    pub cpu: f64,
}

impl Invocation {
    /// What the function takes besides its calls.
    pub fn overhead(&self) -> f64 {
        self.whole - self.in_calls
    }
}

/// A program as Lambda starts it.
pub(crate) struct Program<'a> {
    pub(crate) name: &'a str,
    pub(crate) bootstrap: &'a Path,
    pub(crate) recorded: &'a Recorded,
    /// What it is given besides, by the functions whose calls it makes.
    pub(crate) plain: &'a BTreeMap<String, Recorded>,
    pub(crate) memory_mb: u64,
    pub(crate) variables: &'a [(String, String)],
}

/// A process, with Lambda at its side.
struct Running<'a> {
    program: &'a Program<'a>,
    endpoint: &'a Endpoint,
    api: RuntimeApi,
    process: Child,
    id: u32,
}

/// Starts it, and gives it the same invocation once and then some times more.
pub(crate) async fn cold_start(
    program: &Program<'_>,
    endpoint: &Endpoint,
    allowance: &Allowance,
    warm: usize,
) -> Result<Start> {
    let api = RuntimeApi::start().await?;
    let mut process = halted(program, endpoint, &api)?;
    let id = process.id().context("the process has ended")?;
    until_halted(id, &mut process).await?;
    allowance.admit(id)?;
    let mut running = Running {
        program,
        endpoint,
        api,
        process,
        id,
    };
    running.go(warm).await.with_context(|| {
        format!(
            "{} ({}) at {} MB",
            program.name,
            program.bootstrap.display(),
            program.memory_mb
        )
    })
}

impl Running<'_> {
    async fn go(&mut self, warm: usize) -> Result<Start> {
        let pid = Pid::from_raw(i32::try_from(self.id)?);
        let cpu = self.cpu()?;
        let began = Instant::now();
        kill(pid, Signal::SIGCONT)?;
        let ready = self.api.ready().await?;
        let init = millis(ready.since - began);
        let init_cpu = self.cpu()? - cpu;

        let recorded = self.program.recorded;
        let (first, replay, delivered, mut ready) = self.invoke(ready, recorded, true).await?;
        let begins = replay.made.iter().map(|made| made.began);
        let first_call = begins.min().map(|began| millis(began - delivered));
        let mut calls = replay.calls;
        let mut invocations = Vec::new();
        for _ in 0..warm {
            let (one, replay, _, next) = self.invoke(ready, recorded, false).await?;
            invocations.push(one);
            calls = replay.calls;
            ready = next;
        }
        let mut plain: BTreeMap<String, Vec<Invocation>> = BTreeMap::new();
        for (function, recorded) in self.program.plain {
            for _ in 0..warm {
                let (one, _, _, next) = self.invoke(ready, recorded, true).await?;
                plain.entry(function.clone()).or_default().push(one);
                ready = next;
            }
        }
        let peak_kib = peak_kib(&fs::read_to_string(format!("/proc/{}/status", self.id))?)?;
        self.process.kill().await?;
        Ok(Start {
            init,
            init_cpu,
            first_call,
            first,
            warm: invocations,
            calls,
            plain,
            peak_kib,
        })
    }

    async fn invoke(
        &mut self,
        ready: Ready,
        recorded: &Recorded,
        whole: bool,
    ) -> Result<(Invocation, Replay, Instant, Ready)> {
        self.endpoint.begin(recorded).await?;
        let cpu = self.cpu()?;
        let invoked = self.api.invoke(ready, &recorded.input).await?;
        let ready = self.api.ready().await?;
        let cpu = self.cpu()? - cpu;
        let replay = self.endpoint.end();
        replay.as_recorded(whole)?;
        // What the queue is to give again did not get to Slack.
        let failures = invoked.output["batchItemFailures"].as_array();
        if failures.is_some_and(|failures| !failures.is_empty()) {
            bail!("it gave its message back: {}", invoked.output);
        }
        let invocation = Invocation {
            whole: millis(invoked.answered - invoked.delivered),
            in_calls: millis(replay.answering()),
            cpu,
        };
        Ok((invocation, replay, invoked.delivered, ready))
    }

    /// What the processor has done for its threads, in milliseconds:
    /// <https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat>.
    fn cpu(&self) -> Result<f64> {
        let mut nanos = 0_u64;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next().unwrap_or_default();
            nanos += first
                .parse::<u64>()
                .context("/proc/PID/task/TID/schedstat")?;
        }
        Ok(millis(Duration::from_nanos(nanos)))
    }
}

/// A shell that halts before it becomes the function: so that it is limited before it begins.
fn halted(program: &Program<'_>, endpoint: &Endpoint, api: &RuntimeApi) -> Result<Child> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "kill -STOP $$; exec \"$0\""])
        .arg(program.bootstrap)
        .env_clear()
        .envs(lambda_variables(program, api))
        .envs(program.variables.iter().cloned())
        .envs(endpoint.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().context("cannot run /bin/sh")
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>
fn lambda_variables(program: &Program<'_>, api: &RuntimeApi) -> Vec<(String, String)> {
    let name = format!("exuvia-{}", program.name);
    let fixed = [
        ("_HANDLER", "bootstrap"),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLEEXAMPLE00"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_Custom"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("AWS_REGION", "us-east-1"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "0123456789012345678901234567890123456789",
        ),
        ("LANG", "en_US.UTF-8"),
        ("LD_LIBRARY_PATH", "/lib64:/usr/lib64"),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin"),
        ("TZ", ":UTC"),
    ];
    let mut all: Vec<(String, String)> = fixed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    all.extend([
        ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name.clone()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(),
            program.memory_mb.to_string(),
        ),
        (
            "AWS_LAMBDA_LOG_GROUP_NAME".to_owned(),
            format!("/aws/lambda/{name}"),
        ),
        ("AWS_LAMBDA_LOG_STREAM_NAME".to_owned(), "1".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API".to_owned(), api.address()),
        // As long as Lambda's.
        ("AWS_SESSION_TOKEN".to_owned(), "0123456789".repeat(100)),
    ]);
    all
}

async fn until_halted(id: u32, process: &mut Child) -> Result<()> {
    loop {
        if let Some(status) = process.try_wait()? {
            bail!("/bin/sh ended before it could be limited: {status}");
        }
        if is_halted(&fs::read_to_string(format!("/proc/{id}/stat"))?) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The state comes after the name, which is in parentheses and may hold anything.
fn is_halted(stat: &str) -> bool {
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with('T'))
}

/// `VmHWM`: <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
fn peak_kib(status: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let value = line.and_then(|line| line.trim().strip_suffix("kB"));
    let value = value.context("/proc/PID/status has no VmHWM")?;
    Ok(value.trim().parse()?)
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// What functions are told about the pipeline, besides what Lambda tells: by `infra/pipeline.yaml`.
pub(crate) fn settings(roots: &Path) -> Vec<(String, String)> {
    use exuvia_simulation::slack::{PARAMETER, QUEUE};
    use exuvia_simulation::world;
    let fixed = [
        ("ARTIFACTS_BUCKET", world::ARTIFACTS),
        ("BUILD_STATE_MACHINE_ARN", world::BUILD_STATE_MACHINE),
        ("KEY_ARN", world::KEY),
        ("LEDGER_BUCKET", world::LEDGER),
        ("QUEUE_URL", QUEUE),
        ("SIGNING_KEY_ARN", world::SIGNING_KEY),
        ("SLACK_PARAMETER", PARAMETER),
        ("STATE_MACHINE_ARN", world::STATE_MACHINE),
        ("TOPIC_ARN", world::TOPIC),
    ];
    let mut all: Vec<(String, String)> = fixed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    all.push((
        "SSL_CERT_FILE".to_owned(),
        roots.to_string_lossy().into_owned(),
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_after_a_name_that_holds_anything() {
        assert!(is_halted("12 (sh) T 1 12 12"));
        assert!(!is_halted("12 (a) T (b) S 1 12 12"));
    }

    #[test]
    fn the_most_memory_is_that_of_the_status() {
        let status =
            "Name:\tbootstrap\nVmPeak:\t  20000 kB\nVmHWM:\t   11384 kB\nVmRSS:\t  9000 kB\n";
        assert_eq!(peak_kib(status).unwrap(), 11_384);
        assert!(peak_kib("Name:\tsh\n").is_err());
    }
}
