//! What runs in the container: the image's command with its environment, as `docker run` puts them together.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use exuvia_core::archive::Image;

use super::container::User;
use super::rootfs::Rootfs;

/// Docker's, for an image that sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An environment in which a later value of a name takes the place of an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment(Vec<(String, String)>);

impl Environment {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Of an image: what it sets, and what docker adds.
    pub(super) fn of(image: &Image, hostname: &str, home: &str) -> Self {
        let mut env = Self::default();
        for line in &image.env {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            env.set(name, value);
        }
        env.set_default("PATH", PATH);
        env.set("HOSTNAME", hostname);
        env.set_default("HOME", home);
        env
    }

    /// Takes in a file as `docker run --env-file` does: `NAME=value` lines, taken literally (no quotes, no
    /// expansion); `#` begins a comment at the start of a line only; a name alone would take over the value
    /// that the boot script has, which has none.
    pub(super) fn read_file(&mut self, file: &[u8]) -> Result<(), String> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let text = std::str::from_utf8(file).map_err(|_| "config.env is not UTF-8".to_owned())?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            // The value is never shown: it may be a secret.
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(format!(
                    "config.env, line {}: the name before `=` is empty or has a space",
                    number + 1
                ));
            }
            self.set(name, value);
        }
        Ok(())
    }
}

/// Whom the container runs as, from the image's USER: `name`, `id`, `name:group` or `id:id`.
pub(super) fn user(rootfs: &Rootfs, user: &str) -> Result<User, String> {
    let table = |path| match rootfs.read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()),
        Err(error) => Err(format!("the image's {path} cannot be read: {error}")),
    };
    let (passwd, group) = (table("/etc/passwd")?, table("/etc/group")?);
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let id: Option<u32> = name.parse().ok();
    // name:password:uid:gid:comment:home:shell
    let entry = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|e| {
            e.len() >= 6 && (e[0] == name || (id.is_some() && e[2].parse() == Ok(id.unwrap_or(0))))
        });
    let uid = match (&entry, id) {
        (Some(entry), _) => entry[2].parse().ok(),
        (None, id) => id,
    };
    let uid = uid.ok_or_else(|| {
        format!(
            "the image's USER {name} is not in its /etc/passwd; add the user or name it by number"
        )
    })?;
    // name:password:gid:members
    let groups: Vec<Vec<&str>> = group
        .lines()
        .map(|line| line.split(':').collect())
        .collect();
    let gid = match group_name.filter(|name| !name.is_empty()) {
        Some(name) => name
            .parse()
            .ok()
            .or_else(|| {
                groups.iter().find(|g| g.len() >= 3 && g[0] == name)?[2]
                    .parse()
                    .ok()
            })
            .ok_or_else(|| {
                format!(
                    "the image's group {name} is not in its /etc/group; add it or name it by number"
                )
            })?,
        None => entry
            .as_ref()
            .and_then(|entry| entry[3].parse().ok())
            .unwrap_or(0),
    };
    let known_as = entry.as_ref().map_or(name, |entry| entry[0]);
    let more = groups
        .iter()
        .filter(|g| g.len() >= 4 && g[3].split(',').any(|member| member == known_as))
        .filter_map(|g| g[2].parse().ok());
    Ok(User {
        uid,
        gid,
        groups: more.collect(),
        home: entry.map_or("/".to_owned(), |entry| entry[5].to_owned()),
    })
}

/// Finds the program in the image, as `execvp` would in the container: the absolute path, or why there is none.
pub(super) fn find(
    rootfs: &Rootfs,
    program: &str,
    path: &str,
    working_dir: &Path,
) -> Result<String, String> {
    let candidates: Vec<String> = if program.is_empty() {
        Vec::new()
    } else if program.contains('/') {
        vec![working_dir.join(program).to_string_lossy().into_owned()]
    } else {
        let directories = path.split(':').filter(|directory| !directory.is_empty());
        directories
            .map(|directory| format!("{directory}/{program}"))
            .collect()
    };
    let mut not_executable = None;
    for candidate in candidates {
        let found = rootfs
            .resolve(&working_dir.join(&candidate), true)
            .and_then(fs::metadata);
        match found {
            Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(_) => not_executable = Some(candidate),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{candidate} cannot be looked at: {error}")),
        }
    }
    Err(match not_executable {
        Some(found) => format!("{found} in the image is not an executable file; chmod +x it"),
        None if program.contains('/') => format!("the command {program} is not in the image"),
        None => format!("the command {program} is not in the image's PATH ({path})"),
    })
}

#[cfg(test)]
mod tests;
