//! Containers: one for each box, found by name, adopted by the next worker, removed by the last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use polos_toolbox::client::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::{DockerConfig, DockerNetwork, Network};
use crate::local::footing::{self, Made};
use crate::local::ids::Owner;
use crate::local::init::ContainerOptions;
use crate::local::order::{Bind, GuardKind};
use crate::local::{SUBCOMMAND, mounts, view};
use crate::sandbox::Connection;
use crate::spec::SandboxSpec;

use super::api::{Body, Daemon, escape};
use super::image::Image;
use super::{
    Error, GIT_CONFIG, LABEL, PROGRAM, PROGRAM_FOLDER, RUN, STATE, image, setup, toolbox, user,
};

/// How often a container that is on its way out is waited for before one is made in its place.
const TRIES_MAX: usize = 5;

/// What is known of a container; persisted as `box.json` in the box's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Container {
    version: u32,
    docker: String,
}

/// A container to work in.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) container: Container,
    pub(crate) connection: Connection,
    pub(crate) attached: bool,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) user: Owner,
    pub(crate) made: Vec<Made>,
}

/// Finds the box's container, or makes it, and connects to its toolbox.
pub(crate) fn open(spec: &SandboxSpec, binds: &[Bind]) -> Result<Open, Error> {
    let config = spec.config.docker.clone().unwrap_or_default();
    if matches!(config.network, DockerNetwork::Allow(_)) {
        return Err(Error::Egress);
    }
    let daemon = Daemon::found()?;
    let _lock = lock(&spec.folder)?;
    let image = setup::ensure(&daemon, image::ensure(&daemon, &config)?, &config.setup)?;
    let made = footing::make(binds)?;
    let env = environment(&image, &config);
    let name = name(spec);
    let mut plan = Plan { spec, config: &config, binds, image: &image };
    for _ in 0..TRIES_MAX {
        let found = inspect(&daemon, &name)?;
        let (id, attached, user) = match found {
            Some(found) if found.is_going() => {
                await_removed(&daemon, &found.id)?;
                continue;
            }
            Some(found) if found.is_running && found.order != plan.order() => {
                return Err(Error::Different(spec.id.clone()));
            }
            Some(found) if found.is_running => (found.id, true, found.user),
            Some(found) if !config.read_only && found.order == plan.order() => {
                start(&daemon, &found.id)?;
                (found.id, false, found.user)
            }
            Some(found) => {
                remove(&daemon, &found.id)?;
                continue;
            }
            None => match plan.make(&daemon, &name) {
                Err(Error::Api(error)) if error.is_conflict() => continue,
                made => {
                    let views = spec.folder.join("views");
                    let (id, user) = made.inspect_err(|_| user::hide(&views))?;
                    start(&daemon, &id).inspect_err(|_| {
                        // The first error is the one that is told.
                        let _ = remove(&daemon, &id);
                        user::hide(&views);
                    })?;
                    (id, false, user)
                }
            },
        };
        let connection = connect(&daemon, &id)?;
        let container = Container { version: 1, docker: id };
        publish(&spec.folder, &container)?;
        return Ok(Open { container, connection, attached, env, user, made });
    }
    Err(Error::Different(spec.id.clone()))
}

/// What a box's folder says of a container.
pub(crate) fn find(folder: &Path) -> Option<Container> {
    serde_json::from_slice(&fs::read(folder.join("box.json")).ok()?).ok()
}

impl Container {
    /// Ends it and everything in it; false if there was none any more.
    pub(crate) fn end(&self, folder: &Path) -> Result<bool, Error> {
        let daemon = Daemon::found()?;
        let was_there = match remove(&daemon, &escape(&self.docker)) {
            Ok(()) => true,
            Err(Error::Api(error)) if error.is_missing() => false,
            Err(error) => return Err(error),
        };
        user::hide(&folder.join("views"));
        // One that was taken away already says the same.
        let _ = fs::remove_file(folder.join("box.json"));
        Ok(was_there)
    }
}

/// Two openings of one box come one after the other.
fn lock(folder: &Path) -> Result<File, Error> {
    let lock =
        File::options().create(true).append(true).mode(0o600).open(folder.join("keeper.lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(std::io::Error::from)?;
    Ok(lock)
}

/// The same box has the same name, whoever asks.
fn name(spec: &SandboxSpec) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = crate::hex(&Sha256::digest(spec.folder.as_os_str().as_bytes())[..6]);
    format!("polos-{}-{folder}", spec.id)
}

/// The variables of every command.
fn environment(image: &Image, config: &DockerConfig) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        crate::spec::base_env(true, Path::new("/"), &BTreeMap::new());
    env.extend(image.env.iter().cloned());
    env.insert("GIT_CONFIG_SYSTEM".to_owned(), GIT_CONFIG.to_owned());
    env.extend(config.env.clone());
    env
}

/// A container as the daemon describes it.
#[derive(Debug)]
struct Found {
    id: String,
    order: String,
    state: String,
    is_running: bool,
    user: Owner,
}

impl Found {
    fn is_going(&self) -> bool {
        matches!(self.state.as_str(), "removing" | "dead")
    }
}

fn inspect(daemon: &Daemon, name: &str) -> Result<Option<Found>, Error> {
    let found: Value = match daemon.json("GET", &format!("/containers/{name}/json"), Body::None) {
        Err(error) if error.is_missing() => return Ok(None),
        found => found?,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let user = text(&found["Config"]["User"]);
    let (uid, gid) = user.split_once(':').unwrap_or((&user, &user));
    Ok(Some(Found {
        id: text(&found["Id"]),
        order: text(&found["Config"]["Labels"]["polos.order"]),
        state: text(&found["State"]["Status"]),
        is_running: found["State"]["Running"].as_bool().unwrap_or_default(),
        user: Owner { uid: uid.parse().unwrap_or_default(), gid: gid.parse().unwrap_or_default() },
    }))
}

fn start(daemon: &Daemon, id: &str) -> Result<(), Error> {
    Ok(daemon.order("POST", &format!("/containers/{id}/start"), Body::None)?)
}

/// Removes a container, running or not, and waits until its name is free.
fn remove(daemon: &Daemon, id: &str) -> Result<(), Error> {
    match daemon.order("DELETE", &format!("/containers/{id}?force=true&v=true"), Body::None) {
        Err(error) if error.is_conflict() => {}
        removed => removed?,
    }
    await_removed(daemon, id)
}

fn await_removed(daemon: &Daemon, id: &str) -> Result<(), Error> {
    let path = format!("/containers/{id}/wait?condition=removed");
    match daemon.order("POST", &path, Body::None) {
        Err(error) if !error.is_missing() => Err(error.into()),
        _ => Ok(()),
    }
}

fn publish(folder: &Path, container: &Container) -> Result<(), Error> {
    let fresh = folder.join("box.json.new");
    let bytes = serde_json::to_vec(container).map_err(std::io::Error::other)?;
    fs::write(&fresh, bytes)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    Ok(fs::rename(fresh, folder.join("box.json"))?)
}

/// Speaks to the toolbox through a process in the container, which is root without any right.
fn connect(daemon: &Daemon, id: &str) -> Result<Connection, Error> {
    let exec = json!({
        "AttachStdin": true,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": false,
        "Privileged": false,
        "User": "0:0",
        "Cmd": [PROGRAM, SUBCOMMAND, "attach", RUN],
    });
    let made: Value = daemon.json("POST", &format!("/containers/{id}/exec"), Body::Json(&exec))?;
    let exec = escape(made["Id"].as_str().unwrap_or_default());
    let start = json!({ "Detach": false, "Tty": false });
    let upgraded = daemon.upgrade(&format!("/exec/{exec}/start"), &start)?;
    let writer = upgraded.stream.try_clone()?;
    let client = Client::connect(upgraded.output, writer, "polos-sandbox")
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(Connection::new(client, upgraded.stream))
}

/// What a container is made of.
struct Plan<'a> {
    spec: &'a SandboxSpec,
    config: &'a DockerConfig,
    binds: &'a [Bind],
    image: &'a Image,
}

impl Plan<'_> {
    /// Tells whether a container is the one that is wanted.
    fn order(&self) -> String {
        let binds: Vec<_> =
            self.binds.iter().map(|bind| (&bind.source, &bind.target, bind.writable)).collect();
        let order = serde_json::to_vec(&(self.config, &self.image.id, binds)).unwrap_or_default();
        crate::hex(&Sha256::digest(order)[..16])
    }

    /// Makes the container; gives its id and its user.
    fn make(&mut self, daemon: &Daemon, name: &str) -> Result<(String, Owner), Error> {
        let maps_users = user::daemon_maps_users(daemon)?;
        let folder = &self.spec.folder;
        let workspace = self.binds.first().map(|bind| bind.source.clone()).unwrap_or_default();
        let owner = user::choose(self.config, &workspace, self.spec.is_managed)?;
        let volume = toolbox::ensure(daemon, &self.image.id, self.spec.program.as_deref())?;
        self.prepare(owner)?;
        let mut mounts = self.own_mounts(&volume);
        for (index, bind) in self.binds.iter().enumerate() {
            let view = folder.join("views").join(index.to_string());
            let shown = if bind.writable {
                user::shown(self.config, owner, &bind.source, &view)?
            } else {
                bind.source.clone()
            };
            self.mount(bind, &shown, &mut mounts)?;
        }
        let mut container = self.container(owner, &mounts)?;
        if maps_users {
            container["HostConfig"]["UsernsMode"] = "host".into();
        }
        let path = format!("/containers/create?name={name}");
        let made: Value = daemon.json("POST", &path, Body::Json(&container))?;
        Ok((made["Id"].as_str().unwrap_or_default().to_owned(), owner))
    }

    /// Makes what the host keeps of the box, for its user.
    fn prepare(&self, owner: Owner) -> Result<(), Error> {
        let folder = &self.spec.folder;
        let state = folder.join("state");
        fs::create_dir_all(&state)?;
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&state, Some(owner.uid), Some(owner.gid))?;
        }
        fs::write(folder.join("gitconfig"), view::GIT_CONFIG)?;
        // What covers: nobody can look into the one or read the other.
        let covers = folder.join("covers");
        fs::create_dir_all(covers.join("folder"))?;
        fs::write(covers.join("file"), "").or_else(|error| {
            // It is there, and not even ours to write.
            if covers.join("file").exists() { Ok(()) } else { Err(error) }
        })?;
        for name in ["folder", "file"] {
            fs::set_permissions(covers.join(name), fs::Permissions::from_mode(0o000))?;
        }
        Ok(())
    }

    fn own_mounts(&self, volume: &str) -> Vec<Value> {
        let folder = &self.spec.folder;
        vec![
            json!({ "Type": "volume", "Source": volume, "Target": PROGRAM_FOLDER, "ReadOnly": true }),
            bind(&folder.join("state"), Path::new(STATE), false),
            bind(&folder.join("gitconfig"), Path::new(GIT_CONFIG), true),
        ]
    }

    /// One folder of the host, its guards and its covers.
    fn mount(&self, of: &Bind, shown: &Path, mounts: &mut Vec<Value>) -> Result<(), Error> {
        mounts.push(bind(shown, &of.target, !of.writable));
        let root = mounts::folder(&of.source)?;
        let is_there = |path: &Path| match mounts::beneath(root.as_fd(), path) {
            Ok(place) => {
                let stat = rustix::fs::fstat(&place).map_err(std::io::Error::from)?;
                let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
                if kind.is_symlink() {
                    let why = "it is a symbolic link".to_owned();
                    return Err(Error::Guard { path: path.to_owned(), why });
                }
                Ok(Some(kind.is_dir()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Guard { path: path.to_owned(), why: error.to_string() }),
        };
        for guard in &of.guards {
            if is_there(&guard.path)?.is_some() {
                let is_read_only = guard.kind != GuardKind::Pinned;
                mounts.push(bind(
                    &shown.join(&guard.path),
                    &of.target.join(&guard.path),
                    is_read_only,
                ));
            }
        }
        for mask in &of.masks {
            if let Some(is_folder) = is_there(mask)? {
                let cover = if is_folder { "covers/folder" } else { "covers/file" };
                mounts.push(bind(&self.spec.folder.join(cover), &of.target.join(mask), true));
            }
        }
        Ok(())
    }

    fn container(&self, owner: Owner, mounts: &[Value]) -> Result<Value, Error> {
        let config = self.config;
        let target = |bind: &Bind| bind.target.clone();
        let (write, read): (Vec<&Bind>, Vec<&Bind>) =
            self.binds.iter().skip(1).partition(|bind| bind.writable);
        let network =
            if config.network == DockerNetwork::Full { Network::Full } else { Network::Loopback };
        let options = ContainerOptions {
            network,
            read_only: config.read_only,
            read_paths: read.into_iter().map(target).collect::<Vec<PathBuf>>(),
            write_paths: write.into_iter().map(target).collect(),
            grace_ms: config.grace.saturating_mul(1000),
        };
        let options = serde_json::to_string(&options).map_err(std::io::Error::other)?;
        let own = format!("uid={},gid={}", owner.uid, owner.gid);
        let tmp = config.tmp.0.min(config.memory.0 / 4);
        // A folder that the image has keeps its mode, whatever is said here; so it has an owner.
        let tmpfs = json!({
            "/tmp": format!("rw,exec,nosuid,nodev,size={tmp},mode=1777,{own}"),
            "/home/agent": format!("rw,exec,nosuid,nodev,size={tmp},mode=0755,{own}"),
            "/run": format!("rw,noexec,nosuid,nodev,size=16m,mode=1777,{own}"),
            RUN: format!("rw,noexec,nosuid,nodev,size=64k,mode=0755,{own}"),
        });
        #[expect(
            clippy::cast_possible_truncation,
            reason = "billionths of a processor, within a bound"
        )]
        let nano_cpus = (config.cpus.clamp(0.01, 1024.0) * 1e9) as i64;
        let limit = |name: &str, value: u64| json!({ "Name": name, "Soft": value, "Hard": value });
        Ok(json!({
            "Image": self.image.id,
            "User": format!("{}:{}", owner.uid, owner.gid),
            "Entrypoint": [PROGRAM, SUBCOMMAND, "contain", options],
            "Cmd": [],
            "WorkingDir": "/",
            "Hostname": "sandbox",
            "Labels": {
                LABEL: "1",
                "polos.kind": "box",
                "polos.id": self.spec.id,
                "polos.order": self.order(),
            },
            "NetworkDisabled": config.network != DockerNetwork::Full,
            "Healthcheck": { "Test": ["NONE"] },
            "StopTimeout": 2,
            "HostConfig": {
                "Mounts": mounts,
                "Tmpfs": tmpfs,
                "NetworkMode": if config.network == DockerNetwork::Full { "bridge" } else { "none" },
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "Privileged": false,
                "ReadonlyRootfs": config.read_only,
                "AutoRemove": config.read_only,
                "Init": false,
                "Memory": config.memory.0,
                "MemorySwap": config.memory.0,
                "NanoCpus": nano_cpus,
                "PidsLimit": config.pids + crate::local::OWN_PROCESSES,
                "OomScoreAdj": 500,
                "ShmSize": tmp / 4,
                "IpcMode": "private",
                "CgroupnsMode": "private",
                "Runtime": config.runtime.clone().unwrap_or_default(),
                "LogConfig": { "Type": "none" },
                "RestartPolicy": { "Name": "no" },
                "Ulimits": [limit("nofile", 1024), limit("core", 1)],
            },
        }))
    }
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Value {
    json!({
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": { "Propagation": "rprivate" },
    })
}
