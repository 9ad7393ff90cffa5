//! What a command prints: all of it to a file, head and tail kept, news passed on at a bounded rate.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::message::{OutputLimits, StreamKind, Truncated};
use crate::plain::{self, Plain};

use super::control::FromSupervisor;

/// News is gathered for this long before it is sent.
pub(super) const NEWS_EVERY: Duration = Duration::from_millis(50);
/// News of one stream sent at a time; what comes faster is skipped, and said.
const NEWS_BYTES_MAX: usize = 32 * 1024;

/// Both streams of a command.
#[derive(Debug)]
pub(super) struct Capture {
    file: Option<File>,
    file_error: Option<io::Error>,
    limits: OutputLimits,
    written: u64,
    stdout: Kept,
    stderr: Kept,
    news_at: Option<Instant>,
}

/// One stream.
#[derive(Debug, Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    plain: Plain,
    news: String,
    skipped: u64,
}

/// The text of both streams at the end.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) truncated: Option<Truncated>,
}

impl Capture {
    pub(super) fn new(path: &Path, limits: OutputLimits) -> Self {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let (file, file_error) = match opened {
            Ok(file) => (Some(file), None),
            Err(error) => (None, Some(error)),
        };
        let (stdout, stderr) = (Kept::default(), Kept::default());
        Self { file, file_error, limits, written: 0, stdout, stderr, news_at: None }
    }

    /// Takes what was printed; false once the limit is passed.
    pub(super) fn take(&mut self, stream: StreamKind, bytes: &[u8], now: Instant) -> bool {
        let room = self.limits.file_bytes.saturating_sub(self.written);
        let fits = bytes.len() as u64 <= room;
        let bytes = if fits { bytes } else { &bytes[..usize::try_from(room).unwrap_or(0)] };
        self.written += bytes.len() as u64;
        self.write(bytes);
        let limits = self.limits;
        self.kept(stream).take(bytes, limits);
        self.news_at.get_or_insert(now + NEWS_EVERY);
        fits
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.file_error = Some(error);
            self.file = None;
        }
    }

    fn kept(&mut self, stream: StreamKind) -> &mut Kept {
        match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        }
    }

    /// When news is to be sent, if there is any.
    pub(super) fn news_at(&self) -> Option<Instant> {
        self.news_at
    }

    /// The news so far.
    pub(super) fn news(&mut self) -> Vec<FromSupervisor> {
        self.news_at = None;
        [StreamKind::Stdout, StreamKind::Stderr]
            .into_iter()
            .filter_map(|stream| {
                let kept = self.kept(stream);
                let text = std::mem::take(&mut kept.news);
                let skipped_bytes = std::mem::take(&mut kept.skipped);
                let any = !text.is_empty() || skipped_bytes > 0;
                any.then_some(FromSupervisor::Output { stream, text, skipped_bytes })
            })
            .collect()
    }

    /// Why not all of the output is in the file, if so.
    pub(super) fn file_error(&self) -> Option<&io::Error> {
        self.file_error.as_ref()
    }

    pub(super) fn texts(&self) -> Texts {
        let (stdout, stdout_omitted_bytes) = self.stdout.text();
        let (stderr, stderr_omitted_bytes) = self.stderr.text();
        let truncated = (stdout_omitted_bytes + stderr_omitted_bytes > 0).then_some(Truncated {
            stdout_bytes: self.stdout.total,
            stdout_omitted_bytes,
            stderr_bytes: self.stderr.total,
            stderr_omitted_bytes,
        });
        Texts { stdout, stderr, truncated }
    }
}

impl Kept {
    fn take(&mut self, bytes: &[u8], limits: OutputLimits) {
        self.total += bytes.len() as u64;
        let head_room = bytes_of(limits.head_bytes).saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at(head_room.min(bytes.len()));
        self.head.extend_from_slice(head);
        let tail_max = bytes_of(limits.tail_bytes);
        let rest = &rest[rest.len().saturating_sub(tail_max)..];
        let over = (self.tail.len() + rest.len()).saturating_sub(tail_max);
        self.tail.drain(..over);
        self.tail.extend(rest);
        self.report(bytes);
    }

    fn report(&mut self, bytes: &[u8]) {
        if self.news.len() + bytes.len() <= NEWS_BYTES_MAX {
            self.plain.push(bytes, &mut self.news);
            return;
        }
        // The end of a flood is worth more than its middle.
        let kept = &bytes[bytes.len().saturating_sub(NEWS_BYTES_MAX / 2)..];
        self.skipped += (self.news.len() + bytes.len() - kept.len()) as u64;
        self.news.clear();
        self.plain.push(kept, &mut self.news);
    }

    /// The text, and how many bytes it leaves out.
    fn text(&self) -> (String, u64) {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let kept = (self.head.len() + tail.len()) as u64;
        let omitted = self.total - kept;
        if omitted == 0 {
            return (plain::text_of(&[self.head.as_slice(), &tail].concat()), 0);
        }
        let head = plain::text_of(without_broken_end(&self.head));
        let tail = plain::text_of(without_broken_start(&tail));
        (format!("{head}\n[… {omitted} bytes left out …]\n{tail}"), omitted)
    }
}

fn bytes_of(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Leaves off a character that the cut went through.
fn without_broken_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

fn without_broken_start(bytes: &[u8]) -> &[u8] {
    let broken = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    &bytes[broken..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(chunks: &[&[u8]], limits: OutputLimits) -> Texts {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = Capture::new(&folder.path().join("output"), limits);
        let now = Instant::now();
        for chunk in chunks {
            capture.take(StreamKind::Stdout, chunk, now);
        }
        capture.texts()
    }

    const SMALL: OutputLimits = OutputLimits { head_bytes: 4, tail_bytes: 6, file_bytes: 100 };

    #[test]
    fn what_fits_is_whole() {
        let texts = captured(&[b"01234", b"56789"], SMALL);
        assert_eq!(texts.stdout, "0123456789");
        assert_eq!(texts.truncated, None);
    }

    #[test]
    fn head_and_tail_remain_of_what_does_not() {
        let texts = captured(&[b"0123456", b"789abcdef", b"xyz"], SMALL);
        assert_eq!(texts.stdout, "0123\n[… 9 bytes left out …]\ndefxyz");
        let truncated = texts.truncated.unwrap();
        assert_eq!((truncated.stdout_bytes, truncated.stdout_omitted_bytes), (19, 9));
    }

    #[test]
    fn cuts_do_not_break_characters() {
        let texts = captured(&["012€€€€€€".as_bytes()], SMALL);
        assert!(!texts.stdout.contains('\u{fffd}'), "{}", texts.stdout);
    }

    #[test]
    fn the_file_stops_at_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut capture = Capture::new(&path, OutputLimits { file_bytes: 10, ..SMALL });
        let now = Instant::now();
        assert!(capture.take(StreamKind::Stdout, b"0123456789", now));
        assert!(!capture.take(StreamKind::Stderr, b"x", now));
        assert_eq!(std::fs::read(path).unwrap(), b"0123456789");
    }

    #[test]
    fn a_flood_is_skipped_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let limits = OutputLimits::default();
        let mut capture = Capture::new(&folder.path().join("output"), limits);
        let now = Instant::now();
        let chunk = vec![b'x'; 20_000];
        for _ in 0..10 {
            capture.take(StreamKind::Stdout, &chunk, now);
        }
        assert_eq!(capture.news_at(), Some(now + NEWS_EVERY));
        let news = capture.news();
        let [FromSupervisor::Output { text, skipped_bytes, .. }] = news.as_slice() else {
            panic!("{news:?}")
        };
        assert!(text.len() <= NEWS_BYTES_MAX, "{}", text.len());
        assert_eq!(text.len() as u64 + skipped_bytes, 200_000);
        assert_eq!(capture.news_at(), None);
    }
}
