//! Who commands run as in a container, and how what they may write becomes that user's.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::DockerConfig;
use crate::local::ids::{self, Ids, Owner};
use crate::local::mounts;

use super::Error;
use super::api::{Body, Daemon};

/// The user where the workspace's owner is root.
const AGENT: Owner = Owner { uid: 1000, gid: 1000 };

/// Whether the daemon maps users, so that a container has to do without that.
pub(super) fn daemon_maps_users(daemon: &Daemon) -> Result<bool, Error> {
    let info: Value = daemon.json("GET", "/info", Body::None)?;
    let options = info["SecurityOptions"].as_array().cloned().unwrap_or_default();
    let has =
        |name: &str| options.iter().any(|option| option.as_str().is_some_and(|o| o.contains(name)));
    if has("name=rootless") {
        return Err(Error::Rootless);
    }
    Ok(has("name=userns"))
}

/// Chooses the user; a workspace that is ours becomes theirs.
pub(super) fn choose(
    config: &DockerConfig,
    workspace: &Path,
    is_managed: bool,
) -> Result<Owner, Error> {
    let owner = owner_of(workspace)?;
    let wanted = config.user.as_deref().map(parse).transpose()?;
    let user = wanted.unwrap_or(if owner.uid == 0 { AGENT } else { owner });
    if user.uid != owner.uid && is_managed && rustix::process::geteuid().is_root() {
        chown(workspace, Some(user.uid), Some(user.gid))?;
    }
    Ok(user)
}

/// The folder to show so that the user can write there: itself, or a view of it, mounted at a place
/// of ours, in which its owner is the user.
pub(super) fn shown(
    config: &DockerConfig,
    user: Owner,
    folder: &Path,
    view: &Path,
) -> Result<PathBuf, Error> {
    let owner = owner_of(folder)?;
    if user.uid == owner.uid || !folder.is_dir() {
        return Ok(folder.to_owned());
    }
    if rustix::process::geteuid().is_root() {
        show(folder, owner, user, view)?;
        return Ok(view.to_owned());
    }
    // Another user than the owner was asked for: what the modes allow is what they can do.
    if config.user.is_some() { Ok(folder.to_owned()) } else { Err(Error::Owner(folder.to_owned())) }
}

fn owner_of(path: &Path) -> std::io::Result<Owner> {
    let metadata = fs::metadata(path)?;
    Ok(Owner { uid: metadata.uid(), gid: metadata.gid() })
}

fn parse(text: &str) -> Result<Owner, Error> {
    let refused = || Error::User(text.to_owned());
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    let (uid, gid) = (uid.parse().map_err(|_| refused())?, gid.parse().map_err(|_| refused())?);
    if uid == 0 {
        return Err(refused());
    }
    Ok(Owner { uid, gid })
}

/// Mounts a folder once more, with its owner mapped.
fn show(folder: &Path, owner: Owner, user: Owner, view: &Path) -> Result<(), Error> {
    unmount(view);
    fs::create_dir_all(view)?;
    let ids = Ids { caller_is_root: true, host: user };
    let tree = mounts::copy(folder, mounts::NO_DEVICES)?;
    let namespace = ids.mapping_from(owner)?;
    ids::map_owners(&tree, &namespace).map_err(|error| {
        tracing::debug!(%error, "owners cannot be mapped here");
        Error::Owner(folder.to_owned())
    })?;
    let place = mounts::folder(view)?;
    Ok(mounts::attach(&tree, place.as_fd())?)
}

/// Takes all views away; what they showed stays.
pub(super) fn hide(views: &Path) {
    for view in fs::read_dir(views).into_iter().flatten().flatten() {
        unmount(&view.path());
    }
}

fn unmount(view: &Path) {
    while rustix::mount::unmount(view, rustix::mount::UnmountFlags::DETACH).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_no_user_for_a_box() {
        assert_eq!(parse("1000").unwrap(), Owner { uid: 1000, gid: 1000 });
        assert_eq!(parse("7:8").unwrap(), Owner { uid: 7, gid: 8 });
        for text in ["0", "0:5", "root", "", "1:", ":1", "-1", "1:2:3"] {
            assert!(matches!(parse(text), Err(Error::User(_))), "{text}");
        }
    }
}
