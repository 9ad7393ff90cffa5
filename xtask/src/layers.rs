//! Who may import whom: the table of ARCHITECTURE.md as data, checked against `cargo metadata`.

use crate::process;
use anyhow::{Result, bail};
use serde::Deserialize;

/// Each crate of ours with the crates of ours that it may import.
const TABLE: &[(&str, &[&str])] = &[
    ("polos-protocol", &[]),
    ("polos-toolbox", &[]),
    ("polos-store", &["polos-protocol"]),
    ("polos-engine", &["polos-protocol", "polos-store"]),
    // The server opens the store and hands it to the engine; it names it and writes no SQL.
    ("polos-server", &["polos-protocol", "polos-store", "polos-engine"]),
    ("polos-sdk", &["polos-protocol"]),
    ("polos-llm", &[]),
    ("polos-sandbox", &["polos-toolbox"]),
    (
        "polos-agent",
        &["polos-protocol", "polos-sdk", "polos-llm", "polos-sandbox", "polos-toolbox"],
    ),
    (
        "polos",
        &[
            "polos-protocol",
            "polos-toolbox",
            "polos-store",
            "polos-engine",
            "polos-server",
            "polos-sdk",
            "polos-llm",
            "polos-sandbox",
            "polos-agent",
        ],
    ),
    (
        "polos-testkit",
        &[
            "polos-protocol",
            "polos-toolbox",
            "polos-store",
            "polos-engine",
            "polos-server",
            "polos-sdk",
            "polos-llm",
            "polos-sandbox",
            "polos-agent",
        ],
    ),
    ("polos-bench", &["polos-protocol", "polos-store", "polos-server", "polos-sdk"]),
    ("xtask", &["polos-protocol"]),
];

/// What is never a direct dependency of a crate, because of what the crate never contains.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("polos-protocol", &["tokio", "rusqlite", "axum", "reqwest", "getrandom"]),
    ("polos-toolbox", &["tokio", "reqwest", "axum", "hyper"]),
    ("polos-engine", &["tokio", "axum", "reqwest", "rusqlite", "getrandom", "rand", "uuid"]),
    ("polos-server", &["rusqlite"]),
    ("polos-sdk", &["rusqlite", "axum"]),
    ("polos-agent", &["rusqlite", "axum"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// A package of the workspace, as `cargo metadata` tells it.
#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Checks the workspace as it stands.
pub(crate) fn check() -> Result<()> {
    let output = process::cargo(&["metadata", "--format-version=1", "--no-deps"]).output()?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let breaches = breaches(&metadata.packages);
    if !breaches.is_empty() {
        bail!("the layers are broken:\n  {}", breaches.join("\n  "));
    }
    Ok(())
}

/// Every edge that the table does not allow, in words. Dev-dependencies may point anywhere: tests
/// of a crate may drive a server or a simulation.
fn breaches(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(breaches_of).collect()
}

fn breaches_of(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    // Examples link what users link; they are not part of the towers.
    let Some((_, allowed)) = TABLE.iter().find(|(listed, _)| *listed == name) else {
        return if name.starts_with("polos") && !name.contains("example") {
            vec![format!("`{name}` is not in the table: add it to xtask/src/layers.rs")]
        } else {
            Vec::new()
        };
    };
    let forbidden = FORBIDDEN.iter().find(|(listed, _)| *listed == name).map_or(&[][..], |f| f.1);
    let is_ours = |other: &str| TABLE.iter().any(|(listed, _)| *listed == other);
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
        .filter(|other| (is_ours(other) && !allowed.contains(other)) || forbidden.contains(other))
        .map(|other| format!("`{name}` must not depend on `{other}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Package {
            name: name.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn check_one(name: &str, dependencies: &[(&str, Option<&str>)], expect: &[&str]) {
        assert_eq!(breaches(&[package(name, dependencies)]), expect);
    }

    #[test]
    fn the_workspace_keeps_its_layers() {
        check().unwrap();
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        check_one("polos-engine", &[("polos-protocol", None), ("serde", None)], &[]);
        check_one(
            "polos-engine",
            &[("polos-server", None), ("tokio", None)],
            &[
                "`polos-engine` must not depend on `polos-server`",
                "`polos-engine` must not depend on `tokio`",
            ],
        );
        check_one(
            "polos-sdk",
            &[("polos-store", Some("build"))],
            &["`polos-sdk` must not depend on `polos-store`"],
        );
        check_one(
            "polos",
            &[("polos-testkit", None)],
            &["`polos` must not depend on `polos-testkit`"],
        );
    }

    #[test]
    fn tests_may_depend_on_anything() {
        check_one("polos-engine", &[("polos-testkit", Some("dev"))], &[]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        check_one(
            "polos-new",
            &[],
            &["`polos-new` is not in the table: add it to xtask/src/layers.rs"],
        );
    }
}
