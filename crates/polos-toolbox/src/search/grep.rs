//! Text in files, with ripgrep's engine.

use std::cmp::Reverse;
use std::fs::File;
use std::io;

use globset::GlobMatcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{
    BinaryDetection, MmapChoice, Searcher, SearcherBuilder, Sink, SinkContext, SinkMatch,
};
use ignore::types::{Types, TypesBuilder};

use super::walk::{self, Budget, Notes, Options};
use crate::files::{Place, Roots};
use crate::message::{Code, Grep, GrepMode, GrepRequest, Refusal};

/// Lines or files listed unless the request says otherwise.
const LIMIT_DEFAULT: u64 = 100;
/// Lines or files listed at most.
const LIMIT_MAX: u64 = 10_000;
/// Characters of a line that are shown.
const LINE_CHARS_MAX: usize = 500;
/// Bytes shown in all.
const BYTES_MAX: usize = 256 * 1024;
/// Lines of context on either side.
const CONTEXT_MAX: u64 = 100;
/// Files larger than this are not searched.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Memory for one file, and for one compiled expression.
const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Finds text in the files beneath a folder, or in one file.
pub fn grep(roots: &Roots, request: &GrepRequest) -> Result<Grep, Refusal> {
    let mut search = Search::new(roots, request)?;
    let mut notes = Notes::default();
    let options = Options {
        path: request.path.as_deref(),
        gitignore: request.gitignore,
        types: request.file_type.as_deref().map(types_of).transpose()?,
    };
    walk::files(roots, options, &mut notes, |place, budget, notes| {
        search.file(&place, budget, notes);
        if budget.is_late() {
            notes.add(walk::late_note());
        }
        !budget.is_late()
    })?;
    Ok(search.finish(notes))
}

fn types_of(name: &str) -> Result<Types, Refusal> {
    let mut builder = TypesBuilder::new();
    builder.add_defaults();
    builder.select(name);
    builder.build().map_err(|error| {
        Refusal::new(Code::BadRequest, format!("`{name}` is not a type of file: {error}"))
            .hint("types are named as in `rg --type-list`: rust, py, js, ts, go, …; or use `glob`")
    })
}

/// A search under way.
struct Search<'a> {
    request: &'a GrepRequest,
    matcher: RegexMatcher,
    searcher: Searcher,
    glob: Option<GlobMatcher>,
    base: String,
    limit: usize,
    listed: Listed,
    files: Vec<(Reverse<i64>, String, u64)>,
    matches: u64,
    searched: u64,
}

impl<'a> Search<'a> {
    fn new(roots: &Roots, request: &'a GrepRequest) -> Result<Self, Refusal> {
        let limit = request.head_limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let path = request.path.as_deref().unwrap_or(roots.workspace());
        Ok(Self {
            request,
            matcher: matcher_of(request)?,
            searcher: searcher_of(request),
            glob: request.glob.as_deref().map(file_pattern).transpose()?,
            base: roots.place(path)?.shown().to_owned(),
            limit,
            listed: Listed { limit, ..Listed::default() },
            files: Vec::new(),
            matches: 0,
            searched: 0,
        })
    }

    fn file(&mut self, place: &Place<'_>, budget: &Budget, notes: &mut Notes) {
        let beneath = place.shown().strip_prefix(&self.base).unwrap_or_default();
        let beneath = beneath.trim_start_matches('/');
        if self.glob.as_ref().is_some_and(|glob| !beneath.is_empty() && !glob.is_match(beneath)) {
            return;
        }
        let Some(file) = open_small(place, notes) else { return };
        self.searched += 1;
        let keep = self.request.mode == GrepMode::Content;
        let mut sink = FileSink {
            path: place.shown(),
            listed: keep.then_some(&mut self.listed),
            budget,
            matches: 0,
        };
        if let Err(error) = self.searcher.search_file(&self.matcher, &file, &mut sink) {
            notes.add(format!("`{}` was not searched to its end: {error}", place.shown()));
        }
        let matches = sink.matches;
        self.matches += matches;
        if matches > 0 {
            let modified = walk::modified(place).unwrap_or(i64::MIN);
            self.files.push((Reverse(modified), place.shown().to_owned(), matches));
        }
    }

    fn finish(mut self, mut notes: Notes) -> Grep {
        let files = self.files.len() as u64;
        let lines = match self.request.mode {
            GrepMode::Content => {
                if let Some(note) = self.listed.note(self.matches) {
                    notes.add(note);
                }
                self.listed.lines
            }
            mode => {
                if mode == GrepMode::FilesWithMatches {
                    self.files.sort();
                }
                if self.files.len() > self.limit {
                    notes.add(format!("truncated: {} of {files} files", self.limit));
                }
                let shown = self.files.into_iter().take(self.limit);
                shown.map(|(_, path, count)| listing(mode, path, count)).collect()
            }
        };
        Grep {
            lines,
            matches: self.matches,
            files,
            searched_files: self.searched,
            note: notes.into_note(),
        }
    }
}

fn listing(mode: GrepMode, path: String, count: u64) -> String {
    if mode == GrepMode::Count { format!("{path}:{count}") } else { path }
}

fn matcher_of(request: &GrepRequest) -> Result<RegexMatcher, Refusal> {
    let mut builder = RegexMatcherBuilder::new();
    builder
        .case_insensitive(request.ignore_case)
        .multi_line(true)
        .size_limit(MEMORY_BYTES_MAX)
        .dfa_size_limit(MEMORY_BYTES_MAX);
    if request.multiline {
        builder.dot_matches_new_line(true);
    } else {
        builder.line_terminator(Some(b'\n'));
    }
    builder.build(&request.pattern).map_err(|error| {
        Refusal::new(Code::BadRequest, format!("`pattern` is not a regular expression: {error}"))
            .hint("put a backslash before `( ) [ ] { } . * + ? | ^ $` to mean them literally")
    })
}

fn searcher_of(request: &GrepRequest) -> Searcher {
    let content = request.mode == GrepMode::Content;
    let context = |lines: u64| usize::try_from(lines.min(CONTEXT_MAX)).unwrap_or(0);
    SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .memory_map(MmapChoice::never())
        .heap_limit(Some(MEMORY_BYTES_MAX))
        .multi_line(request.multiline)
        .line_number(content)
        .before_context(if content { context(request.before) } else { 0 })
        .after_context(if content { context(request.after) } else { 0 })
        .build()
}

/// A pattern without a slash means the name in any folder.
fn file_pattern(pattern: &str) -> Result<GlobMatcher, Refusal> {
    if pattern.contains('/') {
        walk::path_pattern(pattern.trim_start_matches('/'))
    } else {
        walk::path_pattern(&format!("**/{pattern}"))
    }
}

fn open_small(place: &Place<'_>, notes: &mut Notes) -> Option<File> {
    let Ok((file, stat)) = place.open_file().and_then(|file| place.regular(file)) else {
        notes.add("some files could not be read");
        return None;
    };
    if u64::try_from(stat.st_size).unwrap_or(0) > FILE_BYTES_MAX {
        notes.add(format!("`{}` is too large to search", place.shown()));
        return None;
    }
    Some(file)
}

/// Lines of content, up to the limits.
#[derive(Debug, Default)]
struct Listed {
    lines: Vec<String>,
    bytes: usize,
    limit: usize,
    full: bool,
}

impl Listed {
    fn add(&mut self, line: String) {
        self.full = self.full || self.lines.len() >= self.limit || self.bytes > BYTES_MAX;
        if !self.full {
            self.bytes += line.len() + 1;
            self.lines.push(line);
        }
    }

    fn note(&self, matches: u64) -> Option<String> {
        let shown = self.lines.len();
        self.full.then(|| {
            format!("truncated: the first {shown} lines of {matches} matches; narrow the search or raise head_limit")
        })
    }
}

/// Takes what the engine finds in one file.
struct FileSink<'a> {
    path: &'a str,
    listed: Option<&'a mut Listed>,
    budget: &'a Budget,
    matches: u64,
}

impl FileSink<'_> {
    fn list(&mut self, number: Option<u64>, bytes: &[u8], mark: char) {
        let path = self.path;
        let Some(listed) = &mut self.listed else { return };
        let text = String::from_utf8_lossy(bytes);
        for (number, line) in (number.unwrap_or(0)..).zip(text.lines()) {
            listed.add(format!("{path}{mark}{number}{mark}{}", cut(line)));
        }
    }
}

impl Sink for FileSink<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.matches += 1;
        self.list(found.line_number(), found.bytes(), ':');
        Ok(!self.budget.is_late())
    }

    fn context(&mut self, _: &Searcher, context: &SinkContext<'_>) -> io::Result<bool> {
        self.list(context.line_number(), context.bytes(), '-');
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> io::Result<bool> {
        if let Some(listed) = &mut self.listed {
            listed.add("--".to_owned());
        }
        Ok(true)
    }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
