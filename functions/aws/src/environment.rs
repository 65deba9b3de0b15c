//! What Lambda tells a function of AWS: by environment variables, and by nothing else
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>).
//!
//! The SDK's default chain also looks for profiles, roles to assume and metadata services. There are none, and what
//! would look for them is a part of every function's program.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{Region, SdkConfig};
use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::{behavior, retries, timeouts};

/// What all clients share.
pub fn config() -> SdkConfig {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    SdkConfig::builder()
        .behavior_version(behavior())
        .region(variable("AWS_REGION").map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Endpoints)
        .retry_config(retries())
        .timeout_config(timeouts())
        .http_client(Shared::new())
        .build()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `AWS_ENDPOINT_URL` and those of the services, as the local AWS gives them; there are none in Lambda.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
    }
}

/// The SDK's own client, one for all services. Else each has one, which parses all root certificates as it is made, and
/// again at its first call (aws-smithy-http-client, `HyperClient::validate_base_client_config`); here that happens once, at
/// the first call of all.
#[derive(Debug)]
struct Shared(SharedHttpClient);

impl Shared {
    fn new() -> Self {
        let provider = Provider::rustls(CryptoMode::Ring);
        Self(Builder::new().tls_provider(provider).build_https())
    }
}

impl HttpClient for Shared {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client without a time-out or retries would do without them in silence.
    #[test]
    fn what_all_clients_share_is_set() {
        let config = config();
        let timeouts = config.timeout_config().unwrap();
        assert!(timeouts.connect_timeout().is_some());
        assert!(timeouts.operation_attempt_timeout() < timeouts.operation_timeout());
        assert_eq!(config.retry_config().unwrap().max_attempts(), 4);
        assert!(config.http_client().is_some());
        assert!(config.credentials_provider().is_some());
    }
}
