//! Random bytes for ids: the system's own, drawn many at a time.

const POOL_BYTES: usize = 4096;
const DRAW_BYTES: usize = 16;

/// A pool of random bytes; each is handed out once.
pub(crate) struct Entropy {
    pool: Box<[u8; POOL_BYTES]>,
    used: usize,
}

impl Entropy {
    pub(crate) fn new() -> Self {
        Self { pool: Box::new([0; POOL_BYTES]), used: POOL_BYTES }
    }

    /// Sixteen fresh bytes.
    pub(crate) fn draw(&mut self) -> Result<[u8; DRAW_BYTES], getrandom::Error> {
        if self.used + DRAW_BYTES > POOL_BYTES {
            getrandom::fill(&mut self.pool[..])?;
            self.used = 0;
        }
        let mut bytes = [0; DRAW_BYTES];
        bytes.copy_from_slice(&self.pool[self.used..self.used + DRAW_BYTES]);
        self.pool[self.used..self.used + DRAW_BYTES].fill(0);
        self.used += DRAW_BYTES;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_draw_comes_twice() {
        let mut entropy = Entropy::new();
        let draws: std::collections::HashSet<_> =
            (0..1000).map(|_| entropy.draw().unwrap()).collect();
        assert_eq!(draws.len(), 1000);
    }
}
