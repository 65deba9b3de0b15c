//! Identifiers that look random and are not: the same seed gives the same ones in the same order.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

#[derive(Clone, Debug)]
pub(super) struct Ids {
    seed: u64,
    count: u64,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, count: 0 }
    }

    /// A number that only ever grows.
    pub(super) fn sequence(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// `digits` (at most 64) hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let count = self.sequence();
        let hash = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(count.to_be_bytes())
            .finalize();
        let mut text = hash.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        text.truncate(digits);
        text
    }

    pub(super) fn instance(&mut self) -> String {
        format!("i-{}", self.hex(17))
    }

    pub(super) fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_no_id_twice() {
        let (mut one, mut two) = (Ids::new(7), Ids::new(7));
        assert_eq!(one.instance(), two.instance());
        assert_ne!(one.instance(), Ids::new(8).instance());
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| one.instance()).collect();
        assert_eq!(ids.len(), 1000);
        assert_eq!(one.uuid().len(), 36);
    }
}
