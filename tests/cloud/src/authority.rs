//! Who may do what, asked of the other local AWS, which has the roles and the policies (`xtask/python/authority.py`): the
//! requests that are answered here are refused to whom IAM would refuse them.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    model::{Cloud, Error},
    wire::{self, Service},
};

/// The access key of the account's root, which people have here, and which may do everything.
pub const ROOT: &str = "test";

/// Of every resource here.
const ACCOUNT: &str = "us-east-1:000000000000";

/// How often whoever starts together with the other local AWS asks it.
const TRIES: u32 = 10;

pub struct Authority {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Everything that a request needs to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    requests: Vec<Need>,
    /// The launch template, with its version, that its caller must be able to run.
    runs: Option<(String, String)>,
}

/// An action on a resource, with the condition keys by which a policy may go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Need {
    action: String,
    resource: String,
    context: BTreeMap<String, Value>,
}

/// A role's temporary credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    pub role: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub token: String,
}

impl Authority {
    /// `url`: `http://127.0.0.1:4566`.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        }
    }

    /// Whether whoever has that access key may do all that.
    ///
    /// # Errors
    /// If not, with the sentence that AWS says; or if nobody can tell.
    pub async fn authorize(&self, access_key: &str, asked: &Asked) -> Result<(), Error> {
        let Asked { requests, runs } = asked;
        let question = json!({"accessKey": access_key, "requests": requests, "runs": runs});
        let mut error = match self.ask("authorize", &question).await {
            Ok(answer) if answer["refused"].is_null() => return Ok(()),
            Ok(answer) => Error::new("AccessDenied", answer["refused"].as_str().unwrap_or("no")),
            Err(problem) => {
                let mut error = Error::new("InternalFailure", problem);
                error.status = 500;
                return Err(error);
            }
        };
        error.status = 403;
        Err(error)
    }

    /// The credentials that the instances of a launch template have.
    ///
    /// # Errors
    /// If there is no such launch template, or no role that its instances have.
    pub async fn of_instances(&self, template: &str, version: &str) -> Result<Role, String> {
        let question = json!({"launchTemplate": template, "version": version});
        let mut tries = 0;
        let answer = loop {
            match self.ask("instance-credentials", &question).await {
                Err(_) if tries < TRIES => tries += 1,
                answer => break answer?,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        serde_json::from_value(answer).map_err(|error| error.to_string())
    }

    async fn ask(&self, what: &str, question: &Value) -> Result<Value, String> {
        let url = format!("{}/_exuvia/{what}", self.url);
        let answer = async {
            let request = Request::post(&url).body(Full::from(question.to_string()))?;
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::ensure!(
                status == StatusCode::OK,
                "{status}: {}",
                String::from_utf8_lossy(&body)
            );
            anyhow::Ok(serde_json::from_slice(&body)?)
        };
        answer.await.map_err(|error| format!("{url}: {error}"))
    }
}

/// What IAM is asked about a request:
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html> and
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html>.
pub fn asked(service: Service, form: &str, cloud: &Cloud) -> Asked {
    let parameter = |name: &str| wire::parameter(form, name);
    let action = parameter("Action").unwrap_or_default();
    let prefix = match service {
        Service::AutoScaling => "autoscaling",
        Service::ElasticLoadBalancing => "elasticloadbalancing",
    };
    let need = |action: &str, resource: String, context: BTreeMap<String, Value>| Need {
        action: format!("{prefix}:{action}"),
        resource,
        context,
    };
    if action.starts_with("Describe") {
        return Asked {
            requests: vec![need(&action, "*".to_owned(), BTreeMap::new())],
            runs: None,
        };
    }
    let given = given_tags(form);
    // By itself, or in a mixed instances policy.
    let template = |name: &str| {
        let mixed =
            format!("MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.{name}");
        parameter(&format!("LaunchTemplate.{name}")).or_else(|| parameter(&mixed))
    };
    let mut requests = Vec::new();
    for name in names(service, &action, form) {
        let (arn, tags) = cloud.named(&name).unwrap_or_else(|| {
            let arn = match service {
                Service::AutoScaling => format!(
                    "arn:aws:autoscaling:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/{name}"
                ),
                Service::ElasticLoadBalancing => name,
            };
            (arn, BTreeMap::new())
        });
        let mut context = given.clone();
        for (key, value) in tags {
            context.insert(format!("{prefix}:ResourceTag/{key}"), value.clone().into());
            context.insert(format!("aws:ResourceTag/{key}"), value.into());
        }
        if let Some(version) = template("Version") {
            let is_pinned = !version.starts_with('$');
            let key = "autoscaling:LaunchTemplateVersionSpecified".to_owned();
            context.insert(key, is_pinned.to_string().into());
        }
        // A rule comes to be below its listener.
        let created = arn.replace(":listener/", ":listener-rule/");
        requests.push(need(&action, arn, context));
        let creates_with_tags = ["CreateTargetGroup", "CreateRule"].contains(&action.as_str());
        if creates_with_tags && !given.is_empty() {
            let mut context = given.clone();
            let key = "elasticloadbalancing:CreateAction".to_owned();
            context.insert(key, action.clone().into());
            requests.push(need("AddTags", format!("{created}/new"), context));
        }
    }
    let version = template("Version").unwrap_or_else(|| "$Default".to_owned());
    Asked {
        requests,
        runs: template("LaunchTemplateId").map(|id| (id, version)),
    }
}

/// What a request is about: the ARN, or the name of a group.
fn names(service: Service, action: &str, form: &str) -> Vec<String> {
    let parameter = |name: &str| wire::parameter(form, name).into_iter().collect::<Vec<_>>();
    let members = |name: &str, field: &str| {
        let members =
            (1..).map_while(|n| wire::parameter(form, &format!("{name}.member.{n}{field}")));
        members.collect::<Vec<_>>()
    };
    match (service, action) {
        (Service::AutoScaling, "CreateOrUpdateTags" | "DeleteTags") => {
            members("Tags", ".ResourceId")
        }
        (Service::AutoScaling, _) => parameter("AutoScalingGroupName"),
        (_, "CreateTargetGroup") => {
            let name = parameter("Name").pop().unwrap_or_default();
            vec![format!(
                "arn:aws:elasticloadbalancing:{ACCOUNT}:targetgroup/{name}"
            )]
        }
        (_, "SetRulePriorities") => members("RulePriorities", ".RuleArn"),
        (_, "AddTags" | "RemoveTags") => members("ResourceArns", ""),
        (_, _) => [
            "RuleArn",
            "TargetGroupArn",
            "ListenerArn",
            "LoadBalancerArn",
        ]
        .iter()
        .map(|name| parameter(name))
        .find(|found| !found.is_empty())
        .unwrap_or_default(),
    }
}

/// The tags that a request names, as condition keys.
fn given_tags(form: &str) -> BTreeMap<String, Value> {
    let member = |n: u32, field: &str| wire::parameter(form, &format!("Tags.member.{n}.{field}"));
    let mut keys = Vec::new();
    let mut context = BTreeMap::new();
    for n in 1.. {
        let Some(key) = member(n, "Key") else { break };
        let value = member(n, "Value").unwrap_or_default();
        context.insert(format!("aws:RequestTag/{key}"), value.into());
        keys.push(key);
    }
    if !keys.is_empty() {
        context.insert("aws:TagKeys".to_owned(), keys.into());
    }
    context
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::Settings;

    fn cloud() -> Cloud {
        let mut cloud = Cloud::new(1, Settings::default());
        cloud.learn_subnet("subnet-a", "us-east-1a", "vpc-1");
        let group = "Action=CreateAutoScalingGroup&Version=2011-01-01&AutoScalingGroupName=g&MinSize=0&MaxSize=1&\
                     VPCZoneIdentifier=subnet-a&LaunchTemplate.LaunchTemplateId=lt-1&LaunchTemplate.Version=1&\
                     Tags.member.1.Key=exuvia%3Arelease&Tags.member.1.Value=1";
        let answer = wire::answer(cloud.at(Timestamp::UNIX_EPOCH), Service::AutoScaling, group);
        assert_eq!(answer.status, 200, "{}", answer.body);
        cloud
    }

    #[test]
    fn a_group_is_known_by_its_tags_and_what_is_not_there_has_none() {
        let of = |name: &str| {
            let form = format!("Action=DeleteAutoScalingGroup&AutoScalingGroupName={name}");
            let asked = asked(Service::AutoScaling, &form, &cloud());
            assert_eq!(asked.runs, None);
            let [need] = &asked.requests[..] else {
                panic!("{asked:?}")
            };
            assert_eq!(need.action, "autoscaling:DeleteAutoScalingGroup");
            let (_, name) = need.resource.split_once(":autoScalingGroupName/").unwrap();
            (
                name.to_owned(),
                need.context.get("aws:ResourceTag/exuvia:release").cloned(),
            )
        };
        assert_eq!(of("g"), ("g".to_owned(), Some("1".into())));
        assert_eq!(of("h"), ("h".to_owned(), None));
    }

    #[test]
    fn who_creates_must_be_allowed_what_that_leads_to() {
        let form = "Action=CreateAutoScalingGroup&AutoScalingGroupName=h&Tags.member.1.Key=a&Tags.member.1.Value=b&\
                    LaunchTemplate.LaunchTemplateId=lt-1&LaunchTemplate.Version=%24Latest";
        let group = asked(Service::AutoScaling, form, &cloud());
        assert_eq!(group.runs, Some(("lt-1".to_owned(), "$Latest".to_owned())));
        let context = &group.requests[0].context;
        assert_eq!(context["aws:RequestTag/a"], "b");
        assert_eq!(context["aws:TagKeys"], json!(["a"]));
        assert_eq!(
            context["autoscaling:LaunchTemplateVersionSpecified"],
            "false"
        );

        let form = "Action=CreateRule&ListenerArn=arn:aws:elasticloadbalancing:us-east-1:0:listener/app/lb/1/2&\
                    Tags.member.1.Key=a&Tags.member.1.Value=b";
        let rule = asked(Service::ElasticLoadBalancing, form, &cloud());
        let needs: Vec<_> = rule
            .requests
            .iter()
            .map(|need| (need.action.as_str(), need.resource.as_str()))
            .collect();
        assert_eq!(
            needs,
            [
                (
                    "elasticloadbalancing:CreateRule",
                    "arn:aws:elasticloadbalancing:us-east-1:0:listener/app/lb/1/2"
                ),
                (
                    "elasticloadbalancing:AddTags",
                    "arn:aws:elasticloadbalancing:us-east-1:0:listener-rule/app/lb/1/2/new"
                ),
            ]
        );
        assert_eq!(
            rule.requests[1].context["elasticloadbalancing:CreateAction"],
            "CreateRule"
        );
    }

    #[test]
    fn what_only_looks_is_about_everything() {
        let form = "Action=DescribeAutoScalingGroups&AutoScalingGroupNames.member.1=g";
        let looks = asked(Service::AutoScaling, form, &cloud());
        assert_eq!(looks.requests[0].resource, "*");
    }
}
