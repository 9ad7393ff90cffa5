//! The way into a box: from a fresh clone of the keeper to the first process of the box.
//!
//! The order of the steps matters: each takes away what the ones before it needed.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::config::{Isolation, Network};

use super::ids::{self, Ids};
use super::init::{Lock, Options};
use super::landlock::{Grant, Rules};
use super::order::{Bind, Order};
use super::report::{Level, Report};
use super::view::{self, Tree};
use super::{keeper, limits, seccomp, sys};

/// Why the first process of a box did not come to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    View(#[from] view::Failure),
    #[error(
        "`{path}` belongs to another user than commands run as, and only namespaces could map it\nhint: give the folder to another user than root, or run the worker as its owner"
    )]
    Owner { path: PathBuf },
    #[error("{step}: {error}")]
    Step { step: &'static str, error: String },
    #[error("this kernel gives a local box {level:?} only, and {required:?} is required")]
    Below { level: Level, required: Level },
}

/// All that the child takes from the keeper.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) ids: Ids,
    pub(crate) namespaces: bool,
    /// Mounts that a root keeper has copied.
    pub(crate) trees: Option<Vec<Tree>>,
    /// This program.
    pub(crate) program: OwnedFd,
    /// Says when the maps are written, and then whether the groups hold.
    pub(crate) go: File,
    /// Takes the report, and the failure if there is one; closed by success.
    pub(crate) tell: File,
    pub(crate) groups: Vec<String>,
}

impl Failure {
    /// Whether the kernel is the cause, so that a box of a lower level may be made instead.
    pub(crate) fn is_of_the_kernel(&self) -> bool {
        match self {
            Self::View(failure) => failure.is_of_the_kernel(),
            Self::Step { .. } | Self::Below { .. } => true,
            Self::Owner { .. } => false,
        }
    }
}

impl Inheritance {
    /// Waits until this process is in its control groups, and notes if it is not.
    fn await_groups(&mut self) -> io::Result<()> {
        let mut hold = [0];
        self.go.read_exact(&mut hold)?;
        if hold == [0] {
            self.groups.clear();
        }
        Ok(())
    }

    fn holds(&self, controller: &str) -> bool {
        self.groups.iter().any(|held| held == controller)
    }
}

fn step(step: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Step { step, error: error.to_string() }
}

fn rustix_step(name: &'static str) -> impl Fn(rustix::io::Errno) -> Failure {
    move |errno| step(name)(errno.into())
}

/// Walks the way; returns only when it fails.
pub(crate) fn enter(order: &Order, mut from: Inheritance) -> Result<Infallible, Failure> {
    from.go.read_exact(&mut [0]).map_err(step("waiting for the keeper"))?;
    let isolated = order.isolation != Isolation::None;
    if from.namespaces {
        ids::become_inside(from.ids.caller_is_root).map_err(step("becoming the box's user"))?;
        die_with_keeper()?;
        let trees = from.trees.take().map_or_else(|| view::gather(order, &from.ids), Ok)?;
        rustix::system::sethostname(b"sandbox").map_err(rustix_step("naming the host"))?;
        network(order.network).map_err(step("bringing up the loopback interface"))?;
        view::enter(order, &trees)?;
    } else if isolated {
        if from.ids.caller_is_root {
            let path = &order.workspace;
            if from.ids.foreign_owner(path).map_err(step("the workspace's owner"))?.is_some() {
                return Err(Failure::Owner { path: path.clone() });
            }
            ids::become_owner(from.ids.host, true).map_err(step("becoming another user"))?;
        }
        die_with_keeper()?;
    }
    from.await_groups().map_err(step("waiting for the control groups"))?;
    let places = Places::of(order, from.namespaces);
    std::env::set_current_dir(&places.workspace).map_err(step("entering the workspace"))?;
    let landlock = if isolated { lock(order, &from, &places)? } else { 0 };
    let report = report(order, &from, landlock);
    let required = required(order.isolation);
    if report.level < required {
        return Err(Failure::Below { level: report.level, required });
    }
    execute(order, &from, &places, &report)
}

/// The level that a configuration asks for.
pub(crate) fn required(isolation: Isolation) -> Level {
    match isolation {
        Isolation::Strict => Level::L3,
        Isolation::Standard => Level::L2,
        Isolation::None => Level::L0,
    }
}

/// A change of user clears this, so it comes after.
fn die_with_keeper() -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(rustix_step("tying the box to its keeper"))
}

fn network(network: Network) -> io::Result<()> {
    if network != Network::Loopback {
        return Ok(());
    }
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    sys::loopback_up(socket.as_fd())
}

/// Limits, capabilities, Landlock and seccomp; gives the version of Landlock in force.
fn lock(order: &Order, from: &Inheritance, places: &Places) -> Result<u32, Failure> {
    let per_process = limits::PerProcess {
        memory: !from.holds("memory"),
        // Without a user namespace the kernel counts all processes of the user.
        processes: from.namespaces,
    };
    limits::set(&order.limits, per_process).map_err(step("setting limits"))?;
    drop_capabilities().map_err(step("dropping capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(rustix_step("forbidding new privileges"))?;
    let landlock = landlock(order, from, places).map_err(step("Landlock"))?;
    seccomp::install(order.network).map_err(step("seccomp"))?;
    Ok(landlock)
}

fn drop_capabilities() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    // Without the capability to do so (no user namespace) there is nothing to take away either.
    let may = rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::SETPCAP);
    if may {
        rustix::thread::set_capabilities_secure_bits(bits)?;
        for capability in CapabilitySet::all().iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // A capability that this kernel does not know.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        rustix::thread::clear_ambient_capability_set()?;
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// The rules for the toolbox, which hold for its commands too; theirs are narrower.
fn landlock(order: &Order, from: &Inheritance, places: &Places) -> io::Result<u32> {
    let Some(rules) = Rules::new(order.network)? else { return Ok(0) };
    let version = rules.version();
    for (path, grant) in &places.granted {
        rules.allow(path, *grant)?;
    }
    rules.allow(&places.state, Grant::Write)?;
    // To let commands be killed first; what matters there is read-only by its mounts.
    rules.allow(Path::new("/proc"), Grant::Write)?;
    rules.allow_fd(from.program.as_fd(), Grant::Read)?;
    rules.restrict()?;
    Ok(version)
}

fn report(order: &Order, from: &Inheritance, landlock: u32) -> Report {
    let isolated = order.isolation != Isolation::None;
    let notes = [
        (!from.holds("memory"), "memory is limited per process only: no control group here"),
        (!from.namespaces, "commands see the host's paths: the workspace is not at /workspace"),
        (!from.namespaces, "hooks and configuration of git can be written by commands"),
        (!from.namespaces && !from.holds("pids"), "the number of processes is not limited"),
    ];
    let notes = notes.into_iter().filter(|(holds, _)| *holds && isolated);
    let notes = notes.map(|(_, note)| note.to_owned()).collect();
    Report {
        level: Report::level_of(from.namespaces, landlock, isolated),
        namespaces: from.namespaces,
        landlock,
        seccomp: isolated,
        groups: from.groups.clone(),
        uid: if isolated { from.ids.host.uid } else { rustix::process::geteuid().as_raw() },
        notes,
    }
}

/// Where things are for the first process.
#[derive(Debug)]
struct Places {
    workspace: PathBuf,
    state: PathBuf,
    read: Vec<PathBuf>,
    /// What commands may do where.
    granted: Vec<(PathBuf, Grant)>,
}

impl Places {
    fn of(order: &Order, namespaces: bool) -> Self {
        let place = |bind: &Bind| if namespaces { &bind.target } else { &bind.source }.clone();
        let state = if namespaces { view::STATE.into() } else { order.folder.join("state") };
        let settings = (!namespaces).then(|| order.folder.join("gitconfig"));
        let own = if namespaces {
            ["/tmp", view::HOME, "/dev/shm"].map(PathBuf::from).to_vec()
        } else {
            vec![order.folder.join("tmp")]
        };
        let etc: &[&str] = if namespaces { &["/etc"] } else { &view::ETC };
        let read = view::SYSTEM.iter().chain(etc).chain(&["/proc"]).map(PathBuf::from);
        let read = read.chain(settings);
        let write = own.into_iter().chain(view::DEVICES.map(PathBuf::from));
        let binds = order
            .binds
            .iter()
            .map(|bind| (place(bind), if bind.writable { Grant::Write } else { Grant::Read }));
        let granted = binds
            .chain(read.map(|path| (path, Grant::Read)))
            .chain(write.map(|path| (path, Grant::Write)))
            .chain([(state.clone(), Grant::Read)]);
        Self {
            granted: granted.collect(),
            workspace: order.binds.first().map(place).unwrap_or_default(),
            read: order.binds.iter().skip(1).map(place).collect(),
            state,
        }
    }
}

/// Reports, and becomes the toolbox.
fn execute(
    order: &Order,
    from: &Inheritance,
    places: &Places,
    report: &Report,
) -> Result<Infallible, Failure> {
    let options = Options {
        workspace: places.workspace.clone(),
        state: places.state.clone(),
        read_paths: places.read.clone(),
        grace_ms: order.grace_ms,
        lock: (order.isolation != Isolation::None)
            .then(|| Lock { network: order.network, granted: places.granted.clone() }),
    };
    let options = serde_json::to_string(&options).map_err(|error| step("options")(error.into()))?;
    let program = Path::new("polos").as_os_str().as_bytes();
    let argv = [program, super::SUBCOMMAND.as_bytes(), b"init", options.as_bytes()];
    let argv: Result<Vec<CString>, _> = argv.into_iter().map(CString::new).collect();
    let argv = argv.map_err(|error| step("arguments")(error.into()))?;
    keeper::tell_report(&from.tell, report).map_err(step("reporting"))?;
    rustix::stdio::dup2_stdin(rustix::stdio::stdout()).map_err(rustix_step("the connection"))?;
    sys::close_on_exec(3).map_err(step("closing descriptors"))?;
    Err(step("starting the toolbox")(sys::execute(from.program.as_fd(), &argv, &[])))
}

/// Opens this program, to be executed again where no path leads to it.
pub(crate) fn open_program() -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/exe", flags, rustix::fs::Mode::empty())?)
}

/// Makes the folders of a box that the host keeps, for the box's user.
pub(crate) fn make_folders(order: &Order, ids: &Ids) -> io::Result<()> {
    for name in ["state", "tmp"] {
        let path = order.folder.join(name);
        std::fs::create_dir_all(&path)?;
        ids.give(&path)?;
    }
    // Not in the state folder: what is there is the box's, and a link could be waiting for us.
    std::fs::write(order.folder.join("gitconfig"), view::GIT_CONFIG)
}
