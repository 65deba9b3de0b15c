//! Whether what is live is deployed again.

use jiff::Timestamp;

use crate::lock::Purpose;
use crate::manifest::Manifest;
use crate::notice::lasted;
use crate::step::Deploy;

/// Why an execution that nobody looks at deploys nothing: that is no failure. (A person who asks for what is not there
/// is refused.)
pub fn reason_to_skip(deploy: &Deploy, live: Option<&Manifest>, now: Timestamp) -> Option<String> {
    let place = deploy.place();
    match (deploy.purpose, live) {
        (Purpose::Refresh, None) if deploy.automatic => Some(format!(
            "Nothing is live in {place} yet; the settings are kept for the first version"
        )),
        (Purpose::Renewal, None) => Some(format!(
            "Nothing is live in {place} yet, so there is nothing to renew"
        )),
        (Purpose::Renewal, Some(live)) => {
            let wanted = deploy.renew.map_or(0, |renew| renew.older_than_hours);
            let age = now.duration_since(live.created_at).as_secs();
            (age < i64::from(wanted) * 3_600).then(|| {
                format!(
                    "Release {} has run for {}, so it is not renewed yet: that is done after {wanted} hours",
                    live.release,
                    lasted(age)
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3_600).unwrap()
    }

    fn deploy(purpose: Purpose, automatic: bool, hours: u32) -> Deploy {
        serde_json::from_value(json!({
            "app": "hello", "environment": "qa", "purpose": purpose, "automatic": automatic, "since": at(0),
            "renew": {"olderThanHours": hours},
        }))
        .unwrap()
    }

    /// Release 3, planned at hour 100.
    fn live() -> Manifest {
        let pinned = json!({"bucket": "b", "key": "hello/qa/v1.tar", "versionId": "v", "size": 1, "sha256": "0",
                            "uploadedAt": at(0)});
        serde_json::from_value(json!({
            "schema": 1, "app": "hello", "environment": "qa", "release": 3, "version": "v1", "artifact": pinned,
            "target": {
                "listenerArn": "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/lb/1/2",
                "priority": 100, "conditions": {"hosts": [], "paths": ["/*"]},
                "vpcId": "vpc-1", "subnets": ["subnet-1"], "launchTemplate": {"id": "lt-1", "version": 3}, "port": 8080,
                "healthCheck": {"path": "/", "intervalSeconds": 10, "timeoutSeconds": 5, "healthyThreshold": 2,
                                "unhealthyThreshold": 2, "successCodes": "200"},
                "capacity": {"min": 1, "max": 2, "initial": 1},
                "strategy": {"type": "allAtOnce", "bakeSeconds": 60},
                "timeouts": {"bootSeconds": 600, "drainSeconds": 300},
            },
            "execution": "arn:aws:states:us-east-1:000000000000:execution:exuvia:1", "createdAt": at(100),
        }))
        .unwrap()
    }

    #[test]
    fn what_is_skipped_and_why() {
        use Purpose::{Deploy, Refresh, Renewal};
        let live = live();
        let some = Some(&live);
        for (purpose, automatic, hours, live, now, says) in [
            (Deploy, true, 0, None, 100, None),
            (Refresh, false, 0, None, 100, None),
            (Refresh, true, 0, None, 100, Some("the settings are kept")),
            (Refresh, true, 0, some, 100, None),
            (Renewal, false, 24, None, 100, Some("nothing to renew")),
            (Renewal, false, 24, some, 105, Some("has run for 5 hours")),
            (Renewal, false, 24, some, 123, Some("after 24 hours")),
            (Renewal, false, 24, some, 124, None),
            (Renewal, false, 0, some, 100, None),
        ] {
            let deploy = deploy(purpose, automatic, hours);
            let reason = reason_to_skip(&deploy, live, at(now));
            assert_eq!(reason.is_some(), says.is_some(), "{purpose:?}: {reason:?}");
            assert!(
                reason
                    .unwrap_or_default()
                    .contains(says.unwrap_or_default())
            );
        }
    }
}
