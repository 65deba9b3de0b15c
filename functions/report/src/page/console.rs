//! Links into AWS's console, which asks who it is that reads.

/// Where the console of a partition is: `arn:aws-cn:...` has another than `arn:aws:...`.
fn host(arn: &str) -> (&str, &str) {
    let mut parts = arn.split(':');
    let domain = match parts.nth(1) {
        Some("aws-cn") => "console.amazonaws.cn",
        Some("aws-us-gov") => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    (parts.nth(1).unwrap_or_default(), domain)
}

/// An execution, by its ARN.
pub fn execution_link(execution: &str) -> String {
    let (region, domain) = host(execution);
    format!(
        "https://{region}.{domain}/states/home?region={region}#/v2/executions/details/{execution}"
    )
}

/// An object of a bucket in the region, and the partition, of this ARN.
pub fn object_link(arn: &str, bucket: &str, key: &str) -> String {
    let (region, domain) = host(arn);
    format!("https://{region}.{domain}/s3/object/{bucket}?region={region}&prefix={key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_go_to_the_partitions_console() {
        let arn = "arn:aws:states:eu-west-1:1:execution:exuvia-deploy:e1";
        assert_eq!(
            execution_link(arn),
            format!(
                "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/{arn}"
            )
        );
        let china = "arn:aws-cn:states:cn-north-1:1:stateMachine:exuvia-deploy";
        assert_eq!(
            object_link(china, "ledger", "hello/qa/reports/e1.html"),
            "https://cn-north-1.console.amazonaws.cn/s3/object/ledger?region=cn-north-1&prefix=hello/qa/reports/e1.html"
        );
    }
}
