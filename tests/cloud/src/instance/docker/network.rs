//! A machine's network: a loopback of its own. Which network a socket is in is decided where it is made, and a thread
//! can leave for another network alone; so this process has a thread in the machine's, which makes the sockets there,
//! and connections are carried across without an interface, a route or a filter rule on this computer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::authority::Role;

use super::super::Spec;
use super::{AWS_PORT, Faults, metadata};

/// Of what S3 answers: which is not the same any more.
const CORRUPT_BYTE: usize = 100_000;

/// What the thread in the network is asked for.
enum Ask {
    Connect(u16, oneshot::Sender<io::Result<StdStream>>),
    Start(Command, oneshot::Sender<io::Result<Child>>),
}

/// A way into it. It goes on until this process ends.
#[derive(Clone)]
pub(super) struct Network(mpsc::UnboundedSender<Ask>);

impl Network {
    /// Makes the network, and serves in it the metadata of `spec` and what there is at `aws`.
    pub(super) async fn start(
        spec: Spec,
        role: Role,
        faults: Faults,
        aws: SocketAddr,
    ) -> io::Result<Self> {
        let (asks, inbox) = mpsc::unbounded_channel();
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let (ready, when_ready) = oneshot::channel();
        let wrong = faults.clone();
        thread::spawn(move || inside((spec, role), &faults, inbox, arrived, ready));
        when_ready
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the network's thread ended")))?;
        tokio::spawn(async move {
            while let Some(stream) = arrivals.recv().await {
                let wrong = wrong.clone();
                tokio::spawn(async move {
                    // What breaks off is told by its ends to each other.
                    let _ = to_aws(stream, aws, wrong).await;
                });
            }
        });
        Ok(Self(asks))
    }

    /// Starts a program in the network.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        self.ask(|answer| Ask::Start(command, answer)).await
    }

    /// Passes what arrives at the listener on to a port of the machine.
    pub(super) async fn publish(self, listener: TcpListener, port: u16) {
        loop {
            let Ok((mut outside, _)) = listener.accept().await else {
                continue;
            };
            let network = self.clone();
            tokio::spawn(async move {
                // Nobody listens there yet: then this end is closed as well.
                let inside = network.ask(|answer| Ask::Connect(port, answer)).await?;
                let mut inside = here(inside)?;
                outside.set_nodelay(true)?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Ask,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(ask(answer));
        answered
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the network's thread ended")))
    }
}

/// A connection from another runtime.
fn here(stream: StdStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// The thread in the network, until this process ends.
fn inside(
    (spec, role): (Spec, Role),
    faults: &Faults,
    inbox: mpsc::UnboundedReceiver<Ask>,
    arrived: mpsc::UnboundedSender<StdStream>,
    ready: oneshot::Sender<io::Result<()>>,
) {
    let made = (|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        ip(&["link", "set", "dev", "lo", "up"])?;
        let address = format!("{}/32", metadata::ADDRESS);
        ip(&["address", "add", &address, "dev", "lo"])?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    })();
    let runtime = match made {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let began = Instant::now();
    let after = |seconds| began + Duration::from_secs(seconds);
    let (metadata_from, aws_from) = (
        after(faults.metadata_after_seconds),
        after(faults.network_after_seconds),
    );
    runtime.block_on(async move {
        match TcpListener::bind((metadata::ADDRESS, 80)).await {
            Ok(listener) => {
                tokio::spawn(metadata::serve(listener, spec, role, metadata_from));
                tokio::spawn(way_to_aws(aws_from, arrived));
                let _ = ready.send(Ok(()));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        }
        obey(inbox).await;
    });
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

async fn obey(mut inbox: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = inbox.recv().await {
        match ask {
            Ask::Connect(port, answer) => {
                tokio::spawn(async move {
                    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                    let _ = answer.send(stream.and_then(TcpStream::into_std));
                });
            }
            Ask::Start(mut command, answer) => {
                let _ = answer.send(command.spawn());
            }
        }
    }
}

/// Until `from` nobody listens, as where a route is missing.
async fn way_to_aws(from: Instant, arrived: mpsc::UnboundedSender<StdStream>) -> io::Result<()> {
    sleep_until(from).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, AWS_PORT)).await?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if arrived.send(stream.into_std()?).is_err() {
            return Ok(());
        }
    }
}

async fn to_aws(stream: StdStream, aws: SocketAddr, wrong: Faults) -> io::Result<()> {
    let mut stream = here(stream)?;
    let mut there = TcpStream::connect(aws).await?;
    there.set_nodelay(true)?;
    if wrong.s3_corrupts || wrong.s3_refuses_with.is_some() {
        let mut head = [0; 1024];
        let read = stream.peek(&mut head).await?;
        if asks_for_a_version(&head[..read]) {
            return match wrong.s3_refuses_with {
                Some(code) => refuse(stream, &code).await,
                None => corrupt(stream, there).await,
            };
        }
    }
    copy_bidirectional(&mut stream, &mut there).await.map(drop)
}

/// As the AWS CLI asks for what a manifest pins.
fn asks_for_a_version(head: &[u8]) -> bool {
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or(head))
        .into_owned();
    line.starts_with("GET /") && line.contains("versionId=")
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
async fn refuse(mut stream: TcpStream, code: &str) -> io::Result<()> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}, as this machine's \
         faults say</Message></Error>"
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Passes on what is asked, and of the answer every byte but one, far behind its header. S3 says nothing of a checksum
/// then: as if other bytes had been there when it made one.
async fn corrupt(stream: TcpStream, there: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let (mut answer, mut question) = there.into_split();
    let ask = tokio::spawn(async move { tokio::io::copy(&mut from, &mut question).await });
    let mut passed = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = answer.read(&mut buffer).await?;
        if read == 0 {
            ask.abort();
            return to.shutdown().await;
        }
        if passed == 0 {
            rename_checksums(&mut buffer[..read]);
        }
        if (passed..passed + read).contains(&CORRUPT_BYTE) {
            buffer[CORRUPT_BYTE - passed] ^= 1;
        }
        passed += read;
        to.write_all(&buffer[..read]).await?;
    }
}

/// In a header, which begins with the first byte.
fn rename_checksums(answer: &mut [u8]) {
    const NAME: &[u8] = b"x-amz-checksum-";
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let header = &mut answer[..end.unwrap_or(0)];
    for at in 0..header.len().saturating_sub(NAME.len()) {
        if header[at..at + NAME.len()].eq_ignore_ascii_case(NAME) {
            header[at] = b'y';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_by_its_version_is_refused() {
        for (head, wanted) in [
            ("GET /b/hello/qa/v1.tar.gz?versionId=1 HTTP/1.1\r\n", true),
            (
                "GET /b/hello/qa/releases/000001.json HTTP/1.1\r\nx: versionId=\r\n",
                false,
            ),
            ("PUT /b/hello/qa/boot?versionId=1 HTTP/1.1\r\n", false),
        ] {
            assert_eq!(asks_for_a_version(head.as_bytes()), wanted, "{head}");
        }
    }

    #[test]
    fn checksums_are_hidden_in_the_header_alone() {
        let mut answer = *b"HTTP/1.1 200 OK\r\nX-Amz-Checksum-CRC32: a\r\n\r\nx-amz-checksum-crc32";
        rename_checksums(&mut answer);
        let wanted = b"HTTP/1.1 200 OK\r\ny-Amz-Checksum-CRC32: a\r\n\r\nx-amz-checksum-crc32";
        assert_eq!(&answer, wanted);
    }
}
