//! Versions, delete markers, lists and keys of KMS.

use exuvia_core::error::StepError;
use exuvia_core::manifest::boot_prefix;
use jiff::Timestamp;

use crate::aws::{ARTIFACTS, Aws, KEY, LEDGER, place};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millisecond(second * 1000 + 700).unwrap()
}

#[tokio::test]
async fn an_upload_is_found_by_its_key_and_by_its_version() {
    let aws = Aws::new();
    let artifacts = aws.artifacts().await;
    let key = "hello/prod/a b+ü%41&=?#.tar";
    assert!(artifacts.find(key, None).await.unwrap().is_none());
    let first = aws
        .services()
        .s3
        .put(ARTIFACTS, key, b"A=1\n".to_vec(), at(1));
    let second = aws
        .services()
        .s3
        .put(ARTIFACTS, key, b"A=22\n".to_vec(), at(2));
    assert_ne!(first, second);

    let newest = artifacts.find(key, None).await.unwrap().unwrap();
    assert_eq!(newest.version_id, second);
    assert_eq!(newest.size, 5);
    assert_eq!(newest.uploaded_at, Timestamp::from_second(2).unwrap());
    let old = artifacts.find(key, Some(&first)).await.unwrap().unwrap();
    assert_eq!((old.version_id.as_str(), old.size), (first.as_str(), 4));
    assert_eq!(artifacts.read_config(&old).await.unwrap().size, 4);

    let marker = aws.services().s3.delete(ARTIFACTS, key, at(3));
    for absent in [
        None,
        Some(marker.as_str()),
        // Of another object, and malformed.
        Some("00000000000000000000000000000000"),
        Some("x"),
    ] {
        let found = artifacts.find(key, absent).await.unwrap();
        assert!(found.is_none(), "{absent:?}");
    }
    // A delete marker hides; it does not take the bytes.
    let pinned = artifacts.read_config(&old).await.unwrap();
    artifacts.check_present(&pinned).await.unwrap();
    assert!(aws.services().s3.delete_version(ARTIFACTS, key, &first));
    assert!(!aws.services().s3.delete_version(ARTIFACTS, key, &first));
    let gone = artifacts.check_present(&pinned).await.unwrap_err();
    assert!(matches!(gone, StepError::ArtifactNotFound(_)), "{gone}");
    let gone = artifacts.read_config(&old).await.unwrap_err();
    assert!(matches!(gone, StepError::ArtifactNotFound(_)), "{gone}");

    // Without its marker it is there again.
    assert!(aws.services().s3.delete_version(ARTIFACTS, key, &marker));
    let newest = artifacts.find(key, None).await.unwrap().unwrap();
    assert_eq!(newest.version_id, second);
    assert!(aws.services().s3.delete_version(ARTIFACTS, key, &second));
    assert!(aws.services().s3.keys(ARTIFACTS, "").is_empty());
}

#[test]
fn what_a_read_is_refused_with() {
    let aws = Aws::new();
    let services = &mut *aws.services();
    let there = services.s3.put(ARTIFACTS, "there", b"1".to_vec(), at(1));
    services.s3.put(ARTIFACTS, "deleted", b"1".to_vec(), at(1));
    let marker = services.s3.delete(ARTIFACTS, "deleted", at(1));
    for (path, status, code) in [
        ("there".to_owned(), 200, ""),
        (format!("there?versionId={there}"), 200, ""),
        ("never".to_owned(), 404, "NoSuchKey"),
        (format!("never?versionId={there}"), 404, "NoSuchVersion"),
        ("deleted".to_owned(), 404, "NoSuchKey"),
        (
            format!("deleted?versionId={marker}"),
            405,
            "MethodNotAllowed",
        ),
        (format!("there?versionId={marker}"), 404, "NoSuchVersion"),
        ("there?versionId=x".to_owned(), 400, "InvalidArgument"),
        ("there?partNumber=1".to_owned(), 501, "NotImplemented"),
    ] {
        let path = format!("/artifacts/{path}");
        let told = services.ask_s3("GET", &path, &[]);
        assert_eq!((told.status, told.code.as_str()), (status, code), "{path}");
        let told = services.ask_s3("HEAD", &path, &[]);
        assert_eq!(told.status, status, "{path}");
        // A HEAD has no body. What is missing here is told nevertheless.
        assert_eq!(told.body.is_empty(), status != 501, "{path}: {told:?}");
    }
    let told = services.ask_s3("GET", "/elsewhere/there", &[]);
    assert_eq!((told.status, told.code.as_str()), (404, "NoSuchBucket"));
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let aws = Aws::new();
    let services = &mut *aws.services();
    services.s3.put(ARTIFACTS, "k", b"1".to_vec(), at(1));
    for (method, path, header, named) in [
        ("POST", "/artifacts/k?uploads", ("host", "x"), "POST"),
        ("PUT", "/artifacts", ("host", "x"), "PUT of a bucket"),
        ("GET", "/artifacts?versions", ("host", "x"), "versions"),
        ("GET", "/artifacts", ("host", "x"), "type 2"),
        (
            "GET",
            "/artifacts?list-type=2&delimiter=/",
            ("host", "x"),
            "delimiter",
        ),
        (
            "GET",
            "/artifacts?list-type=2&fetch-owner=true",
            ("host", "x"),
            "fetch-owner",
        ),
        ("GET", "/artifacts/k?tagging", ("host", "x"), "tagging"),
        (
            "GET",
            "/artifacts/k",
            ("range", "bytes=0-1"),
            "range: bytes=0-1",
        ),
        (
            "GET",
            "/artifacts/k",
            ("x-amz-checksum-mode", "X"),
            "mode X",
        ),
        (
            "HEAD",
            "/artifacts/k",
            ("x-amz-checksum-mode", "ENABLED"),
            "x-amz-checksum-mode",
        ),
        (
            "PUT",
            "/artifacts/k",
            ("content-encoding", "aws-chunked"),
            "aws-chunked",
        ),
        (
            "PUT",
            "/artifacts/k",
            ("x-amz-copy-source", "a/b"),
            "x-amz-copy-source",
        ),
        (
            "PUT",
            "/artifacts/k",
            ("x-amz-server-side-encryption", "AES256"),
            "AES256",
        ),
        (
            "PUT",
            "/artifacts/k",
            ("x-amz-checksum-sha256", "x"),
            "x-amz-checksum-sha256",
        ),
        (
            "DELETE",
            "/artifacts/k?versionId=x",
            ("host", "x"),
            "versionId",
        ),
        (
            "DELETE",
            "/artifacts/k",
            ("x-amz-if-match-size", "1"),
            "x-amz-if-match-size",
        ),
    ] {
        let told = services.ask_s3(method, path, &[header]);
        assert_eq!(told.status, 501, "{method} {path}: {told:?}");
        assert!(told.body.contains(named), "{method} {path}: {told:?}");
    }
    assert_eq!(services.s3.versions(ARTIFACTS, "k").len(), 1);
}

#[tokio::test]
async fn lists_come_in_pages_and_in_order() {
    let aws = Aws::new();
    let ledger = aws.ledger().await;
    for size in [1, 2, 3, 5, 1000] {
        let services = &mut *aws.services();
        services.s3.page_size = size;
        let release = |number: &str| format!("hello/prod/releases/{number}.json");
        for number in ["000003", "000001", "000005", "000002", "000004", "000006"] {
            let now = services.now;
            services
                .s3
                .put(LEDGER, &release(number), b"{}".to_vec(), now);
        }
        services.s3.delete(LEDGER, &release("000006"), at(1));
        for other in [
            "hello/prod/live.json",
            "hello/prod/zzz",
            "hello/prod2/releases/000009.json",
        ] {
            services.s3.put(LEDGER, other, b"{}".to_vec(), at(1));
        }
    }
    for (size, after, releases, pages) in [
        (1000, None, "1 2 3 4 5", 1),
        (5, None, "1 2 3 4 5", 1),
        (3, None, "1 2 3 4 5", 2),
        (1, None, "1 2 3 4 5", 5),
        (2, Some("2"), "3 4 5", 2),
        (1000, Some("5"), "", 1),
        (1000, Some("9"), "", 1),
    ] {
        aws.services().s3.page_size = size;
        aws.services().asked.clear();
        let after = after.map(|after| after.parse().unwrap());
        let found = ledger.releases_after(&place(), after).await.unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), releases, "pages of {size}");
        let asked = &aws.services().asked;
        assert_eq!(asked.len(), pages, "pages of {size}: {asked:#?}");
    }
}

#[test]
fn how_a_list_is_asked_for() {
    let aws = Aws::new();
    let services = &mut *aws.services();
    for key in ["a", "b", "c"] {
        services.s3.put(LEDGER, key, b"1".to_vec(), at(1));
    }
    let mut list = |query: &str| {
        let told = services.ask_s3("GET", &format!("/ledger?list-type=2&{query}"), &[]);
        let keys: Vec<_> = told
            .body
            .split("<Key>")
            .skip(1)
            .map(|key| &key[..1])
            .collect();
        (
            told.status,
            keys.concat(),
            told.body.contains("<IsTruncated>true"),
        )
    };
    assert_eq!(list(""), (200, "abc".to_owned(), false));
    assert_eq!(list("max-keys=2"), (200, "ab".to_owned(), true));
    assert_eq!(list("max-keys=0"), (200, String::new(), false));
    assert_eq!(list("max-keys=9999"), (200, "abc".to_owned(), false));
    assert_eq!(list("max-keys=x").0, 400);
    assert_eq!(list("start-after=a"), (200, "bc".to_owned(), false));
    assert_eq!(
        list("start-after=aa&max-keys=1"),
        (200, "b".to_owned(), true)
    );
    assert_eq!(list("continuation-token=x").0, 400);
    assert_eq!(list("prefix=b"), (200, "b".to_owned(), false));
}

#[tokio::test]
async fn keys_come_back_as_they_were_given() {
    let aws = Aws::new();
    let ledger = aws.ledger().await;
    let prefix = boot_prefix(&place(), "7".parse().unwrap());
    let name = "i-<&>\"' +%41ü\r";
    let key = format!("{prefix}{name}.json");
    aws.services()
        .s3
        .put(LEDGER, &key, b"no report".to_vec(), at(1));
    let reports = ledger
        .boot_reports(&place(), "7".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(reports[0].instance_id, name);
}

#[tokio::test]
async fn a_disabled_key_opens_nothing() {
    let aws = Aws::new();
    let (ledger, artifacts) = (aws.ledger().await, aws.artifacts().await);
    ledger.amend("k", &1).await.unwrap();
    aws.services()
        .s3
        .put(ARTIFACTS, "c", b"A=1\n".to_vec(), at(1));
    let object = artifacts.find("c", None).await.unwrap().unwrap();
    aws.services().kms.set_enabled(KEY, false);

    // What is not decrypted can be told.
    assert!(artifacts.find("c", None).await.unwrap().is_some());
    for refused in [
        ledger.amend("k", &2).await.unwrap_err(),
        ledger.record("new", 2).await.unwrap_err(),
        artifacts.read_config(&object).await.map(drop).unwrap_err(),
    ] {
        let told = format!("KMS.DisabledException: {KEY} is disabled.");
        assert!(refused.to_string().contains(&told), "{refused}");
    }
    assert_eq!(aws.services().s3.versions(LEDGER, "k").len(), 1);
    assert!(aws.services().s3.get(LEDGER, "new").is_none());
    let told = aws.services().ask_s3("GET", "/ledger/k", &[]);
    assert_eq!(
        (told.status, told.code.as_str()),
        (400, "KMS.DisabledException")
    );

    aws.services().kms.set_enabled(KEY, true);
    assert_eq!(ledger.record("k", 2).await.unwrap(), 1);
}

#[tokio::test]
async fn an_object_tells_which_key_it_is_encrypted_with() {
    let aws = Aws::new();
    let artifacts = aws.artifacts().await;
    let other = "arn:aws:kms:us-east-1:111122223333:key/other";
    let body = b"A=1\n".to_vec();
    aws.services()
        .s3
        .put_encrypted(ARTIFACTS, "c", body, other, at(1));
    let refused = artifacts.find("c", None).await.unwrap_err();
    let StepError::WrongEncryption { found, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(found, other);
}

#[test]
fn the_checksum_of_an_upload_is_told_to_who_asks_for_it() {
    let aws = Aws::new();
    let services = &mut *aws.services();
    services.ask_s3("PUT", "/ledger/k", &[("x-amz-checksum-crc32", "abc=")]);
    for (mode, told) in [(None, None), (Some("ENABLED"), Some("abc="))] {
        let mut request = http::Request::get("/ledger/k");
        if let Some(mode) = mode {
            request = request.header("x-amz-checksum-mode", mode);
        }
        let request = request.body(Vec::new()).unwrap();
        let answer = services.s3.answer(&request, services.now, &services.kms);
        let checksum = answer.headers().get("x-amz-checksum-crc32");
        assert_eq!(checksum.map(|sum| sum.to_str().unwrap()), told);
    }
}
