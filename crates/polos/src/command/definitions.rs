//! What `agents list` and `workflows list` share: the list of definitions.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::json;
use crate::show::table::Table;
use crate::talk;
use anyhow::Result;
use polos_protocol::DefinitionKind;
use polos_protocol::rest::DefinitionStatus;

/// Lists the definitions of some kinds.
pub(super) async fn list(
    context: &Context,
    fits: impl Fn(DefinitionKind) -> bool,
    noun: &str,
) -> Result<Exit> {
    let all = context.client()?.definitions(None).await?.items;
    let fitting: Vec<_> = all.into_iter().filter(|d| fits(d.definition.kind)).collect();
    if context.is_json() {
        talk::json(&fitting)?;
        return Ok(Exit::Done);
    }
    if fitting.is_empty() {
        talk::say(&format!("no connected worker has {} {noun}", article(noun)));
        talk::say("hint: start a worker with `polos dev` or `polos worker`");
        return Ok(Exit::Done);
    }
    talk::data(&context.table(&table(&fitting)))?;
    Ok(Exit::Done)
}

fn table(definitions: &[DefinitionStatus]) -> Table {
    let mut table = Table::new(&["NAME", "KIND", "WORKERS", "BUILDS", "ABOUT"]);
    for status in definitions {
        let definition = &status.definition;
        table.push(vec![
            definition.name.as_str().into(),
            definition.kind.name().into(),
            status.workers.to_string().into(),
            status.builds.join(" ").into(),
            about(status).into(),
        ]);
    }
    table
}

/// What a list says of a definition: its description, and what its worker tells besides.
fn about(status: &DefinitionStatus) -> String {
    let info = status.definition.info.as_ref().map(|info| json::brief(&info.to_string(), 120));
    let parts: Vec<_> = status.definition.description.clone().into_iter().chain(info).collect();
    parts.join(" · ")
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
