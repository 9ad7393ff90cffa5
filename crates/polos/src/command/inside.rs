//! Entries for processes that Polos starts inside a box. They are no commands: they are entered
//! before anything else happens, with no threads and no runtime.

use std::process::ExitCode;

/// Enters a box's process, if that is what this one is to be.
pub(crate) fn enter() -> Option<ExitCode> {
    polos_sandbox::run_if_asked()
}
