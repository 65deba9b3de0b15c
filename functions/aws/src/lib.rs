//! AWS, in the domain's words: the only crate that names an SDK. One file a service, or a part of one.
//!
//! Every call ends in what the domain understands or in a [`StepError`]; what is worth another try is told from
//! what is not in [`error`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod artifacts;
pub mod builders;
pub mod conversations;
mod environment;
mod error;
pub use aws_config::{ConfigLoader, Region, SdkConfig};
pub use environment::config;
pub mod fleet;
pub mod function;
pub mod keys;
pub mod ledger;
pub mod listener;
pub mod lock;
pub mod metrics;
pub mod queue;
mod reports;
pub mod secrets;
pub mod targets;
pub mod topic;
pub mod workflow;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::LazyLock;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_types::DateTime;
use exuvia_core::error::StepError;
use jiff::Timestamp;

fn timestamp(date: &DateTime) -> Option<Timestamp> {
    Timestamp::new(date.secs(), date.subsec_nanos().cast_signed()).ok()
}

/// A service's client.
type Lazy<C> = LazyLock<C, Box<dyn FnOnce() -> C + Send>>;

/// A client that is made when it is first called: as it is made, each reads the table of AWS's partitions, which would be
/// most of what a function does until it is there.
fn lazily<C>(config: &SdkConfig, new: impl FnOnce(&SdkConfig) -> C + Send + 'static) -> Lazy<C> {
    let config = config.clone();
    LazyLock::new(Box::new(move || new(&config)))
}

fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// As [`config`], of what the caller says in place of the environment.
pub fn loader() -> ConfigLoader {
    aws_config::defaults(behavior())
        .retry_config(retries())
        .timeout_config(timeouts())
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(4)
}

/// A call that hangs is given up well before the function's own time-out, so that the step ends with a reason and is
/// tried again.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(20))
        .build()
}

/// A function's environment variables, given by `infra/pipeline.yaml`.
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    pub fn of_this_process() -> Self {
        let readable = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(readable).collect()
    }

    /// One that the template need not give.
    pub fn find(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub fn get(&self, name: &str) -> Result<String, StepError> {
        self.find(name).ok_or_else(|| StepError::Unreadable {
            what: format!("the function's environment variable {name}"),
            problem: "it is not set; deploy infra/pipeline.yaml again".to_owned(),
        })
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Self(variables.into_iter().collect())
    }
}
