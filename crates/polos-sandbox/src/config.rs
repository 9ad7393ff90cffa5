//! What a user configures: the same names in every SDK and in agent files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::policy::{self, ExecPolicy, FileApproval, FilePolicy, Security};

mod docker;

pub use docker::{Bytes, DockerConfig, DockerNetwork, MountConfig, Pull};

/// Paths beneath the workspace that the host's own programs would execute.
pub const PROTECTED: [&str; 2] = [".git/hooks", ".git/config"];

/// The sandbox tools of an agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolsConfig {
    pub env: Environment,
    pub local: LocalConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerConfig>,
    /// Kept as it is: the E2B environment is not in this build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2b: Option<serde_json::Value>,
    pub exec: ExecConfig,
    pub files: FilesConfig,
    pub scope: Scope,
}

impl ToolsConfig {
    /// The policy for commands; `local` asks unless told otherwise.
    pub fn exec_policy(&self) -> Result<ExecPolicy, policy::Error> {
        let default = match self.env {
            _ if !self.exec.allowlist.is_empty() => Security::Allowlist,
            Environment::Local => Security::Ask,
            Environment::Docker | Environment::E2b => Security::Full,
        };
        let policy = ExecPolicy::new(self.exec.security.unwrap_or(default), &self.exec.allowlist)?;
        Ok(policy.allow_env(&self.exec.env_allowlist))
    }

    /// The folder of the user's that the box works on, if it has none of its own.
    pub fn workspace_dir(&self) -> Option<&PathBuf> {
        match self.env {
            Environment::Local => self.local.workspace_dir.as_ref(),
            Environment::Docker => self.docker.as_ref()?.workspace_dir.as_ref(),
            Environment::E2b => None,
        }
    }

    /// The policy for files.
    pub fn file_policy(&self) -> FilePolicy {
        // What a box made for itself may be changed; what was there before is its owner's.
        let default = match self.workspace_dir() {
            Some(_) => FileApproval::Writes,
            None => FileApproval::None,
        };
        FilePolicy {
            approval: self.files.approval.unwrap_or(default),
            read_paths: self.files.read_paths.clone(),
            write_paths: self.files.write_paths.clone(),
            protected: self.local.protected.clone(),
        }
    }
}

/// Where the box is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    #[default]
    Local,
    Docker,
    E2b,
}

/// To whom a box belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    #[default]
    Run,
    Session,
    /// Every run that says this name shares the box.
    Named(String),
}

/// The exec tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecConfig {
    /// Absent: `allowlist` if there is one, otherwise what suits the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    pub allowlist: Vec<String>,
    /// Variables that the model may set without a question.
    pub env_allowlist: Vec<String>,
    /// In seconds.
    pub timeout: u64,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self { security: None, allowlist: Vec::new(), env_allowlist: Vec::new(), timeout: 120 }
    }
}

/// The file tools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilesConfig {
    /// Absent: `writes` in a directory of the user's own, `none` in one that the box was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<FileApproval>,
    /// Absolute paths outside the workspace, such as a toolchain.
    pub read_paths: Vec<String>,
    pub write_paths: Vec<String>,
}

/// The local environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// The user's own directory that stands at `/workspace`. It must be there. Absent: a directory
    /// that is made for the box and kept with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_dir: Option<PathBuf>,
    pub isolation: Isolation,
    pub network: Network,
    pub limits: Limits,
    /// The user that commands run as when the worker is root; the workspace's owner if absent,
    /// `nobody` (65534) if that is root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Paths beneath the workspace that are read-only in the box.
    pub protected: Vec<String>,
    /// Variables of every command, besides the few that are always set.
    pub env: BTreeMap<String, String>,
    /// How long a box outlives its worker, in seconds.
    pub grace: u64,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            workspace_dir: None,
            isolation: Isolation::default(),
            network: Network::default(),
            limits: Limits::default(),
            uid: None,
            protected: PROTECTED.map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            grace: 600,
        }
    }
}

/// The isolation below which a box is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Namespaces, Landlock and seccomp.
    Strict,
    /// At least Landlock and seccomp; namespaces where the kernel lets us.
    #[default]
    Standard,
    /// No isolation at all: commands run as the worker's user, on the host.
    None,
}

/// What of the network a box sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing; only Unix sockets can be made.
    #[default]
    None,
    /// A loopback interface of the box's own.
    Loopback,
    /// The host's network.
    Full,
}

/// Limits of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub processes: u64,
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_milli: u64,
    pub open_files: u64,
    /// The largest file that can be written.
    pub file_bytes: u64,
    /// The size of `/tmp`.
    pub tmp_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: 256,
            memory_bytes: 1 << 30,
            cpu_milli: 1000,
            open_files: 1024,
            file_bytes: 1 << 30,
            tmp_bytes: 256 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_environment() {
        let parse = |text: &str| serde_json::from_str::<ToolsConfig>(text).unwrap();
        let security = |text: &str| parse(text).exec_policy().unwrap().security();
        assert_eq!(security("{}"), Security::Ask);
        assert_eq!(security(r#"{"exec": {"allowlist": ["ls *"]}}"#), Security::Allowlist);
        assert_eq!(security(r#"{"env": "docker"}"#), Security::Full);
        let listed = r#"{"env": "docker", "exec": {"allowlist": ["ls *"]}}"#;
        assert_eq!(security(listed), Security::Allowlist);
        assert_eq!(security(r#"{"exec": {"security": "deny"}}"#), Security::Deny);
        let approval = |text: &str| parse(text).file_policy().approval;
        assert_eq!(approval("{}"), FileApproval::None);
        assert_eq!(approval(r#"{"local": {"workspace_dir": "x"}}"#), FileApproval::Writes);
        assert_eq!(approval(r#"{"files": {"approval": "always"}}"#), FileApproval::Always);
        assert!(parse(r#"{"exec": {"allowlist": ["a | b"]}}"#).exec_policy().is_err());
        assert!(serde_json::from_str::<ToolsConfig>(r#"{"exce": {}}"#).is_err());
        assert_eq!(parse(r#"{"scope": {"named": "team"}}"#).scope, Scope::Named("team".to_owned()));
    }
}
