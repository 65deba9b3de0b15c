//! Conditional writes, all of them: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>.

use exuvia_core::lock::{Claim, Purpose};
use exuvia_core::manifest::{Live, live_key, lock_key};

use crate::aws::{Aws, LEDGER, place};

#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// Written twice, so that there is an `ETag` that is no longer right.
    There,
    /// There is a delete marker.
    Deleted,
}
use Before::{Deleted, Nothing, There};

/// The conditions' values, by name; they are known only when the object is there.
const NOW: &str = "its etag";
const BARE: &str = "its etag without quotes";
const OLD: &str = "its etag of before";

const MATCH: &str = "if-match";
const NONE: &str = "if-none-match";

type Headers = &'static [(&'static str, &'static str)];

/// Method, headers, what is there before, status and code.
const TABLE: [(&str, Headers, Before, u16, &str); 29] = [
    ("PUT", &[], Nothing, 200, ""),
    ("PUT", &[], There, 200, ""),
    ("PUT", &[], Deleted, 200, ""),
    ("PUT", &[(NONE, "*")], Nothing, 200, ""),
    ("PUT", &[(NONE, "*")], There, 412, "PreconditionFailed"),
    ("PUT", &[(NONE, "*")], Deleted, 200, ""),
    ("PUT", &[(MATCH, NOW)], There, 200, ""),
    ("PUT", &[(MATCH, BARE)], There, 200, ""),
    ("PUT", &[(MATCH, OLD)], There, 412, "PreconditionFailed"),
    ("PUT", &[(MATCH, "\"x\"")], There, 412, "PreconditionFailed"),
    ("PUT", &[(MATCH, "\"x\"")], Nothing, 404, "NoSuchKey"),
    ("PUT", &[(MATCH, NOW)], Deleted, 404, "NoSuchKey"),
    ("DELETE", &[], Nothing, 204, ""),
    ("DELETE", &[], There, 204, ""),
    ("DELETE", &[], Deleted, 204, ""),
    ("DELETE", &[(MATCH, NOW)], There, 204, ""),
    ("DELETE", &[(MATCH, BARE)], There, 204, ""),
    ("DELETE", &[(MATCH, OLD)], There, 412, "PreconditionFailed"),
    ("DELETE", &[(MATCH, "\"x\"")], Nothing, 404, "NoSuchKey"),
    ("DELETE", &[(MATCH, NOW)], Deleted, 404, "NoSuchKey"),
    // What the functions do not ask for.
    ("PUT", &[(NONE, NOW)], There, 501, "NotImplemented"),
    ("PUT", &[(NONE, "\"x\"")], Nothing, 501, "NotImplemented"),
    (
        "PUT",
        &[(NONE, "*"), (MATCH, NOW)],
        There,
        501,
        "NotImplemented",
    ),
    ("PUT", &[(MATCH, "*")], There, 501, "NotImplemented"),
    ("PUT", &[(MATCH, "*")], Nothing, 501, "NotImplemented"),
    ("DELETE", &[(MATCH, "*")], There, 501, "NotImplemented"),
    ("DELETE", &[(NONE, "*")], There, 501, "NotImplemented"),
    ("GET", &[(MATCH, NOW)], There, 501, "NotImplemented"),
    ("GET", &[(NONE, NOW)], There, 501, "NotImplemented"),
];

#[test]
fn what_each_condition_answers_and_changes() {
    for (method, headers, before, status, code) in TABLE {
        let aws = Aws::new();
        let services = &mut *aws.services();
        let now = services.now;
        if !matches!(before, Nothing) {
            services.s3.put(LEDGER, "k", b"old".to_vec(), now);
            services.s3.put(LEDGER, "k", b"new".to_vec(), now);
        }
        let etags = services.s3.versions(LEDGER, "k").iter();
        let etags: Vec<_> = etags
            .map(|version| version.content.as_ref().unwrap().etag.clone())
            .collect();
        if matches!(before, Deleted) {
            services.s3.delete(LEDGER, "k", now);
        }
        let versions = services.s3.versions(LEDGER, "k").len();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| match *value {
                NOW => (*name, etags[1].as_str()),
                BARE => (*name, etags[1].trim_matches('"')),
                OLD => (*name, etags[0].as_str()),
                other => (*name, other),
            })
            .collect();

        let told = services.ask_s3(method, "/ledger/k", &headers);
        let case = format!("{method} {headers:?} on {before:?}: {told:?}");
        assert_eq!((told.status, told.code.as_str()), (status, code), "{case}");

        let written = services.s3.versions(LEDGER, "k").len() - versions;
        assert_eq!(written, usize::from(status < 300), "{case}");
        let there = match (method, status) {
            ("PUT", 200) => true,
            ("DELETE", 204) => false,
            _ => matches!(before, There),
        };
        assert_eq!(services.s3.get(LEDGER, "k").is_some(), there, "{case}");
    }
}

fn live(execution: &str) -> Live {
    Live {
        release: "1".parse().unwrap(),
        version: "v1".parse().unwrap(),
        execution: execution.to_owned(),
        since: "2026-11-21T10:00:00Z".parse().unwrap(),
        boots: vec![],
    }
}

#[tokio::test]
async fn the_pointer_is_swapped_only_from_what_was_read() {
    let aws = Aws::new();
    let ledger = aws.ledger().await;
    ledger
        .swap_live(&place(), None, &live("one"))
        .await
        .unwrap();
    let read = ledger.live(&place()).await.unwrap().unwrap();
    assert_eq!(read.value, live("one"));
    ledger
        .swap_live(&place(), None, &live("x"))
        .await
        .unwrap_err();
    let etag = Some(read.etag.as_str());
    ledger
        .swap_live(&place(), etag, &live("two"))
        .await
        .unwrap();
    ledger
        .swap_live(&place(), etag, &live("x"))
        .await
        .unwrap_err();
    let read = ledger.live(&place()).await.unwrap().unwrap();
    assert_eq!(read.value, live("two"));

    aws.services()
        .s3
        .delete(LEDGER, &live_key(&place()), read.value.since);
    assert!(ledger.live(&place()).await.unwrap().is_none());
    let etag = Some(read.etag.as_str());
    ledger
        .swap_live(&place(), etag, &live("x"))
        .await
        .unwrap_err();
    ledger
        .swap_live(&place(), None, &live("three"))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_lock_is_one_holders_and_its_token_is_never_used_again() {
    let aws = Aws::new();
    let ledger = aws.ledger().await;
    let claim = Claim {
        execution: "arn".to_owned(),
        since: "2026-11-21T10:00:00Z".parse().unwrap(),
        started: "2026-11-21T10:00:00Z".parse().unwrap(),
    };
    let place = place();
    let take = async |dead: Option<&str>| {
        let taken = ledger.take_lock(&place, claim.clone(), Purpose::Deploy, dead);
        taken.await.unwrap()
    };
    let first = take(None).await.unwrap();
    assert_eq!(take(None).await, None);
    // The same bytes under another token.
    let second = take(Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(take(Some(&first)).await, None);

    let free = || aws.services().s3.get(LEDGER, &lock_key(&place)).is_none();
    ledger.release_lock(&place, &first).await.unwrap();
    assert!(!free());
    ledger.release_lock(&place, &second).await.unwrap();
    assert!(free());
    ledger.release_lock(&place, &second).await.unwrap();
    assert_eq!(take(Some(&second)).await, None);
    let third = take(None).await.unwrap();
    assert!(third != first && third != second);
}

#[tokio::test]
async fn what_is_recorded_once_stays() {
    let aws = Aws::new();
    let ledger = aws.ledger().await;
    assert_eq!(ledger.record("k", 1).await.unwrap(), 1);
    assert_eq!(ledger.record("k", 2).await.unwrap(), 1);
    ledger.amend("k", &3).await.unwrap();
    assert_eq!(ledger.record("k", 2).await.unwrap(), 3);
    assert_eq!(aws.services().s3.versions(LEDGER, "k").len(), 2);
}

#[tokio::test]
async fn the_same_calls_are_answered_with_the_same_bytes() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let aws = Aws::new();
        let ledger = aws.ledger().await;
        ledger.amend("k", &1).await.unwrap();
        ledger.amend("k", &2).await.unwrap();
        ledger.record("l", 3).await.unwrap();
        let services = aws.services();
        seen.push(["k", "l"].map(|key| services.s3.versions(LEDGER, key).to_vec()));
    }
    assert_eq!(seen[0], seen[1]);
}
