//! What a file is when it is not an image: each variant says what was found and what would be right.

use std::io;

use super::Compression;
use crate::target::Architecture;

/// Why nothing is known to be a good image.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The bytes were read, and they are not an image.
    #[error(transparent)]
    NotAnImage(#[from] NotAnImage),
    /// The bytes could not be read: the archive may be good, and a later attempt may succeed.
    #[error("the archive could not be read to its end: {0}")]
    Read(#[from] io::Error),
}

/// What was found in place of what `docker save` writes for one image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnImage {
    #[error("the file is empty; upload what `docker save IMAGE | gzip` writes")]
    Empty,
    #[error(
        "the file is {found}, not an image archive; upload what `docker save IMAGE | gzip` writes"
    )]
    UnknownFormat { found: String },
    #[error(
        "the {compression} file holds {found}, not a tar; upload what `docker save IMAGE | gzip` writes"
    )]
    NotATar {
        compression: Compression,
        found: String,
    },
    #[error(
        "the {format} ends too early: it was cut off while being saved or uploaded; save and upload it again"
    )]
    Truncated { format: Compression },
    #[error("the {format} is damaged ({detail}); save and upload it again")]
    Damaged { format: Compression, detail: String },
    #[error(
        "the tar holds no image: {found}; upload what `docker save IMAGE` writes (not `docker export`, not the sources)"
    )]
    NoImage { found: String },
    #[error(
        "the archive holds {} images ({}); save one image for one platform: `docker save IMAGE`",
        names.len(), names.join(", ")
    )]
    SeveralImages { names: Vec<String> },
    #[error(
        "the image has neither ENTRYPOINT nor CMD, so nothing would run; add one to the Dockerfile"
    )]
    NoCommand,
    #[error("the image has no layer, so there is nothing in it to run; build it with COPY or FROM")]
    NoLayers,
    #[error(
        "layer {layer} of the image is not in the archive; save the image again, complete, with `docker save`"
    )]
    LayerMissing { layer: String },
    #[error("the image's {path} cannot be understood: {why}; save the image again")]
    UnreadableMetadata { path: String, why: String },
    #[error("the image is for the operating system {os}; build it for linux")]
    UnsupportedOs { os: String },
    #[error(
        "the image is for another architecture: it is for {found}, and the instances are {instances}; build it with `docker build --platform {}`, or change Architecture, AmiId and InstanceType in the app's stack",
        instances.platform()
    )]
    OtherArchitecture {
        found: String,
        instances: Architecture,
    },
    #[error(
        "the archive's metadata is too large at {path}: one JSON file may have 4 MiB, all together 32 MiB, in at most 10000 entries"
    )]
    MetadataTooLarge { path: String },
    #[error("unpacked, the archive has more than {limit} bytes; make the image smaller")]
    TooLarge { limit: u64 },
    #[error(
        "the archive's entry {path} {why}, which `docker save` never writes; the archive is not trusted"
    )]
    Hostile { path: String, why: &'static str },
}

/// Text from the archive, as it can be shown in a log or a message: printable ASCII, 100 characters at most.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(100).flat_map(printable).collect();
    if text.chars().nth(100).is_some() {
        shown.push_str("...");
    }
    shown
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let plain = c.is_ascii_graphic() || c == ' ';
    let escaped = (!plain).then(|| c.escape_default());
    plain
        .then_some(c)
        .into_iter()
        .chain(escaped.into_iter().flatten())
}

/// Says in words what begins with these bytes.
pub(super) fn describe(head: &[u8]) -> String {
    let known = match head {
        [] => "nothing",
        [b'P', b'K', 3 | 5, 4 | 6, ..] => "a zip file",
        [b'B', b'Z', b'h', ..] => "a bzip2 file",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "an xz file",
        [0x1f, 0x8b, ..] => "a gzip file",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd file",
        [0x7f, b'E', b'L', b'F', ..] => "a program (ELF)",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let start = &head[..head.len().min(40)];
    if let Some(text) = text_of(start) {
        return format!("a text file that begins with \"{}\"", shown(text));
    }
    let bytes: Vec<String> = start.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let bytes = bytes.join(" ");
    format!("of an unknown format (it begins with the bytes {bytes})")
}

/// The start of a text, if it is one; a character may be cut in two at the end.
fn text_of(start: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let binary = text.chars().any(|c| c.is_control() && !c.is_whitespace());
    (!binary && !text.is_empty()).then_some(text)
}
