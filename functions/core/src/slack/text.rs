//! Texts as Slack takes them: nothing in them is taken for a mention, a link or an end of what is around it, and they are
//! cut where a reader would.
//!
//! <https://docs.slack.dev/messaging/formatting-message-text>: `&`, `<` and `>` begin what Slack parses, and are written as
//! entities if they are meant as they are.

/// As Slack counts, which it does not document; as JavaScript does is never less than what others count.
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// A text of somebody else's as one line: without control characters, and without those that turn or hide what is beside
/// them (Unicode's bidirectional and invisible ones).
pub fn plain(text: &str) -> String {
    let visible = text.chars().filter(|letter| !is_hidden(*letter));
    let spaced: String = visible
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_hidden(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts a plain text.
pub fn cut(text: &str, most: usize) -> String {
    join(text.chars().map(|letter| letter.to_string()), most)
}

/// Puts pieces together for as long as they fit; none of them is cut.
fn join(pieces: impl IntoIterator<Item = String>, most: usize) -> String {
    let mut kept = String::new();
    let mut used = 0;
    // Where to go back to for the mark that something is missing.
    let mut fits = 0;
    for piece in pieces {
        let size = length(&piece);
        if used + size > most {
            kept.truncate(fits);
            kept.push('…');
            return kept;
        }
        kept.push_str(&piece);
        used += size;
        if used < most {
            fits = kept.len();
        }
    }
    kept
}

/// A letter as it stands in mrkdwn if nothing is meant by it.
fn entity(letter: char) -> String {
    match letter {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other => other.to_string(),
    }
}

/// A plain text in mrkdwn, on one line.
pub fn escape(text: &str, most: usize) -> String {
    join(plain(text).chars().map(entity), most)
}

/// A plain value in mrkdwn, as code: nothing in it is formatting. Empty if there is nothing to be seen of it.
pub fn code(text: &str, most: usize) -> String {
    let text = plain(text).replace('`', "'");
    if text.is_empty() {
        return text;
    }
    format!(
        "`{}`",
        join(text.chars().map(entity), most.saturating_sub(2))
    )
}

/// Whether a link may be made of it: one that leads to where it says, by TLS.
pub fn is_link(url: &str) -> bool {
    let host = url.strip_prefix("https://").unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let is_host =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ':');
    let is_part = |letter: char| {
        letter.is_ascii_graphic() && !matches!(letter, '<' | '>' | '|' | '"' | '`' | '\\')
    };
    !host.is_empty() && host.chars().all(is_host) && url.chars().all(is_part) && url.len() <= 3000
}

/// A link in mrkdwn; nothing if it may not be one.
pub fn link(url: &str, label: &str) -> Option<String> {
    is_link(url).then(|| format!("<{}|{}>", url.replace('&', "&amp;"), escape(label, 75)))
}

/// What a notice's description is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a str),
    /// What is between two fences: output, as a rule.
    Output(&'a str),
}

const FENCE: &str = "```";

pub fn parts(description: &str) -> Vec<Part<'_>> {
    let parts = description.split(FENCE).enumerate();
    let parts = parts.filter(|(_, text)| !text.trim().is_empty());
    parts
        .map(|(index, text)| {
            if index % 2 == 0 {
                Part::Text(text.trim())
            } else {
                Part::Output(text)
            }
        })
        .collect()
}

/// A text that is mrkdwn already, of a notice: entities and links to the web stay, all else that Slack would parse between
/// `<` and `>` is shown as it is written. It is cut at the end, and neither an entity nor a link ever is.
pub fn mrkdwn(text: &str, most: usize) -> String {
    let clean = text.chars().filter(|letter| !is_hidden(*letter));
    let clean: String = clean
        .map(|letter| {
            if letter.is_control() && letter != '\n' {
                ' '
            } else {
                letter
            }
        })
        .collect();
    join(pieces(&clean, true), most)
}

/// Lines of output as a block of code: the last that fit, as an output's end says why it ended.
pub fn output(text: &str, most: usize) -> String {
    let room = most.saturating_sub(2 * length(FENCE) + 4);
    let clean: Vec<String> = text
        .lines()
        .map(|line| {
            let visible = line.chars().filter(|letter| !is_hidden(*letter));
            let spaced: String = visible
                .map(|letter| if letter.is_control() { ' ' } else { letter })
                .collect();
            join(pieces(spaced.trim_end(), false), room)
        })
        .collect();
    let mut used = 0;
    let mut kept: Vec<&str> = Vec::new();
    for line in clean.iter().rev().skip_while(|line| line.is_empty()) {
        used += length(line) + 1;
        if used > room && !kept.is_empty() {
            kept.push("…");
            break;
        }
        kept.push(line);
    }
    while kept.last().is_some_and(|line| line.is_empty()) {
        kept.pop();
    }
    if kept.is_empty() {
        return String::new();
    }
    kept.reverse();
    format!("{FENCE}\n{}\n{FENCE}", kept.join("\n"))
}

/// A text without its last line, if that has nothing but links: they are facts as well, and are shown as such.
pub fn without_links(text: &str) -> &str {
    let text = text.trim_end();
    let (before, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let is_link = |part: &str| whole_link(part).is_some_and(|link| link == part);
    if last.split(" · ").all(is_link) {
        before.trim_end()
    } else {
        text
    }
}

/// The pieces of mrkdwn that must not be torn apart.
fn pieces(text: &str, links: bool) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let whole = match letter {
            '&' => ["&amp;", "&lt;", "&gt;"]
                .into_iter()
                .find(|entity| rest.starts_with(entity))
                .map(str::to_owned),
            '<' if links => whole_link(rest),
            _ => None,
        };
        if let Some(whole) = whole {
            rest = &rest[whole.len()..];
            pieces.push(whole);
        } else {
            rest = &rest[letter.len_utf8()..];
            pieces.push(entity(letter));
        }
    }
    pieces
}

/// The link that a text begins with, if it is one to the web.
fn whole_link(text: &str) -> Option<String> {
    let (inside, _) = text.strip_prefix('<')?.split_once('>')?;
    let (url, label) = inside.split_once('|').unwrap_or((inside, ""));
    let label_is_good = !label.contains(['<', '|', '\n']) && pieces(label, false).concat() == label;
    (is_link(url) && label_is_good).then(|| format!("<{inside}>"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_somebody_elses_means_nothing() {
        for (text, escaped, as_code) in [
            ("v1", "v1", "`v1`"),
            ("<!channel>", "&lt;!channel&gt;", "`&lt;!channel&gt;`"),
            (
                "<https://evil.example|ok>",
                "&lt;https://evil.example|ok&gt;",
                "`&lt;https://evil.example|ok&gt;`",
            ),
            ("a & b &lt;", "a &amp; b &amp;lt;", "`a &amp; b &amp;lt;`"),
            ("`rm`", "`rm`", "`'rm'`"),
            (
                "one\n\u{1b}[31mtwo\r\n\tthree",
                "one [31mtwo three",
                "`one [31mtwo three`",
            ),
            ("a\u{202e}b\u{200b}c", "abc", "`abc`"),
            ("\u{0}\n \u{200b}", "", ""),
        ] {
            assert_eq!(escape(text, 100), escaped, "{text:?}");
            assert_eq!(code(text, 100), as_code, "{text:?}");
        }
    }

    #[test]
    fn a_cut_is_between_characters_entities_and_links() {
        for (text, most, cut) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a&b", 6, "a…"),
            ("a&b", 7, "a&amp;b"),
            // An emoji counts as two.
            ("🚀🚀", 4, "🚀🚀"),
            ("🚀🚀", 3, "🚀…"),
            ("🚀", 1, "…"),
        ] {
            assert_eq!(escape(text, most), cut, "{text} {most}");
        }
        let linked = "see <https://a.example/x?a=1&amp;b=2|the &lt;report&gt;> now";
        assert_eq!(mrkdwn(linked, 100), linked);
        assert_eq!(mrkdwn(linked, 30), "see …");
        assert_eq!(mrkdwn("a &lt;b", 6), "a …");
        assert_eq!(mrkdwn("a &lt;b", 7), "a &lt;b");
    }

    #[test]
    fn of_a_description_links_and_entities_stay() {
        for (text, safe) in [
            (
                "*bold* `code`\nnew &amp; line",
                "*bold* `code`\nnew &amp; line",
            ),
            (
                "<!here> <@U1> <#C1>",
                "&lt;!here&gt; &lt;@U1&gt; &lt;#C1&gt;",
            ),
            (
                "<javascript:x|y> <http://a.example>",
                "&lt;javascript:x|y&gt; &lt;http://a.example&gt;",
            ),
            ("<https://a.example|b|c>", "&lt;https://a.example|b|c&gt;"),
            (
                "<https://u:p@a.example|x>",
                "&lt;https://u:p@a.example|x&gt;",
            ),
            (
                "<https://a.example|<!channel>>",
                "&lt;https://a.example|&lt;!channel&gt;&gt;",
            ),
            ("1 < 2 && &unknown;", "1 &lt; 2 &amp;&amp; &amp;unknown;"),
            ("a\u{7}b\u{202e}c", "a bc"),
        ] {
            assert_eq!(mrkdwn(text, 1000), safe, "{text}");
        }
    }

    #[test]
    fn a_description_has_texts_and_outputs() {
        use Part::{Output, Text};
        for (description, expected) in [
            ("It failed.", vec![Text("It failed.")]),
            (
                "It failed.\n```\nx\n```",
                vec![Text("It failed."), Output("\nx\n")],
            ),
            // One that never ends.
            ("a```b", vec![Text("a"), Output("b")]),
            ("``````\n", vec![]),
        ] {
            assert_eq!(parts(description), expected, "{description}");
        }
    }

    #[test]
    fn of_an_output_the_end_is_kept() {
        assert_eq!(output("\na\nb\n\n", 100), "```\na\nb\n```");
        assert_eq!(output("one\ntwo\nthree", 20), "```\n…\ntwo\nthree\n```");
        assert_eq!(
            output("<!channel> \u{1b}[0m", 100),
            "```\n&lt;!channel&gt;  [0m\n```"
        );
        assert_eq!(output(" \n\n", 100), "");
        let long = output(&"&".repeat(5000), 3000);
        assert!(
            length(&long) <= 3000 && long.ends_with("&amp;…\n```"),
            "{}",
            length(&long)
        );
    }

    #[test]
    fn a_line_of_links_is_left_out() {
        let links = "<https://a.example/#x|Execution> · <https://a.example/?a&amp;b|Report>";
        for (text, left) in [
            (format!("It is live.\n{links}"), "It is live."),
            (format!("It is live.\n{links}\n"), "It is live."),
            (links.to_owned(), ""),
            ("It is live.".to_owned(), "It is live."),
            (
                format!("It is live: {links}"),
                &*format!("It is live: {links}"),
            ),
            ("a\n<!channel>".to_owned(), "a\n<!channel>"),
        ] {
            assert_eq!(without_links(&text), left, "{text}");
        }
    }

    #[test]
    fn a_link_is_one_to_the_web() {
        assert_eq!(
            link("https://a.example/?a=1&b=2", "<x>"),
            Some("<https://a.example/?a=1&amp;b=2|&lt;x&gt;>".to_owned())
        );
        let long = format!("https://a.example/{}", "x".repeat(3000));
        for bad in [
            "",
            "http://a.example",
            "https://",
            "https:///x",
            "https://a b",
            "https://a|b",
            "https://a>b",
            "https://ä.example",
            &long,
        ] {
            assert_eq!(link(bad, "x"), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_parsed_comes_through(text in "[<>&!@#|a;`*\\n:/.htps]{0,60}", most in 1usize..80) {
            for safe in [escape(&text, most), mrkdwn(&text, most)] {
                prop_assert!(length(&safe) <= most.max(1), "{safe}");
                // What is left of it, when links and entities are taken away, has nothing to be parsed.
                let rest: String = pieces(&safe, true)
                    .into_iter()
                    .filter(|piece| piece.chars().count() == 1)
                    .collect();
                prop_assert!(!rest.contains(['<', '>', '&']), "{text:?} {safe:?}");
            }
            let block = output(&text, most + 20);
            prop_assert!(length(&block) <= most + 20 && !block.contains('<'), "{block:?}");
        }
    }
}
