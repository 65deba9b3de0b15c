//! What all schedules share: the parsed state machine, and the functions with their clients.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use exuvia_aws::{Region, Settings};

use crate::asl::Machine;
use crate::connector::InProcess;
use crate::functions::{Functions, STEPS};
use crate::world::{
    ARTIFACTS, BUILD_STATE_MACHINE, KEY, LEDGER, REGION, SIGNING_KEY, STATE_MACHINE, TOPIC,
};

const DEPLOY: &str = include_str!("../../../statemachine/deploy.asl.json");
const BUILD: &str = include_str!("../../../statemachine/build.asl.json");

/// The state machines.
pub struct Machines {
    pub deploy: Machine,
    pub build: Machine,
}

pub struct Kit {
    pub machines: Arc<Machines>,
    /// Each like a process of its own, taken by turns.
    functions: Vec<Functions>,
    next: Cell<usize>,
}

impl Kit {
    /// Functions of their own: the SDK's clients of one region share a retry quota for as long as the process lives, so
    /// every kit gets a region that nothing else has.
    pub async fn new(machines: Arc<Machines>) -> anyhow::Result<Self> {
        Self::of_processes(machines, 1).await
    }

    /// So many times all functions, each with a retry quota of its own, as processes of Lambda have.
    pub async fn of_processes(machines: Arc<Machines>, count: usize) -> anyhow::Result<Self> {
        let mut functions = Vec::new();
        for _ in 0..count.max(1) {
            functions.push(one_of_all().await?);
        }
        Ok(Self {
            machines,
            functions,
            next: Cell::new(0),
        })
    }

    /// The functions whose turn it is.
    pub fn functions(&self) -> &Functions {
        let index = self.next.get();
        self.next.set((index + 1) % self.functions.len());
        &self.functions[index]
    }
}

async fn one_of_all() -> anyhow::Result<Functions> {
    static KITS: AtomicU64 = AtomicU64::new(0);
    let region = format!("{REGION}-{}", KITS.fetch_add(1, Ordering::Relaxed));
    let config = exuvia_aws::loader()
        .http_client(InProcess)
        .test_credentials()
        .region(Region::new(region))
        .endpoint_url("http://127.0.0.1:1")
        .load()
        .await;
    let settings: Settings = [
        ("ARTIFACTS_BUCKET", ARTIFACTS),
        ("LEDGER_BUCKET", LEDGER),
        ("KEY_ARN", KEY),
        ("SIGNING_KEY_ARN", SIGNING_KEY),
        ("TOPIC_ARN", TOPIC),
        ("STATE_MACHINE_ARN", STATE_MACHINE),
        ("BUILD_STATE_MACHINE_ARN", BUILD_STATE_MACHINE),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    Ok(Functions::new(&config, &settings)?)
}

/// `statemachine/*.asl.json`, their substitutions being the functions' names.
pub fn machines() -> anyhow::Result<Machines> {
    let substitutions = STEPS
        .into_iter()
        .map(|(name, function)| (name.to_owned(), function.to_owned()))
        .collect();
    Ok(Machines {
        deploy: Machine::parse(DEPLOY, &substitutions).context("statemachine/deploy.asl.json")?,
        build: Machine::parse(BUILD, &substitutions).context("statemachine/build.asl.json")?,
    })
}
