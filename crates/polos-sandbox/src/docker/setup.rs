//! Setup lines: run once in a container that is thrown away; the image they make is kept.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::{Body, Daemon, escape};
use super::image::{self, Image};
use super::{Error, LABEL};

const REPOSITORY: &str = "polos-setup";
/// How much of what the lines printed is told when they fail.
const OUTPUT_LINES: &str = "40";

/// The image after its setup lines, made if it is not there.
pub(super) fn ensure(daemon: &Daemon, image: Image, lines: &[String]) -> Result<Image, Error> {
    if lines.is_empty() {
        return Ok(image);
    }
    let mut hash = Sha256::new();
    for part in std::iter::once(&image.id).chain(lines) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let tag = crate::hex(&hash.finalize()[..16]);
    let name = format!("{REPOSITORY}:{tag}");
    match image::inspect(daemon, &name) {
        Err(Error::Api(error)) if error.is_missing() => {}
        found => return found,
    }
    let container = format!("{REPOSITORY}-{tag}");
    let made = make(daemon, &image, lines, &container);
    if let Err(Error::Api(error)) = &made
        && error.is_conflict()
    {
        // Another worker is at it: when its container is gone, the image is there, or is not.
        let path = format!("/containers/{container}/wait?condition=removed");
        match daemon.order("POST", &path, Body::None) {
            Err(error) if !error.is_missing() => return Err(error.into()),
            _ => return image::inspect(daemon, &name),
        }
    }
    let id = made?;
    let outcome = run(daemon, &id).and_then(|()| keep(daemon, &id, &tag));
    daemon.order("DELETE", &format!("/containers/{id}?force=true&v=true"), Body::None)?;
    outcome?;
    image::inspect(daemon, &name)
}

fn make(daemon: &Daemon, image: &Image, lines: &[String], name: &str) -> Result<String, Error> {
    let container = json!({
        "Image": image.id,
        "User": "0:0",
        "Entrypoint": ["/bin/sh", "-ec", lines.join("\n")],
        "Cmd": [],
        "Labels": { LABEL: "1", "polos.kind": "setup" },
        "HostConfig": { "SecurityOpt": ["no-new-privileges:true"], "PidsLimit": 1024 },
    });
    let path = format!("/containers/create?name={name}");
    let made: Value = daemon.json("POST", &path, Body::Json(&container))?;
    Ok(escape(made["Id"].as_str().unwrap_or_default()))
}

fn run(daemon: &Daemon, id: &str) -> Result<(), Error> {
    daemon.order("POST", &format!("/containers/{id}/start"), Body::None)?;
    let ended: Value = daemon.json("POST", &format!("/containers/{id}/wait"), Body::None)?;
    let status = ended["StatusCode"].as_i64().unwrap_or(-1);
    if status == 0 {
        return Ok(());
    }
    let path = format!("/containers/{id}/logs?stdout=true&stderr=true&tail={OUTPUT_LINES}");
    let logs = daemon.bytes("GET", &path, Body::None).unwrap_or_default();
    let output = String::from_utf8_lossy(&logs).replace(|c: char| c.is_control() && c != '\n', "");
    Err(Error::Setup { status, output: output.trim_end().to_owned() })
}

fn keep(daemon: &Daemon, id: &str, tag: &str) -> Result<(), Error> {
    let path = format!("/commit?container={id}&repo={REPOSITORY}&tag={tag}");
    let changes =
        json!({ "Labels": { LABEL: "1", "polos.kind": "setup" }, "Entrypoint": [], "Cmd": [] });
    Ok(daemon.order("POST", &path, Body::Json(&changes))?)
}
