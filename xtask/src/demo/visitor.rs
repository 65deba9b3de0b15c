//! Somebody who uses the app all the while, through the load balancer, and notes every answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::task::JoinSet;

/// Between two requests of one visitor; there are two visitors.
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);
/// Failures are counted all; of this many the reason is kept.
const REASONS_KEPT: usize = 5;

/// What hello answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    pub(crate) greeting: String,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) instance: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Visits {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) reasons: Vec<String>,
    /// Answers by version.
    pub(crate) versions: BTreeMap<String, u64>,
    pub(crate) latest: Option<Answer>,
}

impl Visits {
    /// What failed counts only once the app has answered: until then nothing is deployed.
    fn note(&mut self, result: Result<Answer>) {
        match result {
            Ok(answer) => {
                self.answered += 1;
                *self.versions.entry(answer.version.clone()).or_default() += 1;
                self.latest = Some(answer);
            }
            Err(_) if self.answered == 0 => {}
            Err(error) => {
                self.failed += 1;
                if self.reasons.len() < REASONS_KEPT {
                    self.reasons.push(format!("{error:#}"));
                }
            }
        }
    }
}

/// Asks until it is dropped: one visitor over a connection that is kept, one over a new one each time.
pub(crate) struct Visitors {
    visits: Arc<Mutex<Visits>>,
    _tasks: JoinSet<()>,
}

impl Visitors {
    pub(crate) fn send_to(url: &str) -> Self {
        let visits = Arc::new(Mutex::new(Visits::default()));
        let mut tasks = JoinSet::new();
        for idle_connections in [1, 0] {
            let (url, visits) = (url.to_owned(), Arc::clone(&visits));
            tasks.spawn(async move {
                let client = client(idle_connections);
                loop {
                    let result = ask(&client, &url).await;
                    visits
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .note(result);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self {
            visits,
            _tasks: tasks,
        }
    }

    pub(crate) fn visits(&self) -> Visits {
        self.visits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

fn client(idle_connections: usize) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(idle_connections)
        .build(connector)
}

async fn ask(client: &HttpClient, url: &str) -> Result<Answer> {
    let answer = async {
        let response = client
            .get(format!("{url}/").parse()?)
            .await
            .context("no answer")?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .context("the answer broke off")?
            .to_bytes();
        if status != hyper::StatusCode::OK {
            bail!(
                "answered {status}: {}",
                String::from_utf8_lossy(&body).trim()
            );
        }
        serde_json::from_slice(&body).context("answered something else than hello does")
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .context("no answer in 5 s")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(version: &str) -> Answer {
        Answer {
            greeting: "Hello".to_owned(),
            version: version.to_owned(),
            release: "1".to_owned(),
            instance: "i-1".to_owned(),
        }
    }

    #[test]
    fn a_failure_counts_from_the_first_answer_on() {
        let mut visits = Visits::default();
        visits.note(Err(anyhow::anyhow!("answered 404")));
        visits.note(Ok(answer("v1")));
        visits.note(Err(anyhow::anyhow!("answered 502")));
        visits.note(Ok(answer("v2")));
        assert_eq!((visits.answered, visits.failed), (2, 1));
        assert_eq!(visits.reasons, ["answered 502"]);
        assert_eq!(visits.latest, Some(answer("v2")));
    }
}
