//! The commands under way: changes gather until an input is done, then they are sealed into one
//! command, so that they happen together or not at all.

use super::Engine;
use polos_protocol::{Namespace, RunId};
use polos_store::{Change, Check, Command};

/// The commands of the present batch.
#[derive(Debug, Default)]
pub(super) struct Draft {
    checks: Vec<Check>,
    changes: Vec<Change>,
    dirty: Vec<RunId>,
    commands: Vec<Command>,
}

impl Draft {
    pub(super) fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }
}

impl Engine {
    /// Adds a change to the command under way.
    pub(crate) fn change(&mut self, change: Change) {
        self.draft.changes.push(change);
    }

    /// Adds a check to the command under way. The engine has looked already: the check guards
    /// against another owner.
    pub(crate) fn require(&mut self, check: Check) {
        self.draft.checks.push(check);
    }

    /// The run's status is to be written with the command under way.
    pub(crate) fn mark_dirty(&mut self, run: RunId) {
        if let Some(live) = self.runs.get_mut(&run)
            && !live.dirty
        {
            live.dirty = true;
            self.draft.dirty.push(run);
        }
    }

    /// True if the command under way changes anything.
    pub(crate) fn has_draft(&self) -> bool {
        !self.draft.changes.is_empty() || !self.draft.dirty.is_empty()
    }

    /// Ends the command under way.
    pub(crate) fn seal(&mut self, namespace: &Namespace) {
        for run in std::mem::take(&mut self.draft.dirty) {
            if let Some(live) = self.runs.get_mut(&run) {
                live.dirty = false;
                self.draft.changes.push(Change::UpdateRun(run, Box::new(live.run.status.clone())));
                self.changed(namespace, run);
            }
        }
        if !self.draft.changes.is_empty() {
            let checks = std::mem::take(&mut self.draft.checks);
            let changes = std::mem::take(&mut self.draft.changes);
            self.draft.commands.push(Command { namespace: namespace.clone(), checks, changes });
        }
        self.draft.checks.clear();
    }
}
