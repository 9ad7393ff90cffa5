//! The demo's worker: the native worker with the three agents, and the workflow that leads them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use polos_agent::{Boxes, BoxesConfig, Desk, Model, Models, NativeConfig, native_worker, tend};
use polos_llm::{Ledger, Prices, Script};
use polos_protocol::{Millis, RunId};
use polos_sdk::Ctx;
use polos_sdk::worker::shutdown_signal;
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::{content, crew, workflow};
use crate::show::moment;

/// The name of the box that all share.
pub(crate) const BOX: &str = "demo";

/// The code of a run began, for the first time or anew. Persisted, one line each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) run: RunId,
    pub(crate) at: Millis,
}

/// The boxes of the demo's worker.
pub(crate) fn boxes(place: &Place) -> Boxes {
    Boxes::new(BoxesConfig {
        root: place.worker().join("boxes"),
        workspace: None,
        masked: vec![place.data()],
        program: None,
    })
}

/// The box that all share: its id.
pub(crate) fn box_id() -> String {
    polos_agent::named_id(BOX)
}

/// What answers: a real model if the environment names one, else the script.
pub(crate) struct Brain {
    pub(crate) model: Model,
    pub(crate) is_scripted: bool,
}

/// Chooses what answers.
pub(crate) fn brain() -> anyhow::Result<Brain> {
    let is_set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let keys = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"];
    if keys.iter().any(is_set) {
        let model = polos_llm::from_env()?.try_into()?;
        return Ok(Brain { model, is_scripted: false });
    }
    let script = Script::from_toml(content::SCRIPT).context("the demo's script is broken")?;
    Ok(Brain { model: Model::scripted(script), is_scripted: true })
}

/// Runs the worker until it is asked to end.
pub(crate) async fn run(place: &Place) -> anyhow::Result<()> {
    let boxes = boxes(place);
    let tools = crew::tools(BOX);
    let ledger = Ledger::new(place.model_ledger());
    let begins = begins_path(place);
    let noted = begins.clone();
    let built = native_worker(NativeConfig {
        agents: crew::agents(BOX).to_vec(),
        models: Models::new(Some(brain()?.model), Some(ledger), Prices::builtin()),
        boxes: boxes.clone(),
        grants: place.worker().join("grants.json"),
        on_begin: Some(Arc::new(move |ctx: &Ctx| note(&begins, ctx))),
        ..NativeConfig::default()
    })?;
    let desk = Desk::new(boxes.clone(), box_id(), tools);
    let token = std::fs::read_to_string(place.data().join("token"))?;
    let job = place.job()?.context("the demo has not been set up here")?;
    let worker = built
        .workflow(workflow::NAME, move |ctx: Ctx, order: workflow::Order| {
            note(&noted, &ctx);
            workflow::run(ctx, desk.clone(), order)
        })
        .server(format!("http://127.0.0.1:{}", job.port))
        .token(token.trim())
        .build()?;
    let tending = tokio::spawn(tend(boxes.clone()));
    let ended = worker.run_until(shutdown_signal()).await;
    tending.abort();
    boxes.stop_all().await;
    Ok(ended?)
}

fn begins_path(place: &Place) -> PathBuf {
    place.root().join("begins.jsonl")
}

/// A count for the summary must not fail a run.
fn note(path: &Path, ctx: &Ctx) {
    let begin = Begin { run: ctx.run_id(), at: moment::now() };
    let Ok(mut line) = serde_json::to_vec(&begin) else { return };
    line.push(b'\n');
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.and_then(|mut file| file.write_all(&line)).ok();
}

/// Every time that the code of a run began.
pub(crate) fn begins(place: &Place) -> Vec<Begin> {
    let text = std::fs::read_to_string(begins_path(place)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
