//! Deploys in real time, against the local AWS that runs (`cargo xtask up --speed 1`): what users lose, how long a deploy
//! takes besides its instances, and how many go on at once.

mod apps;
mod course;
mod http;
mod image;
mod lost;
mod many;
mod oha;
mod overhead;
pub mod page;
mod site;
mod sockets;

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use course::{Course, Phase};
pub use lost::{Lost, Scenario};
pub use many::Many;
pub use oha::{Manner, Slice};
pub use overhead::Overhead;
pub use sockets::{Event, Life, Met};

use site::Site;

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Two minutes' worth of it
    #[arg(long)]
    quick: bool,
    /// Only some of it
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How many deploys at once, one after the other (1,10,100,500 if not given)
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    at_once: Vec<usize>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Lost,
    Overhead,
    Many,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub began: Timestamp,
    pub ended: Timestamp,
    pub processors: usize,
    pub lost: Vec<Lost>,
    pub overhead: Vec<Overhead>,
    pub many: Vec<Many>,
}

/// Measures. What users lose and what a deploy takes goes on at once, as both mostly wait; many deploys at once come after
/// it, on their own.
///
/// # Errors
/// If there is no local AWS at speed 1, or a deploy does not end as it is to.
pub async fn measure(options: &Options) -> Result<Found> {
    let began = Timestamp::now();
    image::build().await?;
    let site = Site::open().await?;
    let quick = options.quick;
    let boots: &[u64] = if quick { &[5] } else { &[5, 60, 240] };
    let waves: &[usize] = match &options.at_once[..] {
        [] if quick => &[1, 10],
        [] => &[1, 10, 100, 500],
        given => given,
    };
    let overhead = async {
        if options.has(Part::Overhead) {
            overhead::measure(&site, boots, if quick { 2 } else { 3 }).await
        } else {
            Ok(Vec::new())
        }
    };
    let lost = async {
        if options.has(Part::Lost) {
            lost::measure(&site, &Scenario::ALL).await
        } else {
            Ok(Vec::new())
        }
    };
    let (overhead, lost) = tokio::try_join!(overhead, lost)?;
    let many = if options.has(Part::Many) {
        many::measure(&site, waves).await?
    } else {
        Vec::new()
    };
    Ok(Found {
        began,
        ended: Timestamp::now(),
        processors: std::thread::available_parallelism()?.get(),
        lost,
        overhead,
        many,
    })
}

/// Of this checkout.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
