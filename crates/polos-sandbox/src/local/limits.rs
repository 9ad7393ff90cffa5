//! Resource limits that a process carries with it.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::config::Limits;

/// Processes of ours in a box: the first one, and one supervisor for each running command.
pub(crate) const OWN_PROCESSES: u64 = 24;

/// The supervisors write the whole of an output, 64 MiB and what they say of it, under the same
/// limit as the commands.
const FILE_BYTES_MIN: u64 = 80 << 20;

/// No core file is that small, and a host whose cores go to a program (`|` in `core_pattern`, run as
/// root outside of every box) takes this very number for "do not start it". It ignores a 0.
const CORE_BYTES: u64 = 1;

/// Limits that a control group, where there is one, holds better.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerProcess {
    pub(crate) memory: bool,
    pub(crate) processes: bool,
}

/// Sets them for this process and its descendants, who cannot raise them again.
pub(crate) fn set(limits: &Limits, per_process: PerProcess) -> io::Result<()> {
    let set = |resource, value: u64| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    set(Resource::Core, CORE_BYTES)?;
    set(Resource::Nofile, limits.open_files)?;
    set(Resource::Fsize, limits.file_bytes.max(FILE_BYTES_MIN))?;
    if per_process.processes {
        set(Resource::Nproc, limits.processes + OWN_PROCESSES)?;
    }
    if per_process.memory {
        // Per process, and the best there is without a control group. The size of the address
        // space is no measure: runtimes reserve far more than they use.
        set(Resource::Data, limits.memory_bytes)?;
    }
    Ok(())
}
