//! Descriptions and schemas, as data. Change nothing here without raising the version.

use serde_json::{Value, json};

pub(super) const EXEC: &str = "\
Runs a command in the sandbox and returns its exit code, standard output and standard error.
- Write one command line. Plain commands joined by `|`, `&&`, `||` and `;` may be allowed without \
asking; other shell syntax (substitutions, redirections to files, loops, variables) waits for a person.
- Each call starts afresh in the workspace: set `cwd` instead of writing `cd`; nothing else is kept \
between calls.
- A command is stopped after `timeout_ms` (120000 unless set, at most 3600000), with all that it started.
- Long output is cut in the middle; the result names the file with all of it, which `read` and \
`grep` take.
- For servers and watchers set `background`: the call returns at once with an id. Later call with \
`process` set to that id and `action` `output` or `kill`.
- Prefer `read`, `glob` and `grep` over cat, find and grep, and `edit` over sed.";

pub(super) const READ: &str = "\
Reads a file. Returns numbered lines (`cat -n` form), 2000 unless `limit` says otherwise; lines \
longer than 2000 characters are cut. Use `offset` (the first line, counted from 1) and `limit` for \
parts of large files. Images are shown. Read a file before you edit it; do not copy the line numbers \
into an edit.";

pub(super) const WRITE: &str = "\
Writes a whole file, replacing what was there; missing folders are made. Use `edit` to change parts \
of a file that exists.";

pub(super) const EDIT: &str = "\
Replaces exact text in a file. `old_string` must occur exactly once, with its exact blanks and \
indentation; give enough of the surrounding lines to make it unique, or set `replace_all`. Several \
replacements of one file go into `edits`: they are applied in order, all of them or none. The file \
must have been read before, and not have changed since.";

pub(super) const GLOB: &str = "\
Finds files by name, such as `**/*.rs` or `src/**/*.{ts,tsx}`. Returns paths, the latest changed \
first, 100 unless `limit` says otherwise. What .gitignore names is left out unless `gitignore` is false.";

pub(super) const GREP: &str = "\
Searches text in files with ripgrep's regular expressions. `output_mode` is `files_with_matches` \
(default; paths, the latest changed first), `content` (matching lines with their numbers) or `count`. \
Narrow it with `path`, `glob` (such as `*.rs`) or `type` (such as `rust`). What .gitignore names is \
left out unless `gitignore` is false.";

const PATH: &str = "The file: absolute beneath the workspace, or relative to it";

pub(super) fn exec_schema() -> Value {
    object(
        json!({
            "command": text("The command line to run"),
            "cwd": text("The folder to run it in; the workspace if absent"),
            "timeout_ms": count("Milliseconds until it is stopped; 120000 if absent"),
            "stdin": text("Text for its standard input; empty if absent"),
            "background": flag("Return at once and let it run"),
            "process": text("The id of a background command, instead of `command`"),
            "action": {
                "type": "string",
                "enum": ["output", "kill"],
                "description": "What to do with `process`; `output` if absent"
            },
            "offset": { "type": "integer", "minimum": 0, "description": "For `output`: the byte to begin at" },
        }),
        &[],
    )
}

pub(super) fn read_schema() -> Value {
    let properties = json!({
        "path": text(PATH),
        "offset": count("The first line, counted from 1"),
        "limit": count("The number of lines; 2000 if absent"),
    });
    object(properties, &["path"])
}

pub(super) fn write_schema() -> Value {
    let properties = json!({
        "path": text(PATH),
        "content": text("The whole content"),
    });
    object(properties, &["path", "content"])
}

pub(super) fn edit_schema() -> Value {
    let replacement = json!({
        "old_string": text("The exact text to replace"),
        "new_string": text("The text to put in its place"),
        "replace_all": flag("Replace every occurrence"),
    });
    let mut properties = replacement.clone();
    properties["path"] = text(PATH);
    properties["edits"] = json!({
        "type": "array",
        "description": "Several replacements, instead of `old_string` and `new_string`",
        "items": object(replacement, &["old_string", "new_string"]),
    });
    object(properties, &["path"])
}

pub(super) fn glob_schema() -> Value {
    let properties = json!({
        "pattern": text("The pattern, matched against paths beneath `path`"),
        "path": text("The folder to search; the workspace if absent"),
        "gitignore": flag("Leave out what .gitignore names; true if absent"),
        "limit": count("The number of paths; 100 if absent"),
    });
    object(properties, &["pattern"])
}

pub(super) fn grep_schema() -> Value {
    let properties = json!({
        "pattern": text("The regular expression"),
        "path": text("The file or folder to search; the workspace if absent"),
        "output_mode": {
            "type": "string",
            "enum": ["content", "files_with_matches", "count"],
            "description": "What to return; files_with_matches if absent"
        },
        "glob": text("Search only files whose name or path matches"),
        "type": text("Search only files of this type, such as rust, py, js, go"),
        "-i": flag("Ignore case"),
        "-A": count("Lines to show after each match"),
        "-B": count("Lines to show before each match"),
        "-C": count("Lines to show before and after each match"),
        "multiline": flag("Let `.` match line ends, and matches span lines"),
        "head_limit": count("Lines or files to return; 100 if absent"),
        "gitignore": flag("Leave out what .gitignore names; true if absent"),
    });
    object(properties, &["pattern"])
}

#[expect(clippy::needless_pass_by_value, reason = "it reads better where it is called")]
fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 1, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}
