//! The supervisor's ends of a command's standard streams. None of them ever blocks.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;

use super::capture::Capture;
use super::launch::Ends;
use crate::message::{Stdin, StreamKind};

/// Bytes read at a time, and how many times before others have their turn.
const READ_BYTES: usize = 64 * 1024;
const READ_TURNS: usize = 16;
/// Input that waits to be read.
const INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Our ends.
#[derive(Debug)]
pub(super) struct Pipes {
    stdout: Option<File>,
    stderr: Option<File>,
    input: Option<Input>,
    buffer: Vec<u8>,
}

/// What is still to be written to the command's standard input.
#[derive(Debug)]
struct Input {
    pipe: File,
    waiting: Vec<u8>,
    close: bool,
}

/// What a turn of reading brought.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) any: bool,
    /// More was written than the command may write.
    pub(super) over_limit: bool,
}

impl Pipes {
    /// Makes the pipes; the other ends are for the command.
    pub(super) fn new(stdin: &Stdin) -> io::Result<(Self, Ends)> {
        let (stdout, stdout_end) = output_pipe()?;
        let (stderr, stderr_end) = output_pipe()?;
        let (input, stdin_end) = input_pipe(stdin)?;
        let buffer = vec![0; READ_BYTES];
        let pipes = Self { stdout: Some(stdout), stderr: Some(stderr), input, buffer };
        Ok((pipes, Ends { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end }))
    }

    /// Whether nobody can write any more.
    pub(super) fn are_ended(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    pub(super) fn output(&self, stream: StreamKind) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let pipe = match stream {
            StreamKind::Stdout => &self.stdout,
            StreamKind::Stderr => &self.stderr,
        };
        pipe.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::IN))
    }

    pub(super) fn input(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let due = self.input.as_ref().filter(|input| !input.waiting.is_empty() || input.close);
        due.map(|input| (input.pipe.as_fd(), PollFlags::OUT))
    }

    pub(super) fn read(&mut self, stream: StreamKind, capture: &mut Capture) -> Arrived {
        let end = match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        };
        let mut arrived = Arrived::default();
        for _ in 0..READ_TURNS {
            let Some(pipe) = end else { break };
            match pipe.read(&mut self.buffer) {
                Ok(0) => *end = None,
                Ok(count) => {
                    arrived.any = true;
                    let fits = capture.take(stream, &self.buffer[..count], Instant::now());
                    arrived.over_limit |= !fits;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => *end = None,
            }
        }
        arrived
    }

    /// Adds input; false if so much waits that the input had to be ended.
    pub(super) fn add_input(&mut self, text: String, close: bool) -> bool {
        let Some(input) = &mut self.input else { return true };
        if input.waiting.len() + text.len() > INPUT_BYTES_MAX {
            self.input = None;
            return false;
        }
        input.waiting.extend(text.into_bytes());
        input.close = input.close || close;
        self.write_input();
        true
    }

    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    pub(super) fn write_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        while !input.waiting.is_empty() {
            match input.pipe.write(&input.waiting) {
                Ok(count) => drop(input.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads it any more.
                Err(_) => return self.input = None,
            }
        }
        if input.close {
            self.input = None;
        }
    }
}

fn output_pipe() -> io::Result<(File, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((File::from(read), write))
}

fn input_pipe(stdin: &Stdin) -> io::Result<(Option<Input>, Option<OwnedFd>)> {
    let (waiting, close) = match stdin {
        Stdin::None => return Ok((None, None)),
        Stdin::Text { text } => (text.clone().into_bytes(), true),
        Stdin::Open => (Vec::new(), false),
    };
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    Ok((Some(Input { pipe: File::from(write), waiting, close }), Some(read)))
}
