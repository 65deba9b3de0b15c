//! Secrets, in SSM's Parameter Store: what they say is given to whoever asks and is in no error and no log.

use aws_config::SdkConfig;
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use exuvia_core::error::StepError;

use crate::error::failed;
use crate::{Lazy, lazily};

pub struct Secrets(Lazy<aws_sdk_ssm::Client>);

impl Secrets {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, aws_sdk_ssm::Client::new))
    }

    /// A `SecureString`'s text; `None` if there is no such parameter.
    pub async fn get(&self, name: &str) -> Result<Option<String>, StepError> {
        let get = self.0.get_parameter().name(name).with_decryption(true);
        match get.send().await {
            Ok(answer) => {
                let value = answer.parameter().and_then(|parameter| parameter.value());
                Ok(value.map(str::to_owned))
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetParameterError::is_parameter_not_found) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(format!("GetParameter {name}"), error)),
        }
    }
}
