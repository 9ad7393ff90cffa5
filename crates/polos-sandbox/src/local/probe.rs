//! What this machine offers for boxes, and what follows from it; for `polos doctor`.

use std::path::Path;

use serde::Serialize;

use crate::config::Limits;

use super::cgroup::Groups;
use super::report::{Level, Report};
use super::sys;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Probe {
    /// The level that a local box reaches here.
    pub level: Level,
    pub findings: Vec<Finding>,
}

/// One part of the machine.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub is_there: bool,
    /// What was found, in a few words.
    pub detail: String,
    /// What follows when it is missing, and how to mend it; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// Looks at the machine. It makes a user namespace and control groups for a moment.
pub fn probe() -> Probe {
    let namespaces = namespaces();
    let landlock = sys::landlock_version();
    let seccomp = sys::has_seccomp();
    let level = Report::level_of(namespaces.is_ok(), landlock, seccomp);
    let findings = vec![
        namespace_finding(namespaces),
        landlock_finding(landlock),
        Finding {
            what: "seccomp",
            is_there: seccomp,
            detail: if seccomp { "filters are available" } else { "no filters" }.to_owned(),
            mend: (!seccomp).then(|| {
                "no local box can be made; use a kernel with CONFIG_SECCOMP_FILTER".to_owned()
            }),
        },
        group_finding(),
        docker_finding(),
    ];
    Probe { level, findings }
}

/// Tries the namespaces of a box.
fn namespaces() -> std::io::Result<()> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    // The child of a process with threads may do nothing but end, and does.
    let Some(pid) = sys::clone_process(flags)? else { sys::exit_now() };
    // Whatever its status: it could be made.
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    Ok(())
}

fn namespace_finding(namespaces: std::io::Result<()>) -> Finding {
    let error = namespaces.err();
    Finding {
        what: "user namespaces",
        is_there: error.is_none(),
        detail: error.as_ref().map_or_else(|| "can be made".to_owned(), ToString::to_string),
        mend: error.map(|_| {
            "boxes see the host's paths and processes (level L2); set the sysctls \
             `kernel.unprivileged_userns_clone=1` or `kernel.apparmor_restrict_unprivileged_userns=0`, \
             or, in a container, allow `unshare` and `mount` in its seccomp profile"
                .to_owned()
        }),
    }
}

fn landlock_finding(version: u32) -> Finding {
    let mend = match version {
        0 => Some(
            "no local box of level L2 or L3 can be made; use Linux 5.13 or later, with \
             `landlock` in the `lsm=` list",
        ),
        1..=5 => Some(
            "without namespaces a command could signal the worker, so L2 is not reached; use \
             Linux 6.12 or later",
        ),
        _ => None,
    };
    Finding {
        what: "Landlock",
        is_there: version > 0,
        detail: format!("version {version}"),
        mend: mend.map(str::to_owned),
    }
}

fn group_finding() -> Finding {
    let groups = Groups::make(&format!("probe.{}", std::process::id()), &Limits::default());
    groups.remove();
    let missing: Vec<&str> =
        ["pids", "memory", "cpu"].into_iter().filter(|name| !groups.holds(name)).collect();
    Finding {
        what: "control groups",
        is_there: missing.is_empty(),
        detail: if groups.held.is_empty() {
            "none can be written".to_owned()
        } else {
            groups.held.join(", ")
        },
        mend: (!missing.is_empty()).then(|| {
            format!(
                "{} limited per process only; run as root, or in a systemd unit with \
                 `Delegate=yes`",
                missing.join(", ")
            )
        }),
    }
}

fn docker_finding() -> Finding {
    let socket = ["/var/run/docker.sock", "/run/docker.sock"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    Finding {
        what: "Docker",
        is_there: socket.is_some(),
        detail: socket.unwrap_or("no socket").to_owned(),
        mend: socket.is_none().then(|| "not needed for local boxes".to_owned()),
    }
}
