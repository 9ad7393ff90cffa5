//! How a command ends: its exit status, and an error with a code and the way out.

use polos_protocol::State;
use std::fmt;
use std::process::ExitCode;

/// The exit statuses. They are documented and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done,
    /// It could not be done.
    Failed,
    /// It was asked for in a way that makes no sense.
    Usage,
    /// It was done, and the run did not complete: failed, cancelled or blocked.
    RunNotCompleted,
    /// Nothing was done: a person would be asked, or it is not allowed.
    WouldAsk,
    /// There is no box to run it in.
    NoBox,
    /// It ended as the command that it ran.
    Status(u8),
    /// The person broke it off.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::RunNotCompleted | Self::WouldAsk => 3,
            Self::NoBox => 125,
            Self::Status(status) => status,
            Self::Interrupted => 130,
        })
    }

    /// The status for a run that has come to rest.
    pub(crate) fn of_run(state: State) -> Self {
        match state {
            State::Failed | State::Cancelled | State::Blocked => Self::RunNotCompleted,
            State::Completed | State::Queued | State::Running | State::Waiting => Self::Done,
        }
    }
}

/// An error that tells its code and the way out.
#[derive(Debug)]
pub(crate) struct Problem {
    /// A stable word for programs, with a page under docs/errors.
    pub(crate) code: String,
    /// What is wrong, naming the thing.
    pub(crate) message: String,
    /// The way out; empty if none is known.
    pub(crate) hint: String,
    /// How the program ends.
    pub(crate) exit: Exit,
}

impl Problem {
    /// Something that could not be done.
    #[expect(clippy::new_ret_no_self, reason = "a problem is always on its way out")]
    pub(crate) fn new(
        code: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> anyhow::Error {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: hint.into(),
            exit: Exit::Failed,
        }
        .into()
    }

    /// Something that was asked for in a way that makes no sense.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self {
            code: "usage".to_owned(),
            message: message.into(),
            hint: hint.into(),
            exit: Exit::Usage,
        }
        .into()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
