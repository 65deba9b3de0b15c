//! What the topic takes: anything that people are told.

use serde_json::Value;

use crate::notice::Notice;

/// Something to be published.
pub trait Announcement {
    /// One line.
    fn title(&self) -> &str;

    /// The body, as Amazon Q Developer in chat applications takes it.
    fn message(&self) -> Value;

    /// For subscription filters; those without a value are left out.
    fn attributes(&self) -> Vec<(&'static str, Option<String>)>;
}

impl Announcement for Notice {
    fn title(&self) -> &str {
        &self.title
    }

    fn message(&self) -> Value {
        self.to_message()
    }

    fn attributes(&self) -> Vec<(&'static str, Option<String>)> {
        let place = self.place.as_ref();
        vec![
            ("kind", Some(self.kind.as_str().to_owned())),
            ("app", place.map(|place| place.app.to_string())),
            (
                "environment",
                place.map(|place| place.environment.to_string()),
            ),
            ("release", self.release.map(|release| release.to_string())),
        ]
    }
}
