//! Agents from files: `agents/NAME.toml` or `agents/NAME.json`, one agent a file. An error names
//! the file, the field and the remedy.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::agent::{Agent, Invalid};

/// The largest agent file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How many agent files a folder may hold.
const FILES_MAX: usize = 1_000;

/// Why agents could not be read from files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder could not be read.
    #[error("cannot read `{path}`: {cause}")]
    Io {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// A file has not the form of an agent; the parser's words name field and place.
    #[error(
        "`{path}` is no agent file: {message}\nhint: `id`, `model`, `system` and `tools` are the \
         usual fields; see docs/guides/agents.md"
    )]
    Form { path: PathBuf, message: String },
    /// A field's value does not do.
    #[error("`{path}`: {cause}")]
    Invalid {
        path: PathBuf,
        #[source]
        cause: Invalid,
    },
    /// Two files declare one agent.
    #[error("`{path}`: `id` is `{id}`, as in `{other}`\nhint: give one of the two another `id`")]
    Twice { path: PathBuf, other: PathBuf, id: String },
    /// The folder holds too much to be a folder of agents.
    #[error("`{path}` holds more than {FILES_MAX} agent files\nhint: is this the right folder?")]
    TooMany { path: PathBuf },
}

/// Reads all agents of a folder, in the order of their file names; none if there is no folder.
pub fn load_dir(dir: &Path) -> Result<Vec<Agent>, FileError> {
    let io = |cause| FileError::Io { path: dir.to_owned(), cause };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let is_agent = path.extension().is_some_and(|e| e == "toml" || e == "json");
        if is_agent && path.is_file() {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(FileError::TooMany { path: dir.to_owned() });
        }
    }
    paths.sort();
    let mut agents: Vec<(PathBuf, Agent)> = Vec::new();
    for path in paths {
        let agent = load_file(&path)?;
        if let Some((other, _)) = agents.iter().find(|(_, known)| known.id == agent.id) {
            return Err(FileError::Twice { path, other: other.clone(), id: agent.id });
        }
        agents.push((path, agent));
    }
    Ok(agents.into_iter().map(|(_, agent)| agent).collect())
}

/// Reads one agent. Its `id` is the file's name unless it says otherwise; relative paths (`script`,
/// `sandbox.local.workspace_dir`) begin where the file is.
pub fn load_file(path: &Path) -> Result<Agent, FileError> {
    let text = read(path)?;
    let form = |message: String| FileError::Form { path: path.to_owned(), message };
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let mut agent: Agent = if is_json {
        serde_json::from_str(&text).map_err(|error| form(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| form(error.to_string().trim_end().to_owned()))?
    };
    if agent.id.is_empty() {
        agent.id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    if let Some(dir) = path.parent() {
        let docker = agent.sandbox.docker.iter_mut().filter_map(|d| d.workspace_dir.as_mut());
        let local = agent.sandbox.local.workspace_dir.iter_mut();
        for relative in agent.script.iter_mut().chain(local).chain(docker) {
            *relative = dir.join(&*relative);
        }
    }
    agent.check().map_err(|cause| FileError::Invalid { path: path.to_owned(), cause })?;
    Ok(agent)
}

fn read(path: &Path) -> Result<String, FileError> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    read.map_err(|cause| FileError::Io { path: path.to_owned(), cause })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(FileError::Form { path: path.to_owned(), message });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODER: &str = r#"
description = "Mends code"
provider = "scripted"
script = "replies.toml"
system = "You mend."
tools = ["sandbox", "ask_user"]

[limits]
turns = 9
dollars = 1.5

[sandbox.exec]
allowlist = ["git status *"]

[sandbox.local]
workspace_dir = ".."

[options]
thinking = { budget = 2000 }
cache = "one_hour"
"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn refused(name: &str, text: &str) -> String {
        let dir = folder(&[(name, text)]);
        let said = load_dir(dir.path()).unwrap_err().to_string();
        said.replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn reads_toml_and_json_in_order() {
        let json = r#"{"system": "x", "tools": ["agent:coder"], "output": {"type": "object"}}"#;
        let files = [("coder.toml", CODER), ("boss.json", json), ("notes.md", "no agent")];
        let dir = folder(&files);
        let agents = load_dir(dir.path()).unwrap();
        let ids: Vec<&str> = agents.iter().map(|agent| agent.id.as_str()).collect();
        assert_eq!(ids, ["boss", "coder"]);
        assert_eq!(agents[1].script.as_deref(), Some(dir.path().join("replies.toml").as_path()));
        let workspace = agents[1].sandbox.local.workspace_dir.as_deref();
        assert_eq!(workspace, Some(dir.path().join("..").as_path()));
        assert_eq!(agents[1].limits.turns, Some(9));
        assert_eq!(agents[1].options.thinking, polos_llm::Thinking::Budget(2000));
        assert!(load_dir(&dir.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn errors_name_file_field_and_remedy() {
        let said = refused("a.toml", "sytem = \"x\"");
        assert!(said.starts_with("`DIR/a.toml` is no agent file: TOML parse error at line 1"));
        assert!(said.contains("unknown field `sytem`") && said.contains("hint:"), "{said}");
        let said = refused("a.toml", "[limits]\nturns = 0");
        assert_eq!(
            said,
            "`DIR/a.toml`: `limits.turns` is 0\nhint: give a number from 1, or leave it out"
        );
        let said = refused("a.json", "{");
        assert!(said.contains("EOF while parsing an object at line 1 column 1"), "{said}");
    }

    #[test]
    fn one_name_is_one_agent() {
        let dir = folder(&[("a.toml", "id = \"x\""), ("b.json", "{\"id\": \"x\"}")]);
        let said = load_dir(dir.path()).unwrap_err().to_string();
        assert!(said.contains("`id` is `x`, as in"), "{said}");
    }
}
