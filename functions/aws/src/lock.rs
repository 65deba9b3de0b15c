//! The lock of a place: `lock.json` and `waiting.json` in the ledger.

use exuvia_core::error::StepError;
use exuvia_core::lock::{Claim, Found, Purpose, Record};
use exuvia_core::manifest::{lock_key, waiting_key};
use exuvia_core::name::Place;
use exuvia_core::step::{Execution, LockToken};

use crate::ledger::{Ledger, Only, Tagged};
use crate::workflow::{Described, Workflow};

/// A record as it was read, with the `ETag` to replace it under.
pub struct Seen {
    pub found: Found,
    pub etag: String,
}

impl Ledger {
    /// Who holds the lock, and whether it still runs.
    pub async fn holder(
        &self,
        place: &Place,
        me: &Execution,
        workflow: &Workflow,
    ) -> Result<Option<Seen>, StepError> {
        self.seen(&lock_key(place), me, workflow).await
    }

    /// The newest deploy that waits for the lock, and whether it still runs.
    pub async fn waiting(
        &self,
        place: &Place,
        me: &Execution,
        workflow: &Workflow,
    ) -> Result<Option<Seen>, StepError> {
        self.seen(&waiting_key(place), me, workflow).await
    }

    async fn seen(
        &self,
        key: &str,
        me: &Execution,
        workflow: &Workflow,
    ) -> Result<Option<Seen>, StepError> {
        let Some(Tagged { value, etag }) = self.get::<Record>(key).await? else {
            return Ok(None);
        };
        let execution = &value.claim.execution;
        let described = if *execution == me.arn {
            None
        } else {
            workflow.describe(execution).await?
        };
        let found = Found {
            running: *execution == me.arn || described.as_ref().is_some_and(Described::is_running),
            ended: described.and_then(|described| described.ended),
            record: value,
        };
        Ok(Some(Seen { found, etag }))
    }

    /// Takes the lock: creates it, or replaces the record of a dead holder. `None` if another was quicker.
    pub async fn take_lock(
        &self,
        place: &Place,
        claim: Claim,
        purpose: Purpose,
        dead: Option<&str>,
    ) -> Result<Option<LockToken>, StepError> {
        let only = dead.map_or(Only::IfAbsent, Only::IfMatch);
        self.put(&lock_key(place), &Record { claim, purpose }, Some(only))
            .await
    }

    /// Announces a deploy that waits, unless what was read has changed meanwhile.
    pub async fn announce_waiting(
        &self,
        place: &Place,
        claim: Claim,
        purpose: Purpose,
        read: Option<&str>,
    ) -> Result<bool, StepError> {
        let only = read.map_or(Only::IfAbsent, Only::IfMatch);
        let put = self
            .put(&waiting_key(place), &Record { claim, purpose }, Some(only))
            .await?;
        Ok(put.is_some())
    }

    /// Takes back what this execution announced, or what one announced that is no more.
    pub async fn clear_waiting(&self, place: &Place, seen: &Seen) -> Result<(), StepError> {
        self.delete(&waiting_key(place), &seen.etag).await.map(drop)
    }

    /// The execution that holds the lock, and the token it holds it by.
    pub async fn held(&self, place: &Place) -> Result<Option<(String, LockToken)>, StepError> {
        let held = self.get::<Record>(&lock_key(place)).await?;
        Ok(held.map(|held| (held.value.claim.execution, held.etag)))
    }

    /// Fails unless this execution still holds the lock under its token. Goes before every step that touches the
    /// pointer or the live fleet.
    pub async fn check_lock(
        &self,
        place: &Place,
        me: &Execution,
        token: &LockToken,
    ) -> Result<(), StepError> {
        match self.held(place).await? {
            Some((holder, held)) if holder == me.arn && held == *token => Ok(()),
            held => Err(StepError::LockLost {
                place: place.clone(),
                holder: held.map_or_else(|| "nobody".to_owned(), |(holder, _)| holder),
            }),
        }
    }

    /// Gives the lock back. Harmless when it is another's by now.
    pub async fn release_lock(&self, place: &Place, token: &LockToken) -> Result<(), StepError> {
        self.delete(&lock_key(place), token).await.map(drop)
    }
}
