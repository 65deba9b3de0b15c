//! Tells Slack what the topic tells: its messages, by way of a queue.
//!
//! A message that did not get there goes back to the queue and is given again, later each time; nothing waits for that.
//! The queue gives messages at least once and in any order, and two functions may have messages of one execution at once:
//! the ledger has what was said, and who is saying something (`exuvia_core::slack::thread`).

mod credentials;
mod web;

use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use exuvia_aws::ledger::Ledger;
use exuvia_aws::queue::Queue;
use exuvia_aws::secrets::Secrets;
use exuvia_aws::{SdkConfig, Settings};
use exuvia_core::error::StepError;
use exuvia_core::slack::answer::{Answer, Failure, Posted, wait};
use exuvia_core::slack::credential::{Bot, Credential, InvalidCredential, Secret};
use exuvia_core::slack::notice::{InvalidNotice, Notice, Received};
use exuvia_core::slack::render::{self, Message};
use exuvia_core::slack::thread::{self, Busy, Thread};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use credentials::Credentials;
use web::Web;

/// `Timeout` in `infra/pipeline.yaml` is 60 s; what is left is for the answer.
const BUDGET: Duration = Duration::from_secs(50);
/// A message is begun only if there is time for two requests that take as long as they may.
const ROOM: Duration = Duration::from_secs(25);
/// Whoever has begun to talk about an execution has ended by then, at the latest by the function's time-out.
const LEASE: SignedDuration = SignedDuration::from_secs(75);
/// Looks, a second apart, whether another function has done talking about the same execution.
const LOOKS: u32 = 6;
/// So long a 429 is waited for here; longer ones in the queue.
const PATIENCE: u64 = 30;

pub struct Handler {
    credentials: Credentials,
    ledger: Ledger,
    queue: Queue,
    web: Web,
}

/// Why a message is given back to the queue.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Slack(#[from] Failure),
    #[error("{0}")]
    Aws(#[from] StepError),
    #[error("{0}")]
    Credential(#[from] InvalidCredential),
    #[error("{0}")]
    Notice(#[from] InvalidNotice),
    #[error("another invocation is telling Slack of the same execution")]
    Busy,
    #[error("there is no time left for it in this invocation")]
    NoTime,
}

/// A conversation that nobody else takes part in until it is let go.
struct Held {
    thread: Thread,
    etag: String,
}

impl Handler {
    pub fn new(config: &SdkConfig, settings: &Settings) -> Result<Self, StepError> {
        Ok(Self {
            credentials: Credentials::new(Secrets::new(config), settings.get("SLACK_PARAMETER")?),
            ledger: Ledger::new(config, settings.get("LEDGER_BUCKET")?),
            queue: Queue::new(config, settings.get("QUEUE_URL")?),
            web: Web::new(settings.find(exuvia_core::slack::SERVER)),
        })
    }

    /// Answers with the messages that are to be given again.
    pub async fn handle(&self, event: SqsEvent) -> Result<SqsBatchResponse, StepError> {
        let deadline = Instant::now() + BUDGET;
        let mut response = SqsBatchResponse::default();
        let mut unreachable = None;
        for message in event.records {
            let told = match &unreachable {
                // One that hangs would take all the time that there is.
                Some(why) => Err(Failure::Unavailable(String::clone(why)).into()),
                None => self.tell(&message, deadline).await,
            };
            let Err(trouble) = told else { continue };
            if let Trouble::Slack(Failure::Unavailable(why)) = &trouble {
                unreachable.get_or_insert_with(|| why.clone());
            }
            self.give_back(&message, &trouble).await;
            response.add_failure(message.message_id.unwrap_or_default());
        }
        Ok(response)
    }

    async fn give_back(&self, message: &SqsMessage, trouble: &Trouble) {
        let tries = message.attributes.get("ApproximateReceiveCount");
        let tries = tries.and_then(|tries| tries.parse().ok()).unwrap_or(1);
        let wait = match trouble {
            Trouble::Busy | Trouble::NoTime => Duration::from_secs(10),
            Trouble::Slack(failure) => wait(tries, Some(failure)),
            _ => wait(tries, None),
        };
        let id = message.message_id.as_deref().unwrap_or_default();
        tracing::error!(
            message = id,
            tries,
            again_after_seconds = wait.as_secs(),
            "{trouble}"
        );
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        if let Err(error) = self.queue.give_again_after(receipt, wait).await {
            // It is given again all the same, after the queue's own time.
            tracing::warn!(message = id, "{error}");
        }
    }

    async fn tell(&self, message: &SqsMessage, deadline: Instant) -> Result<(), Trouble> {
        if Instant::now() + ROOM > deadline {
            return Err(Trouble::NoTime);
        }
        let received = Received::parse(message.body.as_deref().unwrap_or_default())?;
        let credential = self.credentials.get().await?;
        match self.say(&received, &credential, deadline).await {
            Err(Trouble::Slack(refused @ Failure::Credential { .. })) => {
                match self.credentials.other_than(&credential).await? {
                    Some(other) => self.say(&received, &other, deadline).await,
                    None => Err(refused.into()),
                }
            }
            said => said,
        }
    }

    async fn say(
        &self,
        received: &Received,
        credential: &Credential,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        match received {
            Received::Notice(notice) => self.converse(notice, credential, deadline).await,
            // Told again if it is given again: an alarm has no id that would be worth keeping.
            Received::Alarm(alarm) => {
                let message = render::alarm(alarm);
                match credential {
                    Credential::Webhook(webhook) => {
                        self.drop_in(webhook, &message, deadline).await?;
                    }
                    Credential::Bot(bot) => {
                        self.post(bot, bot.channel(None), &message, json!({}), deadline)
                            .await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Tells of an execution what is not told yet.
    async fn converse(
        &self,
        notice: &Notice,
        credential: &Credential,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let key = thread::key(notice.place.as_ref(), notice.execution_name());
        let is_due = |thread: &Thread| match credential {
            Credential::Webhook(_) => thread.tells_alone(notice),
            Credential::Bot(_) => !thread.plan(notice).is_nothing(),
        };
        if !is_due(&Thread::new(&notice.execution)) {
            return Ok(());
        }
        let Some(Held { mut thread, etag }) = self.hold(&key, notice, is_due).await? else {
            return Ok(());
        };
        let said = match credential {
            Credential::Webhook(webhook) => {
                self.drop_in(webhook, &render::alone(notice), deadline)
                    .await
            }
            Credential::Bot(bot) => self.keep_up(bot, notice, &mut thread, deadline).await,
        };
        if said.is_ok() {
            thread.note_told(notice);
        }
        thread.busy = None;
        // What was said is recorded even if not all of it was.
        if self
            .ledger
            .swap_conversation(&key, &etag, &thread)
            .await?
            .is_none()
        {
            tracing::warn!(
                key,
                "somebody else has gone on with this conversation: something may be told twice"
            );
        }
        said.map_err(Trouble::from)
    }

    /// Takes part in a conversation, alone; `None` if there is nothing to be said in it.
    async fn hold(
        &self,
        key: &str,
        notice: &Notice,
        is_due: impl Fn(&Thread) -> bool,
    ) -> Result<Option<Held>, Trouble> {
        for _ in 0..LOOKS {
            let now = Timestamp::now();
            let busy = Some(Busy { until: now + LEASE });
            let mut thread = Thread::new(&notice.execution);
            thread.busy.clone_from(&busy);
            if let Some(etag) = self.ledger.begin_conversation(key, &thread).await? {
                return Ok(Some(Held { thread, etag }));
            }
            if let Some(found) = self.ledger.conversation(key).await? {
                thread = found.value;
                if !is_due(&thread) {
                    return Ok(None);
                }
                if !thread.is_busy(now) {
                    thread.busy = busy;
                    let held = self
                        .ledger
                        .swap_conversation(key, &found.etag, &thread)
                        .await?;
                    if let Some(etag) = held {
                        return Ok(Some(Held { thread, etag }));
                    }
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
        Err(Trouble::Busy)
    }

    /// Has the execution's message show the newest, and its thread say the rest. What was done of it is in `thread`.
    async fn keep_up(
        &self,
        bot: &Bot,
        notice: &Notice,
        thread: &mut Thread,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let plan = thread.plan(notice);
        let channel = bot.channel(notice.place.as_ref());
        if let Some(shown) = plan.show {
            let message = render::message(&shown);
            let posted = match &thread.message {
                Some(posted) => match self.update(bot, posted, &message, deadline).await {
                    // Somebody has deleted it, or it may no longer be changed.
                    Err(Failure::Gone(_)) => {
                        self.post(bot, channel, &message, json!({}), deadline)
                            .await?
                    }
                    other => other?,
                },
                None => {
                    self.post(bot, channel, &message, json!({}), deadline)
                        .await?
                }
            };
            thread.message = Some(posted);
            thread.shown = Some(shown);
        }
        if !plan.reply {
            return Ok(());
        }
        let Some(posted) = thread.message.clone() else {
            return Ok(());
        };
        let said = self
            .reply(bot, &posted, notice, plan.broadcast, deadline)
            .await;
        let (Err(Failure::Gone(_)), Some(shown)) = (&said, &thread.shown) else {
            return said;
        };
        let anew = self
            .post(bot, channel, &render::message(shown), json!({}), deadline)
            .await?;
        thread.message = Some(anew.clone());
        self.reply(bot, &anew, notice, false, deadline).await
    }

    async fn reply(
        &self,
        bot: &Bot,
        below: &Posted,
        notice: &Notice,
        broadcast: bool,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let place = json!({"thread_ts": below.ts, "reply_broadcast": broadcast});
        let message = render::reply(notice);
        self.post(bot, &below.channel, &message, place, deadline)
            .await
            .map(drop)
    }

    /// <https://docs.slack.dev/reference/methods/chat.postMessage>
    async fn post(
        &self,
        bot: &Bot,
        channel: &str,
        message: &Message,
        mut arguments: Value,
        deadline: Instant,
    ) -> Result<Posted, Failure> {
        arguments["channel"] = channel.into();
        arguments["unfurl_links"] = false.into();
        arguments["unfurl_media"] = false.into();
        fill(&mut arguments, message);
        let call = async || self.web.call(bot, "chat.postMessage", &arguments).await;
        patiently(deadline, call, Answer::of_web_api).await
    }

    /// <https://docs.slack.dev/reference/methods/chat.update>
    async fn update(
        &self,
        bot: &Bot,
        posted: &Posted,
        message: &Message,
        deadline: Instant,
    ) -> Result<Posted, Failure> {
        // Other than of a new message, the text of a changed one is searched for addresses and names, unless it is told not to.
        let mut arguments = json!({"channel": posted.channel, "ts": posted.ts, "parse": "none"});
        fill(&mut arguments, message);
        let call = async || self.web.call(bot, "chat.update", &arguments).await;
        patiently(deadline, call, Answer::of_web_api).await
    }

    async fn drop_in(
        &self,
        webhook: &Secret,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut arguments = json!({"unfurl_links": false, "unfurl_media": false});
        fill(&mut arguments, message);
        let call = async || self.web.post_to_webhook(webhook, &arguments).await;
        patiently(deadline, call, Answer::of_webhook).await
    }
}

fn fill(arguments: &mut Value, message: &Message) {
    arguments["text"] = message.text.clone().into();
    arguments["blocks"] = message.blocks.clone().into();
}

/// Asks again when Slack has said when, if that is soon.
async fn patiently<T>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<Answer, Failure>,
    read: impl Fn(&Answer) -> Result<T, Failure>,
) -> Result<T, Failure> {
    loop {
        match read(&call().await?) {
            Err(Failure::RateLimited { seconds })
                if seconds <= PATIENCE
                    && Instant::now() + Duration::from_secs(seconds) + web::WHOLE < deadline =>
            {
                sleep(Duration::from_secs(seconds.max(1))).await;
            }
            other => return other,
        }
    }
}
