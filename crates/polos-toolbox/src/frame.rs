//! Frames: a length (u32, little endian), then that many bytes of JSON.
//!
//! Both ends treat the other as hostile: a frame over [`FRAME_BYTES_MAX`] or one that does not
//! parse ends the connection. Nothing here knows what the messages mean.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest body of a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The length prefix of a frame, in bytes.
const PREFIX_BYTES: usize = 4;

/// Why a frame could not be read or written. Each of them ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The frame is larger than a frame may be.
    #[error("a frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooLarge { bytes: usize },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
    /// The body is not the JSON that was expected.
    #[error("the frame is not a message of this protocol: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The stream itself failed.
    #[error("the stream failed: {0}")]
    Io(#[from] io::Error),
}

/// Encodes a message as one frame, prefix included.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut bytes, message)?;
    let body = bytes.len() - PREFIX_BYTES;
    let length = u32::try_from(body).map_err(|_| Error::TooLarge { bytes: body })?;
    if body > FRAME_BYTES_MAX {
        return Err(Error::TooLarge { bytes: body });
    }
    bytes[..PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Writes one message and flushes.
pub fn write<M: Serialize>(writer: &mut impl Write, message: &M) -> Result<(), Error> {
    writer.write_all(&encode(message)?)?;
    writer.flush()?;
    Ok(())
}

/// Reads one message; `None` when the stream ended between two frames.
pub fn read<M: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<M>, Error> {
    let Some(length) = read_length(reader)? else { return Ok(None) };
    let mut body = Vec::new();
    reader.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(Error::Truncated);
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

fn read_length(reader: &mut impl Read) -> Result<Option<usize>, Error> {
    let mut prefix = [0; PREFIX_BYTES];
    let mut filled = 0;
    while filled < PREFIX_BYTES {
        match reader.read(&mut prefix[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(Error::Truncated),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    length_of(prefix).map(Some)
}

fn length_of(prefix: [u8; PREFIX_BYTES]) -> Result<usize, Error> {
    let bytes = u32::from_le_bytes(prefix) as usize;
    if bytes > FRAME_BYTES_MAX { Err(Error::TooLarge { bytes }) } else { Ok(bytes) }
}

/// Takes bytes as they come and gives whole messages; for callers that read by themselves.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start >= self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, or `None` until more bytes arrive.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        let waiting = &self.buffer[self.start..];
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = length_of(*prefix)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.start += PREFIX_BYTES + length;
        Ok(Some(message))
    }

    /// Whether part of a frame is waiting for its rest.
    pub fn is_mid_frame(&self) -> bool {
        self.start < self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_oversized_length_is_refused_before_anything_is_allocated() {
        let bytes = u32::MAX.to_le_bytes();
        let error = read::<String>(&mut bytes.as_slice()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert!(matches!(decoder.next_message::<String>(), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_says_so() {
        let whole = encode(&"hello").unwrap();
        for end in 1..whole.len() {
            let error = read::<String>(&mut &whole[..end]).unwrap_err();
            assert!(matches!(error, Error::Truncated), "{end}: {error}");
        }
        assert!(read::<String>(&mut [].as_slice()).unwrap().is_none());
    }

    #[test]
    fn a_body_over_the_limit_is_not_sent() {
        let error = encode(&"x".repeat(FRAME_BYTES_MAX)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn messages_survive_any_chunking(messages: Vec<String>, step in 1usize..64) {
            let mut bytes = Vec::new();
            for message in &messages {
                bytes.extend(encode(message).unwrap());
            }
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(step) {
                decoder.push(chunk);
                while let Some(message) = decoder.next_message::<String>().unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, messages);
            prop_assert!(!decoder.is_mid_frame());
        }

        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let mut reader = noise.as_slice();
            while let Ok(Some(_)) = read::<serde_json::Value>(&mut reader) {}
            let mut decoder = Decoder::default();
            decoder.push(&noise);
            while let Ok(Some(_)) = decoder.next_message::<serde_json::Value>() {}
        }
    }
}
