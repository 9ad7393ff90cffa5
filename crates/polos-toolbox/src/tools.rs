//! What the model is told of the six tools, and how its arguments become requests.
//!
//! Names, texts and schemas are part of every model request: they are byte-stable, in a fixed
//! order, and carry a version that grows with each change (a test compares them to a copy).

mod description;
mod input;
mod text;

use serde_json::Value;

pub use input::{ExecAction, ExecInput, Input, parse};
pub use text::text_of;

/// Grows whenever a name, a description or a schema changes.
pub const VERSION: u32 = 1;

/// One tool as it is told to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    pub name: &'static str,
    pub description: &'static str,
    /// The JSON Schema of its arguments.
    pub input_schema: Value,
}

/// The six tools, in their fixed order: exec, read, write, edit, glob, grep.
pub fn tools() -> Vec<Tool> {
    use description as of;
    vec![
        Tool { name: "exec", description: of::EXEC, input_schema: of::exec_schema() },
        Tool { name: "read", description: of::READ, input_schema: of::read_schema() },
        Tool { name: "write", description: of::WRITE, input_schema: of::write_schema() },
        Tool { name: "edit", description: of::EDIT, input_schema: of::edit_schema() },
        Tool { name: "glob", description: of::GLOB, input_schema: of::glob_schema() },
        Tool { name: "grep", description: of::GREP, input_schema: of::grep_schema() },
    ]
}
