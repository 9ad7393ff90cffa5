//! Behaviour of the store: the suite that all stores share, and what only a file can do.
#![expect(clippy::unwrap_used, reason = "the helpers of these tests end the test")]

mod backup;
mod child;
mod concurrent;
mod damage;
mod differential;
mod directory;
mod faults;
mod full;
mod kill;
mod lock;
mod schema;
mod suite;
