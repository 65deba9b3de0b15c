//! The app's settings: an environment file as `docker run --env-file` reads it.
//!
//! Docker takes what is behind `=` as it stands, to the end of the line: a file that was written for a shell or for
//! another reader of such files is refused where that would not give what was meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A settings file may be this large, in bytes. Linux gives a process' arguments and environment 2 MiB in all
/// and 128 KiB a string (execve(2)); this stays well below both.
pub const MAX_SIZE: u64 = 64 * 1024;

/// Why a settings file was refused. Never carries a value: settings hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    #[error("config.env is {0} bytes, more than {MAX_SIZE}")]
    TooLarge(u64),
    #[error("config.env is not UTF-8 text")]
    NotText,
    #[error("config.env begins with a byte order mark; save it as UTF-8 without one")]
    ByteOrderMark,
    #[error("config.env, line {line}: there is a NUL byte; save the file as UTF-8 text")]
    Nul { line: usize },
    #[error(
        "config.env, line {line}: the line ends with a carriage return, as Windows has it; save the file with Unix line ends (`dos2unix config.env` does)"
    )]
    CarriageReturn { line: usize },
    #[error(
        "config.env, line {line}: there is no `=`; write NAME=value on one line, and what has several lines in another form, such as base64"
    )]
    NoEquals { line: usize },
    #[error(
        "config.env, line {line}: the name before `=` is not one; use letters, digits and underscores, not beginning with a digit"
    )]
    Name { line: usize },
    #[error(
        "config.env, line {line}: {name} is set by Exuvia on each instance; choose another name"
    )]
    Reserved { line: usize, name: String },
    #[error("config.env, line {line}: {name} is set a second time (first on line {first})")]
    Twice {
        line: usize,
        first: usize,
        name: String,
    },
    #[error(
        "config.env, line {line}: the value of {name} is in quotes, which would be a part of it; write it without them"
    )]
    Quoted { line: usize, name: String },
    #[error(
        "config.env, line {line}: the value of {name} begins with a quote that is closed on line {last}, but a value has one line; write it in another form, such as base64"
    )]
    SeveralLines {
        line: usize,
        last: usize,
        name: String,
    },
    #[error("config.env, line {line}: the value has a control character")]
    Control { line: usize },
}

/// What every container gets from its instance, whatever the settings say.
pub const RESERVED: [&str; 3] = ["PORT", "RELEASE", "VERSION"];

/// The names that a settings file sets, in its order, if it is one that docker would read as meant.
pub fn names(bytes: &[u8]) -> Result<Vec<String>, InvalidConfig> {
    if bytes.len() as u64 > MAX_SIZE {
        return Err(InvalidConfig::TooLarge(bytes.len() as u64));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidConfig::NotText)?;
    if text.starts_with('\u{feff}') {
        return Err(InvalidConfig::ByteOrderMark);
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (index, raw) in lines.iter().enumerate() {
        let line = index + 1;
        // In a comment too: what copies the file line by line would take it for a binary one.
        if raw.contains('\0') {
            return Err(InvalidConfig::Nul { line });
        }
        if raw.ends_with('\r') {
            return Err(InvalidConfig::CarriageReturn { line });
        }
        if raw.trim().is_empty() || raw.trim_start().starts_with('#') {
            continue;
        }
        let (name, value) = raw
            .split_once('=')
            .ok_or(InvalidConfig::NoEquals { line })?;
        let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_formed {
            return Err(InvalidConfig::Name { line });
        }
        let name = name.to_owned();
        if RESERVED.contains(&name.as_str()) {
            return Err(InvalidConfig::Reserved { line, name });
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
            return Err(InvalidConfig::Twice {
                line,
                first: *first,
                name,
            });
        }
        match quotes(value, &lines[line..]) {
            Quotes::None => {}
            Quotes::Around => return Err(InvalidConfig::Quoted { line, name }),
            Quotes::ClosedLater(after) => {
                let last = line + after;
                return Err(InvalidConfig::SeveralLines { line, last, name });
            }
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(InvalidConfig::Control { line });
        }
        seen.push((name, line));
    }
    Ok(seen.into_iter().map(|(name, _)| name).collect())
}

enum Quotes {
    /// None that a shell would take away.
    None,
    /// `"..."` or `'...'`.
    Around,
    /// It begins with one that ends so many lines later: meant as one value of several lines.
    ClosedLater(usize),
}

fn quotes(value: &str, following: &[&str]) -> Quotes {
    let value = value.trim();
    let Some(quote) = value.chars().next().filter(|c| ['"', '\''].contains(c)) else {
        return Quotes::None;
    };
    let rest = &value[1..];
    if rest.ends_with(quote) {
        return Quotes::Around;
    }
    // A password may well begin with a quote; what has one at the end of a later line as well, is none.
    let closes = |line: &&str| line.trim_end().ends_with(quote);
    match following.iter().position(closes) {
        Some(index) if !rest.contains(quote) => Quotes::ClosedLater(index + 1),
        _ => Quotes::None,
    }
}

/// How one settings file differs from another, by names alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub added: Names,
    pub changed: Names,
    pub removed: Names,
}

/// Names, of which only the first are kept: they are told to people and ride in an execution's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Names {
    pub first: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// So many names are told of each kind, and so much of a long one.
const TOLD: usize = 12;
const LONGEST: usize = 64;

impl FromIterator<String> for Names {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        let mut names = names.into_iter();
        let cut = |name: String| match name.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name,
        };
        Self {
            first: names.by_ref().take(TOLD).map(cut).collect(),
            more: names.count(),
        }
    }
}

/// How the second of two settings files differs from the first. It takes files that an earlier version accepted, too;
/// no file is an empty one.
pub fn changes(before: &[u8], after: &[u8]) -> Changes {
    let (before, after) = (values(before), values(after));
    let only_in = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let names = one.keys().filter(|name| !other.contains_key(*name));
        names.cloned().collect()
    };
    let changed = |(name, value): &(&String, &String)| {
        let was = before.get(*name);
        was.is_some_and(|was| was != *value)
    };
    Changes {
        added: only_in(&after, &before),
        changed: after
            .iter()
            .filter(changed)
            .map(|(name, _)| name.clone())
            .collect(),
        removed: only_in(&before, &after),
    }
}

fn values(file: &[u8]) -> BTreeMap<String, String> {
    String::from_utf8_lossy(file)
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        .collect()
}

impl std::fmt::Display for Changes {
    /// `added A; changed B, C; removed D`, or `nothing changed`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
        ];
        let told: Vec<String> = kinds
            .into_iter()
            .filter(|(_, names)| !names.first.is_empty())
            .map(|(kind, names)| {
                let more = match names.more {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{kind} {}{more}", names.first.join(", "))
            })
            .collect();
        if told.is_empty() {
            return f.write_str("nothing changed");
        }
        f.write_str(&told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_reads_is_read() {
        let file =
            b"# settings\n\nGREETING=Hello, world\nEMPTY=\nURL=http://x/?a=b\n_x1=say \"so\"\nAPOSTROPHE='tis\nJSON={\"a\":\"b\"}\n";
        let read = ["GREETING", "EMPTY", "URL", "_x1", "APOSTROPHE", "JSON"];
        assert_eq!(names(file).unwrap(), read);
        assert_eq!(names(b"").unwrap(), Vec::<String>::new());
        // One that begins with a quote, and another that ends with one of its own two.
        assert!(names(b"A=\"secret\nB=say \"so\"").is_err());
        assert_eq!(names(b"A='s\"x\nB=2").unwrap(), ["A", "B"]);
    }

    #[test]
    fn a_refusal_names_the_line_and_never_the_value() {
        for (file, says) in [
            (&b"A=1\nsecret"[..], "line 2: there is no `=`"),
            (b"1A=secret", "line 1: the name"),
            (b"export A=secret", "line 1: the name"),
            (
                b"A=secret\nB=2\nA=secret",
                "line 3: A is set a second time (first on line 1)",
            ),
            (b"PORT=1", "PORT is set by Exuvia"),
            (b"A=secret\x07", "control character"),
            (b"A=\xff", "not UTF-8"),
            (
                b"A=1\r\nB=secret\r\n",
                "line 1: the line ends with a carriage return",
            ),
            (b"A=1\nB=secret\r", "line 2: the line ends with"),
            (b"A=1\rB=secret\n", "line 1: the value has a control"),
            (b"\xef\xbb\xbfA=secret", "byte order mark"),
            (b"A=1\n# x\0\n", "line 2: there is a NUL byte"),
            (b"A=sec\0ret", "line 1: there is a NUL byte"),
            (b"A=1\nB=\"secret\"", "line 2: the value of B is in quotes"),
            (b"B='secret' ", "line 1: the value of B is in quotes"),
            (b"B=\"\"", "line 1: the value of B is in quotes"),
            (
                b"A=1\nKEY=\"-----BEGIN\nsecret=\n-----END-----\"\n",
                "line 2: the value of KEY begins with a quote that is closed on line 4",
            ),
            (
                b"KEY=-----BEGIN\nsecret\n",
                "line 2: there is no `=`; write NAME=value on one line",
            ),
        ] {
            let error = names(file).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
        assert!(names(&vec![b'#'; 65 * 1024]).is_err());
    }

    #[test]
    fn a_difference_is_told_by_names_alone() {
        let many: String = (10..60).fold(String::new(), |file, n| file + &format!("N{n}=secret\n"));
        let long = format!("{}=secret\n", "L".repeat(500));
        for (before, after, told) in [
            ("", "", "nothing changed"),
            ("# a\nA=secret", "A=secret\n# b\n", "nothing changed"),
            ("", "A=secret", "added A"),
            ("A=secret\nB=1\n", "", "removed A, B"),
            (
                "A=secret\nB=1\nC=1",
                "D=secret\nB=2\nC=1",
                "added D; changed B; removed A",
            ),
            // As one accepted it before quotes were refused.
            ("A=\"secret\"\r\n", "A=secret\n", "changed A"),
            (
                "",
                &many,
                "added N10, N11, N12, N13, N14, N15, N16, N17, N18, N19, N20, N21 and 38 more",
            ),
            ("", &long, &format!("added {}…", "L".repeat(64))),
        ] {
            let changes = changes(before.as_bytes(), after.as_bytes());
            assert_eq!(changes.to_string(), told);
            let state = serde_json::to_string(&changes).unwrap();
            assert!(!state.contains("secret") && state.len() < 1_000, "{state}");
        }
    }
}
