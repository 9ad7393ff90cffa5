//! The volume with this program in it, which every container gets read-only.

use std::fs;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::api::{Body, Daemon, escape};
use super::{Error, LABEL, tar};

/// Where the volume is mounted while it is filled.
const FILLING: &str = "/polos";
const NAME: &str = "polos";

/// The volume with this program; made and filled if it is not there. Gives its name.
///
/// It is filled through a container that never runs. Two workers may do so at once: both write the
/// same, and what is not whole is filled again.
pub(super) fn ensure(
    daemon: &Daemon,
    image: &str,
    program: Option<&Path>,
) -> Result<String, Error> {
    let program = program.map_or_else(|| "/proc/self/exe".into(), Path::to_owned);
    let content = fs::read(program).map_err(Error::Program)?;
    let hash = crate::hex(&Sha256::digest(&content)[..16]);
    let volume = format!("polos-toolbox-{hash}");
    let labels = json!({ LABEL: "1", "polos.kind": "toolbox" });
    let wanted = json!({ "Name": volume, "Labels": labels });
    daemon.order("POST", "/volumes/create", Body::Json(&wanted))?;
    let mounts = json!([{ "Type": "volume", "Source": volume, "Target": FILLING }]);
    let container = json!({
        "Image": image,
        "Entrypoint": ["/polos/polos"],
        "Labels": labels,
        "NetworkDisabled": true,
        "HostConfig": { "Mounts": mounts, "NetworkMode": "none", "LogConfig": { "Type": "none" } },
    });
    let made: serde_json::Value =
        daemon.json("POST", "/containers/create", Body::Json(&container))?;
    let id = escape(made["Id"].as_str().unwrap_or_default());
    let filled = fill(daemon, &id, &content);
    daemon.order("DELETE", &format!("/containers/{id}?force=true"), Body::None)?;
    filled.map(|()| volume)
}

fn fill(daemon: &Daemon, container: &str, content: &[u8]) -> Result<(), Error> {
    let path =
        format!("/containers/{container}/archive?path={}", escape(&format!("{FILLING}/{NAME}")));
    let stat = match daemon.head(&path, "x-docker-container-path-stat") {
        Ok(stat) => stat,
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(error.into()),
    };
    if stat.and_then(|stat| size_in(&stat)) == Some(content.len() as u64) {
        return Ok(());
    }
    let path = format!("/containers/{container}/archive?path={}", escape(FILLING));
    Ok(daemon.order("PUT", &path, Body::Tar(&tar::of_program(NAME, content)))?)
}

/// The size in what the archive API says of a file.
fn size_in(stat: &str) -> Option<u64> {
    let text = base64(stat)?;
    serde_json::from_slice::<serde_json::Value>(&text).ok()?["size"].as_u64()
}

/// Decodes base64, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_what_docker_says() {
        assert_eq!(base64("eyJzaXplIjoxMn0=").unwrap(), br#"{"size":12}"#);
        assert_eq!(size_in("eyJzaXplIjoxMn0="), Some(12));
        assert_eq!(size_in("!"), None);
    }
}
