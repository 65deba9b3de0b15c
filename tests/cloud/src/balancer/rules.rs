//! Which action a request gets: the first rule whose conditions match, else the default.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html>

use crate::routes::{Action, Listener, Rule};

/// `host` is the Host header, with or without a port; `path` comes without the query.
pub(super) fn action<'a>(listener: &'a Listener, host: &str, path: &str) -> &'a Action {
    let host = without_port(host).to_ascii_lowercase();
    let rule = listener
        .rules
        .iter()
        .find(|rule| matches(rule, &host, path));
    rule.map_or(&listener.default, |rule| &rule.action)
}

fn matches(rule: &Rule, host: &str, path: &str) -> bool {
    let any = |patterns: &[String], text: &str| {
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| is_like(pattern.as_bytes(), text.as_bytes()))
    };
    let hosts: Vec<String> = rule
        .hosts
        .iter()
        .map(|host| host.to_ascii_lowercase())
        .collect();
    any(&hosts, host) && any(&rule.paths, path)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // `[::1]` has colons and no port.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// `*` is any number of characters and `?` is one.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if this attempt fails: after the last `*`, with that taking one character more.
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, taken)) => {
                    retry = Some((after, taken + 1));
                    p = after;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, likes, unlike) in [
            ("/", &["/"][..], &["", "/x"][..]),
            ("/*", &["/", "/x/y"], &["", "x"]),
            (
                "/api/*",
                &["/api/", "/api/x"],
                &["/api", "/API/x", "/x/api/"],
            ),
            (
                "*.example.com",
                &["a.example.com", "a.b.example.com"],
                &["example.com"],
            ),
            ("/a?c", &["/abc", "/a/c"], &["/ac", "/abbc"]),
            ("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a"]),
            ("**", &["", "x"], &[]),
            ("", &[""], &["x"]),
        ] {
            for text in likes {
                assert!(
                    is_like(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
            for text in unlike {
                assert!(
                    !is_like(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let answer = |status| Action::FixedResponse {
            status,
            content_type: String::new(),
            body: String::new(),
        };
        let rule = |hosts: &[&str], paths: &[&str], status| Rule {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(ToString::to_string).collect(),
            action: answer(status),
        };
        let listener = Listener {
            port: 80,
            load_balancer: String::new(),
            rules: vec![
                rule(
                    &["Shop.example.com", "*.shop.test"],
                    &["/pay/*", "/cart"],
                    201,
                ),
                rule(&["shop.example.com"], &[], 202),
                rule(&[], &["/status"], 203),
                rule(&["[::1]"], &[], 204),
            ],
            default: answer(404),
        };
        for (host, path, expected) in [
            ("shop.example.com", "/cart", 201),
            ("SHOP.EXAMPLE.COM:8080", "/pay/now", 201),
            ("a.shop.test", "/cart", 201),
            ("a.shop.test", "/other", 404),
            ("shop.example.com", "/other", 202),
            ("elsewhere", "/status", 203),
            ("", "/status", 203),
            ("[::1]:8080", "/", 204),
            ("[::1]", "/", 204),
            ("localhost:80", "/Status", 404),
        ] {
            assert_eq!(
                *action(&listener, host, path),
                answer(expected),
                "{host} {path}"
            );
        }
    }
}
