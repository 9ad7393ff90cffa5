//! Puts the pages of docs/errors into the program, for `polos explain`.

use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", pages.display());
    let mut names: Vec<_> = std::fs::read_dir(&pages)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".md")?.to_owned()))
        .filter(|name| name != "README")
        .collect();
    names.sort();
    let mut table =
        String::from("/// Each code with its page.\nconst PAGES: &[(&str, &str)] = &[\n");
    for name in names {
        let page = pages.join(format!("{name}.md")).canonicalize()?;
        let page = page.to_str().ok_or("the path of the pages is not text")?;
        writeln!(table, "    ({name:?}, include_str!({page:?})),")?;
    }
    table.push_str("];\n");
    let out = Path::new(&std::env::var("OUT_DIR")?).join("error_pages.rs");
    std::fs::write(out, table)?;
    Ok(())
}
