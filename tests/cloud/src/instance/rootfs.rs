//! A directory that will be a container's root, handled from outside: whatever links an image brings, no path
//! leads out of it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// As the kernel's own limit, `ELOOP`.
const MAX_LINKS: usize = 40;

#[derive(Clone, Debug)]
pub(super) struct Rootfs {
    root: PathBuf,
}

impl Rootfs {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where `path` is as seen from inside: links are followed as if the root were `/`, and `..` stops there.
    /// No part of the answer is a link, except the last if `follow_last` is false.
    pub(super) fn resolve(&self, path: &Path, follow_last: bool) -> io::Result<PathBuf> {
        let mut left: VecDeque<Part> = parts(path).collect();
        let mut inside = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            let name = match part {
                Part::Top => {
                    inside.clear();
                    continue;
                }
                Part::Up => {
                    inside.pop();
                    continue;
                }
                Part::Name(name) => name,
            };
            inside.push(name);
            let here = self.root.join(&inside);
            let is_link =
                fs::symlink_metadata(&here).is_ok_and(|found| found.file_type().is_symlink());
            if !is_link || (left.is_empty() && !follow_last) {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other(format!(
                    "{} is a ring of symbolic links",
                    path.display()
                )));
            }
            inside.pop();
            for part in parts(&fs::read_link(&here)?).rev() {
                left.push_front(part);
            }
        }
        Ok(self.root.join(inside))
    }

    /// Reads a file as the container would see it; none if there is none.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.resolve(Path::new(path), true)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the container a copy of one of this machine's files, as docker does for those of `--net host`.
    pub(super) fn copy_from_host(&self, path: &str) -> io::Result<()> {
        if !Path::new(path).exists() {
            return Ok(());
        }
        let to = self.resolve(Path::new(path), false)?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        remove_all(&to)?;
        fs::copy(path, &to)?;
        Ok(())
    }

    /// A directory of this name at the top, and not a link to somewhere.
    pub(super) fn make_top_directory(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
        fs::create_dir(&path)
    }
}

enum Part {
    Top,
    Up,
    Name(OsString),
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = Part> {
    path.components().filter_map(|component| match component {
        Component::Prefix(_) | Component::CurDir => None,
        Component::RootDir => Some(Part::Top),
        Component::ParentDir => Some(Part::Up),
        Component::Normal(name) => Some(Part::Name(name.to_owned())),
    })
}

/// Removes whatever is at `path`, without following links; not an error if nothing is there.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // What still runs on it has written meanwhile.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(path),
        // Images have directories that their owner may not write to, and only root does not mind.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}
