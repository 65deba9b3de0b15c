//! What was said in Slack of each execution, in the ledger: `<app>/<environment>/slack/<execution>.json`.

use exuvia_core::error::StepError;
use exuvia_core::slack::thread::Thread;

use crate::ledger::{Ledger, Only, Tagged};

impl Ledger {
    pub async fn conversation(&self, key: &str) -> Result<Option<Tagged<Thread>>, StepError> {
        self.get(key).await
    }

    /// Begins one; its `ETag`, or `None` if there is one already. Asked before it is read, so that whoever may read only
    /// what is there (and gets a 403 for what is not) can tell.
    pub async fn begin_conversation(
        &self,
        key: &str,
        thread: &Thread,
    ) -> Result<Option<String>, StepError> {
        self.put(key, thread, Some(Only::IfAbsent)).await
    }

    /// Writes over one; its `ETag`, or `None` if it is no longer what was read.
    pub async fn swap_conversation(
        &self,
        key: &str,
        read: &str,
        thread: &Thread,
    ) -> Result<Option<String>, StepError> {
        self.put(key, thread, Some(Only::IfMatch(read))).await
    }
}
