//! The docker environment, as a user configures it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Limits;

/// The docker environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerConfig {
    pub image: String,
    /// A folder of the user's to work on; without it the box has a folder of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_dir: Option<PathBuf>,
    pub memory: Bytes,
    /// Processors, in parts too.
    pub cpus: f64,
    pub pids: u64,
    pub network: DockerNetwork,
    /// Variables of every command, besides those of the image and the few that are always set.
    pub env: BTreeMap<String, String>,
    /// `UID` or `UID:GID`; the workspace's owner if absent. Never root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the image's own files stay as they are.
    pub read_only: bool,
    pub mounts: Vec<MountConfig>,
    /// Shell lines that are run once, as root and with a network, before anything else; what they
    /// make of the image is kept for all boxes with the same lines.
    pub setup: Vec<String>,
    /// Such as `runc` or `runsc`; the daemon's own choice if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    pub pull: Pull,
    /// The size of `/tmp` and of the home folder.
    pub tmp: Bytes,
    /// How long a box outlives its worker, in seconds.
    pub grace: u64,
}

impl Default for DockerConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            image: String::new(),
            workspace_dir: None,
            memory: Bytes(limits.memory_bytes),
            cpus: 1.0,
            pids: limits.processes,
            network: DockerNetwork::default(),
            env: BTreeMap::new(),
            user: None,
            read_only: true,
            mounts: Vec::new(),
            setup: Vec::new(),
            runtime: None,
            pull: Pull::default(),
            tmp: Bytes(limits.tmp_bytes),
            grace: 600,
        }
    }
}

/// What of the network a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerNetwork {
    /// Nothing but its own loopback interface.
    #[default]
    None,
    /// The daemon's bridge, and with it the internet and whatever else is reachable there.
    Full,
    /// Host names that may be reached. Not in this build: such a box is refused.
    Allow(Vec<String>),
}

/// A folder of the host that is seen in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountConfig {
    pub source: PathBuf,
    /// Absolute, in the container.
    pub target: PathBuf,
    #[serde(default)]
    pub writable: bool,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// When it is not there.
    #[default]
    Missing,
    Always,
    Never,
}

/// A number of bytes, written as a number or as a text such as `512m` or `1g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Bytes(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl TryFrom<Written> for Bytes {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let lower = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
        let (number, shift) = match lower.char_indices().next_back() {
            Some((at, 'k')) => (&lower[..at], 10),
            Some((at, 'm')) => (&lower[..at], 20),
            Some((at, 'g')) => (&lower[..at], 30),
            _ => (lower, 0),
        };
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| format!("`{text}` is no number of bytes; try `512m` or `1g`"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let check = |text: &str, bytes| assert_eq!(text.parse(), bytes, "{text}");
        check("512m", Ok(Bytes(512 << 20)));
        check("1g", Ok(Bytes(1 << 30)));
        check("2GiB", Ok(Bytes(2 << 30)));
        check("64 k", Err("`64 k` is no number of bytes; try `512m` or `1g`".to_owned()));
        check("1024", Ok(Bytes(1024)));
        assert!("".parse::<Bytes>().is_err() && "99999999999g".parse::<Bytes>().is_err());
        let config: DockerConfig =
            serde_json::from_str(r#"{"image": "x", "memory": "1g", "network": {"allow": ["a"]}}"#)
                .unwrap();
        assert_eq!(config.memory, Bytes(1 << 30));
        assert_eq!(config.network, DockerNetwork::Allow(vec!["a".to_owned()]));
        assert!(serde_json::from_str::<DockerConfig>(r#"{"privileged": true}"#).is_err());
    }
}
