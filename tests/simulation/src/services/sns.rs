//! SNS: what was published, in order.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::services::{Kms, Request, Response, wire};

/// Bytes of a message together with its attributes:
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>,
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>.
const MAX_SIZE: usize = 262_144;

/// Topics that are encrypted with one key.
#[derive(Clone, Debug)]
pub struct Sns {
    topics: Vec<String>,
    kms_key: String,
    pub published: Vec<Published>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub at: Timestamp,
    /// The topic's ARN.
    pub topic: String,
    pub subject: Option<String>,
    pub message: String,
    /// All of the type String.
    pub attributes: BTreeMap<String, String>,
    pub message_id: String,
}

struct Failure {
    status: u16,
    code: &'static str,
    message: String,
}

impl Failure {
    fn invalid(what: &str) -> Self {
        Self {
            status: 400,
            code: "InvalidParameter",
            message: format!("Invalid parameter: {what}"),
        }
    }

    fn not_implemented(what: &str) -> Self {
        Self {
            status: 501,
            code: "NotImplemented",
            message: format!("the simulation does not implement {what}"),
        }
    }
}

impl Sns {
    /// Topics by ARN, and the ARN of the key that they are encrypted with.
    pub fn new(topics: impl IntoIterator<Item = String>, kms_key: String) -> Self {
        Self {
            topics: topics.into_iter().collect(),
            kms_key,
            published: Vec::new(),
        }
    }

    /// `Publish` to a topic: <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.
    pub fn answer(&mut self, request: &Request, now: Timestamp, keys: &Kms) -> Response {
        const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
        let (status, body) = match self.publish(request, now, keys) {
            Ok(id) => (
                200,
                format!(
                    "<PublishResponse xmlns=\"{NAMESPACE}\"><PublishResult><MessageId>{id}</MessageId>\
                     </PublishResult></PublishResponse>"
                ),
            ),
            Err(Failure {
                status,
                code,
                message,
            }) => (
                status,
                format!(
                    "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
                     <Message>{}</Message></Error></ErrorResponse>",
                    wire::escape(&message)
                ),
            ),
        };
        wire::response(status, &[("content-type", "text/xml")], body)
    }

    fn publish(
        &mut self,
        request: &Request,
        now: Timestamp,
        keys: &Kms,
    ) -> Result<String, Failure> {
        let message_id = format!("00000000-0000-4000-8000-{:012x}", self.published.len() + 1);
        let published = read(request, now, message_id.clone())?;
        if !self.topics.contains(&published.topic) {
            return Err(Failure {
                status: 404,
                code: "NotFound",
                message: "Topic does not exist".to_owned(),
            });
        }
        check(&published)?;
        let refused = |code, problem| Failure {
            status: 400,
            code,
            message: format!("{} {problem}", self.kms_key),
        };
        match keys.is_enabled(&self.kms_key) {
            Some(true) => {}
            Some(false) => return Err(refused("KMSDisabled", "is disabled.")),
            None => return Err(refused("KMSNotFound", "does not exist.")),
        }
        self.published.push(published);
        Ok(message_id)
    }
}

fn read(request: &Request, at: Timestamp, message_id: String) -> Result<Published, Failure> {
    let form = std::str::from_utf8(request.body()).map_err(|_| Failure::invalid("not UTF-8"))?;
    let mut form: BTreeMap<String, String> = wire::pairs(form).collect();
    let mut take = |name: &str| form.remove(name);
    match take("Action").as_deref() {
        Some("Publish") => {}
        other => return Err(Failure::not_implemented(other.unwrap_or("no action"))),
    }
    take("Version");
    let mut published = Published {
        at,
        topic: take("TopicArn").ok_or_else(|| Failure::invalid("TopicArn"))?,
        subject: take("Subject"),
        message: take("Message").ok_or_else(|| Failure::invalid("Message"))?,
        attributes: BTreeMap::new(),
        message_id,
    };
    for number in 1.. {
        let mut take = |part: &str| take(&format!("MessageAttributes.entry.{number}.{part}"));
        let Some(name) = take("Name") else { break };
        match take("Value.DataType").as_deref() {
            Some("String") => {}
            other => return Err(Failure::not_implemented(other.unwrap_or("no data type"))),
        }
        let value = take("Value.StringValue").unwrap_or_default();
        if published.attributes.insert(name, value).is_some() {
            return Err(Failure::invalid("an attribute is there twice"));
        }
    }
    match form.into_keys().next() {
        Some(other) => Err(Failure::not_implemented(&format!("Publish's {other}"))),
        None => Ok(published),
    }
}

/// What SNS documents of subjects, messages and attributes.
fn check(published: &Published) -> Result<(), Failure> {
    if let Some(subject) = &published.subject {
        // ASCII, begins with a letter, number or punctuation mark, no line breaks or control characters, less than
        // 100 characters.
        let begins = subject.starts_with(|first: char| first.is_ascii_graphic());
        let printable = |character: char| character.is_ascii_graphic() || character == ' ';
        if !begins || !subject.chars().all(printable) || subject.len() >= 100 {
            return Err(Failure::invalid("Subject"));
        }
    }
    if published.message.is_empty() {
        return Err(Failure::invalid("Empty message"));
    }
    for (name, value) in &published.attributes {
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        let lower = name.to_ascii_lowercase();
        if name.is_empty()
            || name.len() > 256
            || !name.chars().all(allowed)
            || name.starts_with('.')
            || name.ends_with('.')
            || name.contains("..")
            || lower.starts_with("aws.")
            || lower.starts_with("amazon.")
            || value.is_empty()
        {
            return Err(Failure::invalid(&format!("message attribute '{name}'")));
        }
    }
    let attributes = published.attributes.iter();
    let attributes: usize = attributes
        .map(|(name, value)| name.len() + "String".len() + value.len())
        .sum();
    if published.message.len() + attributes > MAX_SIZE {
        return Err(Failure::invalid("Message too long"));
    }
    Ok(())
}
