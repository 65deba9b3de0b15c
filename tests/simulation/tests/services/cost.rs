//! What a call costs: not a test.

use std::time::Instant;

use exuvia_aws::artifacts::Artifacts;
use exuvia_aws::keys::Keys;
use exuvia_aws::ledger::Ledger;
use exuvia_aws::targets::Targets;
use exuvia_core::name::Place;

use crate::aws::{ARTIFACTS, Aws, KEY, LEDGER};

macro_rules! time {
    ($what:literal, $n:expr, $e:expr) => {{
        for _ in 0..20 {
            let _ = $e;
        }
        let start = Instant::now();
        for _ in 0..$n {
            let _ = $e;
        }
        println!(
            "{:28} {:8.1} us",
            $what,
            start.elapsed().as_secs_f64() * 1e6 / f64::from($n)
        );
    }};
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cost() {
    let aws = Aws::new();
    let config = aws.config().await;
    let place = Place::new("a", "b").unwrap();
    let ledger = Ledger::new(&config, LEDGER.into());
    let keys = Keys::new(&config);
    let artifacts = Artifacts::new(&config, ARTIFACTS.into(), KEY.into());
    aws.services().s3.put(
        ARTIFACTS,
        "c",
        b"A=1\n".to_vec(),
        jiff::Timestamp::UNIX_EPOCH,
    );
    time!("Ledger::new", 200, Ledger::new(&config, LEDGER.into()));
    time!("Keys::new", 200, Keys::new(&config));
    time!("Targets::new", 200, Targets::new(&config));
    time!(
        "new + first DescribeKey",
        200,
        Keys::new(&config).check_enabled(KEY).await
    );
    time!("DescribeKey", 1000, keys.check_enabled(KEY).await.unwrap());
    time!("HeadObject", 1000, artifacts.find("c", None).await.unwrap());
    time!("GetObject 404", 1000, ledger.live(&place).await.unwrap());
    time!(
        "PutObject",
        1000,
        ledger.amend("k", &"hello").await.unwrap()
    );
    time!(
        "PutObject 412",
        1000,
        ledger.record("k", String::from("hello")).await.unwrap()
    );
    time!(
        "DeleteObject 404",
        1000,
        ledger.release_lock(&place, &"x".to_owned()).await.unwrap()
    );
    time!(
        "List",
        1000,
        ledger.releases_after(&place, None).await.unwrap()
    );
}
