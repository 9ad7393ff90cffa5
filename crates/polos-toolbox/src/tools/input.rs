//! The model's arguments, read strictly: what is not known is refused in words that teach.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::message::{
    Code, EditRequest, GlobRequest, GrepMode, GrepRequest, ReadRequest, Refusal, Replacement,
    Request, WriteRequest,
};

/// A tool call, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A command line, which the worker must parse and judge before it becomes a request.
    Exec(ExecInput),
    Read(ReadRequest),
    Write(WriteRequest),
    Edit(EditRequest),
    Glob(GlobRequest),
    Grep(GrepRequest),
}

/// The arguments of `exec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    /// A new command.
    Run {
        command: String,
        cwd: Option<String>,
        timeout_ms: Option<u64>,
        stdin: Option<String>,
        background: bool,
    },
    /// Something about a command in the background.
    Process { process: String, action: ExecAction, offset: Option<u64> },
}

/// What to do with a command in the background.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecAction {
    #[default]
    Output,
    Kill,
}

/// Understands the arguments that the model gave for a tool.
pub fn parse(tool: &str, arguments: &Value) -> Result<Input, Refusal> {
    match tool {
        "exec" => of::<ExecArguments>(tool, arguments)?.understand().map(Input::Exec),
        "read" => Ok(Input::Read(of::<ReadArguments>(tool, arguments)?.into())),
        "write" => Ok(Input::Write(of::<WriteArguments>(tool, arguments)?.into())),
        "edit" => of::<EditArguments>(tool, arguments)?.understand().map(Input::Edit),
        "glob" => Ok(Input::Glob(of::<GlobArguments>(tool, arguments)?.into())),
        "grep" => Ok(Input::Grep(of::<GrepArguments>(tool, arguments)?.into())),
        _ => Err(bad(format!("there is no tool `{tool}`"))
            .hint("the tools are exec, read, write, edit, glob and grep")),
    }
}

impl Input {
    /// The request on behalf of a reader; `None` for `exec`, which the worker judges first.
    pub fn into_request(self, reader: &str) -> Option<Request> {
        let reader = reader.to_owned();
        Some(match self {
            Self::Exec(_) => return None,
            Self::Read(request) => Request::Read(ReadRequest { reader, ..request }),
            Self::Write(request) => Request::Write(WriteRequest { reader, ..request }),
            Self::Edit(request) => Request::Edit(EditRequest { reader, ..request }),
            Self::Glob(request) => Request::Glob(request),
            Self::Grep(request) => Request::Grep(request),
        })
    }
}

/// Some models send `null` for what they leave out.
fn of<A: DeserializeOwned>(tool: &str, arguments: &Value) -> Result<A, Refusal> {
    let given = match arguments {
        Value::Object(fields) => {
            fields.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone()))
        }
        _ => return Err(bad(format!("the arguments of `{tool}` are not an object"))),
    };
    serde_json::from_value(Value::Object(given.collect()))
        .map_err(|error| bad(format!("the arguments of `{tool}` do not fit: {error}")))
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadRequest, message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExecArguments {
    command: Option<String>,
    cwd: Option<String>,
    timeout_ms: Option<u64>,
    stdin: Option<String>,
    #[serde(default)]
    background: bool,
    process: Option<String>,
    action: Option<ExecAction>,
    offset: Option<u64>,
}

impl ExecArguments {
    fn understand(self) -> Result<ExecInput, Refusal> {
        match (self.command, self.process) {
            (Some(command), None) if !command.trim().is_empty() => Ok(ExecInput::Run {
                command,
                cwd: self.cwd,
                timeout_ms: self.timeout_ms,
                stdin: self.stdin,
                background: self.background,
            }),
            (None, Some(process)) => {
                let action = self.action.unwrap_or_default();
                Ok(ExecInput::Process { process, action, offset: self.offset })
            }
            _ => Err(bad("`exec` needs either `command` or `process`")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArguments {
    #[serde(alias = "file_path")]
    path: String,
    offset: Option<u64>,
    limit: Option<u64>,
}

impl From<ReadArguments> for ReadRequest {
    fn from(given: ReadArguments) -> Self {
        let ReadArguments { path, offset, limit } = given;
        Self { path, offset, limit, ..Self::default() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteArguments {
    #[serde(alias = "file_path")]
    path: String,
    content: String,
}

impl From<WriteArguments> for WriteRequest {
    fn from(given: WriteArguments) -> Self {
        Self { path: given.path, content: given.content, ..Self::default() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditArguments {
    #[serde(alias = "file_path")]
    path: String,
    old_string: Option<String>,
    new_string: Option<String>,
    #[serde(default)]
    replace_all: bool,
    #[serde(default)]
    edits: Vec<Replacement>,
}

impl EditArguments {
    fn understand(self) -> Result<EditRequest, Refusal> {
        let edits = match (self.old_string, self.new_string) {
            (Some(old_string), Some(new_string)) if self.edits.is_empty() => {
                vec![Replacement { old_string, new_string, replace_all: self.replace_all }]
            }
            (None, None) if !self.edits.is_empty() => self.edits,
            _ => return Err(bad("`edit` needs either `old_string` and `new_string`, or `edits`")),
        };
        Ok(EditRequest { path: self.path, edits, ..EditRequest::default() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GlobArguments {
    pattern: String,
    path: Option<String>,
    gitignore: Option<bool>,
    limit: Option<u64>,
}

impl From<GlobArguments> for GlobRequest {
    fn from(given: GlobArguments) -> Self {
        let GlobArguments { pattern, path, gitignore, limit } = given;
        Self { pattern, path, gitignore: gitignore.unwrap_or(true), limit }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrepArguments {
    pattern: String,
    path: Option<String>,
    #[serde(default)]
    output_mode: GrepMode,
    glob: Option<String>,
    #[serde(rename = "type")]
    file_type: Option<String>,
    #[serde(rename = "-i", default)]
    ignore_case: bool,
    #[serde(rename = "-A")]
    after: Option<u64>,
    #[serde(rename = "-B")]
    before: Option<u64>,
    #[serde(rename = "-C")]
    around: Option<u64>,
    /// Line numbers are always shown; models send this all the same.
    #[serde(rename = "-n")]
    _numbers: Option<bool>,
    #[serde(default)]
    multiline: bool,
    head_limit: Option<u64>,
    gitignore: Option<bool>,
}

impl From<GrepArguments> for GrepRequest {
    fn from(given: GrepArguments) -> Self {
        Self {
            pattern: given.pattern,
            path: given.path,
            mode: given.output_mode,
            glob: given.glob,
            file_type: given.file_type,
            ignore_case: given.ignore_case,
            multiline: given.multiline,
            before: given.before.or(given.around).unwrap_or(0),
            after: given.after.or(given.around).unwrap_or(0),
            head_limit: given.head_limit,
            gitignore: given.gitignore.unwrap_or(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(tool: &str, arguments: &Value) -> String {
        parse(tool, arguments).unwrap_err().to_string()
    }

    #[test]
    fn understands_what_models_send() {
        let edit = parse("edit", &json!({"file_path": "f", "old_string": "a", "new_string": "b"}));
        let Ok(Input::Edit(edit)) = edit else { panic!("{edit:?}") };
        assert_eq!((edit.path.as_str(), edit.edits.len()), ("f", 1));

        let grep = parse("grep", &json!({"pattern": "x", "-C": 2, "-n": true, "path": null}));
        let Ok(Input::Grep(grep)) = grep else { panic!("{grep:?}") };
        assert_eq!((grep.before, grep.after, grep.gitignore), (2, 2, true));

        let exec = parse("exec", &json!({"process": "p", "action": "kill"}));
        let expect =
            ExecInput::Process { process: "p".to_owned(), action: ExecAction::Kill, offset: None };
        assert_eq!(exec, Ok(Input::Exec(expect)));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let unknown = refused("read", &json!({"path": "f", "lines": 3}));
        assert!(unknown.contains("unknown field `lines`, expected one of"), "{unknown}");
        assert!(refused("read", &json!({})).contains("missing field `path`"));
        assert!(refused("read", &json!([])).contains("not an object"));
        assert!(refused("exec", &json!({"command": " "})).contains("needs either"));
        assert!(refused("edit", &json!({"path": "f", "old_string": "a"})).contains("needs either"));
        assert!(refused("bash", &json!({})).contains("the tools are"));
    }
}
