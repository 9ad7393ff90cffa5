//! Where the server listens, and where it says so.

use crate::auth::write_private;
use polos_protocol::rest::ServerAddress;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The file in the data directory that holds the server's address.
pub const FILE: &str = "server.json";

/// The server's own entry in the data directory; removed when dropped.
#[derive(Debug)]
pub(crate) struct Announced {
    path: PathBuf,
    pid: u32,
}

/// Reads `IP:PORT`, `[IP]:PORT` or `localhost:PORT`. Other names are not looked up: a server
/// listens on an address.
pub(crate) fn parse(text: &str) -> Option<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => &format!("127.0.0.1:{port}"),
        None => text,
    };
    numeric.parse().ok()
}

/// Writes the address for others to attach to.
pub(crate) fn announce(directory: &Path, url: &str, version: &str) -> std::io::Result<Announced> {
    let path = directory.join(FILE);
    let pid = std::process::id();
    let address = ServerAddress { url: url.to_owned(), pid, version: version.to_owned() };
    write_private(&path, serde_json::to_string(&address)?.as_bytes())?;
    Ok(Announced { path, pid })
}

impl Drop for Announced {
    fn drop(&mut self) {
        let ours = std::fs::read(&self.path).ok().and_then(|bytes| {
            serde_json::from_slice::<ServerAddress>(&bytes).ok().map(|a| a.pid == self.pid)
        });
        if ours == Some(true) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The address under which a client on this machine reaches a listener.
pub(crate) fn url(bound: SocketAddr) -> String {
    let mut reached = bound;
    if bound.ip().is_unspecified() {
        reached.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reached}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(parse(text).map(url).as_deref(), expect);
    }

    #[test]
    fn addresses_are_numeric() {
        check("127.0.0.1:4300", Some("http://127.0.0.1:4300"));
        check("localhost:4300", Some("http://127.0.0.1:4300"));
        check("0.0.0.0:1", Some("http://127.0.0.1:1"));
        check("[::]:1", Some("http://[::1]:1"));
        check("example.com:80", None);
        check("4300", None);
    }
}
