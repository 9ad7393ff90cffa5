//! Ids and seeds, drawn from the entropy that came with the input: the same input gives the same.

use crate::input::Moment;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Draws of one input.
#[derive(Debug)]
pub(crate) struct Ids {
    moment: Moment,
    drawn: u64,
    /// Counts the ids of one millisecond, over inputs: it leads the random bytes, so that ids made
    /// later sort later.
    serial: u16,
}

impl Ids {
    pub(crate) fn new(moment: Moment) -> Self {
        Self { moment, drawn: 0, serial: 0 }
    }

    /// Goes on to the next input.
    pub(crate) fn begin(&mut self, moment: Moment) {
        let serial = if moment.now == self.moment.now { self.serial } else { 0 };
        *self = Self { moment, drawn: 0, serial };
    }

    /// The time, and ten bytes that were not drawn before: the parts of an id. Eight are random.
    pub(crate) fn parts(&mut self) -> (u64, [u8; 10]) {
        let mut tail = [0; 10];
        tail.copy_from_slice(&self.draw()[..10]);
        tail[..2].copy_from_slice(&self.serial.to_be_bytes());
        self.serial = self.serial.saturating_add(1);
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
