//! `polos keys`: API keys. A secret is shown once, when it is made.

use crate::context::Context;
use crate::exit::Exit;
use crate::show::moment;
use crate::show::table::Table;
use crate::talk;
use anyhow::Result;
use clap::Subcommand;
use polos_protocol::rest::{ApiKey, KeyRequest, Scope};
use polos_protocol::{ApiKeyId, Namespace};

/// Make, list and revoke API keys
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Create),
    /// List keys, without their secrets
    List,
    /// Revoke a key: from then on it opens nothing
    Revoke {
        /// The key
        key: ApiKeyId,
    },
}

/// Make a key; its secret is printed once
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// A name for people: it stands in journals as who did what
    #[arg(long)]
    name: String,
    /// The namespace that it opens
    #[arg(long, default_value = "default")]
    namespace: Namespace,
    /// What it may do: read, write, approve, worker, admin; may be repeated; all without it
    #[arg(long, value_parser = scope)]
    scope: Vec<Scope>,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit> {
        let client = context.client_of_any_store().await?;
        match self {
            Self::Create(args) => {
                let request =
                    KeyRequest { name: args.name, namespace: args.namespace, scopes: args.scope };
                let made = client.create_key(&request).await?;
                if context.is_json() {
                    talk::json(&made)?;
                } else {
                    talk::say(&format!("{}: this is shown once, keep it safe", made.key.id));
                    talk::line(&made.secret)?;
                }
            }
            Self::List => list(context, &client.keys().await?.items)?,
            Self::Revoke { key } => {
                client.revoke_key(key).await?;
                if context.is_json() {
                    talk::json(&serde_json::json!({ "id": key, "revoked": true }))?;
                } else {
                    talk::line(&format!("{key} is revoked"))?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn list(context: &Context, keys: &[ApiKey]) -> Result<()> {
    if context.is_json() {
        return talk::json(keys);
    }
    if keys.is_empty() {
        talk::say("no key has been made; make one with `polos keys create --name NAME`");
        return Ok(());
    }
    let now = moment::now();
    let mut table = Table::new(&["KEY", "NAME", "NAMESPACE", "MADE", "STATE", "MAY"]);
    for key in keys {
        let state = if key.revoked_ms.is_some() { "revoked" } else { "good" };
        let scopes: Vec<_> = key.scopes.iter().map(|scope| name_of(*scope)).collect();
        table.push(vec![
            key.id.to_string().into(),
            key.name.as_str().into(),
            key.namespace.as_str().into(),
            moment::relative(key.created_ms, now).into(),
            state.into(),
            scopes.join(" ").into(),
        ]);
    }
    talk::data(&context.table(&table))
}

fn name_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Approve => "approve",
        Scope::Worker => "worker",
        Scope::Admin => "admin",
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    [Scope::Read, Scope::Write, Scope::Approve, Scope::Worker, Scope::Admin]
        .into_iter()
        .find(|scope| name_of(*scope) == text)
        .ok_or_else(|| format!("`{text}` is no scope: use read, write, approve, worker or admin"))
}
