//! Plain, gzip or zstd: told by the first bytes, read as one stream.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Told by the magic numbers of [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952) and
    /// [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878) (where a skippable frame may come first).
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Reads what was compressed, to the end of the last gzip member or zstd frame.
///
/// A stream that ends early is an error, and so is anything that follows the last member or frame.
pub struct Decoder<R: BufRead>(Kind<R>);

enum Kind<R: BufRead> {
    Plain(R),
    Gzip(MultiGzDecoder<R>),
    Zstd(Box<ZstdFrames<R>>),
}

impl<R: BufRead> Decoder<R> {
    pub fn new(compression: Compression, source: R) -> Self {
        Self(match compression {
            Compression::None => Kind::Plain(source),
            Compression::Gzip => Kind::Gzip(MultiGzDecoder::new(source)),
            Compression::Zstd => Kind::Zstd(Box::new(ZstdFrames::new(source))),
        })
    }

    /// Looks at the first bytes of `source` and decodes accordingly.
    ///
    /// `source` must have at least four bytes in its first buffer, if it has that many.
    ///
    /// # Errors
    /// Only those of `source`.
    pub fn detect(mut source: R) -> io::Result<Self> {
        let compression = Compression::of(source.fill_buf()?);
        Ok(Self::new(compression, source))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(source) => source.read(buf),
            Kind::Gzip(decoder) => decoder.read(buf),
            Kind::Zstd(frames) => frames.read(buf),
        }
    }
}

/// `ruzstd` reads one frame; `zstd -T0` and `cat a.zst b.zst` write several, with skippable ones between.
struct ZstdFrames<R> {
    source: R,
    // Refuses a window above 100 MiB by itself, which bounds its memory.
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            decoder: FrameDecoder::new(),
            in_frame: false,
        }
    }

    /// Begins the next frame; false if there is none.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn read_frame(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            self.decoder
                .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
        let read = self.decoder.read(buf)?;
        if read == 0 {
            self.in_frame = false;
            let expected = self.decoder.get_checksum_from_data();
            if expected.is_some() && expected != self.decoder.get_calculated_checksum() {
                return Err(io::Error::other("the checksum of a frame does not match"));
            }
        }
        Ok(read)
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.in_frame {
                let read = self.read_frame(buf)?;
                if read > 0 {
                    return Ok(read);
                }
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}
