//! The credential, for some minutes from one reading to the next.

use std::time::{Duration, Instant};

use exuvia_aws::secrets::Secrets;
use exuvia_core::slack::credential::{Credential, InvalidCredential};
use tokio::sync::Mutex;

use crate::Trouble;

/// Within so long a credential that somebody has changed is taken up, even if the old one is still good.
const KEPT: Duration = Duration::from_mins(5);

pub(crate) struct Credentials {
    secrets: Secrets,
    parameter: String,
    kept: Mutex<Option<(Credential, Instant)>>,
}

impl Credentials {
    pub(crate) fn new(secrets: Secrets, parameter: String) -> Self {
        Self {
            secrets,
            parameter,
            kept: Mutex::new(None),
        }
    }

    pub(crate) async fn get(&self) -> Result<Credential, Trouble> {
        let mut kept = self.kept.lock().await;
        if let Some((credential, since)) = &*kept
            && since.elapsed() < KEPT
        {
            return Ok(credential.clone());
        }
        let value = self.secrets.get(&self.parameter).await?;
        let value = value.ok_or_else(|| InvalidCredential {
            parameter: self.parameter.clone(),
            problem: "is not there. Create it, or give infra/pipeline.yaml the name of the one that is (SlackParameter)".to_owned(),
        })?;
        let credential = Credential::parse(&self.parameter, &value)?;
        *kept = Some((credential.clone(), Instant::now()));
        Ok(credential)
    }

    /// Another than that which Slack has refused, if there is one by now.
    pub(crate) async fn other_than(
        &self,
        refused: &Credential,
    ) -> Result<Option<Credential>, Trouble> {
        *self.kept.lock().await = None;
        let found = self.get().await?;
        Ok((found != *refused).then_some(found))
    }
}
