//! What a person sees: one line for each thing that was done, and one that moves while it is being done.
//!
//! On a terminal the line of the step at hand has a spinner; piped, there are only finished lines, without
//! colour. `NO_COLOR` is respected (<https://no-color.org>).

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The screen: cheap to clone, all clones draw on the same one.
#[derive(Clone)]
pub(crate) struct Ui {
    bars: MultiProgress,
    colour: bool,
    live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Bold,
    Dim,
    Good,
    Bad,
    Note,
}

impl Ui {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let live = terminal && !dumb;
        let target = if live {
            ProgressDrawTarget::stdout_with_hz(12)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            colour: live && !no_colour,
            live,
        }
    }

    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if self.live {
            // An error here means that the terminal has gone, and with it whoever would read this.
            let _ = self.bars.println(text);
        } else {
            println!("{}", text.as_ref());
        }
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bold => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Note => "36",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn mark(&self, well: bool) -> String {
        if well {
            self.paint(Tone::Good, "✓")
        } else {
            self.paint(Tone::Bad, "✗")
        }
    }

    /// A line at the bottom that moves until it is dropped; invisible when piped.
    pub(crate) fn bar(&self) -> Bar {
        let bar = self.bars.add(ProgressBar::new_spinner());
        let template = if self.colour {
            "  {spinner:.cyan} {wide_msg}"
        } else {
            "  {spinner} {wide_msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        if self.live {
            bar.enable_steady_tick(Duration::from_millis(90));
        }
        Bar(bar)
    }

    /// Begins a step, whose `expectation` says how long it takes where that is worth knowing.
    pub(crate) fn step(&self, name: &str, doing: &str, expectation: Option<&str>) -> Step {
        let expectation = expectation
            .map(|text| format!(" ({text})"))
            .unwrap_or_default();
        if !self.live && !expectation.is_empty() {
            self.line(format!("    {name:<10}{doing}{expectation}"));
        }
        let bar = self.bar();
        let message = format!("{name:<10}{doing}{}", self.paint(Tone::Dim, &expectation));
        bar.say(message.clone());
        Step {
            ui: self.clone(),
            bar,
            name: name.to_owned(),
            message,
            began: Instant::now(),
        }
    }
}

/// A moving line; it disappears when it is dropped.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn say(&self, message: String) {
        self.0.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A step under way. Dropped without `done`, it leaves no line: the error that ended it says more.
pub(crate) struct Step {
    ui: Ui,
    bar: Bar,
    name: String,
    message: String,
    began: Instant,
}

impl Step {
    /// What is happening at this moment, for instance which crate is being compiled.
    pub(crate) fn detail(&self, text: &str) {
        self.bar.say(format!(
            "{}  {}",
            self.message,
            self.ui.paint(Tone::Dim, text)
        ));
    }

    pub(crate) fn done(self, what: &str) {
        self.ended(true, what);
    }

    pub(crate) fn ended(self, well: bool, what: &str) {
        let Self {
            ui,
            bar,
            name,
            began,
            ..
        } = self;
        drop(bar);
        let took = ui.paint(Tone::Dim, &seconds(began.elapsed()));
        ui.line(format!("  {} {name:<10}{what}  {took}", ui.mark(well)));
    }
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// Lines of at most so many characters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        for (text, lines) in [
            ("", vec![""]),
            ("one two", vec!["one two"]),
            ("one two three", vec!["one two", "three"]),
            ("incomprehensible", vec!["incomprehensible"]),
        ] {
            assert_eq!(wrapped(text, 8), lines);
        }
    }

    #[test]
    fn durations_read_as_a_person_says_them() {
        for (milliseconds, text) in [
            (0, "0.0 s"),
            (440, "0.4 s"),
            (9_900, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1 min 00 s"),
            (200_000, "3 min 20 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
