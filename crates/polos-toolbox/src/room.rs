//! Room for one more thread or process in a box that is full of them. Those that are being killed are
//! gone in a moment, so a request waits for that moment before it is refused.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long is waited for room: two sweeps of what was left behind.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Tries until there is room, within limits. Any other error ends it at once.
pub(crate) fn wait<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + WAIT_MAX;
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                thread::sleep(LOOK_EVERY);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_comes_is_taken_and_other_errors_are_told_at_once() {
        let mut left = 3;
        let taken = wait(|| {
            left -= 1;
            if left > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok("room") }
        });
        assert_eq!(taken.unwrap(), "room");
        let mut asked = 0;
        let refused = wait(|| {
            asked += 1;
            Err::<(), _>(io::Error::from(io::ErrorKind::NotFound))
        });
        assert_eq!((refused.unwrap_err().kind(), asked), (io::ErrorKind::NotFound, 1));
    }
}
