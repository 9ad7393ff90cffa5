//! The processes that are this program's own children, and those that were left to it.
//!
//! Each command has a supervisor, which never ends before the last process of its command. So a
//! child that is not a supervisor is an orphan of one that was killed: it is ended and reaped.

use std::collections::HashSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{self, Pid, Signal, WaitOptions};

use crate::room;
use crate::supervisor::tree;

/// How often orphans are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// The children that are known.
#[derive(Debug)]
pub(crate) struct Family {
    known: Mutex<HashSet<Pid>>,
}

impl Family {
    /// Takes over orphans from now on. What was a child before is left alone.
    pub(crate) fn found() -> io::Result<Arc<Self>> {
        tree::adopt_orphans()?;
        let known = tree::children().into_iter().collect();
        let family = Arc::new(Self { known: Mutex::new(known) });
        let sweeping = Arc::clone(&family);
        thread::spawn(move || {
            loop {
                thread::sleep(SWEEP_EVERY);
                sweeping.sweep();
            }
        });
        Ok(family)
    }

    /// Starts a child of our own.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        room::wait(|| {
            // Held from before the child exists until it is known, or a sweep would take it. Not held
            // between attempts: it is the sweep that makes room.
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let child = command.spawn()?;
            known.extend(pid_of(&child));
            Ok(child)
        })
    }

    /// Waits for a child of our own.
    pub(crate) fn wait(&self, mut child: Child) {
        // Its outcome is told otherwise.
        let _ = child.wait();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid_of(&child) {
            known.remove(&pid);
        }
    }

    fn sweep(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in tree::children() {
            if !known.contains(&pid) {
                // Either may find it gone, which is what they are for.
                let _ = process::kill_process(pid, Signal::KILL);
                let _ = process::waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}
