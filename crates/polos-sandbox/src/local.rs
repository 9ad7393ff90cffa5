//! The local environment: a child process under namespaces, Landlock, seccomp and limits.
//!
//! The worker writes an order ([`order`]) and starts this same program again as the [`keeper`],
//! which prepares what needs the host, clones the first process of the box ([`enter`]) and waits
//! for it. The keeper's death is the box's death.

mod cgroup;
mod enter;
pub(crate) mod git;
mod ids;
mod init;
pub(crate) mod keeper;
mod landlock;
mod limits;
pub(crate) mod mounts;
pub(crate) mod order;
pub(crate) mod report;
mod seccomp;
mod sys;
pub(crate) mod view;

pub(crate) mod probe;

/// The hidden subcommand under which this program is executed again.
pub(crate) const SUBCOMMAND: &str = "__sandbox";
