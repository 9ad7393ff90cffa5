//! The docker environment: a container, and in it the same toolbox as everywhere.
//!
//! The first process of the container is this program, from a read-only volume; it locks itself
//! and each command with the same filters as a local box, beneath the container's own walls. A
//! worker speaks to it through a process that it starts in the container as root without any
//! right, which is how the toolbox tells a worker from a command.

pub(crate) mod api;
mod container;
mod image;
mod setup;
mod tar;
mod toolbox;
mod user;

pub(crate) use container::{Container, find, open};

/// Where this program lies in a container, and what it is called there.
pub(crate) const PROGRAM_FOLDER: &str = "/.polos/bin";
pub(crate) const PROGRAM: &str = "/.polos/bin/polos";
/// The records of commands.
pub(crate) const STATE: &str = "/.polos/state";
/// The toolbox's socket lies here.
pub(crate) const RUN: &str = "/.polos/run";
/// Settings of git.
pub(crate) const GIT_CONFIG: &str = "/.polos/gitconfig";
/// Marks what is ours; everything else is left alone.
pub(crate) const LABEL: &str = "polos.managed";

/// Why there is no container.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error("`docker.image` is missing\nhint: name an image, such as `debian:stable-slim`")]
    NoImage,
    #[error(
        "the image `{0}` is not there, and `docker.pull` is `never`\nhint: `docker pull {0}` fetches it"
    )]
    NotPulled(String),
    #[error("the image `{image}` cannot be fetched: {why}")]
    Pull { image: String, why: String },
    #[error(
        "the image `{image}` is made for {theirs}, and this machine is {ours}\nhint: choose an image for {ours}"
    )]
    Architecture { image: String, theirs: String, ours: &'static str },
    #[error(
        "`docker.network` with host names is not in this build\nhint: `none` shuts the network, `full` opens it"
    )]
    Egress,
    #[error(
        "`{0}` is no user for a box\nhint: `docker.user` is `UID` or `UID:GID`, and never root"
    )]
    User(String),
    #[error(
        "the workspace `{0}` belongs to root, and only a root worker can show it to another user\nhint: give the folder to another user, or let the box have a workspace of its own"
    )]
    Owner(std::path::PathBuf),
    #[error(
        "a rootless Docker daemon is not supported in this build\nhint: `env = \"local\"` needs no rights"
    )]
    Rootless,
    #[error("the setup of the image failed with status {status}:\n{output}")]
    Setup { status: i64, output: String },
    #[error("`{path}` cannot be protected in the box: {why}")]
    Guard { path: std::path::PathBuf, why: String },
    #[error("the box `{0}` runs with other settings\nhint: stop it first")]
    Different(String),
    #[error("this program cannot be put into a container: {0}")]
    Program(std::io::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
