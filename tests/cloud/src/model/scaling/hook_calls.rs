//! What is asked of lifecycle hooks.

use super::{
    super::{Cloud, Error, Result, asg, limits},
    hook::{Hook, Transition, Verdict, Wait},
};

impl Cloud {
    fn waiting(
        &self,
        group: &str,
        hook: &str,
        instance: Option<&str>,
        token: Option<&str>,
    ) -> Result<(String, Wait)> {
        self.group(group)?;
        let mine = self
            .instances
            .values()
            .filter(|candidate| candidate.group == group);
        let found = mine
            .filter(|candidate| instance.is_none_or(|id| candidate.id == id))
            .flat_map(|candidate| {
                candidate
                    .waits
                    .iter()
                    .map(|wait| (candidate.id.clone(), wait.clone()))
            })
            .find(|(_, wait)| wait.hook == hook && token.is_none_or(|token| wait.token == token));
        found.filter(|_| instance.is_some() || token.is_some()).ok_or_else(|| {
            Error::validation(format!(
                "No active Lifecycle Action found with instance ID {}, hook {hook} and token {}",
                instance.unwrap_or("(none given)"),
                token.unwrap_or("(none given)")
            ))
        })
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html>
    pub fn complete_lifecycle_action(
        &mut self,
        request: &asg::CompleteLifecycleActionType,
    ) -> Result<asg::CompleteLifecycleActionAnswer> {
        let verdict = Verdict::parse(&request.lifecycle_action_result)?;
        let (id, wait) = self.waiting(
            &request.auto_scaling_group_name,
            &request.lifecycle_hook_name,
            request.instance_id.as_deref(),
            request.lifecycle_action_token.as_deref(),
        )?;
        self.resolve(
            &id,
            &wait,
            verdict,
            "Lifecycle Action Completed with ABANDON Result",
        );
        Ok(asg::CompleteLifecycleActionAnswer::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RecordLifecycleActionHeartbeat.html>
    pub fn record_lifecycle_action_heartbeat(
        &mut self,
        request: &asg::RecordLifecycleActionHeartbeatType,
    ) -> Result<asg::RecordLifecycleActionHeartbeatAnswer> {
        let (id, wait) = self.waiting(
            &request.auto_scaling_group_name,
            &request.lifecycle_hook_name,
            request.instance_id.as_deref(),
            request.lifecycle_action_token.as_deref(),
        )?;
        let until = self.now + wait.heartbeat;
        let waits = self
            .instances
            .get_mut(&id)
            .into_iter()
            .flat_map(|instance| &mut instance.waits);
        for found in waits.filter(|found| found.hook == wait.hook) {
            found.heartbeat_until = until;
        }
        Ok(asg::RecordLifecycleActionHeartbeatAnswer::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html>
    pub fn put_lifecycle_hook(
        &mut self,
        request: asg::PutLifecycleHookType,
    ) -> Result<asg::PutLifecycleHookAnswer> {
        limits::scaling_name("lifecycleHookName", &request.lifecycle_hook_name)?;
        let quota = self.settings.quotas.hooks_per_group;
        let group = self.standing_group(&request.auto_scaling_group_name)?;
        let existing = group.hooks.get(&request.lifecycle_hook_name);
        if existing.is_none() && group.hooks.len() >= quota {
            return Err(Error::new(
                "LimitExceeded",
                format!("A group may have at most {quota} lifecycle hooks"),
            ));
        }
        let before = existing.map(|hook| hook.transition.name().to_owned());
        let Some(transition) = request.lifecycle_transition.or(before) else {
            return Err(Error::validation(
                "LifecycleTransition is required to create a lifecycle hook",
            ));
        };
        let mut hook = Hook::new(
            &transition,
            request.heartbeat_timeout,
            request.default_result.as_deref(),
            request.notification_metadata,
        )?;
        hook.target = request.notification_target_a_r_n;
        hook.role = request.role_a_r_n;
        group.hooks.insert(request.lifecycle_hook_name, hook);
        Ok(asg::PutLifecycleHookAnswer::default())
    }

    /// Instances that wait for it go on: abandoned on the way in, continued on the way out.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteLifecycleHook.html>
    pub fn delete_lifecycle_hook(
        &mut self,
        request: &asg::DeleteLifecycleHookType,
    ) -> Result<asg::DeleteLifecycleHookAnswer> {
        let name = &request.auto_scaling_group_name;
        let hook = self
            .group_mut(name)?
            .hooks
            .remove(&request.lifecycle_hook_name);
        let Some(hook) = hook else {
            return Err(Error::validation(format!(
                "No Lifecycle Hook found with name {} in group {name}",
                request.lifecycle_hook_name
            )));
        };
        let verdict = match hook.transition {
            Transition::Launching => Verdict::Abandon,
            Transition::Terminating => Verdict::Continue,
        };
        let waits = self
            .instances
            .values()
            .filter(|instance| instance.group == *name);
        let waits: Vec<(String, Wait)> = waits
            .flat_map(|instance| {
                instance
                    .waits
                    .iter()
                    .map(|wait| (instance.id.clone(), wait.clone()))
            })
            .filter(|(_, wait)| wait.hook == request.lifecycle_hook_name)
            .collect();
        for (id, wait) in waits {
            self.resolve(
                &id,
                &wait,
                verdict,
                "Lifecycle Action Completed with ABANDON Result",
            );
        }
        Ok(asg::DeleteLifecycleHookAnswer::default())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeLifecycleHooks.html>
    pub fn describe_lifecycle_hooks(
        &self,
        request: asg::DescribeLifecycleHooksType,
    ) -> Result<asg::DescribeLifecycleHooksAnswer> {
        let group = self.group(&request.auto_scaling_group_name)?;
        let wanted = request
            .lifecycle_hook_names
            .map(|names| names.items)
            .unwrap_or_default();
        let hooks = group.hooks.iter();
        let hooks = hooks.filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
        Ok(asg::DescribeLifecycleHooksAnswer {
            lifecycle_hooks: Some(
                hooks
                    .map(|(name, hook)| hook.listed(name, &group.name))
                    .collect(),
            ),
        })
    }
}
