//! The keeper: on the host, one for each box. It prepares, clones, waits, and clears away.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::config::{Isolation, Network};

use super::cgroup::Groups;
use super::enter::{self, Inheritance};
use super::ids::Ids;
use super::order::Order;
use super::report::Report;
use super::watch::Watch;
use super::{footing, init, order, sys, view};

/// What the keeper says to the worker, in one line, before the toolbox has the connection.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Announcement {
    Ready(Alive),
    /// Another keeper holds the box.
    Taken,
    Refused {
        message: String,
    },
}

/// What is known of a living box; persisted as `box.json` in its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alive {
    pub(crate) version: u32,
    pub(crate) keeper: Process,
    /// The first process of the box, seen from the host.
    pub(crate) first: Process,
    pub(crate) report: Report,
    /// The form of the order, to tell whether another worker wants the same box.
    pub(crate) order_sha256: String,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// When it was started, in ticks since boot.
    pub(crate) started: u64,
}

/// The hidden subcommand: the keeper itself, or a process within a box.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => return keep(),
        ["init", options] => init::serve(options),
        ["supervise", lock] => init::supervise(lock),
        ["contain", options] => init::contain(options),
        ["attach", folder] => init::attach(folder),
        _ => Err("this subcommand is for the sandbox's own use".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn keep() -> ExitCode {
    // Whatever the worker had open without saying that it is its own: a port, a pipe.
    if let Err(error) = sys::close_from(3) {
        return refuse(&error.to_string());
    }
    let mut input = match stdin_file() {
        Ok(file) => file,
        Err(error) => return refuse(&error.to_string()),
    };
    match order::read_sealed(&mut input)
        .map_err(|error| error.to_string())
        .and_then(|order| run(&order))
    {
        Ok(code) => code,
        Err(message) => refuse(&message),
    }
}

fn stdin_file() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn refuse(message: &str) -> ExitCode {
    let _ = announce(&Announcement::Refused { message: message.to_owned() });
    ExitCode::FAILURE
}

fn announce(announcement: &Announcement) -> io::Result<()> {
    let mut line = serde_json::to_vec(announcement)?;
    line.push(b'\n');
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    stdout.write_all(&line)
}

/// What a first process that lives has said, and its number.
struct Born {
    pid: Pid,
    report: Report,
}

fn run(order: &Order) -> Result<ExitCode, String> {
    // A terminal's signals are the worker's business; the box may outlive it.
    let _ = rustix::process::setsid();
    let Some(_lock) = claim(&order.folder).map_err(|error| error.to_string())? else {
        announce(&Announcement::Taken).map_err(|error| error.to_string())?;
        return Ok(ExitCode::SUCCESS);
    };
    let ids = Ids::choose(&order.workspace, order.uid)
        .map_err(|error| format!("the workspace `{}`: {error}", order.workspace.display()))?;
    enter::make_folders(order, &ids)
        .map_err(|error| format!("the box's folder `{}`: {error}", order.folder.display()))?;
    let footing = footing::make(&order.binds).map_err(|error| error.to_string())?;
    let mut groups = if order.isolation == Isolation::None {
        Groups::default()
    } else {
        Groups::make(&group_name(order), &order.limits)
    };
    let outcome = start(order, &ids, &mut groups).and_then(|born| {
        let watch = born.report.namespaces.then(|| Watch::begin(born.pid)).transpose();
        let watch = watch.map_err(|error| format!("the box cannot be watched: {error}"))?;
        publish(order, &born).map_err(|error| error.to_string())?;
        wait(born.pid, watch);
        Ok(ExitCode::SUCCESS)
    });
    groups.remove();
    footing.into_iter().for_each(footing::Made::remove);
    let _ = fs::remove_file(order.folder.join("box.json"));
    outcome
}

/// Two boxes may have one id, in different folders; and a keeper that was killed leaves its groups.
fn group_name(order: &Order) -> String {
    use sha2::Digest as _;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = sha2::Sha256::digest(order.folder.as_os_str().as_bytes());
    let folder = crate::hex(&folder[..4]);
    format!("{}-{folder}.{}", order.id, rustix::process::getpid().as_raw_nonzero())
}

/// Takes the box for this keeper, for as long as the file is open.
fn claim(folder: &Path) -> io::Result<Option<File>> {
    let lock =
        File::options().create(true).append(true).mode(0o600).open(folder.join("keeper.lock"))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Why a first process does not live.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    message: String,
    /// Whether a box of a lower level may be made instead.
    may_fall_back: bool,
}

impl Refusal {
    fn kernel(message: impl Into<String>) -> Self {
        Self { message: message.into(), may_fall_back: true }
    }
}

/// What the child tells.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Report(Report),
    Refusal(Refusal),
}

/// Tries the best isolation, and what is still allowed where the kernel refuses it.
fn start(order: &Order, ids: &Ids, groups: &mut Groups) -> Result<Born, String> {
    if order.isolation == Isolation::None {
        return start_one(order, ids, groups, false).map_err(|refusal| refusal.message);
    }
    let refusal = match start_one(order, ids, groups, true) {
        Ok(born) => return Ok(born),
        Err(refusal) if refusal.may_fall_back => refusal.message,
        Err(refusal) => return Err(refusal.message),
    };
    let doctor = "hint: `polos doctor` says what this machine offers; \
                  `isolation = \"none\"` runs without any isolation";
    if order.isolation == Isolation::Strict {
        return Err(format!("a box with its own namespaces cannot be made: {refusal}\n{doctor}"));
    }
    let mut born =
        start_one(order, ids, groups, false).map_err(|Refusal { message, .. }| {
            format!("namespaces cannot be made ({refusal}), and without them: {message}\n{doctor}")
        })?;
    born.report.notes.push(format!("no namespaces: {refusal}"));
    Ok(born)
}

fn start_one(
    order: &Order,
    ids: &Ids,
    groups: &mut Groups,
    namespaces: bool,
) -> Result<Born, Refusal> {
    let io_error = |error: io::Error| Refusal::kernel(error.to_string());
    let (go_read, go_write) = pipe().map_err(io_error)?;
    let (tell_read, tell_write) = pipe().map_err(io_error)?;
    let trees = if namespaces && ids.caller_is_root {
        let gathered = view::gather(order, ids);
        Some(gathered.map_err(|failure| Refusal {
            may_fall_back: failure.is_of_the_kernel(),
            message: failure.to_string(),
        })?)
    } else {
        None
    };
    let program = enter::open_program().map_err(io_error)?;
    let clone = if namespaces { namespace_flags(order.network) } else { 0 };
    let Some(pid) =
        sys::clone_process(clone).map_err(|error| Refusal::kernel(format!("clone: {error}")))?
    else {
        drop((go_write, tell_read));
        let inheritance = Inheritance {
            ids: *ids,
            namespaces,
            trees,
            program,
            go: go_read,
            tell: tell_write,
            groups: groups.held.clone(),
        };
        become_box(order, inheritance);
    };
    drop((go_read, tell_write, trees));
    let prepared = if namespaces { ids.write_maps(pid) } else { Ok(()) };
    if let Err(error) = prepared.and_then(|()| (&go_write).write_all(&[1])) {
        end(pid);
        return Err(Refusal::kernel(format!("the user's map: {error}")));
    }
    // The kernel may take its time over this, while the child is busy with its mounts.
    groups.add(pid);
    // A child that has failed by now says so itself.
    let _ = (&go_write).write_all(&[u8::from(!groups.held.is_empty())]);
    listen(tell_read, pid).inspect_err(|_| end(pid))
}

fn pipe() -> io::Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

fn namespace_flags(network: Network) -> i32 {
    let own_network = if network == Network::Full { 0 } else { libc::CLONE_NEWNET };
    libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | own_network
}

/// The child's side: it never comes back.
fn become_box(order: &Order, inheritance: Inheritance) -> ! {
    let tell = inheritance.tell.try_clone();
    let refusal = match enter::enter(order, inheritance) {
        Ok(never) => match never {},
        Err(failure) => {
            Refusal { may_fall_back: failure.is_of_the_kernel(), message: failure.to_string() }
        }
    };
    if let Ok(tell) = tell {
        // The keeper notices the end in any case.
        let _ = tell_keeper(&tell, &Told::Refusal(refusal));
    }
    sys::exit_now()
}

fn tell_keeper(mut tell: &File, told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    tell.write_all(&line)
}

/// The child's last words before it becomes the toolbox.
pub(crate) fn tell_report(tell: &File, report: &Report) -> io::Result<()> {
    tell_keeper(tell, &Told::Report(report.clone()))
}

/// Reads what the child says: a report, then its end, or a failure.
fn listen(tell: File, pid: Pid) -> Result<Born, Refusal> {
    let mut report = None;
    for line in BufReader::new(tell).lines() {
        match serde_json::from_str(&line.map_err(|error| Refusal::kernel(error.to_string()))?) {
            Ok(Told::Refusal(refusal)) => return Err(refusal),
            Ok(Told::Report(told)) => report = Some(told),
            Err(error) => return Err(Refusal::kernel(error.to_string())),
        }
    }
    let silent = || Refusal::kernel("the first process ended before it said anything");
    Ok(Born { pid, report: report.ok_or_else(silent)? })
}

/// Tells the worker, and leaves the connection to the box.
fn publish(order: &Order, born: &Born) -> io::Result<()> {
    let alive = Alive {
        version: 1,
        keeper: Process::of(rustix::process::getpid())?,
        first: Process::of(born.pid)?,
        report: born.report.clone(),
        order_sha256: order.sha256(),
    };
    let path = order.folder.join("box.json");
    let fresh = order.folder.join("box.json.new");
    fs::write(&fresh, serde_json::to_vec(&alive)?)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(fresh, path)?;
    announce(&Announcement::Ready(alive))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

/// Waits until the first process has ended, and with it every process of its namespace.
fn wait(first: Pid, watch: Option<Watch>) {
    // Without a namespace, what the first process leaves behind comes to us.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    if let Some(Err(why)) = watch.map(Watch::until_end_or_change) {
        // Whoever reads the log learns why the box has gone.
        let _ = writeln!(io::stderr(), "the box is ended: {why}");
        let _ = rustix::process::kill_process(first, Signal::KILL);
    }
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == first => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    sweep();
}

/// Ends what is left beneath this process, until nothing is.
fn sweep() {
    while let Ok(children) = fs::read_to_string("/proc/thread-self/children") {
        let pids = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        let pids: Vec<Pid> = pids.filter_map(Pid::from_raw).collect();
        if pids.is_empty() {
            return;
        }
        pids.into_iter().for_each(end);
    }
}

fn end(pid: Pid) {
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
}

impl Process {
    fn of(pid: Pid) -> io::Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let started = started(pid)?;
        Ok(Self { pid, started })
    }

    /// A handle on the process, if it is still the same one.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.pid)?;
        let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        // Checked after opening: the number cannot have changed hands since.
        (started(self.pid).ok()? == self.started).then_some(handle)
    }
}

/// The start time of a process: the 22nd field of its status, the 20th after its name.
fn started(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let field = after_name.split(' ').nth(19).and_then(|field| field.parse().ok());
    field.ok_or_else(|| io::Error::other("no start time in /proc"))
}
