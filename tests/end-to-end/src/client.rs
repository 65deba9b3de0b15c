//! A user of the app: asks through the load balancer, all the time, and counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinHandle;

use crate::setting;

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Empty<Bytes>>;

/// One request to a host through the load balancer, on a new connection; the status and the body.
pub async fn ask(host: &str) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    get(&client, host).await.unwrap()
}

/// What is at an address.
pub async fn read(url: &str) -> (StatusCode, String) {
    let request = Request::get(url).body(Empty::new()).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    answer(&client, request).await.unwrap()
}

async fn get(client: &Http, host: &str) -> Result<(StatusCode, String), String> {
    let request = Request::get(setting("EXUVIA_LOAD_BALANCER_URL"))
        .header("host", host)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    answer(client, request).await
}

async fn answer(
    client: &Http,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, String), String> {
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok((
        status,
        String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    ))
}

/// What a user who asked throughout had.
#[derive(Debug, Default)]
pub struct Experience {
    pub answered: u32,
    /// What was not a 200, and how often.
    pub failures: BTreeMap<String, u32>,
}

/// Asks until it is told to end: two clients that keep their connections, and one that opens a new one each time.
pub struct User {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Experience>>,
}

impl User {
    pub fn of(host: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = [8, 8, 0].map(|idle| {
            let (stop, host) = (stop.clone(), host.to_owned());
            tokio::spawn(async move {
                let client = Client::builder(TokioExecutor::new())
                    .pool_max_idle_per_host(idle)
                    .build_http();
                let mut experience = Experience::default();
                while !stop.load(Ordering::Relaxed) {
                    match get(&client, &host).await {
                        Ok((StatusCode::OK, _)) => experience.answered += 1,
                        Ok((status, _)) => {
                            *experience.failures.entry(status.to_string()).or_default() += 1;
                        }
                        Err(error) => *experience.failures.entry(error).or_default() += 1,
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                experience
            })
        });
        Self {
            stop,
            tasks: tasks.into(),
        }
    }

    pub async fn experience(self) -> Experience {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Experience::default();
        for task in self.tasks {
            let one = task.await.unwrap();
            all.answered += one.answered;
            for (failure, times) in one.failures {
                *all.failures.entry(failure).or_default() += times;
            }
        }
        all
    }
}
