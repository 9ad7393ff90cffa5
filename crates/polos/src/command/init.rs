//! `polos init`: a small project that runs at once.

use crate::context::Context;
use crate::exit::{Exit, Problem};
use crate::talk;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The files of a new project.
const FILES: &[(&str, &str)] = &[
    ("polos.toml", include_str!("init/polos.toml")),
    ("agents/greeter.toml", include_str!("init/greeter.toml")),
    ("agents/replies/greeter.toml", include_str!("init/replies.toml")),
    ("README.md", include_str!("init/README.md")),
    (".gitignore", ".polos/\n"),
];

/// Make a small project that runs at once: an agent, a scripted model, a README
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; it is made if it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let there: Vec<_> =
        FILES.iter().filter(|(name, _)| args.folder.join(name).exists()).map(|f| f.0).collect();
    let in_the_way: Vec<_> =
        there.iter().filter(|name| !["README.md", ".gitignore"].contains(name)).collect();
    if let Some(name) = in_the_way.first() {
        return Err(Problem::new(
            "already_there",
            format!("`{}` is there already", args.folder.join(name).display()),
            "nothing was written; choose another folder, or start it with `polos dev`",
        ));
    }
    let mut written = Vec::new();
    for (name, text) in FILES.iter().filter(|(name, _)| !there.contains(name)) {
        write(&args.folder.join(name), text)?;
        written.push(*name);
    }
    if context.is_json() {
        talk::json(&serde_json::json!({ "folder": args.folder, "written": written }))?;
    } else {
        for name in &written {
            talk::line(&format!("wrote {}", args.folder.join(name).display()))?;
        }
        tell_next(&args.folder);
    }
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("`{}` cannot be made", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("`{}` cannot be written", path.display()))
}

fn tell_next(folder: &Path) {
    talk::say("");
    if folder != Path::new(".") {
        talk::say(&format!("  cd {}", folder.display()));
    }
    talk::say("  polos run greeter \"hello\"     # needs nothing else");
    talk::say("  polos dev                     # a server that stays, and reloads when you save");
}
