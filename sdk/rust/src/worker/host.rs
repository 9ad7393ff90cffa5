//! Where this process runs, so that a server on the same machine sees it end at once.

use polos_protocol::frame::Host;
use std::fs;

/// This process, as far as the system tells.
pub(crate) fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    Host {
        name: read("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".to_owned()),
        boot: read("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        pid: std::process::id(),
        pid_start: read("/proc/self/stat").ok().and_then(|stat| start_time(&stat)).unwrap_or(0),
        pid_namespace: fs::read_link("/proc/self/ns/pid")
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
    }
}

/// Field 22 of `/proc/PID/stat`: the program's name before it may hold spaces and parentheses.
fn start_time(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(start_time(&format!("42 (a b) c) {tail}")), Some(777));
        assert_eq!(start_time("42 nothing"), None);
    }
}
