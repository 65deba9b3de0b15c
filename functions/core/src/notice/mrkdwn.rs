//! Slack's own markup, mrkdwn, which a custom notification's text is rendered as:
//! <https://docs.slack.dev/messaging/formatting-message-text>.

/// Text that is not ours, to stand in a message: it makes no links, no mentions and no formatting. The three characters
/// that Slack reads are told as entities. A mark that would format what it encloses is told as another like it, as mrkdwn
/// has no escape for it; an underscore inside a word formats nothing, and stays. At most so many characters are told, as
/// they are sent.
pub fn escape(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut length = 0;
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let told = match letter {
            '*' => '∗',
            '~' => '∼',
            '`' => '\'',
            '_' => {
                let is_inside = |letter: char| letter.is_alphanumeric() || letter == '_';
                let next = letters.peek().copied();
                let is_in_a_word = is_inside(before) && next.is_some_and(is_inside);
                if is_in_a_word { '_' } else { '＿' }
            }
            letter if letter.is_control() => ' ',
            letter => letter,
        };
        before = letter;
        length += entity(told).map_or(1, str::len);
        if length > most.saturating_sub(1) && letters.peek().is_some() {
            escaped.push('…');
            return escaped;
        }
        match entity(told) {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(told),
        }
    }
    escaped
}

/// The end of a program's output as a block, the newest lines of it, in no more than so many characters. What a program
/// prints is not ours: control characters go, and the colours that they begin with them.
pub fn block(output: &[String], most_lines: usize, most: usize) -> String {
    let first = output.len().saturating_sub(most_lines);
    let mut kept: Vec<String> = Vec::new();
    let mut length = 0;
    for line in output[first..].iter().rev() {
        let line = clean(line);
        length += line.chars().count() + 1;
        if length > most {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    if kept.iter().all(|line| line.trim().is_empty()) {
        return String::new();
    }
    format!("\n```\n{}\n```", kept.join("\n"))
}

/// A command to be copied.
pub fn code(command: &str) -> String {
    let plain: String = command
        .chars()
        .map(|letter| if letter == '`' { '\'' } else { letter })
        .collect();
    format!("`{}`", entities(&plain))
}

pub fn link(url: &str, text: &str) -> String {
    format!("<{}|{}>", entities(url), escape(text, MOST_OF_LINE))
}

/// So much of a line is told.
const MOST_OF_LINE: usize = 200;

fn clean(line: &str) -> String {
    let mut kept = String::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            // A control sequence ends with its first letter (ECMA-48).
            letters.by_ref().find(|c| ('@'..='~').contains(c));
        } else if letter == '\t' || !letter.is_control() {
            kept.push(if letter == '\t' { ' ' } else { letter });
        }
    }
    let short: String = kept.chars().take(MOST_OF_LINE).collect();
    // It must not end the block.
    entities(&short.replace('`', "'"))
}

fn entities(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for letter in text.chars() {
        match entity(letter) {
            Some(entity) => told.push_str(entity),
            None => told.push(letter),
        }
    }
    told
}

/// The letters that Slack reads, everywhere.
fn entity(letter: char) -> Option<&'static str> {
    match letter {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_only_read() {
        for (text, escaped) in [
            ("plain", "plain"),
            ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;@U1&gt;"),
            ("<https://evil|here>", "&lt;https://evil|here&gt;"),
            ("*bold* ~gone~ `code`", "∗bold∗ ∼gone∼ 'code'"),
            ("_it_ DATABASE_URL a__b _x", "＿it＿ DATABASE_URL a__b ＿x"),
            ("a\u{1b}[31mred\r\nb\0", "a [31mred  b "),
        ] {
            assert_eq!(escape(text, 1_000), escaped);
        }
        // Never in the middle of an entity, and no longer than that.
        for (most, escaped) in [
            (12, "a&amp;&amp;b"),
            (11, "a&amp;…"),
            (7, "a&amp;…"),
            (6, "a…"),
            (1, "…"),
        ] {
            assert_eq!(escape("a&&b", most), escaped, "{most}");
        }
    }

    #[test]
    fn output_stays_in_its_block() {
        let output = [
            "\u{1b}[31mred\u{1b}[0m\tline".to_owned(),
            "```".to_owned(),
            "<!here> & more".to_owned(),
        ];
        assert_eq!(
            block(&output, 50, 1_000),
            "\n```\nred line\n'''\n&lt;!here&gt; &amp; more\n```"
        );
        // The newest lines are kept, whole.
        assert_eq!(
            block(&output, 50, 25),
            "\n```\n&lt;!here&gt; &amp; more\n```"
        );
        assert_eq!(
            block(&output, 1, 1_000),
            "\n```\n&lt;!here&gt; &amp; more\n```"
        );
        assert_eq!(block(&[" ".to_owned(), String::new()], 50, 1_000), "");
        let long = ["x".repeat(500)];
        assert_eq!(block(&long, 50, 1_000).len(), 200 + "\n```\n\n```".len());
    }

    #[test]
    fn a_link_and_a_command() {
        assert_eq!(
            link("https://a/?b=c&d=e", "a <b>"),
            "<https://a/?b=c&amp;d=e|a &lt;b&gt;>"
        );
        assert_eq!(code("aws --input '{\"a\":`}'"), "`aws --input '{\"a\":'}'`");
    }
}
