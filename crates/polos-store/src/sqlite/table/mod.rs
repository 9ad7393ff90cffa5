//! The tables, one file each: how their rows are written, checked and read.

pub(in crate::sqlite) mod api_key;
pub(in crate::sqlite) mod approval;
pub(in crate::sqlite) mod audit;
pub(in crate::sqlite) mod blob;
pub(in crate::sqlite) mod build;
pub(in crate::sqlite) mod event;
pub(in crate::sqlite) mod queue;
pub(in crate::sqlite) mod record;
pub(in crate::sqlite) mod replay;
pub(in crate::sqlite) mod run;
pub(in crate::sqlite) mod run_list;
pub(in crate::sqlite) mod session;
pub(in crate::sqlite) mod signal;
pub(in crate::sqlite) mod start_key;
pub(in crate::sqlite) mod stream;
pub(in crate::sqlite) mod timer;
pub(in crate::sqlite) mod waiter;
