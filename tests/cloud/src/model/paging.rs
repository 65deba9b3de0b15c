//! Lists in pages. A token names the first entry of the next page, so it stays good while entries come and go.

use super::{Error, Result};

const PREFIX: &str = "from:";

/// One page of `entries`, which come in order of the key that `key` gives, and the token of the next page.
pub(super) fn page<T>(
    entries: Vec<T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    size: usize,
    bad_token: impl Fn(&str) -> Error,
) -> Result<(Vec<T>, Option<String>)> {
    let from = match token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(token.strip_prefix(PREFIX).ok_or_else(|| bad_token(token))?),
    };
    let mut rest: Vec<T> = entries
        .into_iter()
        .skip_while(|entry| from.is_some_and(|from| key(entry) != from))
        .collect();
    let next = rest.get(size).map(|entry| format!("{PREFIX}{}", key(entry)));
    rest.truncate(size);
    Ok((rest, next))
}

/// `MaxRecords` of Auto Scaling: 50 unless told, 100 at most (1600 where `max` says so).
pub(super) fn max_records(given: Option<i32>, default: usize, max: usize) -> Result<usize> {
    bounded(given, default, max, "MaxRecords")
}

/// `PageSize` of Elastic Load Balancing: 1 to 400.
pub(super) fn page_size(given: Option<i32>) -> Result<usize> {
    bounded(given, 400, 400, "PageSize")
}

fn bounded(given: Option<i32>, default: usize, max: usize, name: &str) -> Result<usize> {
    let Some(given) = given else {
        return Ok(default);
    };
    usize::try_from(given)
        .ok()
        .filter(|size| (1..=max).contains(size))
        .ok_or_else(|| {
            Error::validation(format!(
                "Value '{given}' at '{name}' failed to satisfy constraint: Member must be between 1 and {max}"
            ))
        })
}

pub(super) fn bad_next_token(token: &str) -> Error {
    Error::new("InvalidNextToken", format!("The token '{token}' is invalid."))
}

pub(super) fn bad_marker(token: &str) -> Error {
    Error::validation(format!("'{token}' is not a valid marker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(token: Option<&str>) -> Result<(Vec<String>, Option<String>)> {
        let all = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        page(all, Clone::clone, token, 2, bad_next_token)
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let (first, token) = names(None).unwrap();
        let (second, token) = names(token.as_deref()).map(|(page, next)| (page, next)).map_err(|e| (e, token)).unwrap();
        let (third, end) = names(token.as_deref()).unwrap();
        assert_eq!([first, second, third].concat(), ["a", "b", "c", "d", "e"]);
        assert_eq!(end, None);
    }

    #[test]
    fn a_made_up_token_is_refused() {
        assert_eq!(names(Some("nonsense")).unwrap_err().code, "InvalidNextToken");
    }
}
