//! Cloud time: the epoch, plus so many times the real time since the start.

use std::time::{Duration, Instant};

use jiff::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
    speed: f64,
}

impl Clock {
    /// Starts now. `speed` is how many seconds of the cloud's time go by in a real one; more than 0.
    pub fn starting(epoch: Timestamp, speed: f64) -> Self {
        Self {
            epoch,
            start: Instant::now(),
            speed,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.epoch + self.start.elapsed().mul_f64(self.speed)
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
