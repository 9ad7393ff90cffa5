//! The local environment: a child process under namespaces, Landlock, seccomp and limits.
//!
//! The worker writes an order ([`order`]) and starts this same program again as the [`keeper`],
//! which prepares what needs the host, clones the first process of the box ([`enter`]) and waits
//! for it. The keeper's death is the box's death.
//!
//! Not defended: a file of the workspace that has another name outside (a hard link) is the same
//! file; sockets that appear in the workspace while the box lives can be connected to; a repository
//! that the agent makes itself is guarded from the next opening on; the sizes and names of files
//! that may be read; the kernel's own faults. Without namespaces (L2), moreover: hooks and
//! configuration of git, names and arguments of the host's processes, permissions and times of
//! files that the user owns.

mod cgroup;
mod enter;
pub(crate) mod footing;
mod git;
pub(crate) mod ids;
pub(crate) mod init;
pub(crate) mod keeper;
mod landlock;
mod limits;
pub(crate) mod mounts;
pub(crate) mod order;
pub(crate) mod report;
mod seccomp;
pub(crate) mod survey;
mod sys;
pub(crate) mod view;
mod watch;

pub(crate) mod probe;

pub(crate) use limits::OWN_PROCESSES;

/// The hidden subcommand under which this program is executed again.
pub(crate) const SUBCOMMAND: &str = "__sandbox";
