//! What Slack parses in a text: <https://docs.slack.dev/messaging/formatting-message-text>.

/// Links and mentions in a text, as they stand between `<` and `>`; or what is wrong with it.
pub(crate) fn parsed(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&']) {
        let from = &rest[at..];
        if let Some(entity) = ["&amp;", "&lt;", "&gt;"]
            .into_iter()
            .find(|entity| from.starts_with(entity))
        {
            rest = &from[entity.len()..];
            continue;
        }
        let shown: String = from.chars().take(30).collect();
        let inside = from.strip_prefix('<').and_then(|from| from.split_once('>'));
        match inside {
            Some((inside, after)) if is_whole(inside) => {
                found.push(inside.to_owned());
                rest = after;
            }
            _ => {
                return Err(format!(
                    "{shown:?} is neither escaped nor a link or mention"
                ));
            }
        }
    }
    Ok(found)
}

fn is_whole(inside: &str) -> bool {
    let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
    let is_id =
        |id: &str| !id.is_empty() && id.chars().all(|letter| letter.is_ascii_alphanumeric());
    let is_target = if let Some(user) = target.strip_prefix('@') {
        is_id(user)
    } else if let Some(channel) = target.strip_prefix('#') {
        is_id(channel)
    } else if let Some(special) = target.strip_prefix('!') {
        ["here", "channel", "everyone"].contains(&special)
            || special.starts_with("date^")
            || special.starts_with("subteam^")
    } else {
        let addresses = ["https://", "http://", "mailto:"];
        addresses
            .iter()
            .any(|begin| target.len() > begin.len() && target.starts_with(begin))
            && !target.contains(char::is_whitespace)
    };
    is_target && !label.contains(['<', '\n']) && !inside.contains('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_and_what_is_wrong() {
        let good = "a &lt;b&gt; <https://a.example?x=1&amp;y|<label>";
        assert!(parsed(good).is_err());
        for (text, found) in [
            ("plain *bold*", vec![]),
            ("&amp; &lt; &gt;", vec![]),
            (
                "<https://a.example|here> <!channel> <@U1>",
                vec!["https://a.example|here", "!channel", "@U1"],
            ),
        ] {
            assert_eq!(parsed(text).unwrap(), found, "{text}");
        }
        for bad in [
            "a < b",
            "a > b",
            "a & b",
            "<b>",
            "<https://>",
            "<https://a b>",
            "<!all>",
            "&nbsp;",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
