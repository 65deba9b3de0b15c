//! `exuvia-cloud`: the local AWS's front. See the library's documentation.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use exuvia_cloud::{
    authority::Authority,
    balancer::Balancer,
    clock::Clock,
    ec2::Ec2,
    face,
    instance::{self, Kind, Lifeline},
    journal::{Beginning, Journal},
    metrics,
    runtime::Runtime,
};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tracing_subscriber::EnvFilter;

/// Auto Scaling and Elastic Load Balancing with real instances, in front of another local AWS.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where to serve, on loopback
    #[arg(long, default_value = "127.0.0.1:4600")]
    listen: SocketAddr,
    /// The local AWS that answers everything else
    #[arg(long, default_value = "http://127.0.0.1:4566")]
    upstream: String,
    /// Where instances keep their files and logs, and the cloud what it was told: it goes on from there
    #[arg(long)]
    state_dir: PathBuf,
    /// How many seconds of the cloud's time go by in a real one
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// The moment at which the cloud's time and real time were the same [default: that of the first start]
    #[arg(long)]
    epoch: Option<Timestamp>,
    /// Let instances go on when this ends unasked, until standard input ends: started again, this finds them
    #[arg(long)]
    instances_live_with_stdin: bool,
    /// Let instances be machines with docker, which run the user data of their launch template; needs root
    #[arg(long)]
    docker: bool,
}

fn main() -> Result<()> {
    // This program is also what each instance is, and then it is nothing else.
    instance::main_if_asked();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    ensure!(
        options.speed.is_finite() && options.speed > 0.0,
        "--speed {} must be more than 0",
        options.speed
    );
    ensure!(
        options.listen.ip().is_loopback(),
        "--listen {} must be a loopback address: whoever reaches this port can run programs here",
        options.listen
    );
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?
        .block_on(run(options))
}

async fn run(options: Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; is another one running?",
            options.listen
        )
    })?;
    let address = listener.local_addr()?;
    if options.docker {
        instance::check_docker().map_err(anyhow::Error::msg)?;
    }
    let (sender, events) = mpsc::unbounded_channel();
    let settings = instance::Settings {
        state_dir: options.state_dir.clone(),
        endpoint: options.upstream.clone(),
        scaling: format!("http://{address}"),
        speed: options.speed,
        lifeline: if options.instances_live_with_stdin {
            Lifeline::Stdin
        } else {
            Lifeline::Process
        },
        kind: if options.docker {
            Kind::Docker {
                endpoint: format!("http://{address}"),
            }
        } else {
            Kind::Process
        },
    };
    let machines = instance::Machines::new(settings, sender)
        .with_context(|| format!("cannot keep instances in {}", options.state_dir.display()))?;
    let path = options.state_dir.join("journal");
    let beginning = Beginning {
        seed: u64::from(std::process::id()),
        epoch: options.epoch.unwrap_or_else(Timestamp::now),
        speed: options.speed,
    };
    let (journal, replayed) = Journal::open(&path, beginning)
        .with_context(|| format!("cannot go on from {}", path.display()))?;
    let Beginning { epoch, speed, .. } = replayed.beginning;
    ensure!(
        speed.to_bits() == options.speed.to_bits(),
        "--speed {}: the cloud in {} has speed {speed}; give that, or remove it",
        options.speed,
        options.state_dir.display()
    );
    let clock = Clock::since(epoch, speed);
    let balancer = Balancer::new();
    tokio::spawn(metrics::report(
        balancer.counts(),
        clock,
        options.upstream.clone(),
    ));
    let runtime = Runtime::start(
        (journal, replayed),
        clock,
        options.state_dir,
        machines,
        balancer,
        (Ec2::at(&options.upstream), Authority::at(&options.upstream)),
        events,
    )
    .await?;

    let mut terminate = signal(SignalKind::terminate())?;
    println!("exuvia-cloud ready on http://{address}");
    let served = tokio::select! {
        served = face::serve(listener, runtime.clone(), &options.upstream) => served.map(|_| ()),
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    };
    runtime.shutdown().await;
    served.context("no longer accepting connections")
}
