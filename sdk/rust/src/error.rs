//! The errors that a workflow's code meets, and the ones that steps raise.

use polos_protocol::{Failure, StepKey};

/// What the code of a workflow is handed instead of a value, and what it may return.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step, child run, wait or question failed, or the code itself says so.
    #[error("{failure}")]
    Failed {
        /// What went wrong.
        failure: Box<Failure>,
        /// The step it came from.
        step: Option<StepKey>,
    },
    /// The run is being cancelled. Return it; what must be undone goes into [`crate::Ctx::cleanup`].
    #[error("{0}")]
    Cancelled(Box<Failure>),
    /// A recorded value does not fit the type that the code wants.
    #[error("the value of `{key}` does not fit: {message}")]
    Value {
        /// The step.
        key: StepKey,
        /// What the parser said.
        message: String,
    },
}

/// The result of everything that a workflow awaits.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the code's own, with the code `error`: it blocks a root run, which can be
    /// resumed once the cause is mended.
    pub fn msg(message: impl std::fmt::Display) -> Self {
        Self::from(Failure::new("error", message.to_string()))
    }

    /// An error that trying again cannot help: the run fails.
    pub fn terminal(message: impl std::fmt::Display) -> Self {
        Self::from(Failure::new("error", message.to_string()).terminal())
    }

    /// An error made of any other.
    pub fn from_std(error: &dyn std::error::Error) -> Self {
        Self::from(failure_of(error))
    }

    /// The failure inside, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } | Self::Cancelled(failure) => Some(failure),
            Self::Value { .. } => None,
        }
    }

    /// The stable word of the failure, `value` for a value that does not fit.
    pub fn code(&self) -> &str {
        self.failure().map_or("value", |failure| &failure.code)
    }

    /// True if a deadline passed before the outcome came.
    pub fn is_timeout(&self) -> bool {
        self.code() == "timeout"
    }

    /// True if the run is being cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// What the server is told if nobody catches it, and the step it came from.
    pub(crate) fn into_parts(self) -> (Failure, Option<StepKey>) {
        match self {
            Self::Failed { failure, step } => (*failure, step),
            Self::Cancelled(mut failure) => {
                "cancelled".clone_into(&mut failure.code);
                (*failure, None)
            }
            Self::Value { key, message } => {
                let message = format!("the value of `{key}` does not fit: {message}");
                (Failure::new("value", message), Some(key))
            }
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed { failure: Box::new(failure), step: None }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::from_std(&error)
    }
}

/// What a step's own code raises. Any error becomes one with `?` and is tried again; the helpers
/// say more.
///
/// ```
/// # use polos_sdk::StepError;
/// fn charge() -> Result<u32, StepError> {
///     let amount: u32 = "12".parse()?;
///     if amount > 1000 {
///         return Err(StepError::terminal("the card does not allow that"));
///     }
///     Ok(amount)
/// }
/// # charge().map_err(|_| ()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct StepError {
    pub(crate) failure: Box<Failure>,
    pub(crate) retryable: bool,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) not_done: bool,
}

impl StepError {
    /// An error that is tried again as the step's retry says.
    pub fn retryable(message: impl std::fmt::Display) -> Self {
        Self::from_failure(Failure::new("error", message.to_string()))
    }

    /// An error that trying again cannot help: it is raised in the code at once, and fails the
    /// run if nobody catches it.
    pub fn terminal(message: impl std::fmt::Display) -> Self {
        Self::from_failure(Failure::new("error", message.to_string()).terminal())
    }

    /// For a `once` step: the effect surely did not happen, so that trying again is safe.
    pub fn not_done(message: impl std::fmt::Display) -> Self {
        Self { not_done: true, ..Self::retryable(message) }
    }

    /// An error made of a failure with a code, details and so on.
    pub fn from_failure(failure: Failure) -> Self {
        Self {
            retryable: !failure.terminal,
            failure: Box::new(failure),
            retry_after_ms: None,
            not_done: false,
        }
    }

    /// Gives the error a stable word for programs and for `Retry::not_on`.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        code.clone_into(&mut self.failure.code);
        self
    }

    /// Waits at least this long before the next attempt.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Raises the error in the code at once, without failing the run by itself.
    #[must_use]
    pub fn no_retry(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// The failure inside.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl std::fmt::Display for StepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.failure, f)
    }
}

impl<E: std::error::Error + 'static> From<E> for StepError {
    fn from(error: E) -> Self {
        let any: &dyn std::any::Any = &error;
        match any.downcast_ref::<Failure>() {
            Some(failure) => Self::from_failure(failure.clone()),
            None => Self::from_failure(failure_of(&error)),
        }
    }
}

fn failure_of(error: &dyn std::error::Error) -> Failure {
    let cause = error.source().map(|source| Box::new(failure_of(source)));
    Failure { cause, ..Failure::new("error", error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_retryable_one_and_a_failure_keeps_its_code() {
        let parsed: Result<u32, _> = "x".parse::<u32>();
        let error = StepError::from(parsed.unwrap_err());
        assert!(error.retryable && error.failure.code == "error");
        let error = StepError::from(Failure::new("declined", "no").terminal());
        assert!(!error.retryable && error.failure.code == "declined");
    }
}
