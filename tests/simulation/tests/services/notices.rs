//! What is published, and what SNS refuses: <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.

use exuvia_aws::topic::Topic;
use exuvia_core::error::StepError;
use exuvia_core::notice::{Kind, Notice};

use crate::aws::{Aws, KEY, TOPIC, Told, place};

fn notice() -> Notice {
    Notice {
        kind: Kind::Succeeded,
        id: "id".to_owned(),
        place: Some(place()),
        title: "hello in prod: 1.2.3 is live – ü".to_owned(),
        description: "a=1&b=2 + 100 % <ü>\n".to_owned(),
        next_steps: Vec::new(),
        release: Some("7".parse().unwrap()),
        execution: "arn".to_owned(),
        replaced: None,
        facts: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_notice_arrives_as_it_was_published() {
    let aws = Aws::new();
    let topic = Topic::new(&aws.config().await, TOPIC.to_owned());
    let first = topic.publish(&notice()).await.unwrap();
    let second = topic.publish(&notice()).await.unwrap();
    assert_ne!(first, second);
    let services = aws.services();
    let [published, again] = &services.sns.published[..] else {
        panic!("{:#?}", services.sns.published);
    };
    assert_eq!(published.message_id, first);
    assert_eq!(again.message_id, second);
    assert_eq!(published.at, services.now);
    assert_eq!(published.topic, TOPIC);
    let subject = published.subject.as_deref();
    assert_eq!(subject, Some("hello in prod: 1.2.3 is live  "));
    assert_eq!(published.message, notice().to_message().to_string());
    let attributes = published.attributes.iter();
    let attributes: Vec<_> = attributes
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        attributes.join(" "),
        "app=hello environment=prod kind=succeeded release=7"
    );
}

#[tokio::test]
async fn what_a_publisher_is_refused() {
    let aws = Aws::new();
    let config = aws.config().await;
    let refused = async |topic: &str| {
        let topic = Topic::new(&config, topic.to_owned());
        match topic.publish(&notice()).await.unwrap_err() {
            StepError::AwsRefused { problem, .. } => problem,
            other => panic!("{other:?}"),
        }
    };
    let elsewhere = format!("{TOPIC}-2");
    assert_eq!(refused(&elsewhere).await, "NotFound: Topic does not exist");
    aws.services().kms.set_enabled(KEY, false);
    let problem = refused(TOPIC).await;
    assert_eq!(problem, format!("KMSDisabled: {KEY} is disabled."));
    assert!(aws.services().sns.published.is_empty());
}

#[test]
fn the_limits_of_a_message() {
    let subject = |text: &str| format!("Message=m&Subject={text}");
    let message = |size: usize| format!("Message={}", "m".repeat(size));
    let attribute = |name: &str, value: &str| {
        let entry = "MessageAttributes.entry.1";
        format!(
            "&{entry}.Name={name}&{entry}.Value.DataType=String&{entry}.Value.StringValue={value}"
        )
    };
    let none = attribute("a", "").replace("String", "Number");
    for (parameters, status, code) in [
        (subject("s"), 200, ""),
        (subject(&"s".repeat(99)), 200, ""),
        (subject(&"s".repeat(100)), 400, "InvalidParameter"),
        (subject("!+%5B1%5D"), 200, ""),
        (subject(""), 400, "InvalidParameter"),
        (subject("+s"), 400, "InvalidParameter"),
        (subject("a%0Ab"), 400, "InvalidParameter"),
        (subject("a%09b"), 400, "InvalidParameter"),
        (subject("%C3%BC"), 400, "InvalidParameter"),
        (message(0), 400, "InvalidParameter"),
        (message(262_144), 200, ""),
        (message(262_145), 400, "InvalidParameter"),
        // In bytes.
        (
            format!("Message={}", "%C3%BC".repeat(131_073)),
            400,
            "InvalidParameter",
        ),
        // With their attributes: 1 + 6 + 1.
        (message(262_136) + &attribute("a", "b"), 200, ""),
        (
            message(262_137) + &attribute("a", "b"),
            400,
            "InvalidParameter",
        ),
        (message(1) + &attribute("", "b"), 400, "InvalidParameter"),
        (message(1) + &attribute("a", ""), 400, "InvalidParameter"),
        (message(1) + &attribute("a/b", "b"), 400, "InvalidParameter"),
        (message(1) + &attribute(".a", "b"), 400, "InvalidParameter"),
        (
            message(1) + &attribute("AWS.a", "b"),
            400,
            "InvalidParameter",
        ),
        (message(1) + &none, 501, "NotImplemented"),
        ("Subject=s".to_owned(), 400, "InvalidParameter"),
        (
            subject("s") + "&MessageStructure=json",
            501,
            "NotImplemented",
        ),
        (subject("s") + "&PhoneNumber=1", 501, "NotImplemented"),
    ] {
        let aws = Aws::new();
        let services = &mut *aws.services();
        let body = format!("Action=Publish&Version=2010-03-31&TopicArn={TOPIC}&{parameters}");
        let request = http::Request::post("/").body(body.into_bytes()).unwrap();
        let told = Told::read(&services.sns.answer(&request, services.now, &services.kms));
        let case = &parameters[..parameters.len().min(80)];
        assert_eq!(
            (told.status, told.code.as_str()),
            (status, code),
            "{case}: {told:?}"
        );
        assert_eq!(
            services.sns.published.len(),
            usize::from(status == 200),
            "{case}"
        );
    }
}
