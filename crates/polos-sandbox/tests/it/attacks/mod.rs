//! Attacks on a box, each made in earnest: within it by commands, and through what is left lying
//! about for the host. Each is made on a box of this user's and, where that is root, on one whose
//! keeper has no rights at all. What counts is what happened outside.

mod host;
mod kernel;
mod repositories;
mod resources;
mod rights;

use polos_sandbox::Sandbox;

use crate::boxes::{Fixture, sh};

/// Runs lines of which each must fail, and says which did not.
async fn none_succeeds(sandbox: &Sandbox, lines: &[&str]) {
    let mut succeeded = Vec::new();
    for line in lines {
        let result = sh(sandbox, line).await;
        if result.exit_code == Some(0) {
            succeeded.push((*line, result.stdout.chars().take(200).collect::<String>()));
        }
    }
    assert!(succeeded.is_empty(), "{:?}: {succeeded:#?}", sandbox.report());
}

/// Runs a shell line on the host.
fn on_host(fixture: &Fixture, line: &str) -> String {
    let output = std::process::Command::new("/bin/sh")
        .args(["-ec", line])
        .current_dir(fixture.dir.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
