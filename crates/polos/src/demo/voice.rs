//! How the demo talks: a column of times, a column of names, and what happens beside them. All of
//! it goes to standard error; a live line says what takes long, where there is a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::show::moment;
use crate::show::paint::{Paint, Tone};
use crate::show::text;

/// The column in which the story stands: behind time and name.
const INDENT: usize = 18;
/// The widest line; longer ones are hard to read.
const WIDTH_MAX: usize = 110;
/// How long something may take before it is said that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often that is said again where a line cannot be rewritten.
const PATIENCE_PIPED: Duration = Duration::from_secs(10);

/// Tells the story.
#[derive(Debug)]
pub(crate) struct Voice {
    paint: Paint,
    began: Instant,
    is_live: bool,
    width: usize,
    /// The last line is a live one.
    has_status: bool,
    /// When something was last said.
    spoke: Instant,
}

impl Voice {
    /// A voice for this terminal, or pipe.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            paint: Paint::for_stderr(),
            began: now,
            is_live: std::io::stderr().is_terminal() && !is_dumb,
            width: text::width_of_terminal().min(WIDTH_MAX),
            has_status: false,
            spoke: now,
        }
    }

    /// A text in the colour of its tone.
    pub(crate) fn tone(&self, tone: Tone, text: &str) -> String {
        self.paint.tone(tone, text)
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.write(&format!("{line}\n"));
        self.spoke = Instant::now();
    }

    /// A heading, with a line of air before it.
    pub(crate) fn heading(&mut self, text: &str) {
        let text = self.tone(Tone::Strong, text);
        self.line(&format!("\n{text}"));
    }

    /// A named fact.
    pub(crate) fn fact(&mut self, name: &str, what: &str) {
        let room = self.width.saturating_sub(INDENT);
        let mut lines = wrap(what, room).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {} {first}", text::pad(name, INDENT - 3)));
        for line in lines {
            self.line(&format!("{}{line}", " ".repeat(INDENT)));
        }
    }

    /// Something that happened, and who did it.
    pub(crate) fn event(&mut self, who: &str, tone: Option<Tone>, what: &str) {
        let time = moment::duration(elapsed_ms(self.began));
        let time = self.tone(Tone::Dim, &format!("{time:>7}"));
        let who = text::pad(&text::cut(who, 8), 8);
        let room = self.width.saturating_sub(INDENT);
        for (number, line) in wrap(what, room).into_iter().enumerate() {
            let line = tone.map_or(line.clone(), |tone| self.tone(tone, &line));
            if number == 0 {
                let who = self.tone(Tone::Strong, &who);
                self.line(&format!("{time} {who} {line}"));
            } else {
                let line = format!("{}{line}", " ".repeat(INDENT - 1));
                self.line(line.trim_end());
            }
        }
    }

    /// A line that somebody else wrote, as it is but for what would talk to the terminal. Nothing
    /// of it is cut off: it may be what the person is to decide on.
    pub(crate) fn quote(&mut self, line: &str, tone: Tone) {
        let room = self.width.saturating_sub(INDENT + 1);
        let line = text::plain(&line.replace('\t', "    "));
        for (number, part) in text::fold(&line, room).iter().enumerate() {
            let bar = self.tone(Tone::Dim, if number == 0 { "|" } else { ":" });
            let part = if part.is_empty() { String::new() } else { self.tone(tone, part) };
            let part = format!("{}{bar} {part}", " ".repeat(INDENT - 1));
            self.line(part.trim_end());
        }
    }

    /// A diff, with the colours that people know.
    pub(crate) fn diff(&mut self, diff: &str, lines_max: usize) {
        for line in diff.lines().take(lines_max) {
            let tone = match line.as_bytes().first() {
                Some(b'+') if !line.starts_with("+++") => Tone::Good,
                Some(b'-') if !line.starts_with("---") => Tone::Bad,
                Some(b'@') => Tone::Busy,
                _ => Tone::Dim,
            };
            self.quote(line, tone);
        }
        let left = diff.lines().count().saturating_sub(lines_max);
        if left > 0 {
            self.quote(&format!("… {left} more lines"), Tone::Dim);
        }
    }

    /// Says what goes on, if nothing was said for a while.
    pub(crate) fn waiting(&mut self, what: &str) {
        let quiet = self.spoke.elapsed();
        if self.is_live && quiet >= PATIENCE {
            let line = format!("{}… {what} ({} s)", " ".repeat(INDENT - 1), quiet.as_secs());
            let line = text::cut(&line, self.width);
            self.clear();
            self.write_raw(&self.tone(Tone::Dim, &line));
            self.has_status = true;
        } else if !self.is_live && quiet >= PATIENCE_PIPED {
            self.line(&format!("{}… {what}", " ".repeat(INDENT - 1)));
        }
    }

    /// A question, after which the person types.
    pub(crate) fn prompt(&mut self, question: &str) {
        let question = self.tone(Tone::Attention, question);
        self.write(&question);
        self.spoke = Instant::now();
    }

    /// Takes the live line away, before something else is written.
    pub(crate) fn clear(&mut self) {
        if self.has_status {
            self.write_raw("\r\x1b[2K");
            self.has_status = false;
        }
    }

    fn write(&mut self, text: &str) {
        self.clear();
        self.write_raw(text);
    }

    /// What nobody hears is no error.
    #[expect(clippy::unused_self, reason = "the voice is one, and so is standard error")]
    fn write_raw(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Breaks each line of a text between words; indented lines stay as they are.
fn wrap(what: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text::plain_lines(what).lines() {
        if line.is_empty() {
            lines.push(String::new());
        } else if line.starts_with(' ') {
            lines.push(text::cut(line, room));
        } else {
            lines.extend(text::wrap(line, room));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_code_is_not() {
        let lines = wrap("one two three\n    code stays here\n\nend", 12);
        assert_eq!(lines, ["one two", "three", "    code st…", "", "end"]);
    }
}
