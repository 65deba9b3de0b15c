//! What `docker save` writes: recognised, checked and read in one pass, whatever its size.
//!
//! The file is told by its content, never by its name: a tar, plain or as gzip or zstd, in the layout of docker
//! before 25 (`manifest.json`, `<id>.json`, `<id>/layer.tar`, [docker image specification v1.2]) or as an
//! [OCI image layout] (`index.json`, `blobs/sha256/...`), or in both at once, as newer docker writes it.
//!
//! [docker image specification v1.2]: https://github.com/moby/docker-image-spec/blob/main/v1.2.md
//! [OCI image layout]: https://github.com/opencontainers/image-spec/blob/main/image-layout.md

mod compression;
mod contents;
mod error;
mod image;
mod source;
#[cfg(test)]
mod tests;

use std::io::Read;

pub use compression::{Compression, Decoder};
pub use error::{InspectError, NotAnImage};
pub use image::{Image, LayerRef};

/// An archive that holds one image that can be run, and what was read to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub image: Image,
    /// Of the bytes as they were read (still compressed), to the very end: 64 lower-case hex digits.
    pub sha256: String,
    /// How many bytes were read, to the very end.
    pub size: u64,
}

/// Reads all of `reader` and says which image it holds.
///
/// Memory stays bounded whatever the archive is: layers pass through, JSON entries are kept up to 4 MiB each and
/// 32 MiB together. Unpacked, the archive may have `max_unpacked` bytes at most.
///
/// # Errors
/// [`InspectError::Read`] if `reader` itself failed, which says nothing about the archive;
/// [`InspectError::NotAnImage`] if it was read and is not what `docker save` writes for one image.
pub fn inspect(reader: impl Read, max_unpacked: u64) -> Result<Inspection, InspectError> {
    let mut raw = source::Raw::new(reader);
    let surveyed = contents::survey(&mut raw, max_unpacked);
    let (size, sha256) = raw.finish()?;
    let contents = surveyed?;
    let image = image::assemble(&contents).map_err(|why| contents.blame(why))?;
    Ok(Inspection {
        image,
        sha256,
        size,
    })
}
