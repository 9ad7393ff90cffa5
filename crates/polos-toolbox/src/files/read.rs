//! Reading: bounded, never blocking, and only what is a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;

use super::{FILE_BYTES_MAX, Place, hard_links, sha256_hex};
use crate::base64;
use crate::message::{Code, Read, ReadContent, ReadRequest, Refusal};

/// Lines given unless the request says otherwise.
const LINES_DEFAULT: u64 = 2_000;
/// Characters of a line that are given.
const LINE_CHARS_MAX: usize = 2_000;
/// Bytes of text in one reply.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an image that is given; more than models take.
const IMAGE_BYTES_MAX: u64 = 5 * 1024 * 1024;
/// Where a NUL says that a file is binary.
const BINARY_PROBE_BYTES: usize = 8 * 1024;

/// A file's whole content.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: String,
    pub(super) mode: u32,
    pub(super) hard_links: u64,
}

pub(super) fn read(place: &Place<'_>, request: &ReadRequest) -> Result<Read, Refusal> {
    let whole = whole(place)?;
    Ok(Read {
        path: place.shown().to_owned(),
        content: content_of(&whole.bytes, request)?,
        size_bytes: whole.bytes.len() as u64,
        sha256: whole.sha256,
        hard_links: whole.hard_links,
    })
}

/// Reads a file whole, up to the limit.
pub(super) fn whole(place: &Place<'_>) -> Result<Whole, Refusal> {
    whole_of(place, place.open_file()?)
}

/// The same of a file that is open.
pub(super) fn whole_of(place: &Place<'_>, file: File) -> Result<Whole, Refusal> {
    let (file, stat) = place.regular(file)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > FILE_BYTES_MAX {
        return Err(too_large(place, size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    // One byte more than allowed tells a file that grew from one that fits.
    let taken = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    taken.map_err(|error| Refusal::new(Code::System, format!("`{}`: {error}", place.shown())))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large(place, bytes.len() as u64));
    }
    let sha256 = sha256_hex(&bytes);
    Ok(Whole { bytes, sha256, mode: stat.st_mode & 0o7777, hard_links: hard_links(stat.st_nlink) })
}

fn too_large(place: &Place<'_>, bytes: u64) -> Refusal {
    let path = place.shown();
    let message = format!("`{path}` has {bytes} bytes; the limit is {FILE_BYTES_MAX}");
    Refusal::new(Code::TooLarge, message)
        .hint("use `grep`, or `exec` with `head`, `tail` or `sed -n`, for a part of it")
}

fn content_of(bytes: &[u8], request: &ReadRequest) -> Result<ReadContent, Refusal> {
    if let Some(media_type) = image_type(bytes) {
        if bytes.len() as u64 > IMAGE_BYTES_MAX {
            let message =
                format!("the image has {} bytes; the limit is {IMAGE_BYTES_MAX}", bytes.len());
            return Err(Refusal::new(Code::TooLarge, message));
        }
        return Ok(ReadContent::Image {
            media_type: media_type.to_owned(),
            base64: base64::encode(bytes),
        });
    }
    if is_binary(bytes) {
        let media_type = bytes.starts_with(b"%PDF-").then(|| "application/pdf".to_owned());
        return Ok(ReadContent::Binary { media_type });
    }
    numbered(bytes, request)
}

/// Whether a file is taken for binary: a NUL in its first 8 KiB.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.starts_with(b"%PDF-") || bytes.iter().take(BINARY_PROBE_BYTES).any(|byte| *byte == 0)
}

fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn numbered(bytes: &[u8], request: &ReadRequest) -> Result<ReadContent, Refusal> {
    let text = String::from_utf8_lossy(bytes);
    let first_line = request.offset.unwrap_or(1).max(1);
    let limit = request.limit.unwrap_or(LINES_DEFAULT).max(1);
    let total_lines = text.lines().count() as u64;
    if total_lines == 0 {
        let note = Some("the file is empty".to_owned());
        return Ok(ReadContent::Text {
            text: String::new(),
            first_line,
            lines: 0,
            total_lines,
            note,
        });
    }
    if first_line > total_lines {
        let message =
            format!("line {first_line} is past the end: the file has {total_lines} lines");
        return Err(Refusal::new(Code::BadRequest, message));
    }
    let mut page = Page::default();
    let skipped = usize::try_from(first_line - 1).unwrap_or(usize::MAX);
    for (number, line) in (first_line..).zip(text.lines().skip(skipped)) {
        if page.lines == limit || !page.add(number, line) {
            break;
        }
    }
    let note = page.note(first_line, total_lines);
    Ok(ReadContent::Text { text: page.text, first_line, lines: page.lines, total_lines, note })
}

/// Numbered lines, up to a size.
#[derive(Debug, Default)]
struct Page {
    text: String,
    lines: u64,
    cut_lines: u64,
}

impl Page {
    /// Adds a line; false when the page is full.
    fn add(&mut self, number: u64, line: &str) -> bool {
        let cut = line.char_indices().nth(LINE_CHARS_MAX).map(|(at, _)| at);
        let shown = &line[..cut.unwrap_or(line.len())];
        if self.text.len() + shown.len() > TEXT_BYTES_MAX {
            return false;
        }
        let mark = if cut.is_some() { "…" } else { "" };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{number:>6}\t{shown}{mark}");
        self.lines += 1;
        self.cut_lines += u64::from(cut.is_some());
        true
    }

    fn note(&self, first_line: u64, total_lines: u64) -> Option<String> {
        let last_line = first_line + self.lines - 1;
        let mut notes = Vec::new();
        if first_line > 1 || last_line < total_lines {
            notes.push(format!("lines {first_line} to {last_line} of {total_lines}"));
        }
        if last_line < total_lines {
            notes.push(format!("go on with offset {}", last_line + 1));
        }
        if self.cut_lines > 0 {
            let cut = self.cut_lines;
            notes.push(format!("{cut} long lines are cut to {LINE_CHARS_MAX} characters"));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], offset: Option<u64>, limit: Option<u64>, expect: &str) {
        let request = ReadRequest { offset, limit, ..ReadRequest::default() };
        let got = match content_of(bytes, &request) {
            Ok(ReadContent::Text { text, note, .. }) => {
                format!("{text}{}", note.map(|note| format!("[{note}]")).unwrap_or_default())
            }
            Ok(other) => format!("{other:?}"),
            Err(refusal) => refusal.message,
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn lines_are_numbered_from_one() {
        check(b"a\nb\n", None, None, "     1\ta\n     2\tb\n");
        check(b"a\r\nb", None, None, "     1\ta\n     2\tb\n");
        check(
            b"a\nb\nc\n",
            Some(2),
            Some(1),
            "     2\tb\n[lines 2 to 2 of 3; go on with offset 3]",
        );
        check(b"a\nb\n", Some(2), None, "     2\tb\n[lines 2 to 2 of 2]");
    }

    #[test]
    fn what_is_missing_is_said() {
        check(b"", None, None, "[the file is empty]");
        check(b"a\n", Some(5), None, "line 5 is past the end: the file has 1 lines");
        check(b"a\0b", None, None, "Binary { media_type: None }");
        check(b"%PDF-1.7", None, None, r#"Binary { media_type: Some("application/pdf") }"#);
    }

    #[test]
    fn long_lines_and_long_files_are_cut() {
        let long = "é".repeat(LINE_CHARS_MAX + 5);
        let request = ReadRequest::default();
        let ReadContent::Text { text, note, .. } = content_of(long.as_bytes(), &request).unwrap()
        else {
            panic!("not text")
        };
        assert_eq!(text.chars().filter(|char| *char == 'é').count(), LINE_CHARS_MAX);
        assert_eq!(note.unwrap(), "1 long lines are cut to 2000 characters");

        let many = "x".repeat(1_000) + "\n";
        let ReadContent::Text { text, lines, note, .. } =
            content_of(many.repeat(1_999).as_bytes(), &request).unwrap()
        else {
            panic!("not text")
        };
        assert!(text.len() <= TEXT_BYTES_MAX + 16 * 1_999, "{}", text.len());
        let expect = format!("lines 1 to {lines} of 1999; go on with offset {}", lines + 1);
        assert_eq!(note.unwrap(), expect);
    }
}
