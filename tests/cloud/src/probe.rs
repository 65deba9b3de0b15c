//! One health check, as an Application Load Balancer does it:
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html>.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// It answered, with a status code that the matcher does not name.
    WrongCode(u16),
    TimedOut,
    /// No connection, or no answer that is HTTP: why.
    Refused(String),
}

/// Asks `addr` for `path`, without following redirects, and waits for the answer's head for `timeout` at most.
///
/// `matcher` names the codes that pass, as `Matcher.HttpCode` does: `200`, `200,204` or `200-299`.
pub async fn probe(addr: SocketAddr, path: &str, timeout: Duration, matcher: &str) -> Outcome {
    match tokio::time::timeout(timeout, answer(addr, path)).await {
        Ok(Ok(code)) if passes(matcher, code) => Outcome::Passed,
        Ok(Ok(code)) => Outcome::WrongCode(code),
        Ok(Err(error)) => Outcome::Refused(error.to_string()),
        Err(_) => Outcome::TimedOut,
    }
}

async fn answer(addr: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, addr.to_string())
        .header(USER_AGENT, "ELB-HealthChecker/2.0")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request);
    tokio::pin!(response);
    // Both in this one future, so that giving up on it closes the connection.
    let response = tokio::select! {
        response = &mut response => response,
        _ = connection => response.await,
    };
    Ok(response?.status().as_u16())
}

fn passes(matcher: &str, code: u16) -> bool {
    matcher.split(',').any(|part| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let bound = |text: &str| text.trim().parse::<u16>();
        matches!((bound(low), bound(high)), (Ok(low), Ok(high)) if (low..=high).contains(&code))
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn matchers_are_codes_lists_and_ranges() {
        for (matcher, passing, failing) in [
            ("200", &[200][..], &[201, 199][..]),
            ("200,204", &[200, 204], &[202]),
            ("200-299", &[200, 250, 299], &[199, 300]),
            ("200, 301-302", &[200, 301, 302], &[303]),
            ("", &[], &[200]),
            ("2xx", &[], &[200]),
        ] {
            assert!(
                passing.iter().all(|code| passes(matcher, *code)),
                "{matcher}"
            );
            assert!(
                !failing.iter().any(|code| passes(matcher, *code)),
                "{matcher}"
            );
        }
    }

    /// A server that reads one request and answers with these bytes; what it read comes out.
    async fn server(
        answer: Option<&'static [u8]>,
    ) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                None => tokio::time::sleep(Duration::from_mins(1)).await,
            }
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (addr, served)
    }

    async fn probed(addr: SocketAddr) -> Outcome {
        probe(
            addr,
            "/health?full=1",
            Duration::from_millis(500),
            "200-299",
        )
        .await
    }

    #[tokio::test]
    async fn a_check_asks_as_an_alb_does() {
        let (addr, served) = server(Some(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
        assert_eq!(probed(addr).await, Outcome::Passed);
        assert_eq!(
            served.await.unwrap().to_lowercase(),
            format!(
                "get /health?full=1 http/1.1\r\nhost: {addr}\r\nuser-agent: elb-healthchecker/2.0\r\n\
                 connection: close\r\n\r\n"
            )
        );
    }

    #[tokio::test]
    async fn what_an_answer_is_worth() {
        let body_to_come = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbeginning";
        let redirect = b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
        for (answer, expected) in [
            (&body_to_come[..], Outcome::Passed),
            (redirect, Outcome::WrongCode(302)),
            (b"HTTP/1.0 500 Oh\r\n\r\n", Outcome::WrongCode(500)),
        ] {
            let (addr, _served) = server(Some(answer)).await;
            assert_eq!(probed(addr).await, expected);
        }
        for answer in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n"] {
            let (addr, _served) = server(Some(answer)).await;
            assert!(matches!(probed(addr).await, Outcome::Refused(_)));
        }
        let (addr, _served) = server(None).await;
        assert_eq!(probed(addr).await, Outcome::TimedOut);
        let closed = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(matches!(probed(closed).await, Outcome::Refused(_)));
    }
}
