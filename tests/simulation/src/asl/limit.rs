//! Limits of time and of size.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use serde::Serialize;

/// What a state may be given, or give: bytes of JSON in UTF-8. So much may a variable hold, too, and all those that one
/// state assigns.
/// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
const BYTES: usize = 262_144;

pub(super) fn is_too_much(value: &impl Serialize) -> bool {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).is_err()
}

/// Takes so many bytes, and no more.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > BYTES {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is answered, which may be before the work is done; work that fails is answered so.
pub(super) async fn answered<T, E>(
    answer: impl Future<Output = Result<T, E>>,
    work: impl Future<Output = Result<T, E>>,
    mut done: impl FnMut(T),
) -> Result<T, E> {
    let (mut answer, mut work) = (pin!(answer), pin!(work));
    let mut works = true;
    poll_fn(|context| {
        if works && let Poll::Ready(worked) = work.as_mut().poll(context) {
            works = false;
            match worked {
                Ok(worked) => done(worked),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        answer.as_mut().poll(context)
    })
    .await
}

/// `None` if the time is up first. What is done goes first: `time` is asked only while it waits.
pub(super) async fn within<T>(
    time: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (mut time, mut work) = (pin!(time), pin!(work));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => time.as_mut().poll(context).map(|()| None),
    })
    .await
}
