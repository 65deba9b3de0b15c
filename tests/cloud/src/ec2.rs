//! What only EC2 knows, asked of the other local AWS: where a subnet is, and whether a launch template exists.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tracing::warn;

use crate::{
    model::Error,
    wire::{self, Answer},
};

/// Nothing checks the signature of a local request, but the credential scope says for which service it is.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, \
                             SignedHeaders=host, Signature=none";

pub struct Ec2 {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub zone: String,
    pub vpc: String,
}

impl Ec2 {
    /// `url`: `http://127.0.0.1:4566`.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        }
    }

    /// The subnets that a request names.
    ///
    /// # Errors
    /// If EC2 does not have one of them. That EC2 does not answer is no error: then nothing is known.
    pub async fn subnets(&self, form: &str) -> Result<Vec<Subnet>, Error> {
        let mut ids = wire::list(form, "Subnets");
        let identifier = wire::parameter(form, "VPCZoneIdentifier").unwrap_or_default();
        let listed = identifier
            .split(',')
            .map(str::trim)
            .filter(|id| id.starts_with("subnet-"));
        ids.extend(listed.map(str::to_owned));
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = (1..).zip(&ids).map(|(n, id)| format!("&SubnetId.{n}={id}"));
        let Some(answer) = self
            .ask("DescribeSubnets", &wanted.collect::<String>())
            .await
        else {
            return Ok(Vec::new());
        };
        if let Some(message) = refused(&answer, "InvalidSubnetID") {
            let code = match wire::parameter(form, "Action").as_deref() {
                Some("CreateLoadBalancer") => "SubnetNotFound",
                _ => "ValidationError",
            };
            return Err(Error::new(code, message));
        }
        Ok(subnets(&answer))
    }

    /// Whether the launch template of a request, if it names one, exists in the version that it names.
    ///
    /// # Errors
    /// If EC2 says that it does not.
    pub async fn check_launch_template(&self, form: &str) -> Result<(), Error> {
        let field = |name: &str| wire::parameter(form, &format!("LaunchTemplate.{name}"));
        let parameters = match (field("LaunchTemplateId"), field("LaunchTemplateName")) {
            (Some(id), _) => format!("&LaunchTemplateId={id}"),
            (None, Some(name)) => format!("&LaunchTemplateName={name}"),
            (None, None) => return Ok(()),
        };
        let version = field("Version").unwrap_or_else(|| "$Default".into());
        let parameters = format!(
            "{parameters}&LaunchTemplateVersion.1={}",
            version.replace('$', "%24")
        );
        let answer = self
            .ask("DescribeLaunchTemplateVersions", &parameters)
            .await;
        let answer = answer.unwrap_or_default();
        if let Some(message) = refused(&answer, "InvalidLaunchTemplate") {
            return Err(Error::validation(format!(
                "You must use a valid fully-formed launch template. {message}"
            )));
        }
        if answer.contains("DescribeLaunchTemplateVersionsResponse")
            && !answer.contains("<versionNumber>")
        {
            return Err(Error::validation(format!(
                "You must use a valid fully-formed launch template. It has no version {version}"
            )));
        }
        Ok(())
    }

    /// The user data of a launch template, in the version that it has or that is its `$Default` or `$Latest`.
    ///
    /// # Errors
    /// If there is none.
    pub async fn user_data(&self, template: &str, version: &str) -> Result<Vec<u8>, String> {
        let kind = if template.starts_with("lt-") {
            "Id"
        } else {
            "Name"
        };
        let version = version.replace('$', "%24");
        let parameters =
            format!("&LaunchTemplate{kind}={template}&LaunchTemplateVersion.1={version}");
        let answer = self
            .ask("DescribeLaunchTemplateVersions", &parameters)
            .await;
        let answer = answer.unwrap_or_default();
        let missing =
            || format!("launch template {template} has no user data in version {version}");
        let encoded = texts(&answer, "userData").next().ok_or_else(missing)?;
        aws_smithy_types::base64::decode(encoded.trim())
            .map_err(|error| format!("the user data of launch template {template}: {error}"))
    }

    async fn ask(&self, action: &str, parameters: &str) -> Option<String> {
        let form = format!("Action={action}&Version=2016-11-15{parameters}");
        let request = Request::post(&self.url)
            .header(header::AUTHORIZATION, AUTHORIZATION)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form));
        let answer = async {
            let response = self.client.request(request?).await?;
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(String::from_utf8_lossy(&body).into_owned())
        };
        match answer.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                warn!(action, %error, "EC2 does not answer; going on without what it knows");
                None
            }
        }
    }
}

/// What EC2 answers to `RebootInstances`.
pub fn rebooted(done: Result<(), Error>) -> Answer {
    match done {
        Ok(()) => Answer {
            status: 200,
            body: "<RebootInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
                   <requestId>local</requestId><return>true</return></RebootInstancesResponse>"
                .to_owned(),
        },
        Err(Error {
            code,
            message,
            status,
        }) => Answer {
            status,
            body: format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
                 <RequestID>local</RequestID></Response>"
            ),
        },
    }
}

/// The message of an error answer whose code begins so.
fn refused(answer: &str, code: &str) -> Option<String> {
    let found = texts(answer, "Code").next()?;
    found
        .starts_with(code)
        .then(|| texts(answer, "Message").next().unwrap_or(found).to_owned())
}

fn subnets(answer: &str) -> Vec<Subnet> {
    let items = answer.split("<item>").skip(1);
    let subnet = |item: &str| {
        Some(Subnet {
            id: texts(item, "subnetId").next()?.to_owned(),
            zone: texts(item, "availabilityZone").next()?.to_owned(),
            vpc: texts(item, "vpcId").next()?.to_owned(),
        })
    };
    items.filter_map(subnet).collect()
}

/// The texts of the elements of this name.
fn texts<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts: Vec<&str> = xml.split(open.as_str()).skip(1).collect();
    parts
        .into_iter()
        .filter_map(move |part| part.split_once(close.as_str()))
        .map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ec2_answers() {
        let answer = "<subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>\
                      <availabilityZone>us-east-1b</availabilityZone><availabilityZoneId>x</availabilityZoneId></item>\
                      <item><subnetId>subnet-2</subnetId></item></subnetSet>";
        let subnet = Subnet {
            id: "subnet-1".into(),
            zone: "us-east-1b".into(),
            vpc: "vpc-1".into(),
        };
        assert_eq!(subnets(answer), [subnet]);
        let error =
            "<Error><Code>InvalidSubnetID.NotFound</Code><Message>No such</Message></Error>";
        assert_eq!(
            refused(error, "InvalidSubnetID").as_deref(),
            Some("No such")
        );
        assert_eq!(refused(error, "InvalidLaunchTemplate"), None);
        assert_eq!(refused(answer, "InvalidSubnetID"), None);
    }
}
