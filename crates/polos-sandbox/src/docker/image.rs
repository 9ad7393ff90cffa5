//! Images: found or fetched, and refused where they cannot run.

use serde::Deserialize;

use crate::config::{DockerConfig, Pull};

use super::Error;
use super::api::{self, Body, Daemon, escape};

/// An image that is there.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// Its content's hash.
    pub(super) id: String,
    /// Variables that it sets.
    pub(super) env: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    architecture: String,
    config: Option<Configured>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configured {
    env: Option<Vec<String>>,
}

/// Finds the image, or fetches it.
pub(super) fn ensure(daemon: &Daemon, config: &DockerConfig) -> Result<Image, Error> {
    let name = &config.image;
    if name.is_empty() {
        return Err(Error::NoImage);
    }
    if config.pull == Pull::Always {
        pull(daemon, name)?;
    }
    match inspect(daemon, name) {
        Err(Error::Api(error)) if error.is_missing() => {}
        found => return found,
    }
    if config.pull == Pull::Never {
        return Err(Error::NotPulled(name.clone()));
    }
    pull(daemon, name)?;
    inspect(daemon, name)
}

/// Looks at an image; one for another kind of processor is refused.
pub(super) fn inspect(daemon: &Daemon, name: &str) -> Result<Image, Error> {
    let path = format!("/images/{}/json", escape(name));
    let found: Inspected = daemon.json("GET", &path, Body::None)?;
    let ours = architecture();
    if found.architecture != ours {
        let (image, theirs) = (name.to_owned(), found.architecture);
        return Err(Error::Architecture { image, theirs, ours });
    }
    let env = found.config.and_then(|config| config.env).unwrap_or_default();
    let env = env.iter().filter_map(|variable| variable.split_once('='));
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Image { id: found.id, env: env.collect() })
}

/// This program's processor, as Docker calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn pull(daemon: &Daemon, name: &str) -> Result<(), Error> {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let tag = if has_tag { "" } else { "&tag=latest" };
    let path = format!("/images/create?fromImage={}{tag}", escape(name));
    let failed = |why: String| Error::Pull { image: name.to_owned(), why };
    let mut trouble = None;
    let pulled = daemon.lines("POST", &path, |line| {
        if let Some(error) = line["error"].as_str() {
            trouble = Some(error.to_owned());
        } else if let Some(status) = line["status"].as_str() {
            let progress = line["progress"].as_str().unwrap_or_default();
            tracing::info!(image = name, layer = line["id"].as_str(), progress, "{status}");
        }
        Ok(())
    });
    match (pulled, trouble) {
        (_, Some(trouble)) => Err(failed(trouble)),
        (Err(api::Error::Refused { message, .. }), None) => Err(failed(message)),
        (pulled, None) => Ok(pulled?),
    }
}
