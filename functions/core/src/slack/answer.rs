//! What Slack's answers mean, and what a person can do about them.
//!
//! The Web API answers 200 whatever it says, and names an error in `error`; webhooks answer with a status and a word.
//! <https://docs.slack.dev/apis/web-api#responses>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>.

use std::time::Duration;

use serde_json::Value;

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds, of a 429.
    pub retry_after: Option<u64>,
    pub body: String,
}

/// Where a message is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Posted {
    /// The channel's id.
    pub channel: String,
    /// The message's, in the channel.
    pub ts: String,
}

/// Why a message did not get to Slack. Nothing of a credential is ever in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("Slack takes no more messages for {seconds} s (429)")]
    RateLimited { seconds: u64 },
    #[error("Slack cannot be reached, or failed: {0}")]
    Unavailable(String),
    /// The message that was to be changed, or answered, is no longer there, or is no longer ours to change.
    #[error("the message is gone from Slack ({0})")]
    Gone(String),
    #[error("Slack refused the credential ({code}). {advice}")]
    Credential { code: String, advice: &'static str },
    #[error("Slack refused the message ({code}). {advice}")]
    Refused { code: String, advice: String },
}

/// How long a message rests in the queue after so many tries, the first being 1: longer each time, to a quarter of an hour,
/// and not less than Slack asks for. Twenty tries (`maxReceiveCount` in `infra/pipeline.yaml`) take three and a half hours.
pub fn wait(tries: u32, failure: Option<&Failure>) -> Duration {
    let doubled = 15_u64 << tries.clamp(1, 7).saturating_sub(1);
    let asked = match failure {
        Some(Failure::RateLimited { seconds }) => *seconds,
        _ => 0,
    };
    // SQS takes up to twelve hours.
    Duration::from_secs(doubled.min(900).max(asked).min(43_200))
}

const NEW_TOKEN: &str = "Put a token that is good into the parameter that SlackParameter names: install the Slack app again, and take its bot token";
const NEW_WEBHOOK: &str = "Put the URL of a webhook that there is into the parameter that SlackParameter names: make another in the Slack app, under Incoming Webhooks";

impl Answer {
    /// Of `chat.postMessage` or `chat.update`.
    pub fn of_web_api(&self) -> Result<Posted, Failure> {
        self.check_status()?;
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        if json["ok"] == true {
            let posted = Posted {
                channel: text("channel"),
                ts: text("ts"),
            };
            if posted.channel.is_empty() || posted.ts.is_empty() {
                return Err(Failure::Unavailable(
                    "it took the message, and did not say where it is".to_owned(),
                ));
            }
            return Ok(posted);
        }
        if self.status != 200 || json["ok"] != false {
            return Err(Failure::Unavailable(format!(
                "an answer {} that is not of its Web API",
                self.status
            )));
        }
        let code = word(&text("error"));
        let credential = |advice| {
            Err(Failure::Credential {
                code: code.clone(),
                advice,
            })
        };
        let refused = |advice: String| {
            Err(Failure::Refused {
                code: code.clone(),
                advice,
            })
        };
        match code.as_str() {
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive"
            | "user_removed_from_team" | "team_access_not_granted" | "not_allowed_token_type" => credential(NEW_TOKEN),
            "missing_scope" | "no_permission" => credential("Give the Slack app the scope chat:write, install it again, and put its bot token into the parameter that SlackParameter names"),
            "channel_not_found" => refused("Name a channel that there is in the parameter that SlackParameter names, by its id, and invite the app to it if it is private: /invite @app".to_owned()),
            "not_in_channel" => refused("Invite the app to the channel: /invite @app".to_owned()),
            "is_archived" => refused("The channel is archived: take it back, or name another in the parameter that SlackParameter names".to_owned()),
            "restricted_action" | "restricted_action_read_only_channel" | "restricted_action_thread_only_channel"
            | "ekm_access_denied" => refused("Who may post in the channel is restricted: let the app, or name another channel in the parameter that SlackParameter names".to_owned()),
            "message_not_found" | "cant_update_message" | "edit_window_closed" | "thread_not_found"
            | "cannot_reply_to_message" => Err(Failure::Gone(code)),
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => Err(Failure::RateLimited { seconds: self.retry_after.unwrap_or(60) }),
            "internal_error" | "fatal_error" | "request_timeout" | "service_unavailable" | "team_added_to_org"
            | "org_login_required" => Err(Failure::Unavailable(code)),
            _ => refused(format!("This is a defect of the function: keep this line{}", details(&json))),
        }
    }

    /// Of an incoming webhook.
    pub fn of_webhook(&self) -> Result<(), Failure> {
        self.check_status()?;
        let code = word(&self.body);
        match (self.status, code.as_str()) {
            (200, _) => Ok(()),
            (_, "invalid_payload" | "invalid_blocks" | "invalid_blocks_format" | "no_text" | "msg_too_long" | "msg_blocks_too_long"
            | "missing_text_or_fallback_or_attachments" | "too_many_attachments") => Err(Failure::Refused {
                code,
                advice: "This is a defect of the function: keep this line".to_owned(),
            }),
            (_, "action_prohibited" | "posting_to_general_channel_denied") => Err(Failure::Refused {
                code,
                advice: "Who may post in the channel is restricted: let the app, or make a webhook of another channel".to_owned(),
            }),
            (_, "channel_is_archived") => Err(Failure::Refused {
                code,
                advice: "Take the channel back, or make a webhook of another".to_owned(),
            }),
            // no_service, no_team, invalid_token, no_active_hooks, user_not_found, channel_not_found, ...
            (400 | 403 | 404 | 410, _) => Err(Failure::Credential { code, advice: NEW_WEBHOOK }),
            (status, _) => Err(Failure::Unavailable(format!("an answer {status} that is none of a webhook's"))),
        }
    }

    fn check_status(&self) -> Result<(), Failure> {
        match self.status {
            429 => Err(Failure::RateLimited {
                seconds: self.retry_after.unwrap_or(60),
            }),
            500.. => Err(Failure::Unavailable(format!("it answered {}", self.status))),
            300..400 => Err(Failure::Unavailable(format!(
                "it answered {}, which leads elsewhere and is not followed",
                self.status
            ))),
            _ => Ok(()),
        }
    }
}

/// An error as Slack names it; what else is answered is not repeated.
fn word(text: &str) -> String {
    let text = text.trim();
    let is_word = (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if is_word {
        text.to_owned()
    } else {
        "without a name".to_owned()
    }
}

/// What Slack says besides of blocks that it did not take.
fn details(json: &Value) -> String {
    let messages = json["response_metadata"]["messages"].as_array();
    let messages: Vec<&str> = messages
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(5)
        .collect();
    if messages.is_empty() {
        String::new()
    } else {
        format!(
            ": {}",
            super::text::cut(&super::text::plain(&messages.join("; ")), 500)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            retry_after: (status == 429).then_some(7),
            body: body.to_owned(),
        }
    }

    /// The variant's name.
    fn name<T>(judged: Result<T, Failure>) -> String {
        match judged {
            Ok(_) => "Ok".to_owned(),
            Err(failure) => format!("{failure:?}")
                .split([' ', '('])
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }

    #[test]
    fn what_the_web_api_means() {
        let ok = answer(
            200,
            r#"{"ok": true, "channel": "C1", "ts": "1.2", "message": {}}"#,
        );
        assert_eq!(
            ok.of_web_api(),
            Ok(Posted {
                channel: "C1".into(),
                ts: "1.2".into()
            })
        );
        for (error, judged) in [
            ("invalid_auth", "Credential"),
            ("token_revoked", "Credential"),
            ("account_inactive", "Credential"),
            ("missing_scope", "Credential"),
            ("channel_not_found", "Refused"),
            ("not_in_channel", "Refused"),
            ("is_archived", "Refused"),
            ("invalid_blocks", "Refused"),
            ("something_new", "Refused"),
            ("message_not_found", "Gone"),
            ("cant_update_message", "Gone"),
            ("thread_not_found", "Gone"),
            ("ratelimited", "RateLimited"),
            ("internal_error", "Unavailable"),
        ] {
            let body = format!(r#"{{"ok": false, "error": "{error}"}}"#);
            assert_eq!(name(answer(200, &body).of_web_api()), judged, "{error}");
        }
        for (status, body, judged) in [
            (429, "", "RateLimited"),
            (500, "oops", "Unavailable"),
            (503, "", "Unavailable"),
            (302, "", "Unavailable"),
            (200, "<html>", "Unavailable"),
            (404, "{}", "Unavailable"),
            (200, r#"{"ok": true}"#, "Unavailable"),
        ] {
            assert_eq!(
                name(answer(status, body).of_web_api()),
                judged,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn what_a_webhook_means() {
        for (status, body, judged) in [
            (200, "ok", "Ok"),
            (404, "no_service", "Credential"),
            (403, "invalid_token", "Credential"),
            (404, "channel_not_found", "Credential"),
            (410, "channel_is_archived", "Refused"),
            (410, "gone", "Credential"),
            (403, "action_prohibited", "Refused"),
            (400, "invalid_payload", "Refused"),
            (400, "invalid_blocks", "Refused"),
            (429, "rate_limited", "RateLimited"),
            (500, "rollup_error", "Unavailable"),
            (301, "", "Unavailable"),
        ] {
            assert_eq!(
                name(answer(status, body).of_webhook()),
                judged,
                "{status} {body}"
            );
        }
        assert_eq!(
            answer(429, "").of_webhook(),
            Err(Failure::RateLimited { seconds: 7 })
        );
    }

    #[test]
    fn each_try_waits_longer() {
        let seconds = |tries| wait(tries, None).as_secs();
        assert_eq!(
            [1, 2, 3, 6, 7, 8, 99].map(seconds),
            [15, 30, 60, 480, 900, 900, 900]
        );
        assert_eq!(seconds(0), 15);
        let all: u64 = (1..20).map(seconds).sum();
        assert!((3 * 3600..4 * 3600).contains(&all), "{all}");
        let limited = |seconds| wait(1, Some(&Failure::RateLimited { seconds })).as_secs();
        assert_eq!(
            (limited(3), limited(120), limited(u64::MAX)),
            (15, 120, 43_200)
        );
    }

    #[test]
    fn an_error_says_what_to_do_and_repeats_nothing_unknown() {
        let said = |answer: Answer| answer.of_web_api().unwrap_err().to_string();
        let error = said(answer(200, r#"{"ok": false, "error": "not_in_channel"}"#));
        assert_eq!(
            error,
            "Slack refused the message (not_in_channel). Invite the app to the channel: /invite @app"
        );
        let body = r#"{"ok": false, "error": "invalid_blocks", "response_metadata": {"messages": ["[ERROR] too long\n[json-pointer:/blocks/0]"]}}"#;
        let error = said(answer(200, body));
        assert!(
            error.ends_with("keep this line: [ERROR] too long [json-pointer:/blocks/0]"),
            "{error}"
        );
        let error = said(answer(200, r#"{"ok": false, "error": "xoxb-1 <html>"}"#));
        assert!(
            error.contains("without a name") && !error.contains("xoxb"),
            "{error}"
        );
    }
}
