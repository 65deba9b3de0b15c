//! Clients with `WebSockets`: each says something twice a second and waits for it to come back, and connects anew when it is
//! closed as RFC 6455 has it, by a close frame.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::apps::App;

/// Between an answer and the next message.
const PAUSE: Duration = Duration::from_millis(500);
/// A message that has not come back by then is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the app lets a `WebSocket` be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Life {
    /// It is closed some seconds after it was opened, which is less than the time that a target drains.
    Limited,
    /// It stays as long as its client wants.
    Unlimited,
}

impl Life {
    pub const ALL: [Self; 2] = [Self::Limited, Self::Unlimited];

    fn path(self) -> &'static str {
        match self {
            Self::Limited => "/echo?seconds=8",
            Self::Unlimited => "/echo",
        }
    }

    /// Clients at once.
    pub fn clients(self) -> u32 {
        match self {
            Self::Limited => 10,
            Self::Unlimited => 4,
        }
    }
}

/// Something that a client met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A message came back, after so many milliseconds.
    Echoed(f64),
    /// One did not.
    Lost,
    /// It was closed with a close frame.
    Closed,
    /// The connection ended without one.
    Broken,
    /// It could not be opened.
    Refused,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Met {
    pub life: Life,
    pub at: Timestamp,
    pub event: Event,
}

/// Clients of an app, until `stop` is told; all that they met.
pub(super) async fn talk(app: App, life: Life, stop: watch::Receiver<bool>) -> Result<Vec<Met>> {
    let mut clients = JoinSet::new();
    for number in 0..life.clients() {
        let (app, stop) = (app.clone(), stop.clone());
        clients.spawn(async move {
            // Not all at once.
            tokio::time::sleep(PAUSE * number / life.clients()).await;
            client(&app, life, stop).await
        });
    }
    let mut all = Vec::new();
    while let Some(met) = clients.join_next().await {
        all.extend(met?);
    }
    all.sort_by_key(|met: &Met| met.at);
    Ok(all)
}

async fn client(app: &App, life: Life, mut stop: watch::Receiver<bool>) -> Vec<Met> {
    let mut met = Vec::new();
    let mut note = |event| {
        let at = Timestamp::now();
        met.push(Met { life, at, event });
    };
    while !*stop.borrow() {
        if let Ok(socket) = open(app, life).await {
            until_closed(socket, &mut stop, &mut note).await;
        } else {
            note(Event::Refused);
            tokio::time::sleep(PAUSE).await;
        }
    }
    met
}

async fn open(app: &App, life: Life) -> Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", app.port)).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{}{}", app.host, life.path());
    let opened = tokio_tungstenite::client_async(url, stream);
    let (socket, _) = timeout(PATIENCE, opened).await.context("no answer")??;
    Ok(socket)
}

/// One connection, until it is closed, breaks, or `stop` is told.
async fn until_closed(
    mut socket: WebSocketStream<TcpStream>,
    stop: &mut watch::Receiver<bool>,
    note: &mut impl FnMut(Event),
) {
    for number in 0_u64.. {
        let said = Message::text(number.to_string());
        let sent = Instant::now();
        if socket.send(said.clone()).await.is_err() {
            note(Event::Lost);
            return note(Event::Broken);
        }
        match timeout(PATIENCE, socket.next()).await {
            Ok(Some(Ok(heard))) if heard == said => {
                note(Event::Echoed(sent.elapsed().as_secs_f64() * 1000.0));
            }
            Ok(ended) => {
                note(Event::Lost);
                return note(how_it_ended(ended.as_ref()));
            }
            Err(_) => {
                note(Event::Lost);
                return note(Event::Broken);
            }
        }
        tokio::select! {
            ended = socket.next() => {
                let event = how_it_ended(ended.as_ref());
                if event == Event::Closed {
                    // The answer to the close frame is sent by reading on.
                    let _ = timeout(PATIENCE, socket.next()).await;
                }
                return note(event);
            }
            () = tokio::time::sleep(PAUSE) => {}
        }
        if *stop.borrow_and_update() {
            let _ = socket.close(None).await;
            return;
        }
    }
}

fn how_it_ended(heard: Option<&Result<Message, Error>>) -> Event {
    match heard {
        Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) => Event::Closed,
        // Whatever else there is to hear, it is not what was said.
        _ => Event::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_close_frame_closes() {
        for (heard, event) in [
            (Some(Ok(Message::Close(None))), Event::Closed),
            (Some(Err(Error::ConnectionClosed)), Event::Closed),
            (Some(Err(Error::AlreadyClosed)), Event::Broken),
            (Some(Ok(Message::text("what nobody said"))), Event::Broken),
            (None, Event::Broken),
        ] {
            assert_eq!(how_it_ended(heard.as_ref()), event);
        }
    }
}
