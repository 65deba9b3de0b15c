//! What the page says in words.

use exuvia_core::notice::Kind;
use exuvia_core::report::{Report, name_of};

use super::Badge;
use super::chart::lasted;

pub(super) fn badge(report: &Report) -> Badge {
    if report.needs_attention {
        return Badge {
            word: "Needs attention",
            tone: "warn",
        };
    }
    of_outcome(report.outcome, report.ended.is_some())
}

pub(super) fn of_outcome(outcome: Option<Kind>, ended: bool) -> Badge {
    let (word, tone) = match outcome {
        Some(Kind::Succeeded) => ("Succeeded", "good"),
        Some(Kind::Removed) => ("Removed", "good"),
        Some(Kind::RolledBack) => ("Rolled back", "bad"),
        Some(Kind::Rejected) => ("Refused", "bad"),
        Some(Kind::Superseded) => ("Superseded", "calm"),
        Some(Kind::Skipped) => ("Skipped", "calm"),
        _ if ended => ("Cut off", "bad"),
        _ => ("Running", "busy"),
    };
    Badge { word, tone }
}

fn what(report: &Report) -> String {
    match (&report.version, report.release) {
        (Some(version), _) => version.to_string(),
        (None, Some(release)) => format!("Release {release}"),
        (None, None) => "The deploy".to_owned(),
    }
}

pub(super) fn headline(report: &Report) -> String {
    let what = what(report);
    if let Some(recovered) = &report.recovers {
        return format!("Clean-up after {}", name_of(recovered));
    }
    match report.outcome {
        Some(Kind::Succeeded) => format!("{what} went live"),
        Some(Kind::Removed) => "The app was taken out of the environment".to_owned(),
        Some(Kind::RolledBack) => format!("{what} was rolled back"),
        Some(Kind::Superseded) => format!("{what} gave way to a newer deploy"),
        Some(Kind::Skipped) => "Nothing was deployed".to_owned(),
        Some(Kind::Rejected) => "The request was refused".to_owned(),
        _ if report.ended.is_some() => format!("{what} was cut off"),
        _ => format!("{what} is being deployed"),
    }
}

pub(super) fn summary(report: &Report) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(report.cause.as_deref().map(sentence));
    let took = lasted(report.lasted());
    match (&report.from, report.outcome, report.ended) {
        (Some(from), Some(Kind::Succeeded), Some(_)) => {
            sentences.push(format!(
                "It replaced release {}; with the clean-up it took {took}.",
                from.release
            ));
        }
        (Some(from), Some(Kind::Succeeded), None) => {
            sentences.push(format!(
                "It has replaced release {}, whose fleet is being shed.",
                from.release
            ));
        }
        (Some(from), Some(Kind::RolledBack), _) => {
            sentences.push(format!(
                "Release {} kept, or got back, all of the traffic.",
                from.release
            ));
        }
        (None, Some(Kind::Succeeded), _) => {
            sentences.push("Nothing was live before.".to_owned());
        }
        _ => {}
    }
    if let Some(by) = &report.recovered_by {
        sentences.push(format!("{} has put things in order after it.", name_of(by)));
    }
    sentences
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut text: String = first.into_iter().flatten().chain(letters).collect();
    if !text.ends_with(['.', '!', '?', '…', ':']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_becomes_a_sentence() {
        assert_eq!(
            sentence("after 600 s none is healthy"),
            "After 600 s none is healthy."
        );
        assert_eq!(sentence("It was stopped."), "It was stopped.");
    }

    #[test]
    fn each_outcome_has_a_word() {
        assert_eq!(of_outcome(Some(Kind::Succeeded), true).word, "Succeeded");
        assert_eq!(of_outcome(None, true).word, "Cut off");
        assert_eq!(of_outcome(None, false).word, "Running");
        assert_eq!(of_outcome(Some(Kind::Started), false).word, "Running");
    }
}
