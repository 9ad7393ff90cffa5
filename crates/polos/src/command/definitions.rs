//! What `agents list` and `workflows list` share: the list of definitions.

use crate::context::Context;
use crate::show::table::Table;
use crate::talk;
use anyhow::Result;
use polos_protocol::DefinitionKind;
use polos_protocol::rest::DefinitionStatus;
use polos_sdk::client::Client;

/// Lists the definitions of some kinds, as a table or as JSON; says so if there is none.
pub(super) async fn list(
    context: &Context,
    client: &Client,
    fits: impl Fn(DefinitionKind) -> bool,
    table: impl Fn(&[DefinitionStatus]) -> Table,
) -> Result<()> {
    let all = client.definitions(None).await?.items;
    // What runs other workers' agents is nobody's to start.
    let is_guest_host = |d: &DefinitionStatus| d.definition.name == polos_agent::guest::NAME;
    let fitting: Vec<_> =
        all.into_iter().filter(|d| fits(d.definition.kind) && !is_guest_host(d)).collect();
    if context.is_json() {
        return talk::json(&fitting);
    }
    if fitting.is_empty() {
        talk::say("no connected worker has any");
        talk::say("hint: start a worker with `polos dev` or `polos worker`");
        return Ok(());
    }
    talk::data(&context.table(&table(&fitting)))
}
