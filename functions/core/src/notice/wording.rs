//! All that is ever said in a notice.

use jiff::Timestamp;

use crate::lock::Purpose;
use crate::name::Place;
use crate::notice::Kind;
use crate::request::Request;
use crate::step::{Deploy, NotifyInput, Recovered, Replaces};

/// At most this many characters of a reason are told; the rest is in the execution.
const MOST: usize = 1_500;

/// What a notice says.
pub(super) struct Wording {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) next_steps: Vec<String>,
}

/// The execution that was cut off, if it is a recovery that tells.
pub(super) fn recovered(told: &NotifyInput) -> Option<&Recovered> {
    told.deploy.as_ref()?.recovers.as_ref()
}

/// The app and environment that it is about, as far as that can be told.
pub(super) fn place(told: &NotifyInput) -> Option<Place> {
    let deploy = told.deploy.as_ref().map(Deploy::place);
    deploy.or_else(|| Request::place_of(&told.input))
}

impl Wording {
    #[allow(clippy::too_many_lines)] // one arm a kind, in one place
    pub(super) fn of(told: &NotifyInput) -> Self {
        let (recovered, place) = (recovered(told), place(told));
        let whom = place
            .as_ref()
            .map_or_else(|| "an execution".to_owned(), ToString::to_string);
        let removal = told.deploy.as_ref().is_some_and(|deploy| deploy.removal);
        let what = match (&told.version, told.release) {
            (Some(version), Some(release)) => format!("{version} (release {release})"),
            (Some(version), None) => version.to_string(),
            (None, Some(release)) => format!("release {release}"),
            (None, None) if removal => "the removal".to_owned(),
            (None, None) => "the deploy".to_owned(),
        };
        let stays = match (&told.live_version, told.live) {
            (Some(version), Some(release)) => {
                format!("{version} (release {release}) has the traffic")
            }
            (None, Some(release)) => format!("Release {release} has the traffic"),
            _ => "Nothing is live".to_owned(),
        };
        // Why an execution was cut off, its cause tells; that a recovery cleans up is no reason.
        let because = match (recovered, &told.why.error) {
            (Some(_), None) => String::new(),
            _ => sentence(&cut(&told.why.text())),
        };
        let cut_off = recovered.map(|recovered| {
            let cause = recovered
                .cause
                .as_deref()
                .map(|cause| format!(" ({})", cut(cause)))
                .unwrap_or_default();
            format!("The execution was cut off: {}{cause}. ", recovered.status)
        });
        let cut_off = cut_off.unwrap_or_default();
        let again = place.as_ref().map(|place| {
            let Place { app, environment } = place;
            if removal {
                return format!("Remove it again with the input {{\"app\":\"{app}\",\"environment\":\"{environment}\",\"operation\":\"remove\"}}: that sheds what is left as well");
            }
            format!("Deploy what is live again with the input {{\"app\":\"{app}\",\"environment\":\"{environment}\"}}")
        });
        let settings = told
            .replaces
            .as_ref()
            .and_then(|replaces| replaces.settings.as_ref())
            .map_or_else(String::new, |changes| format!(" Settings: {changes}."));
        let renews = told
            .deploy
            .as_ref()
            .is_some_and(|deploy| deploy.purpose == Purpose::Renewal);
        let begins = match &told.replaces {
            Some(replaces) if renews => {
                let (release, age) = (replaces.release, age(replaces, told.now));
                format!("A renewal: release {release} has run for {age}. ")
            }
            _ => String::new(),
        };
        let had_run = told.replaces.as_ref().map_or_else(String::new, |replaces| {
            let (release, age) = (replaces.release, age(replaces, told.now));
            format!(" Release {release} had run for {age}.")
        });
        let (title, description, next_steps) = match told.kind {
            Kind::Started if removal => (
                format!("{whom}: removing the app"),
                match (&told.live_version, told.live) {
                    (Some(version), Some(release)) => {
                        format!("{version} (release {release}) is about to lose its traffic, and is then shed.")
                    }
                    _ => "Nothing has the traffic; what is left of the app is shed.".to_owned(),
                },
                vec![],
            ),
            Kind::Removed => (
                format!("{whom}: removed"),
                {
                    let was = match (&told.live_version, told.live) {
                        (Some(version), Some(release)) => format!("{version} (release {release}) gets no requests any more; it"),
                        _ => "Nothing is live any more; what was".to_owned(),
                    };
                    format!("{cut_off}{was} is being shed. Its releases and artifacts are kept.")
                },
                vec!["An upload deploys it again; else its stack may be deleted once the execution has ended".to_owned()],
            ),
            Kind::RolledBack if removal => (
                format!("{whom}: the removal was given up"),
                format!("{cut_off}{because}{stays}."),
                if recovered.is_some() {
                    vec![]
                } else {
                    vec!["Look at what it names, then start the execution again".to_owned()]
                },
            ),
            Kind::Started => (
                format!("{whom}: deploying {what}"),
                format!("{begins}Launching a new fleet. {stays} meanwhile.{settings}"),
                vec![],
            ),
            Kind::Succeeded => (
                format!("{whom}: {what} is live"),
                {
                    let old = told.live.filter(|live| Some(*live) != told.release);
                    let now = match (told.healthy, old) {
                        (Some(healthy), Some(old)) => format!(
                            "All traffic is on {healthy} healthy instances; release {old} is being shed."
                        ),
                        (Some(healthy), None) => {
                            format!("All traffic is on {healthy} healthy instances.")
                        }
                        _ => "All traffic is on it.".to_owned(),
                    };
                    format!("{cut_off}{now}{had_run}{settings}")
                },
                told.live
                    .filter(|live| Some(*live) != told.release)
                    .zip(place.as_ref())
                    .map(|(live, place)| format!("To go back, start an execution with the input {{\"app\":\"{}\",\"environment\":\"{}\",\"release\":{live}}}", place.app, place.environment))
                    .into_iter()
                    .collect(),
            ),
            // Before Plan nobody has looked at what is live.
            Kind::Superseded if told.release.is_none() => (
                format!("{whom}: {what} gave way"),
                because.trim_end().to_owned(),
                vec![],
            ),
            Kind::Superseded => (
                format!("{whom}: {what} gave way"),
                format!("{because}{stays}."),
                vec![],
            ),
            Kind::Skipped => (
                if removal {
                    format!("{whom}: nothing was removed")
                } else {
                    format!("{whom}: nothing was deployed")
                },
                because.trim_end().to_owned(),
                vec![],
            ),
            Kind::Rejected => (
                format!("{whom}: refused"),
                format!("{because}Nothing was touched."),
                vec!["Mend what it names, then upload or start it again".to_owned()],
            ),
            Kind::RolledBack => (
                format!("{whom}: {what} was rolled back"),
                format!("{cut_off}{because}{stays}."),
                match (recovered, &told.why.error) {
                    (Some(_), _) => vec![],
                    (None, None) => vec!["Mend it and upload a new version".to_owned()],
                    (None, Some(_)) => {
                        vec!["Look at what it names, then start the execution again".to_owned()]
                    }
                },
            ),
            Kind::NeedsAttention => (
                format!("{whom}: {what} needs attention"),
                format!("{because}Something could not be put in order."),
                again.into_iter().collect(),
            ),
        };
        Self {
            title,
            description,
            next_steps,
        }
    }
}

/// Without control characters, and no longer than a person reads.
pub(crate) fn cut(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST)
        .collect();
    if text.chars().count() > MOST {
        kept.push('…');
    }
    kept
}

/// As a sentence that another may follow.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    // A name, such as config.env, keeps its case.
    let is_word = text
        .split(' ')
        .next()
        .is_some_and(|word| word.chars().all(char::is_alphabetic));
    match chars.next() {
        None => String::new(),
        Some(first) if !is_word => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{first}{}{stop}", chars.as_str())
        }
        Some(first) => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
        }
    }
}

/// How long what was replaced had run by then.
fn age(replaces: &Replaces, now: Timestamp) -> String {
    lasted(replaces.age_seconds(now))
}

/// A time as a person tells it.
pub(crate) fn lasted(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let (count, unit) = match seconds {
        ..120 => (seconds.max(0), "second"),
        120..7_200 => (seconds / MINUTE, "minute"),
        7_200..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_it_has_two_of() {
        for (seconds, told) in [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (6 * 86_400 + 3_600, "6 days"),
        ] {
            assert_eq!(lasted(seconds), told);
        }
    }
}
