//! Targets, in SSM's Parameter Store.

use aws_config::SdkConfig;
use exuvia_core::error::StepError;
use exuvia_core::name::Place;
use exuvia_core::target::{Target, parameter_name};

use crate::error::failed;

pub struct Targets(aws_sdk_ssm::Client);

impl Targets {
    pub fn new(config: &SdkConfig) -> Self {
        Self(aws_sdk_ssm::Client::new(config))
    }

    pub async fn get(&self, place: &Place) -> Result<Target, StepError> {
        let parameter = parameter_name(place);
        let answer = self.0.get_parameter().name(&parameter).send().await;
        let answer = answer.map_err(|error| {
            if error.as_service_error().is_some_and(
                aws_sdk_ssm::operation::get_parameter::GetParameterError::is_parameter_not_found,
            ) {
                StepError::TargetNotFound {
                    place: place.clone(),
                    parameter: parameter.clone(),
                }
            } else {
                failed(format!("GetParameter {parameter}"), error)
            }
        })?;
        let json = answer.parameter().and_then(|parameter| parameter.value());
        Ok(Target::parse(place, json.unwrap_or_default())?)
    }
}
