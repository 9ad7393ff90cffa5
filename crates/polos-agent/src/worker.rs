//! The native worker: everything that is declared as data, registered with the SDK's worker.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use polos_sdk::worker::{Builder, Worker};
use polos_sdk::{Client, Ctx, Definition, DefinitionKind};
use serde_json::{Value, json};

use crate::agent::{Agent, Invalid, OnError};
use crate::boxes::Boxes;
use crate::conversation::Input;
use crate::file::{FileError, load_dir};
use crate::grants::Grants;
use crate::guest;
use crate::history;
use crate::models::Models;
use crate::run;
use crate::tool::{Tool, Toolset};
use crate::work::{Shop, Work, failure};

/// How often idle boxes are looked for.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// The longest step of an agent: a command may take an hour.
const STEP_TIMEOUT_MS: u64 = 65 * 60_000;

/// Is told each time the code of a run begins, on replay too.
pub type OnBegin = Arc<dyn Fn(&Ctx) + Send + Sync>;

/// What a native worker is made of.
#[derive(Clone, Default)]
pub struct NativeConfig {
    /// The folder of agent files, if there is one.
    pub agents_dir: Option<PathBuf>,
    /// Agents declared in code.
    pub agents: Vec<Agent>,
    /// Tools of the worker's own, which agents may name.
    pub tools: Vec<Tool>,
    pub models: Models,
    pub boxes: Boxes,
    /// The file of what people have allowed beyond one run.
    pub grants: PathBuf,
    /// Reads what was said before in a session; a run in a session fails without it.
    pub client: Option<Client>,
    pub on_begin: Option<OnBegin>,
    /// How far agents may go that come with the input of their run.
    pub trust: guest::Trust,
}

impl fmt::Debug for NativeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeConfig")
            .field("agents_dir", &self.agents_dir)
            .field("agents", &self.agents)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// Why a native worker cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("agent `{agent}`: {cause}")]
    Invalid {
        agent: String,
        #[source]
        cause: Invalid,
    },
    #[error("agent `{agent}`: `tools` {message}\nhint: register the tool, or take it out")]
    Tools { agent: String, message: String },
    #[error("agent `{0}` is declared twice\nhint: rename the one in code or the one in a file")]
    Twice(String),
}

/// A worker with all agents of the configuration, and with the workflow that runs other workers'
/// agents, to be given a server, workflows of one's own, and built. [`tend`] should run beside it.
pub fn native_worker(config: NativeConfig) -> Result<Builder, SetupError> {
    let mut agents = match &config.agents_dir {
        Some(dir) => load_dir(dir)?,
        None => Vec::new(),
    };
    for agent in &config.agents {
        let invalid = |cause| SetupError::Invalid { agent: agent.id.clone(), cause };
        agent.check().map_err(invalid)?;
        if agents.iter().any(|known| known.id == agent.id) {
            return Err(SetupError::Twice(agent.id.clone()));
        }
        agents.push(agent.clone());
    }
    let boxes = config.boxes.clone();
    let shop = Arc::new(Shop {
        models: config.models.clone(),
        boxes: config.boxes.clone(),
        grants: Grants::new(config.grants.clone()),
    });
    let mut builder = Worker::builder().placements(move || boxes.held());
    for agent in &agents {
        let describe = |name: &str| {
            agents.iter().find(|known| known.id == name).and_then(|known| known.description.clone())
        };
        let toolset = Toolset::of(agent, &config.tools, &[], describe)
            .map_err(|message| SetupError::Tools { agent: agent.id.clone(), message })?;
        let parts = (shop.clone(), Arc::new(agent.clone()), Arc::new(toolset));
        builder = register(builder, parts, &config);
    }
    let (client, trust) = (config.client, config.trust);
    let definition = guest::definition(STEP_TIMEOUT_MS);
    Ok(builder.define(definition, move |ctx: Ctx, given: guest::Given| {
        guest::run(ctx, shop.clone(), client.clone(), (trust, given))
    }))
}

fn register(
    builder: Builder,
    (shop, agent, toolset): (Arc<Shop>, Arc<Agent>, Arc<Toolset>),
    config: &NativeConfig,
) -> Builder {
    let definition = definition(&agent);
    let (client, on_begin) = (config.client.clone(), config.on_begin.clone());
    builder.define(definition, move |ctx: Ctx, input: Input| {
        if let Some(on_begin) = &on_begin {
            on_begin(&ctx);
        }
        let work = Work::new(shop.clone(), agent.clone(), toolset.clone(), &ctx);
        let client = client.clone();
        async move {
            let work = work.map_err(|error| failure("invalid_agent", error.to_string()))?;
            let history = history::of(&ctx, client.as_ref()).await?;
            run::run(ctx, Arc::new(work), history, input).await
        }
    })
}

fn definition(agent: &Agent) -> Definition {
    Definition {
        name: agent.id.clone(),
        kind: DefinitionKind::Agent,
        description: agent.description.clone(),
        input: Some(input_schema()),
        output: agent.output.clone(),
        queue: agent.queue.clone(),
        on_error: agent.on_error.map(|on_error| match on_error {
            OnError::Block => polos_sdk::OnError::Block,
            OnError::Fail => polos_sdk::OnError::Fail,
        }),
        step_timeout_ms: Some(STEP_TIMEOUT_MS),
        info: Some(json!({
            "provider": agent.provider,
            "model": agent.model,
            "tools": agent.tool_names(),
        })),
    }
}

fn input_schema() -> Value {
    json!({
        "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": {
                    "prompt": { "type": "string" },
                    "messages": { "type": "array", "items": { "type": "object" } },
                },
            },
        ],
    })
}

/// Stops boxes that nobody uses any more, for as long as it is polled.
pub async fn tend(boxes: Boxes) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        boxes.stop_idle().await;
    }
}
