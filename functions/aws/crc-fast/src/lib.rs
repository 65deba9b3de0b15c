//! The checksums of S3, for `aws-smithy-checksums`, in place of the crate of this name.
//!
//! That one has tables for some fifty algorithms, of which none is left out of a program that calls one: 400 KB that do not
//! compress, in each function. Here are the three that the SDK asks for, and what of the crate's interface it calls; if
//! it comes to call more, it does not compile.

use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcAlgorithm {
    Crc32IsoHdlc,
    Crc32Iscsi,
    Crc64Nvme,
}

/// A checksum of what comes in parts.
#[derive(Clone, Debug)]
pub struct Digest(State);

#[derive(Clone, Debug)]
enum State {
    IsoHdlc(crc32fast::Hasher),
    Iscsi(u64),
    Nvme(u64),
}

impl Digest {
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        Self(match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => State::IsoHdlc(crc32fast::Hasher::new()),
            CrcAlgorithm::Crc32Iscsi => State::Iscsi(u64::from(u32::MAX)),
            CrcAlgorithm::Crc64Nvme => State::Nvme(u64::MAX),
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::IsoHdlc(hasher) => hasher.update(bytes),
            State::Iscsi(crc) => *crc = ISCSI.update(*crc, bytes),
            State::Nvme(crc) => *crc = NVME.update(*crc, bytes),
        }
    }

    pub fn finalize(self) -> u64 {
        match self.0 {
            State::IsoHdlc(hasher) => u64::from(hasher.finalize()),
            State::Iscsi(crc) => crc ^ u64::from(u32::MAX),
            State::Nvme(crc) => crc ^ u64::MAX,
        }
    }
}

static ISCSI: LazyLock<Tables> = LazyLock::new(|| Tables::of(0x82f6_3b78));
static NVME: LazyLock<Tables> = LazyLock::new(|| Tables::of(0x9a6c_9329_ac4b_c9b5));

/// For eight bytes at once, as an archive may have gigabytes. Of a reflected polynomial; one of 32 bits leaves the upper half
/// empty. Made when they are first asked for, as a program's file would have to carry them.
struct Tables([[u64; 256]; 8]);

impl Tables {
    fn of(polynomial: u64) -> Self {
        let mut tables = [[0; 256]; 8];
        for (byte, entry) in (0_u64..).zip(&mut tables[0]) {
            *entry = (0..8).fold(byte, |crc, _| {
                (crc >> 1) ^ (if crc & 1 == 1 { polynomial } else { 0 })
            });
        }
        for place in 1..8 {
            for byte in 0..256 {
                let before: u64 = tables[place - 1][byte];
                tables[place][byte] = (before >> 8) ^ tables[0][low(before)];
            }
        }
        Self(tables)
    }

    fn update(&self, crc: u64, bytes: &[u8]) -> u64 {
        let (eights, rest) = bytes.as_chunks::<8>();
        let crc = eights.iter().fold(crc, |crc, eight| {
            let mixed = (crc ^ u64::from_le_bytes(*eight)).to_le_bytes();
            let entries = mixed.iter().zip(self.0.iter().rev());
            entries.fold(0, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
        });
        rest.iter().fold(crc, |crc, byte| {
            (crc >> 8) ^ self.0[0][low(crc ^ u64::from(*byte))]
        })
    }
}

fn low(crc: u64) -> usize {
    usize::from(crc.to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CrcAlgorithm; 3] = [
        CrcAlgorithm::Crc32IsoHdlc,
        CrcAlgorithm::Crc32Iscsi,
        CrcAlgorithm::Crc64Nvme,
    ];

    fn checksum(algorithm: CrcAlgorithm, parts: &[&[u8]]) -> u64 {
        let mut digest = Digest::new(algorithm);
        for part in parts {
            digest.update(part);
        }
        digest.finalize()
    }

    /// What the catalogue of such algorithms gives for each: <https://reveng.sourceforge.io/crc-catalogue/all.htm>.
    #[test]
    fn each_is_what_the_catalogue_says() {
        let all = ALL.map(|algorithm| checksum(algorithm, &[b"123456789"]));
        assert_eq!(all, [0xcbf4_3926, 0xe306_9283, 0xae8b_1486_0a79_9888]);
        assert_eq!(ALL.map(|algorithm| checksum(algorithm, &[])), [0; 3]);
    }

    #[test]
    fn parts_make_the_whole() {
        let whole: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for algorithm in ALL {
            for at in [0, 1, 7, 8, 9, 500, 999] {
                let (one, other) = whole.split_at(at);
                let parts = checksum(algorithm, &[one, other]);
                assert_eq!(parts, checksum(algorithm, &[&whole]), "{algorithm:?} {at}");
            }
        }
    }
}
