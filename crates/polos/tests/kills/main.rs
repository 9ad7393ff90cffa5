//! Real processes, really killed: the server is the `polos` program, the workers are this test
//! program started again. Nothing here depends on how long anything takes; every wait ends with a
//! patience that no sound machine uses up.

mod disk;
mod ledger;
mod numbers;
mod place;
mod runs;
