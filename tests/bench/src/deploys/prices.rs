//! Prices of us-east-1 in US dollars, as the pages named list them, in November 2026, without any free tier.

/// A month's transitions of Standard workflows, each. <https://aws.amazon.com/step-functions/pricing/>
pub const TRANSITION: f64 = 0.025 / 1_000.0;

/// <https://aws.amazon.com/lambda/pricing/>, arm64.
pub const INVOCATION: f64 = 0.20 / 1_000_000.0;
pub const GIGABYTE_SECOND: f64 = 0.000_013_333_4;

/// <https://aws.amazon.com/s3/pricing/>, S3 Standard: PUT, COPY, POST, LIST; GET and all other.
pub const S3_WRITE: f64 = 0.005 / 1_000.0;
pub const S3_READ: f64 = 0.000_4 / 1_000.0;

/// <https://aws.amazon.com/kms/pricing/>: requests with symmetric keys, and with elliptic curves.
pub const KMS: f64 = 0.03 / 10_000.0;
pub const KMS_ECC: f64 = 0.15 / 10_000.0;

/// <https://aws.amazon.com/sns/pricing/>, standard topics. Deliveries to Lambda cost nothing.
pub const PUBLISH: f64 = 0.50 / 1_000_000.0;

/// <https://aws.amazon.com/eventbridge/pricing/>, opt-in events, which S3's are. Those of Step Functions cost nothing.
pub const EVENT: f64 = 1.0 / 1_000_000.0;

/// <https://aws.amazon.com/cloudwatch/pricing/>: metrics that `GetMetricData` is asked for, and other requests.
pub const METRIC: f64 = 0.01 / 1_000.0;
pub const CLOUDWATCH: f64 = 0.01 / 1_000.0;
