//! The services in memory, called by the functions' own code through the real SDK clients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aws;
mod cost;

use crate::aws::Aws;

#[tokio::test]
async fn dump() {
    let aws = Aws::new();
    aws.dump().await;
}
