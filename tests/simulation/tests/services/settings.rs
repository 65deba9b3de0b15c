//! Parameters and keys.

use exuvia_aws::keys::{Keys, SigningKey};
use exuvia_aws::secrets::Secrets;
use exuvia_aws::targets::Targets;
use exuvia_core::error::StepError;
use exuvia_core::target::parameter_name;

use crate::aws::{Aws, KEY, SIGNING_KEY, place};

#[tokio::test]
async fn a_target_is_its_parameters_newest_value() {
    let aws = Aws::new();
    let targets = Targets::new(&aws.config().await);
    let name = parameter_name(&place());
    let refused = targets.get(&place()).await.unwrap_err();
    assert!(
        matches!(refused, StepError::TargetNotFound { .. }),
        "{refused}"
    );

    for value in ["first", "second \"ü\""] {
        let services = &mut *aws.services();
        services.ssm.put(&name, value.to_owned(), services.now);
    }
    assert_eq!(aws.services().ssm.get(&name), Some("second \"ü\""));
    // That it is no target says that it has come through.
    let refused = targets.get(&place()).await.unwrap_err();
    assert!(matches!(refused, StepError::InvalidTarget(_)), "{refused}");

    aws.services().ssm.delete(&name);
    let refused = targets.get(&place()).await.unwrap_err();
    assert!(
        matches!(refused, StepError::TargetNotFound { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_secret_is_given_decrypted() {
    let aws = Aws::new();
    let secrets = Secrets::new(&aws.config().await);
    assert_eq!(secrets.get("/secret").await.unwrap(), None);
    {
        let services = &mut *aws.services();
        let now = services.now;
        services.ssm.put_secret("/secret", "word".to_owned(), now);
    }
    assert_eq!(
        secrets.get("/secret").await.unwrap().as_deref(),
        Some("word")
    );
    // As whoever does not ask for that gets it.
    let request = http::Request::post("/").header("x-amz-target", "AmazonSSM.GetParameter");
    let request = request.body(br#"{"Name": "/secret"}"#.to_vec()).unwrap();
    let answer = aws.services().ssm.answer(&request);
    assert!(!String::from_utf8_lossy(answer.body()).contains("word"));
}

#[tokio::test]
async fn a_key_is_enabled_or_not() {
    let aws = Aws::new();
    let keys = Keys::new(&aws.config().await);
    keys.check_enabled(KEY).await.unwrap();
    keys.check_enabled("1234abcd").await.unwrap();
    aws.services().kms.set_enabled(KEY, false);
    let refused = keys.check_enabled(KEY).await.unwrap_err();
    let StepError::KeyUnavailable { state, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(state, "Disabled");
    let refused = keys.check_enabled("alias/none").await.unwrap_err();
    let StepError::AwsRefused { problem, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        problem,
        "NotFoundException: Key 'alias/none' does not exist"
    );
}

#[tokio::test]
async fn a_signature_is_good_for_its_bytes_and_its_key_alone() {
    let aws = Aws::new();
    let config = aws.config().await;
    let key = SigningKey::new(&config, SIGNING_KEY.to_owned());
    let signature = key.sign(b"manifest").await.unwrap();
    assert!(key.has_signed(b"manifest", &signature).await.unwrap());
    assert!(!key.has_signed(b"another", &signature).await.unwrap());
    assert!(!key.has_signed(b"manifest", "not base64!").await.unwrap());
    let encrypts = SigningKey::new(&config, KEY.to_owned());
    let refused = encrypts.sign(b"manifest").await.unwrap_err();
    assert!(
        refused.to_string().contains("InvalidKeyUsageException"),
        "{refused}"
    );
    aws.services().kms.set_enabled(SIGNING_KEY, false);
    let later = key.sign(b"manifest").await.unwrap_err();
    assert!(matches!(later, StepError::AwsUnavailable { .. }), "{later}");
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let aws = Aws::new();
    let services = aws.services();
    for (target, body, status, named) in [
        (
            "AmazonSSM.GetParameter",
            r#"{"Name": "/x"}"#,
            400,
            "ParameterNotFound",
        ),
        (
            "AmazonSSM.GetParameters",
            r#"{"Names": []}"#,
            501,
            "AmazonSSM.GetParameters",
        ),
        (
            "AmazonSSM.GetParameter",
            r#"{"Name": "/x", "Selector": "1"}"#,
            501,
            "Selector",
        ),
        ("AmazonSSM.GetParameter", "{}", 400, "ValidationException"),
        ("AmazonSSM.GetParameter", "", 400, "SerializationException"),
    ] {
        let request = http::Request::post("/").header("x-amz-target", target);
        let answer = services.ssm.answer(&request.body(body.into()).unwrap());
        let told = String::from_utf8_lossy(answer.body());
        assert_eq!(answer.status().as_u16(), status, "{target} {body}: {told}");
        assert!(told.contains(named), "{target} {body}: {told}");
    }
    let request = http::Request::post("/").header("x-amz-target", "TrentService.Decrypt");
    let answer = services.kms.answer(&request.body(b"{}".to_vec()).unwrap());
    assert_eq!(answer.status().as_u16(), 501);
}
