//! `application/x-www-form-urlencoded`, in UTF-8.

use std::collections::HashMap;

/// The pairs of a form; a key without `=` has an empty value.
pub(super) fn parse(body: &str) -> HashMap<String, String> {
    let pairs = body.trim().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(high * 16 + low);
            rest = &after[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_says() {
        for (body, key, value) in [
            ("Action=DescribeRules&A=1", "A", "1"),
            ("A=a%20b+c", "A", "a b c"),
            ("A=%C3%BC%2F", "A", "ü/"),
            ("A=100%", "A", "100%"),
            ("A%2EB=x=y", "A.B", "x=y"),
            ("A", "A", ""),
        ] {
            assert_eq!(
                parse(body).get(key).map(String::as_str),
                Some(value),
                "{body}"
            );
        }
        assert!(parse("").is_empty());
    }
}
