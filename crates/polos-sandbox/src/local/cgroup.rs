//! Control groups: limits on a box as a whole, where we may write them.
//!
//! Version 1 and version 2 are used as they are found; where neither can be written, process
//! limits are all there is.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::config::Limits;

use super::limits::OWN_PROCESSES;

/// The period over which processor time is measured, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;

/// The groups of one box. They are removed by [`Groups::remove`].
#[derive(Debug, Default)]
pub(crate) struct Groups {
    folders: Vec<PathBuf>,
    pub(crate) held: Vec<String>,
}

impl Groups {
    /// Makes what groups it can. The id ends in `.` and the number of the process that holds them.
    pub(crate) fn make(id: &str, limits: &Limits) -> Self {
        let mut groups = Self::default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for controller in ["pids", "memory", "cpu"] {
            if let Some(base) = version_1_base(controller, &mounts, &own) {
                let folder = base.join("polos");
                sweep(&folder);
                groups.make_one(controller, &folder.join(id), &settings_1(controller, limits));
            } else if let Some(root) = version_2_root(controller, &mounts) {
                enable(&root, controller);
                let folder = root.join("polos");
                if fs::create_dir_all(&folder).is_ok() {
                    enable(&folder, controller);
                }
                sweep(&folder);
                groups.make_one(controller, &folder.join(id), &settings_2(controller, limits));
            }
        }
        groups
    }

    fn make_one(&mut self, controller: &str, folder: &Path, settings: &[(&str, String)]) {
        if fs::create_dir_all(folder).is_err() {
            return;
        }
        if !self.folders.iter().any(|known| known == folder) {
            self.folders.push(folder.to_owned());
        }
        let required = settings
            .first()
            .is_some_and(|(file, value)| fs::write(folder.join(file), value).is_ok());
        for (file, value) in settings.iter().skip(1) {
            // Swap accounting and the like may be absent.
            let _ = fs::write(folder.join(file), value);
        }
        if required {
            self.held.push(controller.to_owned());
        }
    }

    /// Puts a process, and all that it will start, into the groups.
    pub(crate) fn add(&mut self, pid: Pid) {
        let pid = pid.as_raw_nonzero().to_string();
        let failed =
            self.folders.iter().any(|folder| fs::write(folder.join("cgroup.procs"), &pid).is_err());
        if failed {
            self.held.clear();
        }
    }

    pub(crate) fn holds(&self, controller: &str) -> bool {
        self.held.iter().any(|held| held == controller)
    }

    /// Removes the groups of a box that has ended.
    pub(crate) fn remove(&self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes groups whose holder was killed before it could.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let holder = name.to_str().and_then(|name| name.rsplit_once('.')?.1.parse::<u32>().ok());
        if holder.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // One with processes in it cannot be removed.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn settings_1(controller: &str, limits: &Limits) -> Vec<(&'static str, String)> {
    match controller {
        "pids" => vec![("pids.max", (limits.processes + OWN_PROCESSES).to_string())],
        "memory" => vec![
            ("memory.limit_in_bytes", limits.memory_bytes.to_string()),
            ("memory.memsw.limit_in_bytes", limits.memory_bytes.to_string()),
        ],
        _ => vec![
            ("cpu.cfs_quota_us", (CPU_PERIOD_US * limits.cpu_milli / 1000).to_string()),
            ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
        ],
    }
}

fn settings_2(controller: &str, limits: &Limits) -> Vec<(&'static str, String)> {
    match controller {
        "pids" => vec![("pids.max", (limits.processes + OWN_PROCESSES).to_string())],
        "memory" => vec![
            ("memory.max", limits.memory_bytes.to_string()),
            ("memory.swap.max", "0".to_owned()),
        ],
        _ => vec![(
            "cpu.max",
            format!("{} {CPU_PERIOD_US}", CPU_PERIOD_US * limits.cpu_milli / 1000),
        )],
    }
}

/// Lets the groups beneath a folder have a controller; where it is not ours to say, nothing
/// changes.
fn enable(folder: &Path, controller: &str) {
    let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
}

/// Our own group in the hierarchy of a version 1 controller.
fn version_1_base(controller: &str, mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let mut tail = tail.split(' ');
        let is_it = tail.next() == Some("cgroup")
            && tail.nth(1).is_some_and(|options| options.split(',').any(|o| o == controller));
        is_it.then(|| head.split(' ').nth(4)).flatten()
    })?;
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let is_it = parts.next()?.split(',').any(|name| name == controller);
        is_it.then(|| parts.next()).flatten()
    })?;
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}

/// The root of the version 2 hierarchy, if it has the controller.
fn version_2_root(controller: &str, mounts: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        tail.starts_with("cgroup2 ").then(|| head.split(' ').nth(4)).flatten()
    })?;
    let root = PathBuf::from(mount);
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
    controllers.split_whitespace().any(|name| name == controller).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_by_controller() {
        let mounts = "30 1 0:1 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      31 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        let own = "9:pids:/a/b\n2:cpu,cpuacct:/\n0::/\n";
        let base = |controller| version_1_base(controller, mounts, own);
        assert_eq!(base("pids"), Some(PathBuf::from("/sys/fs/cgroup/pids/a/b")));
        assert_eq!(base("cpu"), Some(PathBuf::from("/sys/fs/cgroup/cpu/")));
        assert_eq!(base("memory"), None);
    }
}
