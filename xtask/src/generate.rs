//! `cargo xtask generate`: writes what is generated from the code into docs/reference, or checks
//! that what stands there is current.

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::Path;

const SCHEMA: &str = "docs/reference/worker-protocol.schema.json";
const CLI: &str = "docs/reference/cli.md";
const OPENAPI: &str = "docs/reference/openapi.json";

/// Write docs/reference from the code: the worker protocol's schema, REST, the command line
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the worker protocol's schema, which needs no build of the binary
    #[arg(long)]
    schema: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    write(SCHEMA, &schema()?)?;
    if args.schema {
        return Ok(());
    }
    write(OPENAPI, &reference("openapi")?)?;
    write(CLI, &reference("cli")?)
}

/// Fails if a generated file is not what the code would write.
pub(crate) fn check() -> Result<()> {
    compare(SCHEMA, &schema()?)
}

/// The JSON Schema of every frame, as committed.
fn schema() -> Result<String> {
    Ok(serde_json::to_string_pretty(&polos_protocol::frame::schema())? + "\n")
}

/// A page of the reference, as the binary itself prints it.
fn reference(page: &str) -> Result<String> {
    let output = process::cargo(&["run", "--quiet", "-p", "polos", "--", "__reference", page])
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`polos __reference` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn write(path: &str, text: &str) -> Result<()> {
    let file = process::root().join(path);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&file, text).with_context(|| format!("cannot write `{path}`"))?;
    process::say(&format!("wrote {path}"));
    Ok(())
}

fn compare(path: &str, expect: &str) -> Result<()> {
    let found = std::fs::read_to_string(process::root().join(Path::new(path))).unwrap_or_default();
    if found != expect {
        bail!("`{path}` is not current\nhint: run `cargo xtask generate`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_current() {
        super::check().unwrap();
    }
}
