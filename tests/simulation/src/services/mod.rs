//! The services that the functions call besides Auto Scaling and Elastic Load Balancing, in memory.
//!
//! Pure: no clock, no randomness; ids are counters, so that the same calls are answered with the same bytes. What
//! is not implemented is answered with a 501 that names it.
//!
//! Written here because winterbaume-s3 1.0.1, -ssm 0.3.0, -kms 0.2.1 and -sns 0.2.0 take times from `Utc::now()` and
//! ids from `Uuid::new_v4()` in their `state.rs`; S3's `handlers.rs` also answers an `If-Match` on what is not there
//! with 412 (PUT) or 204 (DELETE) instead of 404, and SNS's `publish` keeps no message.

mod cloudwatch;
mod kms;
mod s3;
mod sns;
mod ssm;
mod wire;

pub use cloudwatch::{CloudWatch, Flow, refusal as cloudwatch_refusal};
pub use kms::Kms;
pub use s3::{Content, S3, Version};
pub use sns::{Published, Sns};
pub use ssm::Ssm;

/// A request as an SDK client sends it, its body read to the end.
pub type Request = http::Request<Vec<u8>>;
pub type Response = http::Response<Vec<u8>>;
