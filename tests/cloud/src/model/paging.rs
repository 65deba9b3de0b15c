//! Lists in pages, in order of a key. A token names the key at which the next page begins, so it stays good while
//! entries come and go.

use super::{Error, Result};

const PREFIX: &str = "from:";

/// One page of `entries`, in order of the key that `key` gives, and the token of the next page.
pub(super) fn page<T>(
    mut entries: Vec<T>,
    key: impl Fn(&T) -> String,
    token: Option<&str>,
    size: usize,
    bad_token: impl Fn(&str) -> Error,
) -> Result<(Vec<T>, Option<String>)> {
    let from = match token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(token.strip_prefix(PREFIX).ok_or_else(|| bad_token(token))?),
    };
    entries.sort_by_cached_key(&key);
    let begins = entries.partition_point(|entry| from.is_some_and(|from| *key(entry) < *from));
    let mut rest = entries.split_off(begins);
    let next = rest
        .get(size)
        .map(|entry| format!("{PREFIX}{}", key(entry)));
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
    Error::new(
        "InvalidNextToken",
        format!("The token '{token}' is invalid."),
    )
}

pub(super) fn bad_marker(token: &str) -> Error {
    Error::validation(format!("'{token}' is not a valid marker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str], token: Option<&str>) -> (Vec<String>, Option<String>) {
        let all = all.iter().map(ToString::to_string).collect();
        page(all, Clone::clone, token, 2, bad_next_token).unwrap()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let all = ["c", "a", "e", "b", "d"];
        let (first, token) = names(&all, None);
        let (second, token) = names(&all, token.as_deref());
        let (third, end) = names(&all, token.as_deref());
        assert_eq!([first, second, third].concat(), ["a", "b", "c", "d", "e"]);
        assert_eq!(end, None);
    }

    #[test]
    fn an_entry_that_goes_takes_no_other_with_it() {
        let (_, token) = names(&["a", "b", "c", "d"], None);
        let (second, _) = names(&["a", "b", "d"], token.as_deref());
        assert_eq!(second, ["d"]);
    }

    #[test]
    fn a_made_up_token_is_refused() {
        let refused = page(
            vec![1],
            ToString::to_string,
            Some("nonsense"),
            2,
            bad_next_token,
        );
        assert_eq!(refused.unwrap_err().code, "InvalidNextToken");
    }
}
