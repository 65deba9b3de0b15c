//! Builds an image on an instance of its own: pins the source, launches the builder, looks how it is getting on, and
//! deletes it, whatever happens.

use exuvia_aws::artifacts::{Artifacts, Object};
use exuvia_aws::builders::Builders;
use exuvia_aws::fleet::{Remains, Trust};
use exuvia_aws::keys::{Keys, SigningKey};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::targets::Targets;
use exuvia_aws::workflow::Workflow;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::artifact::built_key;
use exuvia_core::build::request::{BuildRequest, InvalidBuild, What};
use exuvia_core::build::step::{Build, BuildInput, BuildOutput, CutOff};
use exuvia_core::build::verdict::{MOST_TERMINATING, ending, judge, quiet_after};
use exuvia_core::build::{BuildId, Destination, MOST_SOURCE, Order, SCHEMA};
use exuvia_core::error::StepError;
use exuvia_core::manifest::Recovery;
use exuvia_core::name::{Place, Version};
use exuvia_core::step::{Execution, Why};
use jiff::Timestamp;
use serde_json::Value;

pub struct Handler {
    artifacts: Artifacts,
    ledger: Ledger,
    targets: Targets,
    keys: Keys,
    signing_key: SigningKey,
    builders: Builders,
    workflow: Workflow,
    artifacts_bucket: String,
    key_arn: String,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        let key_arn = settings.get("KEY_ARN")?;
        let artifacts_bucket = settings.get("ARTIFACTS_BUCKET")?;
        Ok(Self {
            artifacts: Artifacts::new(config, artifacts_bucket.clone(), key_arn.clone()),
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            targets: Targets::new(config),
            keys: Keys::new(config),
            signing_key: SigningKey::new(config, settings.get("SIGNING_KEY_ARN")?),
            builders: Builders::new(config),
            workflow: Workflow::new(config),
            artifacts_bucket,
            key_arn,
        })
    }

    pub async fn handle(&self, input: BuildInput) -> Result<BuildOutput, StepError> {
        match input {
            BuildInput::Prepare { input, execution } => self.prepare(&input, &execution).await,
            BuildInput::Launch {
                build,
                execution,
                now,
            } => self.launch(build, &execution, now).await,
            BuildInput::Look {
                build,
                launched_at,
                now,
            } => self.look(&build, launched_at, now).await,
            BuildInput::Terminate {
                build,
                launched_at,
                since,
                execution,
                now,
                why,
            } => {
                let times = Times {
                    launched_at,
                    since,
                    now,
                };
                self.terminate(&build, times, &execution, &why).await
            }
        }
    }

    async fn prepare(
        &self,
        input: &Value,
        execution: &Execution,
    ) -> Result<BuildOutput, StepError> {
        let BuildRequest { place, what } = BuildRequest::parse(input)?;
        let mut build = Build {
            app: place.app.clone(),
            environment: place.environment.clone(),
            build: BuildId::of(&execution.arn),
            version: None,
            source: None,
            builder: None,
            recovers: None,
        };
        match what {
            What::Recovery { execution: cut_off } => {
                build.build = BuildId::of(&cut_off);
                let (cut_off, version) = self.cut_off(&place, cut_off, execution).await?;
                build.recovers = Some(cut_off);
                build.version = version;
            }
            What::Source {
                key,
                version,
                version_id,
            } => {
                build.builder = Some(self.targets.builder(&place).await?);
                self.keys.check_enabled(&self.key_arn).await?;
                let object = self.source(&key, version_id.as_deref()).await?;
                build.source = Some(self.artifacts.digest(&object).await?);
                build.version = Some(version);
            }
        }
        Ok(BuildOutput::Prepared(Box::new(build)))
    }

    async fn source(&self, key: &str, version_id: Option<&str>) -> Result<Object, StepError> {
        let found = self.artifacts.find(key, version_id).await?;
        let object = found.ok_or_else(|| {
            StepError::SourceNotFound(match version_id {
                Some(version_id) => format!("{key} with version id {version_id}"),
                None => key.to_owned(),
            })
        })?;
        if object.size > MOST_SOURCE {
            return Err(StepError::SourceTooLarge {
                key: key.to_owned(),
                size: object.size,
                most: MOST_SOURCE,
            });
        }
        Ok(object)
    }

    /// The execution that a recovery is asked for: it must have ended, and have been about this place. With the version
    /// that it was to build.
    async fn cut_off(
        &self,
        place: &Place,
        execution: String,
        asked_by: &Execution,
    ) -> Result<(CutOff, Option<Version>), StepError> {
        let wrong = |problem: &str| {
            InvalidBuild(format!(
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
        let asked = input.and_then(|input| BuildRequest::parse(&input).ok());
        let asked = asked.filter(|asked| asked.place == *place);
        let Some(What::Source { version, .. }) = asked.map(|asked| asked.what) else {
            return Err(wrong(&format!("was no build of {place}")).into());
        };
        let cut_off = CutOff {
            execution,
            status: described.status,
            cause: described.cause.or(described.error),
            ended: described.ended,
        };
        Ok((cut_off, Some(version)))
    }

    async fn launch(
        &self,
        build: Build,
        execution: &Execution,
        now: Timestamp,
    ) -> Result<BuildOutput, StepError> {
        let place = build.place();
        let (Some(version), Some(source), Some(builder)) =
            (build.version, build.source, build.builder)
        else {
            return Err(StepError::Unreadable {
                what: "the step's input".to_owned(),
                problem: "it has no version, source or builder: Prepare was left out".to_owned(),
            });
        };
        let order = Order {
            schema: SCHEMA,
            app: build.app,
            environment: build.environment,
            build: build.build,
            artifact: Destination {
                bucket: self.artifacts_bucket.clone(),
                key: built_key(&place, &version),
            },
            version,
            source,
            execution: execution.arn.clone(),
            created_at: now,
        };
        self.ledger
            .create_order(&place, &order, &self.signing_key)
            .await?;
        let trust = Trust {
            ledger: self.ledger.bucket(),
            signing_key: self.signing_key.arn(),
        };
        self.builders
            .create(&place, &order.build, &builder, trust)
            .await?;
        // A recovery notes this before it deletes the group. So either the note is seen here, or the group is seen
        // there: an execution that is redriven leaves no builder.
        if let Some(Recovery { by, .. }) = self.ledger.recovery_of(&place, &order.build).await? {
            return Err(StepError::AlreadyRecovered { place, by });
        }
        Ok(BuildOutput::Launched { wait_seconds: 15 })
    }

    async fn look(
        &self,
        build: &Build,
        launched_at: Timestamp,
        now: Timestamp,
    ) -> Result<BuildOutput, StepError> {
        let place = build.place();
        let timeout = build
            .builder
            .as_ref()
            .map(|builder| builder.timeout_seconds);
        let mut seen = self.builders.observe(&place, &build.build).await?;
        seen.report = self.ledger.report(&place, &build.build).await?;
        let verdict = judge(&seen, launched_at, timeout.unwrap_or_default(), now);
        Ok(BuildOutput::Looked {
            status: verdict.status,
            wait_seconds: verdict.wait_seconds,
            reason: verdict.reason,
        })
    }

    async fn terminate(
        &self,
        build: &Build,
        times: Times,
        execution: &Execution,
        why: &Why,
    ) -> Result<BuildOutput, StepError> {
        let (place, id) = (build.place(), &build.build);
        if build.recovers.is_some() {
            let by = execution.arn.clone();
            let note = Recovery { by, at: times.now };
            self.ledger.record_recovery(&place, id, note).await?;
        }
        let waited = times.now.duration_since(times.since).as_secs();
        let wait = |reason| BuildOutput::Terminating {
            wait_seconds: u32::try_from((waited / 6).clamp(5, 30)).unwrap_or(5),
            reason,
        };
        if let Remains::Something(state) = self.builders.delete(&place, id).await? {
            if waited > MOST_TERMINATING {
                return Err(StepError::StillTerminating {
                    place,
                    build: id.clone(),
                    waited_seconds: waited,
                    state,
                });
            }
            return Ok(wait(state));
        }
        let quiet = quiet_after(times.launched_at, build.recovers.as_ref());
        if quiet.is_some_and(|quiet| times.now < quiet) {
            let reason = "a builder that was only just launched may not be listed yet";
            return Ok(wait(reason.to_owned()));
        }
        // Nothing writes to either any more.
        let report = self.ledger.report(&place, id).await?;
        let uploaded = match (&report, &build.version) {
            (Some(Ok(_)), _) | (_, None) => false,
            (_, Some(version)) => {
                let key = built_key(&place, version);
                self.artifacts.is_built_by(&key, id).await?
            }
        };
        let (ending, reason) = ending(report.as_ref(), uploaded, why, build.recovers.as_ref());
        Ok(BuildOutput::Gone { ending, reason })
    }
}

#[derive(Clone, Copy)]
struct Times {
    launched_at: Option<Timestamp>,
    since: Timestamp,
    now: Timestamp,
}
