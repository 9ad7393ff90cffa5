//! The search tools: files by name, and text in files. No program is started, no link followed.

mod glob;
mod grep;
mod walk;

pub use glob::glob;
pub use grep::grep;
