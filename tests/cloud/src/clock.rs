//! Cloud time: the epoch, plus so many times the real time since then.

use std::time::{Duration, Instant};

use jiff::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    at_start: Timestamp,
    start: Instant,
    speed: f64,
}

impl Clock {
    /// `epoch` is the moment at which the cloud's time and real time were the same; where that is to come, they are
    /// the same now. `speed` is how many seconds of the cloud's time go by in a real one; more than 0.
    pub fn since(epoch: Timestamp, speed: f64) -> Self {
        let real = Timestamp::now();
        let gone = Duration::try_from(real.duration_since(epoch)).unwrap_or_default();
        Self {
            at_start: epoch.min(real) + gone.mul_f64(speed),
            start: Instant::now(),
            speed,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.at_start + self.start.elapsed().mul_f64(self.speed)
    }

    /// How long a while of the cloud's time takes in real time.
    pub fn real(&self, cloud: Duration) -> Duration {
        cloud.div_f64(self.speed)
    }

    /// The real time until a moment of the cloud's, none where it is past.
    pub fn until(&self, at: Timestamp) -> Duration {
        let left = at.duration_since(self.now());
        Duration::try_from(left).map_or(Duration::ZERO, |left| self.real(left))
    }
}
