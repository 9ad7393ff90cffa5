//! Ids and seeds, drawn from the entropy that came with the input: the same input gives the same.

use crate::input::Moment;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Draws of one input.
#[derive(Debug)]
pub(crate) struct Ids {
    moment: Moment,
    drawn: u64,
}

impl Ids {
    pub(crate) fn new(moment: Moment) -> Self {
        Self { moment, drawn: 0 }
    }

    /// The time, and ten bytes that were not drawn before: the parts of an id.
    pub(crate) fn parts(&mut self) -> (u64, [u8; 10]) {
        let mut tail = [0; 10];
        tail.copy_from_slice(&self.draw()[..10]);
        (self.moment.now, tail)
    }

    /// A run's seed: 128 bits in hex.
    pub(crate) fn seed(&mut self) -> String {
        self.draw()[..16].iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        Sha256::new()
            .chain_update(self.moment.entropy)
            .chain_update(self.drawn.to_le_bytes())
            .finalize()
            .into()
    }
}
