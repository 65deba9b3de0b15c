//! Unpacking an image: its layers, one over the other, as the
//! [image specification](https://github.com/opencontainers/image-spec/blob/main/layer.md) says.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use exuvia_core::archive::{Decoder, Image};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};
use tar::{Archive, Entry, EntryType};

use super::rootfs::{Rootfs, remove_all};

const BUFFER: usize = 256 << 10;
/// Where layers wait for their turn.
const LAYERS: &str = "layers";

/// Unpacks the layers of `image` from the `archive` in `work` into the `rootfs` there.
pub(super) fn unpack(work: &Path, image: &Image) -> io::Result<()> {
    let rootfs = Rootfs::new(work.join("rootfs"));
    fs::create_dir_all(rootfs.root())?;
    fs::create_dir_all(work.join(LAYERS))?;
    take_out(work, image)?;
    let mut unpacker = Unpacker {
        rootfs: &rootfs,
        directory_modes: BTreeMap::new(),
        // Only root may give files to others; for anyone else the container's root is they themselves.
        owners: Uid::effective().is_root(),
    };
    for layer in &image.layers {
        let file = File::open(work.join(file_name(image, &layer.path)))?;
        unpacker
            .apply(file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", layer.path)))?;
    }
    fs::remove_dir_all(work.join(LAYERS))?;
    unpacker.finish()
}

/// Layers may be in the archive in any order, and the archive can only be read from its start.
fn take_out(work: &Path, image: &Image) -> io::Result<()> {
    let source = BufReader::with_capacity(BUFFER, File::open(work.join("archive"))?);
    let mut archive = Archive::new(Decoder::detect(source)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry
            .path()?
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let Some(path) = path.to_str() else { continue };
        if entry.header().entry_type().is_file() && image.layers.iter().any(|l| l.path == path) {
            let mut file = File::create(work.join(file_name(image, path)))?;
            io::copy(&mut entry, &mut file)?;
        }
    }
    Ok(())
}

/// A layer's file while it waits: named by its place, as its path in the archive has slashes.
fn file_name(image: &Image, path: &str) -> String {
    let place = image.layers.iter().position(|layer| layer.path == path);
    format!("{LAYERS}/{}", place.unwrap_or_default())
}

struct Unpacker<'a> {
    rootfs: &'a Rootfs,
    /// Set last, as a directory may be closed to its owner.
    directory_modes: BTreeMap<PathBuf, u32>,
    owners: bool,
}

impl Unpacker<'_> {
    fn apply(&mut self, layer: impl Read) -> io::Result<()> {
        let layer = BufReader::with_capacity(BUFFER, layer);
        let mut archive = Archive::new(Decoder::detect(layer)?);
        // What this layer brought: an opaque directory hides only what was below.
        let mut brought = HashSet::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            self.entry(&mut entry, &path, &mut brought).map_err(named)?;
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        brought: &mut HashSet<PathBuf>,
    ) -> io::Result<()> {
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(io::Error::other(
                "it points out of the image; the image is not trusted",
            ));
        }
        // `/` and `./` are the root itself.
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        let parent = self
            .rootfs
            .resolve(path.parent().unwrap_or(Path::new("")), true)?;
        fs::create_dir_all(&parent)?;
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.") {
            return match hidden {
                b".wh..opq" => clear(&parent, brought),
                // Other marks of aufs say nothing about files.
                _ if hidden.starts_with(b".wh.") => Ok(()),
                _ => remove_all(&parent.join(OsStr::from_bytes(hidden))),
            };
        }
        let target = parent.join(name);
        self.create(entry, &target)?;
        for part in target.ancestors().take_while(|p| *p != self.rootfs.root()) {
            if !brought.insert(part.to_owned()) {
                break;
            }
        }
        Ok(())
    }

    fn create<R: Read>(&mut self, entry: &mut Entry<'_, R>, target: &Path) -> io::Result<()> {
        let kind = entry.header().entry_type();
        let mode = entry.header().mode()? & 0o7777;
        if kind != EntryType::Directory {
            remove_all(target)?;
        }
        match kind {
            EntryType::Directory => {
                if !fs::symlink_metadata(target).is_ok_and(|found| found.is_dir()) {
                    remove_all(target)?;
                    fs::create_dir(target)?;
                }
                self.own(entry, target)?;
                self.directory_modes.insert(target.to_owned(), mode);
            }
            EntryType::Symlink => {
                symlink(linked(entry)?, target)?;
                self.own(entry, target)?;
            }
            EntryType::Link => {
                let source = self.rootfs.resolve(&linked(entry)?, false)?;
                fs::hard_link(source, target)?;
            }
            EntryType::Fifo => {
                mkfifo(target, Mode::from_bits_truncate(mode))?;
                self.own(entry, target)?;
            }
            // A container gets its devices from its host.
            EntryType::Char | EntryType::Block | EntryType::XGlobalHeader => {}
            _ => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(target)?;
                io::copy(entry, &mut file)?;
                let modified = Duration::from_secs(entry.header().mtime().unwrap_or_default());
                if let Some(modified) = SystemTime::UNIX_EPOCH.checked_add(modified) {
                    file.set_modified(modified)?;
                }
                // In this order: a change of owner takes the set-user-id bit away.
                self.own(entry, target)?;
                file.set_permissions(Permissions::from_mode(mode))?;
            }
        }
        Ok(())
    }

    fn own<R: Read>(&self, entry: &Entry<'_, R>, target: &Path) -> io::Result<()> {
        if !self.owners {
            return Ok(());
        }
        // An odd field counts as empty, and an empty one as root's, as in docker.
        let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).or(Some(0));
        let header = entry.header();
        lchown(target, id(header.uid()), id(header.gid()))
    }

    fn finish(self) -> io::Result<()> {
        // The deepest first: above it, the way may be about to close.
        for (directory, mode) in self.directory_modes.iter().rev() {
            // A later layer may have put a link in its place, or above it.
            let inside = directory.strip_prefix(self.rootfs.root());
            let is_still_there = match inside {
                Ok(inside) => self.rootfs.resolve(inside, true)? == *directory,
                Err(_) => false,
            };
            if is_still_there && directory.is_dir() {
                fs::set_permissions(directory, Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }
}

fn linked<R: Read>(entry: &Entry<'_, R>) -> io::Result<PathBuf> {
    let target = entry.link_name()?;
    let target = target.ok_or_else(|| io::Error::other("it is a link to nothing"))?;
    Ok(target.into_owned())
}

/// Removes what is below `directory`, except what this layer brought.
fn clear(directory: &Path, brought: &HashSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if !brought.contains(&path) {
            remove_all(&path)?;
        } else if entry.file_type()?.is_dir() {
            clear(&path, brought)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
