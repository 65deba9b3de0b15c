//! `exuvia-slack-stand-in --listen 127.0.0.1:4580`: see the library.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use exuvia_slack_stand_in::{CHANNEL, Slack, TOKEN, WEBHOOK};

#[derive(Parser)]
struct Options {
    /// A loopback address
    #[arg(long, default_value = "127.0.0.1:4580")]
    listen: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Options { listen } = Options::parse();
    ensure!(
        listen.ip().is_loopback(),
        "--listen {listen} must be a loopback address"
    );
    let slack = Slack::listen(listen).await;
    let slack = slack.with_context(|| format!("cannot listen on {listen}"))?;
    println!(
        "Slack's stand-in is on {}; what was said: GET /conversation\n  \
         webhook  https://hooks.slack.com{WEBHOOK}\n  \
         bot      {{\"botToken\": \"{TOKEN}\", \"channel\": \"{CHANNEL}\"}}",
        slack.url()
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}
