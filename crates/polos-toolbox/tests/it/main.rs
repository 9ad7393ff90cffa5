//! The toolbox as a program, spoken to as a worker does.
//!
//! The modules are marked as tests, so that the lints know their helpers for what they are.

#[cfg(test)]
mod boxed;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod files;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod once;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod race;
#[cfg(test)]
mod search;
#[cfg(test)]
mod tools;
