//! Puts the pieces of values together that a worker wants kept, and checks them.

use super::fatal;
use crate::json;
use polos_protocol::RunId;
use polos_protocol::frame::{Fatal, StoreRequest};
use polos_protocol::limits::BLOB_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// How many values one connection may have under way.
const UPLOADS_MAX: usize = 16;
/// How many bytes they may have together.
const UPLOADS_BYTES_MAX: usize = 2 * BLOB_BYTES_MAX;

/// The values that are under way on one connection.
#[derive(Default)]
pub(super) struct Uploads {
    /// By run and hash: two runs may send the same value at the same time, their pieces mixed.
    open: HashMap<(RunId, Arc<str>), Upload>,
}

/// A value that is under way, or all there and not yet checked.
pub(super) struct Upload {
    hash: Arc<str>,
    text: String,
    digest: Sha256,
    size: usize,
}

/// A value that is complete and is what its hash says.
#[derive(Debug, PartialEq)]
pub(super) struct Uploaded {
    pub(super) hash: Arc<str>,
    pub(super) text: Arc<str>,
}

impl Uploads {
    /// Takes a piece; returns the value, still to be checked, if it was the last.
    pub(super) fn take(&mut self, piece: &StoreRequest) -> Result<Option<Upload>, Fatal> {
        let size = usize::try_from(piece.size).unwrap_or(usize::MAX);
        if size == 0 || size > BLOB_BYTES_MAX {
            return Err(fatal(
                "value_too_large",
                format!("a value of {} bytes; 1 to {BLOB_BYTES_MAX}", piece.size),
                "keep it in a file or a bucket, and record where",
            ));
        }
        if piece.offset == 0 {
            self.begin(piece, size)?;
        }
        let name = (piece.run, Arc::clone(&piece.hash));
        let upload = self.open.get_mut(&name).ok_or_else(|| out_of_order(piece))?;
        let fits = upload.text.len() as u64 == piece.offset
            && upload.size == size
            && upload.text.len() + piece.text.len() <= size
            && !piece.text.is_empty();
        if !fits {
            return Err(out_of_order(piece));
        }
        upload.digest.update(piece.text.as_bytes());
        upload.text.push_str(&piece.text);
        if upload.text.len() < size { Ok(None) } else { Ok(self.open.remove(&name)) }
    }

    fn begin(&mut self, piece: &StoreRequest, size: usize) -> Result<(), Fatal> {
        let name = (piece.run, Arc::clone(&piece.hash));
        self.open.remove(&name);
        let bytes: usize = self.open.values().map(|upload| upload.size).sum();
        if self.open.len() == UPLOADS_MAX || bytes + size > UPLOADS_BYTES_MAX {
            return Err(fatal(
                "too_many_uploads",
                format!("more than {UPLOADS_MAX} values, or {UPLOADS_BYTES_MAX} bytes, at once"),
                "wait for `stored` before the next",
            ));
        }
        let hash = Arc::clone(&piece.hash);
        let upload = Upload { hash, text: String::new(), digest: Sha256::new(), size };
        self.open.insert(name, upload);
        Ok(())
    }
}

impl Upload {
    /// How many bytes there are to check.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Checks that it is what its hash says, and JSON.
    pub(super) fn check(self) -> Result<Uploaded, Fatal> {
        if hex(&self.digest.finalize()) != *self.hash {
            return Err(fatal("hash_mismatch", format!("the bytes are not `{}`", self.hash), ""));
        }
        json::check(&self.text, json::VALUE_DEPTH_MAX)
            .map_err(|error| fatal("invalid_json", error.to_string(), ""))?;
        Ok(Uploaded { hash: self.hash, text: self.text.into() })
    }
}

fn out_of_order(piece: &StoreRequest) -> Fatal {
    fatal(
        "piece_out_of_order",
        format!("the piece at {} of `{}` does not follow on", piece.offset, piece.hash),
        "send the pieces in order, from 0, all with the same size",
    )
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(whole: &str, offset: usize, text: &str) -> StoreRequest {
        StoreRequest {
            run: RunId::from_bytes([1; 16]),
            hash: hex(&Sha256::digest(whole)).into(),
            size: whole.len() as u64,
            offset: offset as u64,
            text: text.into(),
        }
    }

    fn take(uploads: &mut Uploads, piece: &StoreRequest) -> Result<Option<Uploaded>, String> {
        let upload = uploads.take(piece).map_err(|fatal| fatal.code)?;
        upload.map(Upload::check).transpose().map_err(|fatal| fatal.code)
    }

    #[test]
    fn pieces_become_the_value() {
        let mut uploads = Uploads::default();
        let whole = r#"{"a":"bcd"}"#;
        assert_eq!(take(&mut uploads, &piece(whole, 0, &whole[..4])), Ok(None));
        let done = take(&mut uploads, &piece(whole, 4, &whole[4..])).unwrap().unwrap();
        assert_eq!(&*done.text, whole);
        assert!(uploads.open.is_empty());
    }

    #[test]
    fn two_runs_may_send_the_same_value_at_once() {
        let mut uploads = Uploads::default();
        let whole = r#"{"a":"bcd"}"#;
        let other = |offset, text| StoreRequest {
            run: RunId::from_bytes([2; 16]),
            ..piece(whole, offset, text)
        };
        assert_eq!(take(&mut uploads, &piece(whole, 0, &whole[..4])), Ok(None));
        assert_eq!(take(&mut uploads, &other(0, &whole[..6])), Ok(None));
        assert!(take(&mut uploads, &piece(whole, 4, &whole[4..])).unwrap().is_some());
        assert!(take(&mut uploads, &other(6, &whole[6..])).unwrap().is_some());
    }

    fn refused(piece: &StoreRequest, expect: &str) {
        assert_eq!(take(&mut Uploads::default(), piece), Err(expect.to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        refused(&piece("[1]", 1, "1"), "piece_out_of_order");
        refused(&piece("[1]", 0, "[1]]"), "piece_out_of_order");
        refused(&piece("[1]", 0, ""), "piece_out_of_order");
        refused(&piece("[1]", 0, "[2]"), "hash_mismatch");
        refused(&piece("[1,", 0, "[1,"), "invalid_json");
        refused(&StoreRequest { size: u64::MAX, ..piece("1", 0, "1") }, "value_too_large");
    }

    #[test]
    fn uploads_at_once_are_limited() {
        let mut uploads = Uploads::default();
        for n in 0..UPLOADS_MAX {
            take(&mut uploads, &piece(&format!("\"{n:04}\""), 0, "\"")).unwrap();
        }
        let more = take(&mut uploads, &piece("[1]", 0, "["));
        assert_eq!(more, Err("too_many_uploads".to_owned()));
    }
}
