//! Targets and builders, in SSM's Parameter Store.

use aws_config::SdkConfig;
use exuvia_core::build::builder::{self, Builder};
use exuvia_core::error::StepError;
use exuvia_core::name::Place;
use exuvia_core::target::{self, Target};

use crate::error::failed;
use crate::{Lazy, lazily};

pub struct Targets(Lazy<aws_sdk_ssm::Client>);

impl Targets {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, aws_sdk_ssm::Client::new))
    }

    pub async fn get(&self, place: &Place) -> Result<Target, StepError> {
        let parameter = target::parameter_name(place);
        let json = self.parameter(&parameter).await?;
        let json = json.ok_or_else(|| StepError::TargetNotFound {
            place: place.clone(),
            parameter,
        })?;
        Ok(Target::parse(place, &json)?)
    }

    pub async fn builder(&self, place: &Place) -> Result<Builder, StepError> {
        let parameter = builder::parameter_name(place);
        let json = self.parameter(&parameter).await?;
        let json = json.ok_or_else(|| StepError::BuilderNotFound {
            place: place.clone(),
            parameter,
        })?;
        Ok(Builder::parse(place, &json)?)
    }

    /// A parameter's value; `None` if there is no such parameter.
    async fn parameter(&self, name: &str) -> Result<Option<String>, StepError> {
        match self.0.get_parameter().name(name).send().await {
            Ok(answer) => {
                let value = answer.parameter().and_then(|parameter| parameter.value());
                Ok(Some(value.unwrap_or_default().to_owned()))
            }
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_ssm::operation::get_parameter::GetParameterError::is_parameter_not_found,
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(format!("GetParameter {name}"), error)),
        }
    }
}
