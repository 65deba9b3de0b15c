//! The app's settings: an environment file as `docker run --env-file` reads it.

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
    #[error("config.env, line {line}: there is no `=`; write NAME=value")]
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
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
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
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(InvalidConfig::Control { line });
        }
        seen.push((name, line));
    }
    Ok(seen.into_iter().map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_reads_is_read() {
        let file =
            b"# settings\n\nGREETING=Hello, world\nEMPTY=\nURL=http://x/?a=b\n_x1=\"quoted\"\n";
        assert_eq!(names(file).unwrap(), ["GREETING", "EMPTY", "URL", "_x1"]);
        assert_eq!(names(b"").unwrap(), Vec::<String>::new());
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
        ] {
            let error = names(file).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
        assert!(names(&vec![b'#'; 65 * 1024]).is_err());
    }
}
