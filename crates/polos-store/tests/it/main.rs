//! Behaviour of the store: the suite that all stores share, and what only a file can do.

mod suite;
