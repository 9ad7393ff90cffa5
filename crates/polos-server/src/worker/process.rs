//! Sees the end of a worker's process on this machine, before any timer does.

use polos_protocol::frame::Host;

/// A process that is watched. Never resolves if it cannot be watched.
pub(super) struct Watch {
    #[cfg(target_os = "linux")]
    process: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Watches the process that a worker says it is, if it lives on this kernel and counts its
    /// processes as we do.
    pub(super) fn of(host: &Host) -> Option<Self> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        if host.pid == 0 || host.pid == std::process::id() || !is_ours(host) {
            return None;
        }
        let pid = Pid::from_raw(i32::try_from(host.pid).ok()?)?;
        let process = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
        // Looked at after the opening: a process id that was used again has another start time.
        if start_of(host.pid)? != host.pid_start {
            return None;
        }
        let interest = tokio::io::Interest::READABLE;
        Some(Self { process: register(process, interest)? })
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) {
        if self.process.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor, which we own")]
fn register(
    process: std::os::fd::OwnedFd,
    interest: tokio::io::Interest,
) -> Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, shows one descriptor only, and closes it when it is dropped,
    // which is when the `AsyncFd` that owns it is.
    let registered = unsafe { tokio::io::unix::AsyncFd::register_with_interest(process, interest) };
    registered.ok()
}

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(super) fn of(_: &Host) -> Option<Self> {
        None
    }

    pub(super) async fn ended(&self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(target_os = "linux")]
fn is_ours(host: &Host) -> bool {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    boot.is_ok_and(|boot| boot.trim() == host.boot)
        && namespace.is_ok_and(|link| link.to_string_lossy() == host.pid_namespace)
}

/// When a process started, in clock ticks since boot: the 22nd field of its `stat`.
#[cfg(target_os = "linux")]
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn host(pid: u32) -> Option<Host> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        Some(Host {
            name: "here".into(),
            boot: boot.trim().into(),
            pid,
            pid_start: start_of(pid)?,
            pid_namespace: namespace.to_string_lossy().into_owned(),
        })
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let host = host(child.id()).unwrap();
        assert!(Watch::of(&Host { pid_start: 1, ..host.clone() }).is_none());
        assert!(Watch::of(&Host { boot: "other".into(), ..host.clone() }).is_none());
        assert!(Watch::of(&Host { pid_namespace: "other".into(), ..host.clone() }).is_none());
        let watch = Watch::of(&host).unwrap();
        assert!(futures_util::FutureExt::now_or_never(watch.ended()).is_none());
        child.kill().unwrap();
        watch.ended().await;
        child.wait().unwrap();
        assert!(Watch::of(&host).is_none());
    }
}
