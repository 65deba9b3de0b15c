//! Lambda, as a function's process sees it: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// What a process may take to say something: twenty times as long as the slowest at the smallest size.
const PATIENCE: Duration = Duration::from_mins(1);
const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:exuvia";

/// What a process says.
enum Said {
    Next {
        at: Instant,
        reply: oneshot::Sender<Given>,
    },
    Answered {
        at: Instant,
        body: Bytes,
    },
    Failed(String),
}

/// An invocation on its way to the process.
struct Given {
    number: u64,
    body: Bytes,
    delivered: oneshot::Sender<Instant>,
}

/// Lambda for one process; it ends when this is dropped.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    said: mpsc::UnboundedReceiver<Said>,
    serving: AbortHandle,
    invocations: u64,
}

/// A process that waits for an invocation.
pub(crate) struct Ready {
    pub(crate) since: Instant,
    reply: oneshot::Sender<Given>,
}

/// An invocation from outside.
pub(crate) struct Invoked {
    pub(crate) delivered: Instant,
    pub(crate) answered: Instant,
    pub(crate) output: Value,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RuntimeApi {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (say, said) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, say.clone()));
            }
        });
        Ok(Self {
            address,
            said,
            serving: serving.abort_handle(),
            invocations: 0,
        })
    }

    /// What `AWS_LAMBDA_RUNTIME_API` is to say.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the process asks for an invocation.
    pub(crate) async fn ready(&mut self) -> Result<Ready> {
        match self.said().await? {
            Said::Next { at, reply } => Ok(Ready { since: at, reply }),
            Said::Answered { .. } => bail!("the process answers what it was not asked"),
            Said::Failed(error) => bail!("the process reports an error: {error}"),
        }
    }

    /// Gives the process an invocation, and waits for its answer.
    pub(crate) async fn invoke(&mut self, ready: Ready, input: &Value) -> Result<Invoked> {
        self.invocations += 1;
        let (delivered, is_delivered) = oneshot::channel();
        let given = Given {
            number: self.invocations,
            body: input.to_string().into(),
            delivered,
        };
        let gone = |_| anyhow!("the process has gone while it waited for an invocation");
        ready.reply.send(given).map_err(gone)?;
        let delivered = is_delivered
            .await
            .context("the process has gone before its invocation")?;
        match self.said().await? {
            Said::Answered { at, body } => Ok(Invoked {
                delivered,
                answered: at,
                output: serde_json::from_slice(&body).context("the answer is no JSON")?,
            }),
            Said::Failed(error) => bail!("the invocation failed: {error}"),
            Said::Next { .. } => bail!("the process asks for more before it has answered"),
        }
    }

    async fn said(&mut self) -> Result<Said> {
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        let said = said.with_context(|| {
            format!(
                "the process has said nothing for {} s; its log may tell why",
                PATIENCE.as_secs()
            )
        })?;
        said.context("nobody listens to the process any more")
    }
}

async fn connection(stream: TcpStream, say: mpsc::UnboundedSender<Said>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(request, say.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    say: mpsc::UnboundedSender<Said>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/2018-06-01/runtime/");
    let path: Vec<&str> = path.unwrap_or_default().split('/').collect();
    if parts.method == Method::GET && path == ["invocation", "next"] {
        return Ok(next(at, &say).await.unwrap_or_else(|| answer(500)));
    }
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(answer(400)),
    };
    let said = match path[..] {
        ["invocation", _, "response"] => Said::Answered {
            at: Instant::now(),
            body,
        },
        ["invocation", _, "error"] | ["init", "error"] => {
            Said::Failed(String::from_utf8_lossy(&body).into_owned())
        }
        _ => return Ok(answer(404)),
    };
    let _ = say.send(said);
    Ok(answer(202))
}

/// Answers once there is an invocation.
async fn next(at: Instant, say: &mpsc::UnboundedSender<Said>) -> Option<Response<Full<Bytes>>> {
    let (reply, given) = oneshot::channel();
    say.send(Said::Next { at, reply }).ok()?;
    let Given {
        number,
        body,
        delivered,
    } = given.await.ok()?;
    let deadline = SystemTime::now() + Duration::from_mins(1);
    let deadline = deadline.duration_since(UNIX_EPOCH).ok()?.as_millis();
    let response = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", request_id(number))
        .header("Lambda-Runtime-Deadline-Ms", deadline.to_string())
        .header("Lambda-Runtime-Invoked-Function-Arn", ARN)
        .header(
            "Lambda-Runtime-Trace-Id",
            "Root=1-00000000-000000000000000000000000;Sampled=0",
        )
        .body(Full::from(body))
        .ok()?;
    delivered.send(Instant::now()).ok()?;
    Some(response)
}

fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::client::legacy::Client;
    use hyper_util::client::legacy::connect::HttpConnector;
    use hyper_util::rt::TokioExecutor;
    use serde_json::json;

    /// A function's side.
    struct Function {
        client: Client<HttpConnector, Full<Bytes>>,
        base: String,
    }

    impl Function {
        fn of(api: &RuntimeApi) -> Self {
            Self {
                client: Client::builder(TokioExecutor::new()).build_http(),
                base: format!("http://{}/2018-06-01/runtime", api.address()),
            }
        }

        async fn send(&self, method: Method, path: &str, body: &str) -> Response<Incoming> {
            let request = Request::builder().method(method);
            let request = request.uri(format!("{}/{path}", self.base));
            let request = request.body(Full::from(body.to_owned())).unwrap();
            self.client.request(request).await.unwrap()
        }

        /// Takes an invocation, and answers it under `how`.
        async fn take(&self, how: &str, body: &str) -> Bytes {
            let given = self.send(Method::GET, "invocation/next", "").await;
            let header = |name: &str| given.headers()[name].to_str().unwrap().to_owned();
            let id = header("lambda-runtime-aws-request-id");
            assert!(header("lambda-runtime-deadline-ms").parse::<u64>().is_ok());
            assert_eq!(header("lambda-runtime-invoked-function-arn"), ARN);
            let input = given.into_body().collect().await.unwrap().to_bytes();
            let path = format!("invocation/{id}/{how}");
            let answer = self.send(Method::POST, &path, body).await;
            assert_eq!(answer.status(), 202);
            input
        }
    }

    #[tokio::test]
    async fn an_invocation_is_given_and_its_answer_comes_back() {
        let mut api = RuntimeApi::start().await.unwrap();
        let function = Function::of(&api);
        let served = tokio::spawn(async move {
            let first = function.take("response", r#"{"done":1}"#).await;
            let second = function.take("response", "null").await;
            [first, second]
        });
        let ready = api.ready().await.unwrap();
        let first = api.invoke(ready, &json!({"n": 1})).await.unwrap();
        assert_eq!(first.output, json!({"done": 1}));
        assert!(first.delivered <= first.answered);
        let ready = api.ready().await.unwrap();
        assert!(first.answered <= ready.since);
        let second = api.invoke(ready, &json!({"n": 2})).await.unwrap();
        assert_eq!(second.output, Value::Null);
        assert_eq!(served.await.unwrap(), [r#"{"n":1}"#, r#"{"n":2}"#]);
    }

    #[tokio::test]
    async fn an_error_is_one_here_as_well() {
        let mut api = RuntimeApi::start().await.unwrap();
        let function = Function::of(&api);
        tokio::spawn(async move {
            function.take("error", r#"{"errorType":"LockLost"}"#).await;
            function.send(Method::POST, "init/error", "no bucket").await;
        });
        let ready = api.ready().await.unwrap();
        let failed = api.invoke(ready, &json!({})).await.err().unwrap();
        assert!(failed.to_string().contains("LockLost"), "{failed}");
        let failed = api.ready().await.err().unwrap();
        assert!(failed.to_string().contains("no bucket"), "{failed}");
    }
}
