//! Finds and pins all that a deploy names, and touches nothing.

use exuvia_aws::artifacts::{Artifacts, Object};
use exuvia_aws::keys::{Keys, SigningKey};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::metrics::Metrics;
use exuvia_aws::targets::Targets;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::approval::Approval;
use exuvia_core::artifact::{Pinned, artifact_keys, config_key};
use exuvia_core::error::StepError;
use exuvia_core::lock::{Purpose, RENEWAL_SINCE};
use exuvia_core::manifest::Manifest;
use exuvia_core::name::{Place, ReleaseNumber, Version};
use exuvia_core::request::{InvalidRequest, Request, Source, UploadName};
use exuvia_core::step::{Deploy, Execution, Recovered, ValidateInput};
use exuvia_core::target::Target;

pub struct Handler {
    artifacts: Artifacts,
    ledger: Ledger,
    targets: Targets,
    keys: Keys,
    metrics: Metrics,
    workflow: Workflow,
    key_arn: String,
    signing_key: SigningKey,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        let key_arn = settings.get("KEY_ARN")?;
        Ok(Self {
            artifacts: Artifacts::new(config, settings.get("ARTIFACTS_BUCKET")?, key_arn.clone()),
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            targets: Targets::new(config),
            keys: Keys::new(config),
            metrics: Metrics::new(config),
            workflow: Workflow::new(config),
            key_arn,
            signing_key: SigningKey::new(config, settings.get("SIGNING_KEY_ARN")?),
        })
    }

    pub async fn handle(&self, input: ValidateInput) -> Result<Deploy, StepError> {
        let request = Request::parse(&input.input)?;
        let place = request.place.clone();
        let mut deploy = Deploy {
            app: place.app.clone(),
            environment: place.environment.clone(),
            purpose: Purpose::Deploy,
            removal: false,
            version: None,
            artifact: None,
            config: None,
            automatic: UploadName::is_one(&input.execution.name),
            since: input.execution.start_time,
            by: None,
            target: None,
            approval_seconds: None,
            retain_minutes: 0,
            earlier: None,
            renew: None,
            recovers: None,
        };
        if let Source::Recovery { execution } = request.source {
            deploy.purpose = Purpose::Recovery;
            let (recovered, removal) = self.cut_off(&place, execution, &input.execution).await?;
            deploy.recovers = Some(recovered);
            deploy.removal = removal;
            return Ok(deploy);
        }
        // What there is to remove is told when the lock is had; even the target may be gone already.
        if request.source == Source::Removal {
            deploy.removal = true;
            return Ok(deploy);
        }
        let (target, key, config, found) = tokio::join!(
            self.target(&request),
            self.keys.check_enabled(&self.key_arn),
            self.newest_config(&place, &request.source),
            self.artifact(&place, &request.source)
        );
        let target = target?;
        let architecture = target.architecture;
        deploy.approval_seconds = target.approval.seconds();
        deploy.retain_minutes = target.retain_minutes;
        deploy.target = Some(target);
        key?;
        if let Some(object) = found? {
            deploy.artifact = Some(self.artifacts.inspect(&object, architecture).await?);
            if deploy.automatic {
                deploy.since = object.uploaded_at;
            }
            deploy.by = object.by;
        }
        match request.source {
            Source::Artifact { version, .. } | Source::Version(version) => {
                deploy.version = Some(version);
            }
            Source::Release(release) => {
                let manifest = self.released(&place, release).await?;
                deploy.artifact = Some(manifest.artifact);
                deploy.version = Some(manifest.version);
                deploy.config = manifest.config;
                deploy.earlier = Some(release);
                return Ok(deploy);
            }
            // Which release is live is told when the lock is had: it may be another by then.
            Source::Live => deploy.purpose = Purpose::Refresh,
            Source::Renewal(renew) => {
                deploy.purpose = Purpose::Renewal;
                deploy.renew = Some(renew);
                deploy.since = RENEWAL_SINCE;
                return Ok(deploy);
            }
            Source::Removal | Source::Recovery { .. } => {}
        }
        deploy.config = config?;
        if let (true, Purpose::Refresh, Some(config)) =
            (deploy.automatic, deploy.purpose, &deploy.config)
        {
            deploy.since = config.uploaded_at;
        }
        Ok(deploy)
    }

    /// The target, as the input has it where that says otherwise. A renewal comes when nobody is there to ask.
    async fn target(&self, request: &Request) -> Result<Target, StepError> {
        let (place, strategy) = (&request.place, request.strategy.clone());
        let approval = match request.source {
            Source::Renewal(_) => Some(Approval::default()),
            _ => request.approval,
        };
        let target = self.targets.get(place).await?;
        let target = target.overridden(place, strategy, approval, request.retain_minutes)?;
        self.check_alarms(place, &target).await?;
        Ok(target)
    }

    /// A name that no alarm has is a slip. That `CloudWatch` cannot be asked is no reason to refuse a deploy: what it does not
    /// tell does not count later either.
    async fn check_alarms(&self, place: &Place, target: &Target) -> Result<(), StepError> {
        match self.metrics.alarms(&target.alarms).await {
            Ok(found) => Ok(target.check_alarms(place, &found)?),
            Err(StepError::AwsThrottled { .. } | StepError::AwsUnavailable { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The manifest of a release, all of which is still there.
    async fn released(&self, place: &Place, release: ReleaseNumber) -> Result<Manifest, StepError> {
        // One without a signature is taken at a person's word: it may be older than signatures are.
        let (manifest, _) = self
            .ledger
            .verified_manifest(place, release, &self.signing_key)
            .await?;
        self.artifacts.check_present(&manifest.artifact).await?;
        if let Some(config) = &manifest.config {
            self.artifacts.check_present(config).await?;
        }
        Ok(manifest)
    }

    /// The image that is asked for; `None` for what is deployed with the image of a release.
    async fn artifact(&self, place: &Place, source: &Source) -> Result<Option<Object>, StepError> {
        match source {
            Source::Artifact {
                key, version_id, ..
            } => {
                let found = self.artifacts.find(key, version_id.as_deref()).await?;
                let missing = || {
                    StepError::ArtifactNotFound(match version_id {
                        Some(version_id) => format!("{key} with version id {version_id}"),
                        None => key.clone(),
                    })
                };
                Ok(Some(found.ok_or_else(missing)?))
            }
            Source::Version(version) => Ok(Some(self.newest(place, version).await?)),
            _ => Ok(None),
        }
    }

    /// The newest object of a version, whichever of the endings it was uploaded with.
    async fn newest(&self, place: &Place, version: &Version) -> Result<Object, StepError> {
        let mut newest: Option<Object> = None;
        for key in artifact_keys(place, version) {
            if let Some(object) = self.artifacts.find(&key, None).await?
                && newest
                    .as_ref()
                    .is_none_or(|other| object.uploaded_at > other.uploaded_at)
            {
                newest = Some(object);
            }
        }
        newest.ok_or_else(|| {
            StepError::ArtifactNotFound(format!(
                "of version {version}: none of {}",
                artifact_keys(place, version).join(", ")
            ))
        })
    }

    /// `None` for what is deployed with the settings of a release.
    async fn newest_config(
        &self,
        place: &Place,
        source: &Source,
    ) -> Result<Option<Pinned>, StepError> {
        if matches!(source, Source::Release(_) | Source::Renewal(_)) {
            return Ok(None);
        }
        match self.artifacts.find(&config_key(place), None).await? {
            Some(object) => Ok(Some(self.artifacts.read_config(&object).await?)),
            None => Ok(None),
        }
    }

    /// The execution that a recovery is asked for, and whether it was a removal: it must have ended, and have been about
    /// this place.
    async fn cut_off(
        &self,
        place: &Place,
        execution: String,
        asked_by: &Execution,
    ) -> Result<(Recovered, bool), StepError> {
        let wrong = |problem: &str| {
            InvalidRequest(format!(
                "recover names the execution {execution}, which {problem}"
            ))
        };
        let described = self
            .workflow
            .ended(&execution, asked_by, |problem| wrong(problem).into())
            .await?;
        let input = described
            .input
            .as_deref()
            .and_then(|input| serde_json::from_str(input).ok());
        if input.as_ref().and_then(Request::place_of).as_ref() != Some(place) {
            return Err(wrong(&format!("was not about {place}")).into());
        }
        let request = input.as_ref().map(Request::parse);
        let removal = request
            .is_some_and(|request| request.is_ok_and(|request| request.source == Source::Removal));
        let recovered = Recovered {
            execution,
            status: described.status,
            cause: described.cause.or(described.error),
        };
        Ok((recovered, removal))
    }
}
