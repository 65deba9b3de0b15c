pub mod balancer {
    pub struct Balancer;
    impl Balancer {
        pub fn new() -> Self {
            Self
        }
        pub async fn update(&self, _: Vec<crate::routes::Listener>) -> Result<(), std::io::Error> {
            Ok(())
        }
    }
}
pub mod probe {
    use std::{net::SocketAddr, time::Duration};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    pub enum Outcome {
        Passed,
        WrongCode(u16),
        TimedOut,
        Refused(String),
    }
    pub async fn probe(addr: SocketAddr, path: &str, timeout: Duration, matcher: &str) -> Outcome {
        let get = async {
            let mut s = tokio::net::TcpStream::connect(addr).await?;
            s.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
            let mut text = String::new();
            s.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        match tokio::time::timeout(timeout, get).await {
            Err(_) => Outcome::TimedOut,
            Ok(Err(e)) => Outcome::Refused(e.to_string()),
            Ok(Ok(text)) => match text.split(' ').nth(1).and_then(|c| c.parse::<u16>().ok()) {
                Some(code) if code.to_string() == matcher => Outcome::Passed,
                Some(code) => Outcome::WrongCode(code),
                None => Outcome::Refused("?".into()),
            },
        }
    }
}
