//! Answers as they were recorded.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use exuvia_simulation::calls::Call;
use exuvia_simulation::recording::Exchange;
use exuvia_simulation::services::{Request, Response};
use serde::{Deserialize, Serialize};

/// The answers of one invocation, each of which is given once.
#[derive(Default)]
pub(crate) struct Replay {
    left: Vec<Exchange>,
    pub(crate) made: Vec<Made>,
    pub(crate) calls: Calls,
    /// Requests that nothing was recorded for.
    unexpected: Vec<String>,
}

/// How many calls to AWS an invocation made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    pub s3: usize,
    pub others: usize,
}

/// When a request came, and when it was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Replay {
    pub(crate) fn of(exchanges: &[Exchange]) -> Self {
        Self {
            left: exchanges.to_vec(),
            ..Self::default()
        }
    }

    /// The next answer to that operation; of several, one about the same path. A function may make calls at once, so
    /// they need not come in the order in which they were recorded.
    pub(crate) fn answer(&mut self, request: &Request) -> Option<Response> {
        let call = Call::read(request);
        let is_same =
            |one: &Exchange| one.service == call.service && one.operation == call.operation;
        let path = request.uri().path();
        let same_path = |one: &Exchange| is_same(one) && one.path == path;
        let index = self.left.iter().position(same_path);
        let Some(index) = index.or_else(|| self.left.iter().position(is_same)) else {
            let unexpected = format!("{}:{} {path}", call.service, call.operation);
            self.unexpected.push(unexpected);
            return None;
        };
        if call.service == "s3" {
            self.calls.s3 += 1;
        } else {
            self.calls.others += 1;
        }
        Some(self.left.remove(index).answer)
    }

    /// An error, if what came is not what was recorded. `whole`: all of it must have come; a process need not ask again for
    /// what it has kept from an earlier invocation.
    pub(crate) fn as_recorded(&self, whole: bool) -> Result<()> {
        if !self.unexpected.is_empty() {
            bail!(
                "it called what it did not call when it was recorded: {}",
                self.unexpected.join(", ")
            );
        }
        if whole && !self.left.is_empty() {
            let left = self.left.iter();
            let left = left.map(|one| format!("{}:{}", one.service, one.operation));
            bail!(
                "it did not call what it called when it was recorded: {}",
                left.collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }

    /// How long at least one request was being answered.
    pub(crate) fn answering(&self) -> Duration {
        let mut spans: Vec<(Instant, Instant)> =
            self.made.iter().map(|one| (one.began, one.ended)).collect();
        spans.sort();
        let mut whole = Duration::ZERO;
        let mut until: Option<Instant> = None;
        for (began, ended) in spans {
            let from = until.map_or(began, |until| began.max(until));
            whole += ended.saturating_duration_since(from);
            until = Some(until.map_or(ended, |until| until.max(ended)));
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(operation: &str, path: &str, answer: &str) -> Exchange {
        Exchange {
            service: "s3".to_owned(),
            operation: operation.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            answer: Response::new(answer.into()),
        }
    }

    fn get(path: &str) -> Request {
        let credential = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, y";
        let request = hyper::Request::get(path).header("authorization", credential);
        request.body(Vec::new()).unwrap()
    }

    #[test]
    fn an_answer_is_given_once_and_to_the_path_that_it_is_about() {
        let recorded = [
            exchange("GetObject", "/ledger/a", "a"),
            exchange("GetObject", "/ledger/b", "b"),
            exchange("GetObject", "/ledger/b", "b later"),
        ];
        let mut replay = Replay::of(&recorded);
        let mut body = |path: &str| String::from_utf8(replay.answer(&get(path))?.into_body()).ok();
        assert_eq!(body("/ledger/b").as_deref(), Some("b"));
        assert_eq!(body("/ledger/b").as_deref(), Some("b later"));
        assert_eq!(body("/ledger/other").as_deref(), Some("a"));
        assert_eq!(body("/ledger/a"), None);
        assert_eq!(replay.unexpected, ["s3:GetObject /ledger/a"]);
        assert!(replay.left.is_empty());
        assert_eq!(replay.calls, Calls { s3: 3, others: 0 });
    }

    #[test]
    fn time_in_which_two_are_answered_counts_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let made = |from, to| Made {
            began: at(from),
            ended: at(to),
        };
        let replay = Replay {
            made: vec![made(0, 10), made(5, 8), made(9, 12), made(20, 21)],
            ..Replay::default()
        };
        assert_eq!(replay.answering(), Duration::from_millis(13));
    }
}
