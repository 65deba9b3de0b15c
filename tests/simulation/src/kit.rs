//! What all schedules share: the parsed state machine, and the functions with their clients.

use anyhow::Context;
use exuvia_aws::{Region, Settings};

use crate::asl::Machine;
use crate::connector::InProcess;
use crate::functions::{Functions, STEPS};
use crate::world::{ARTIFACTS, KEY, LEDGER, REGION, STATE_MACHINE, TOPIC};

const DEFINITION: &str = include_str!("../../../statemachine/deploy.asl.json");

pub struct Kit {
    pub machine: Machine,
    pub functions: Functions,
}

impl Kit {
    pub async fn new() -> anyhow::Result<Self> {
        let substitutions = STEPS
            .into_iter()
            .map(|(name, function)| (name.to_owned(), function.to_owned()));
        let machine = Machine::parse(DEFINITION, &substitutions.collect())
            .context("statemachine/deploy.asl.json")?;
        let config = exuvia_aws::loader()
            .http_client(InProcess)
            .test_credentials()
            .region(Region::new(REGION))
            .endpoint_url("http://127.0.0.1:1")
            .load()
            .await;
        let settings: Settings = [
            ("ARTIFACTS_BUCKET", ARTIFACTS),
            ("LEDGER_BUCKET", LEDGER),
            ("KEY_ARN", KEY),
            ("TOPIC_ARN", TOPIC),
            ("STATE_MACHINE_ARN", STATE_MACHINE),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        Ok(Self {
            machine,
            functions: Functions::new(&config, &settings)?,
        })
    }
}
