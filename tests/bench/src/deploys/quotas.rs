//! How many requests AWS takes in us-east-1, by default.

use exuvia_simulation::measure::Limit;

/// A limit, and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub what: &'static str,
    pub limit: Limit,
    pub source: &'static str,
}

const fn limit(
    service: &'static str,
    operations: &'static [&'static str],
    size: u32,
    refill: u32,
) -> Limit {
    Limit {
        service,
        operations,
        size: size as f64,
        refill: refill as f64,
    }
}

const ELB: &str =
    "https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html";
const STATES: &str = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html";

/// What a function says to AWS falls under these. All are of an account in a region, and of all who ask there.
pub const QUOTAS: [Quota; 15] = [
    Quota {
        what: "Elastic Load Balancing, all",
        limit: limit("elasticloadbalancing", &[], 40, 10),
        source: ELB,
    },
    Quota {
        what: "Elastic Load Balancing, reading",
        limit: limit(
            "elasticloadbalancing",
            &[
                "DescribeRules",
                "DescribeTags",
                "DescribeTargetGroups",
                "DescribeTargetHealth",
                "DescribeListeners",
                "DescribeLoadBalancers",
            ],
            40,
            10,
        ),
        source: ELB,
    },
    Quota {
        what: "Elastic Load Balancing, changing",
        limit: limit(
            "elasticloadbalancing",
            &[
                "CreateRule",
                "CreateTargetGroup",
                "DeleteRule",
                "DeleteTargetGroup",
                "ModifyRule",
                "ModifyTargetGroupAttributes",
                "SetRulePriorities",
            ],
            20,
            3,
        ),
        source: ELB,
    },
    Quota {
        what: "Auto Scaling, all",
        limit: limit("autoscaling", &[], 40, 10),
        source: "one bucket for all, of a size that AWS does not tell; taken for as large as Elastic Load Balancing's",
    },
    Quota {
        what: "Step Functions, StartExecution",
        limit: limit("states", &["StartExecution"], 1_300, 300),
        source: STATES,
    },
    Quota {
        what: "Step Functions, DescribeExecution",
        limit: limit("states", &["DescribeExecution"], 300, 15),
        source: STATES,
    },
    Quota {
        what: "Step Functions, GetExecutionHistory",
        limit: limit("states", &["GetExecutionHistory"], 400, 20),
        source: STATES,
    },
    Quota {
        what: "Systems Manager, GetParameter",
        limit: limit("ssm", &["GetParameter"], 40, 40),
        source: "https://docs.aws.amazon.com/general/latest/gr/ssm.html",
    },
    Quota {
        what: "KMS, signing and verifying",
        limit: limit("kms", &["Sign", "Verify"], 300, 300),
        source: "https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html",
    },
    Quota {
        what: "KMS, DescribeKey",
        limit: limit("kms", &["DescribeKey"], 2_000, 2_000),
        source: "https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html",
    },
    Quota {
        what: "SNS, Publish",
        limit: limit("sns", &["Publish"], 30_000, 30_000),
        source: "https://docs.aws.amazon.com/general/latest/gr/sns.html",
    },
    Quota {
        what: "CloudWatch, GetMetricData",
        limit: limit("monitoring", &["GetMetricData"], 50, 50),
        source: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html",
    },
    Quota {
        what: "CloudWatch, DescribeAlarms",
        limit: limit("monitoring", &["DescribeAlarms"], 9, 9),
        source: "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html",
    },
    Quota {
        what: "S3, writing and listing, for each prefix",
        limit: limit(
            "s3",
            &["PutObject", "DeleteObject", "ListObjectsV2"],
            3_500,
            3_500,
        ),
        source: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
    },
    Quota {
        what: "S3, reading, for each prefix",
        limit: limit("s3", &["GetObject", "HeadObject"], 5_500, 5_500),
        source: "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
    },
];
