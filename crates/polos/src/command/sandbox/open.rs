//! The box that `polos sandbox` works in: made for one call, and gone with it.

use crate::exit::Exit;
use crate::talk;
use anyhow::Result;
use clap::ValueEnum;
use polos_sandbox::config::{
    Bytes, DockerConfig, DockerNetwork, Environment, ExecConfig, FilesConfig, Limits, LocalConfig,
    Network, Pull, ToolsConfig,
};
use polos_sandbox::policy::{FileApproval, Security};
use polos_sandbox::{Sandbox, SandboxSpec};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// Which box, and what it may do.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the box is
    #[arg(long, value_enum, default_value = "local")]
    env: Where,
    /// The image of a docker box
    #[arg(long)]
    image: Option<String>,
    /// Work on this folder; without it on an empty one that goes with the box
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// How commands are decided upon; by default `full` for docker, `ask` for local
    #[arg(long, value_enum)]
    security: Option<Rule>,
    /// Let commands pass that fit this pattern; implies `--security allowlist`
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow: Vec<String>,
    /// What of the network the box sees
    #[arg(long, value_enum, default_value = "none")]
    network: Net,
    /// Show this folder of the host, read-only
    #[arg(long, value_name = "DIR")]
    read_path: Vec<PathBuf>,
    /// Show this folder of the host, to be written too
    #[arg(long, value_name = "DIR")]
    write_path: Vec<PathBuf>,
    /// The memory of the box, such as `512m`
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// The processors of the box
    #[arg(long, value_name = "N")]
    cpus: Option<f64>,
    /// The processes of the box
    #[arg(long, value_name = "N")]
    pids: Option<u64>,
    /// The user of a docker box: `UID` or `UID:GID`
    #[arg(long)]
    user: Option<String>,
    /// Run this shell line once in the image before, as root; kept for later boxes
    #[arg(long, value_name = "LINE")]
    setup: Vec<String>,
    /// The runtime of a docker box, such as `runsc`
    #[arg(long)]
    runtime: Option<String>,
    /// When the image is fetched
    #[arg(long, value_enum, default_value = "missing")]
    pull: Fetch,
    /// Let the image's own files be changed in the box
    #[arg(long)]
    writable_root: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Where {
    Local,
    Docker,
    E2b,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rule {
    Allowlist,
    Ask,
    Full,
    Deny,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Net {
    None,
    Full,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Fetch {
    Missing,
    Always,
    Never,
}

/// A box for one call. Its folder, and a workspace of its own, go with it.
pub(crate) struct Opened {
    pub(crate) sandbox: Sandbox,
    _folder: Folder,
}

impl Opened {
    /// Ends the box.
    pub(crate) async fn close(self) {
        if let Err(error) = self.sandbox.stop().await {
            talk::say(&format!("the box could not be stopped: {error}"));
        }
    }
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left says nothing that is not known.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Options {
    /// What of it is configuration, as an agent's would be.
    pub(crate) fn config(&self) -> ToolsConfig {
        let texts = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
        };
        ToolsConfig {
            env: match self.env {
                Where::Local => Environment::Local,
                Where::Docker => Environment::Docker,
                Where::E2b => Environment::E2b,
            },
            local: self.local(),
            docker: Some(self.docker()),
            exec: ExecConfig {
                security: self.security.map(|rule| match rule {
                    Rule::Allowlist => Security::Allowlist,
                    Rule::Ask => Security::Ask,
                    Rule::Full => Security::Full,
                    Rule::Deny => Security::Deny,
                }),
                allowlist: self.allow.clone(),
                ..ExecConfig::default()
            },
            files: FilesConfig {
                // Whoever calls a tool by hand has decided.
                approval: Some(FileApproval::None),
                read_paths: texts(&self.read_path),
                write_paths: texts(&self.write_path),
            },
            ..ToolsConfig::default()
        }
    }

    fn local(&self) -> LocalConfig {
        let default = Limits::default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "thousandths of a processor, within a bound"
        )]
        let cpu_milli = self.cpus.map(|cpus| (cpus.clamp(0.01, 1024.0) * 1000.0) as u64);
        LocalConfig {
            network: match self.network {
                Net::None => Network::None,
                Net::Full => Network::Full,
            },
            limits: Limits {
                processes: self.pids.unwrap_or(default.processes),
                memory_bytes: self.memory.map_or(default.memory_bytes, |bytes| bytes.0),
                cpu_milli: cpu_milli.unwrap_or(default.cpu_milli),
                ..default
            },
            ..LocalConfig::default()
        }
    }

    fn docker(&self) -> DockerConfig {
        let default = DockerConfig::default();
        DockerConfig {
            image: self.image.clone().unwrap_or_default(),
            memory: self.memory.unwrap_or(default.memory),
            cpus: self.cpus.unwrap_or(default.cpus),
            pids: self.pids.unwrap_or(default.pids),
            network: match self.network {
                Net::None => DockerNetwork::None,
                Net::Full => DockerNetwork::Full,
            },
            user: self.user.clone(),
            read_only: !self.writable_root,
            setup: self.setup.clone(),
            runtime: self.runtime.clone(),
            pull: match self.pull {
                Fetch::Missing => Pull::Missing,
                Fetch::Always => Pull::Always,
                Fetch::Never => Pull::Never,
            },
            ..default
        }
    }

    /// Opens the box; where there is none, says why and gives the exit status.
    pub(crate) async fn open(&self, config: ToolsConfig) -> Result<Result<Opened, Exit>> {
        let number = std::process::id();
        let folder = std::env::temp_dir().join(format!("polos-box-{number}"));
        let own = Folder(folder.clone());
        std::fs::create_dir(&folder)?;
        // Users other than this one have no business here, but one of them is the box's.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711))?;
        let workspace = if let Some(workspace) = &self.workspace {
            std::path::absolute(workspace)?
        } else {
            let workspace = folder.join("workspace");
            std::fs::create_dir(&workspace)?;
            workspace
        };
        let spec = SandboxSpec {
            id: format!("cli-{number}"),
            folder: folder.join("box"),
            is_managed: self.workspace.is_none(),
            workspace,
            config,
            masked: Vec::new(),
            program: None,
        };
        match Sandbox::open(spec).await {
            Ok(sandbox) => Ok(Ok(Opened { sandbox, _folder: own })),
            Err(error) => {
                talk::say(&format!("error: {error}"));
                Ok(Err(Exit::NoBox))
            }
        }
    }
}
