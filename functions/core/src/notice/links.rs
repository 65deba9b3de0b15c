//! Where a notice leads: the execution and its report in the console, and a command to start another.

use crate::approval::{REFUSED, TaskToken};
use crate::name::Place;
use crate::report::page_key;

/// An execution's ARN in its parts.
pub struct Console<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    machine: &'a str,
    name: &'a str,
    arn: &'a str,
}

impl<'a> Console<'a> {
    /// `None` for what is no ARN of an execution, as there are no links then.
    pub fn of(execution: &'a str) -> Option<Self> {
        let parts: Vec<&str> = execution.split(':').collect();
        let [
            "arn",
            partition,
            "states",
            region,
            account,
            "execution",
            machine,
            name,
        ] = parts[..]
        else {
            return None;
        };
        // It becomes part of an address.
        let is_plain = |part: &str| {
            let mut letters = part.chars();
            !part.is_empty() && letters.all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let all = [partition, region, account, machine, name];
        all.into_iter().all(is_plain).then_some(Self {
            partition,
            region,
            account,
            machine,
            name,
            arn: execution,
        })
    }

    fn host(&self) -> String {
        match self.partition {
            "aws-cn" => "https://console.amazonaws.cn".to_owned(),
            "aws-us-gov" => "https://console.amazonaws-us-gov.com".to_owned(),
            _ => format!("https://{}.console.aws.amazon.com", self.region),
        }
    }

    /// The execution: its states, and the buttons to stop it, to redrive it and to start another like it.
    pub fn execution(&self) -> String {
        let (host, region, arn) = (self.host(), self.region, self.arn);
        format!("{host}/states/home?region={region}#/v2/executions/details/{arn}")
    }

    /// The report's page of the S3 console. "Open" there shows it under the reader's own permissions.
    pub fn report(&self, ledger: &str, place: &Place) -> String {
        let (host, region) = (self.host(), self.region);
        let key = page_key(place, self.name);
        format!("{host}/s3/object/{ledger}?region={region}&prefix={key}")
    }

    /// The command that starts an execution of the same workflow with an input, in which there are no single quotes.
    pub fn start(&self, input: &str) -> String {
        let Self {
            partition,
            region,
            account,
            machine,
            ..
        } = self;
        format!(
            "aws stepfunctions start-execution --region {region} --state-machine-arn \
             arn:{partition}:states:{region}:{account}:stateMachine:{machine} --input '{input}'"
        )
    }

    /// The commands that approve of what waits, and that refuse it.
    pub fn answers(&self, token: &TaskToken) -> [String; 2] {
        // It stands in quotes.
        let is_of_token = |c: &char| c.is_ascii_alphanumeric() || "+/=_-.".contains(*c);
        let token: String = token.0.chars().filter(is_of_token).collect();
        let region = self.region;
        let answer = |how: &str, with: &str| {
            format!(
                "aws stepfunctions send-task-{how} --region {region} {with} --task-token '{token}'"
            )
        };
        [
            answer("success", "--task-output '{}'"),
            answer("failure", &format!("--error {REFUSED}")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_leads() {
        let arn = "arn:aws:states:eu-west-1:123456789012:execution:exuvia-deploy:upload-1";
        let console = Console::of(arn).unwrap();
        let place = Place {
            app: "hello".parse().unwrap(),
            environment: "qa".parse().unwrap(),
        };
        let all = [
            console.execution(),
            console.report("ledger", &place),
            console.start("{\"app\":\"hello\",\"environment\":\"qa\"}"),
        ];
        let answers = console.answers(&TaskToken("AQC+/=' ; reboot".to_owned()));
        let all = all.into_iter().chain(answers).collect::<Vec<_>>();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn other_partitions_have_a_console_of_their_own() {
        for (partition, host) in [
            ("aws-cn", "https://console.amazonaws.cn/"),
            ("aws-us-gov", "https://console.amazonaws-us-gov.com/"),
        ] {
            let arn = format!("arn:{partition}:states:r:1:execution:m:e");
            assert!(Console::of(&arn).unwrap().execution().starts_with(host));
        }
    }

    #[test]
    fn what_is_no_execution_leads_nowhere() {
        for arn in [
            "",
            "arn:e0",
            "arn:aws:states:eu-west-1:1:stateMachine:deploy",
            "arn:aws:states:eu.evil.example/:1:execution:deploy:e",
            "arn:aws:states:eu-west-1:1:execution:deploy:a|b",
        ] {
            assert!(Console::of(arn).is_none(), "{arn}");
        }
    }
}
