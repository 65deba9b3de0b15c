//! One pass over the tar: which files it has, and the text of those that may be metadata.
//!
//! `manifest.json` and `index.json` may come last and say only then which blobs are JSON, so every small entry
//! that looks like JSON is kept until the end. Extension headers (long names, PAX) are read here and not by the
//! tar crate, which would read one of any size into memory.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read};

use tar::{Entry, EntryType, PaxExtensions};

use super::compression::{Compression, Decoder};
use super::error::{NotAnImage, describe, shown};
use super::source::{Bounded, Raw, State, read_full};

const BLOCK: usize = 512;
const MAX_JSON: u64 = 4 << 20;
const MAX_KEPT: u64 = 32 << 20;
const MAX_EXTENSION: u64 = 64 << 10;
const MAX_ENTRIES: usize = 10_000;

/// The files of an archive, by normalized path.
#[derive(Debug, Default)]
pub(super) struct Contents {
    entries: BTreeMap<String, Item>,
    kept: u64,
    /// Whether the zeros that end a tar were there. Without them it may still be whole: some tools leave them out.
    ended: bool,
}

#[derive(Debug)]
enum Item {
    File(File),
    /// A symbolic or hard link to another path of the archive.
    Link(String),
    Directory,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) compression: Compression,
    /// What is in it, if it looks like JSON.
    json: Option<Json>,
}

#[derive(Debug)]
enum Json {
    Text(Vec<u8>),
    TooLarge,
}

impl Contents {
    /// What is to be said when something is missing: the tar may just have been cut off between two entries.
    pub(super) fn blame(&self, why: NotAnImage) -> NotAnImage {
        if self.ended {
            return why;
        }
        NotAnImage::Truncated {
            format: Compression::None,
        }
    }

    /// The file at `path`, through links, with the path at which it really is.
    pub(super) fn file(&self, path: &str) -> Option<(&str, &File)> {
        let mut path = path.strip_prefix("./").unwrap_or(path);
        // Each hop is a link; more than a few are a ring.
        for _ in 0..8 {
            let (name, item) = self.entries.get_key_value(path)?;
            match item {
                Item::File(file) => return Some((name, file)),
                Item::Link(target) => path = target,
                Item::Directory => return None,
            }
        }
        None
    }

    /// The JSON at `path`, parsed.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, NotAnImage> {
        let unreadable = |why: String| NotAnImage::UnreadableMetadata {
            path: shown(path),
            why: shown(&why),
        };
        let (_, file) = self
            .file(path)
            .ok_or_else(|| unreadable("it is not in the archive".to_owned()))?;
        match &file.json {
            Some(Json::Text(text)) => {
                serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))
            }
            Some(Json::TooLarge) => Err(NotAnImage::MetadataTooLarge { path: shown(path) }),
            None => Err(unreadable("it is not JSON".to_owned())),
        }
    }

    /// What is here where no image is, in words for a person who took the wrong file.
    pub(super) fn summary(&self) -> String {
        let mut top: Vec<&str> = self
            .entries
            .keys()
            .filter_map(|path| path.split('/').next())
            .filter(|name| !name.is_empty())
            .collect();
        top.dedup();
        let more = if top.len() > 5 { ", ..." } else { "" };
        let names: Vec<String> = top.into_iter().take(5).map(shown).collect();
        if names.is_empty() {
            "it is empty".to_owned()
        } else {
            let names = names.join(", ");
            format!("it has {names}{more}, and neither manifest.json nor index.json")
        }
    }

    fn keep(&mut self, path: &str, bytes: u64) -> Result<(), NotAnImage> {
        self.kept += bytes;
        if self.kept > MAX_KEPT || self.entries.len() > MAX_ENTRIES {
            return Err(NotAnImage::MetadataTooLarge { path: shown(path) });
        }
        Ok(())
    }

    /// Takes in one entry that is not an extension header.
    fn add(&mut self, entry: &mut Entry<'_, impl Read>, extension: Extension) -> Result<(), Stop> {
        let path = match extension.path {
            Some(path) => path,
            None => String::from_utf8_lossy(&entry.header().path_bytes()).into_owned(),
        };
        let size = entry.header().entry_size()?;
        if extension.size.is_some_and(|pax| pax != size) {
            return Err(hostile(&path, "has two sizes that disagree").into());
        }
        let path = inside("", &path).ok_or_else(|| hostile(&path, "points out of the archive"))?;
        let kind = entry.header().entry_type();
        let item = match kind {
            EntryType::Directory => Item::Directory,
            EntryType::Regular | EntryType::Continuous => Item::File(self.read(&path, entry)?),
            EntryType::Symlink | EntryType::Link => {
                let target = match extension.link {
                    Some(target) => target,
                    None => String::from_utf8_lossy(
                        &entry.header().link_name_bytes().unwrap_or_default(),
                    )
                    .into_owned(),
                };
                // A symbolic link starts where it lies, a hard link at the top.
                let directory = match path.rsplit_once('/') {
                    Some((directory, _)) if kind == EntryType::Symlink => directory,
                    _ => "",
                };
                Item::Link(
                    inside(directory, &target)
                        .ok_or_else(|| hostile(&path, "links out of the archive"))?,
                )
            }
            _ => return Err(hostile(&path, "is neither file, directory nor link").into()),
        };
        self.keep(&path, path.len() as u64)?;
        self.entries.insert(path, item);
        Ok(())
    }

    fn read(&mut self, path: &str, entry: &mut Entry<'_, impl Read>) -> Result<File, Stop> {
        let size = entry.size();
        let mut head = [0; BLOCK];
        let read = read_full(entry, &mut head)?;
        let head = &head[..read];
        let json = if !looks_like_json(head) {
            None
        } else if size > MAX_JSON {
            Some(Json::TooLarge)
        } else {
            self.keep(path, size)?;
            let mut text = head.to_vec();
            entry.read_to_end(&mut text)?;
            Some(Json::Text(text))
        };
        Ok(File {
            compression: Compression::of(head),
            json,
        })
    }
}

/// JSON has no NUL, and a tar (an uncompressed layer) has one in its first block.
fn looks_like_json(head: &[u8]) -> bool {
    matches!(head.trim_ascii_start().first(), Some(b'{' | b'[')) && !head.contains(&0)
}

fn hostile(path: &str, why: &'static str) -> NotAnImage {
    NotAnImage::Hostile {
        path: shown(path),
        why,
    }
}

/// `path`, seen from `directory`, without `.` and `..`; none if it is absolute or leads out of the archive.
fn inside(directory: &str, path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|p| !p.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            // An entry's own path has no business going up at all; only a link from within a directory may.
            ".." => {
                parts.pop()?;
                if directory.is_empty() {
                    return None;
                }
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Extension {
    /// Reads an extension header; false if the entry is none.
    fn take_in(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, Stop> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(true);
        }
        if !matches!(
            kind,
            EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink
        ) {
            return Ok(false);
        }
        if entry.size() > MAX_EXTENSION {
            let path = "the header of a long name".to_owned();
            return Err(NotAnImage::MetadataTooLarge { path }.into());
        }
        let mut data = Vec::new();
        entry.read_to_end(&mut data)?;
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
        };
        match kind {
            EntryType::GNULongName => self.path = text(&data),
            EntryType::GNULongLink => self.link = text(&data),
            _ => {
                for record in PaxExtensions::new(&data) {
                    let record = record?;
                    match record.key_bytes() {
                        b"path" => self.path = text(record.value_bytes()),
                        b"linkpath" => self.link = text(record.value_bytes()),
                        b"size" => {
                            self.size = record.value().ok().and_then(|size| size.parse().ok());
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Why the walk over the tar stopped: something wrong in it, or the bytes themselves.
enum Stop {
    Bad(NotAnImage),
    Io(io::Error),
}

impl From<NotAnImage> for Stop {
    fn from(bad: NotAnImage) -> Self {
        Self::Bad(bad)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads `raw` to its end. If `raw` itself fails, what is returned does not matter: it knows.
pub(super) fn survey<R: Read>(raw: &mut Raw<R>, max_unpacked: u64) -> Result<Contents, NotAnImage> {
    let mut head = [0; BLOCK];
    let Ok(read) = read_full(raw, &mut head) else {
        return Err(NotAnImage::Empty);
    };
    let head = &head[..read];
    let compression = Compression::of(head);
    if head.is_empty() {
        return Err(NotAnImage::Empty);
    }
    if compression == Compression::None && !begins_a_tar(head) {
        let found = describe(head);
        return Err(NotAnImage::UnknownFormat { found });
    }
    let source = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(&mut *raw));
    let mut unpacked = Bounded::new(Decoder::new(compression, source), max_unpacked);
    let walked = walk(&mut unpacked, compression);
    let state = unpacked.state().clone();
    drop(unpacked);
    walked.map_err(|stop| match (stop, state) {
        (Stop::Bad(bad), _) => bad,
        (Stop::Io(_), State::Exceeded) => NotAnImage::TooLarge {
            limit: max_unpacked,
        },
        (Stop::Io(_), State::Failed(_)) if raw.ended() => NotAnImage::Truncated {
            format: compression,
        },
        (Stop::Io(_), State::Failed(detail)) => NotAnImage::Damaged {
            format: compression,
            detail: shown(&detail),
        },
        (Stop::Io(_), State::Ended) => NotAnImage::Truncated {
            format: Compression::None,
        },
        (Stop::Io(error), State::Open) => NotAnImage::Damaged {
            format: Compression::None,
            detail: shown(&error.to_string()),
        },
    })
}

fn walk(unpacked: &mut Bounded<impl Read>, compression: Compression) -> Result<Contents, Stop> {
    let mut head = [0; BLOCK];
    let read = read_full(unpacked, &mut head)?;
    let head = &head[..read];
    if !begins_a_tar(head) {
        let found = describe(head);
        return Err(NotAnImage::NotATar { compression, found }.into());
    }
    let mut contents = Contents::default();
    let mut tar = tar::Archive::new(Cursor::new(head).chain(unpacked));
    let mut extension = Extension::default();
    for entry in tar.entries()?.raw(true) {
        let mut entry = entry?;
        if !extension.take_in(&mut entry)? {
            contents.add(&mut entry, std::mem::take(&mut extension))?;
        }
    }
    let (_, unpacked) = tar.into_inner().into_inner();
    contents.ended = *unpacked.state() == State::Open;
    // Whatever follows the tar's end counts for the checksum, and a gzip's own checksum comes last.
    io::copy(unpacked, &mut io::sink())?;
    Ok(contents)
}

/// A header whose checksum is right, or the zeros that end a tar (an empty one has nothing else).
fn begins_a_tar(block: &[u8]) -> bool {
    if block.len() < BLOCK {
        return false;
    }
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(i, byte)| {
            if (148..156).contains(&i) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    header.cksum().is_ok_and(|expected| expected == sum)
}
