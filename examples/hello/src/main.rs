//! A web application as a user of the deployer would have one: it knows nothing of the deployer.
//!
//! It listens on `PORT` and says what it is. `GREETING` comes from the app's settings, `VERSION` is baked
//! into the image, `RELEASE` and `HOSTNAME` are told to it where it runs.
//!
//! So that one can see bad versions being turned away, it can be one: `HELLO_HEALTH` makes it answer its health
//! check with another status, `HELLO_START_AFTER` makes it listen that many seconds late, `HELLO_EXIT_AFTER`
//! makes it exit that many seconds after its start, `HELLO_ERRORS` makes it answer that many percent of its requests with a
//! 500, and `HELLO_SLOW` makes each take that many milliseconds longer; its health check sees nothing of the last two.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Longer than a load balancer keeps an idle connection (60 s on an Application Load Balancer): otherwise
/// this end may close one just as a request comes down it, and the user gets a 502.
const IDLE: Duration = Duration::from_secs(75);

fn main() -> io::Result<()> {
    if let Some(life) = seconds("HELLO_EXIT_AFTER") {
        thread::spawn(move || {
            thread::sleep(life);
            eprintln!("hello exits, as HELLO_EXIT_AFTER says");
            std::process::exit(1);
        });
    }
    if let Some(late) = seconds("HELLO_START_AFTER") {
        thread::sleep(late);
    }
    let port = setting("PORT", "8080");
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!(
        "hello {} listens on port {port}",
        setting("VERSION", "unversioned")
    );
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // A client that goes away in the middle of a request is its own business.
            let _ = serve(&stream);
        });
    }
    Ok(())
}

/// Answers requests on one connection until the client is done with it.
fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request_line = String::new();
        if reader.read_line(&mut request_line)? == 0 {
            return Ok(());
        }
        let mut close = request_line.trim_end().ends_with("HTTP/1.0");
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 {
                return Ok(());
            }
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            close |= header == "connection: close";
        }
        let path = request_line.split(' ').nth(1).unwrap_or("/");
        let (status, body) = answer(path.split('?').next().unwrap_or("/"));
        let connection = if close { "close" } else { "keep-alive" };
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
            body.len(),
        );
        let mut writer = stream;
        writer.write_all(response.as_bytes())?;
        if close {
            return Ok(());
        }
    }
}

fn answer(path: &str) -> (String, String) {
    match path {
        "/" => {
            thread::sleep(Duration::from_millis(number("HELLO_SLOW")));
            if is_to_fail(number("HELLO_ERRORS")) {
                let body = "{\"error\":\"as HELLO_ERRORS says\"}\n".to_owned();
                return ("500 Internal Server Error".to_owned(), body);
            }
            ("200 OK".to_owned(), about())
        }
        "/health" => match setting("HELLO_HEALTH", "200").as_str() {
            "200" => ("200 OK".to_owned(), "{\"status\":\"healthy\"}\n".to_owned()),
            other => (
                format!("{other} Unhealthy"),
                "{\"status\":\"unhealthy\"}\n".to_owned(),
            ),
        },
        _ => (
            "404 Not Found".to_owned(),
            "{\"error\":\"there is / and /health\"}\n".to_owned(),
        ),
    }
}

/// Whether this request is one of so many percent; evenly spread.
fn is_to_fail(percent: u64) -> bool {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let before = REQUESTS.fetch_add(1, Ordering::Relaxed) % 100;
    (before + 1) * percent / 100 > before * percent / 100
}

fn about() -> String {
    let fields = [
        ("greeting", setting("GREETING", "Hello, world")),
        ("version", setting("VERSION", "unversioned")),
        ("release", setting("RELEASE", "none")),
        ("instance", setting("HOSTNAME", "none")),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{}\"", escaped(value)))
        .collect();
    format!("{{{}}}\n", fields.join(","))
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect()
}

fn seconds(name: &str) -> Option<Duration> {
    let seconds = std::env::var(name).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// 0 if it is not set.
fn number(name: &str) -> u64 {
    setting(name, "0").parse().unwrap_or(0)
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
