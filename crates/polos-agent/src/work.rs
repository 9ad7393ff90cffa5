//! What the parts of the loop share: the agent, its run, and what the worker has for all runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polos_sandbox::policy::{Error as PolicyError, ExecPolicy};
use polos_sdk::{Answer, Ctx, Failure};

use crate::agent::Agent;
use crate::boxes::{Boxes, Desk, id_of};
use crate::grants::Grants;
use crate::models::Models;
use crate::tool::Toolset;

/// What the worker has for all runs of all agents.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) models: Models,
    pub(crate) boxes: Boxes,
    pub(crate) grants: Grants,
}

/// One run of one agent. What changes here derives from the journal: replay fills it again.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) shop: Arc<Shop>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) toolset: Arc<Toolset>,
    pub(crate) policy: ExecPolicy,
    /// The box that the six tools work in.
    pub(crate) desk: Desk,
    pub(crate) session: Option<String>,
    /// Hashes of what a person has allowed for the rest of the run.
    allowed: Mutex<HashSet<String>>,
    /// How long the run has waited for people.
    waited_ms: Mutex<u64>,
}

impl Work {
    pub(crate) fn new(
        shop: Arc<Shop>,
        agent: Arc<Agent>,
        toolset: Arc<Toolset>,
        ctx: &Ctx,
    ) -> Result<Self, PolicyError> {
        let session = ctx.info().session().map(|session| session.to_string());
        let root = ctx.info().root.to_string();
        let id = id_of(&agent.sandbox.scope, &root, session.as_deref());
        Ok(Self {
            policy: agent.sandbox.exec_policy()?,
            desk: Desk::new(shop.boxes.clone(), id, agent.sandbox.clone()),
            shop,
            agent,
            toolset,
            session,
            allowed: Mutex::default(),
            waited_ms: Mutex::default(),
        })
    }

    fn allowed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if a person has allowed exactly this for the rest of the run.
    pub(crate) fn is_allowed(&self, hash: &str) -> bool {
        self.allowed().contains(hash)
    }

    /// Keeps a yes that goes beyond this once.
    pub(crate) fn keep(&self, answer: &Answer, hash: &str) {
        if answer.scope.as_deref().is_some_and(|scope| scope != "once") {
            self.allowed().insert(hash.to_owned());
        }
    }

    /// The time spent waiting for a person does not count.
    pub(crate) fn waited(&self, ms: u64) {
        *self.waited_ms.lock().unwrap_or_else(PoisonError::into_inner) += ms;
    }

    pub(crate) fn waited_ms(&self) -> u64 {
        *self.waited_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The box as bindings name it.
    pub(crate) fn environment(&self) -> String {
        format!("local:{}", self.desk.id())
    }
}

/// A failure of the loop's own, with a stable word.
pub(crate) fn failure(code: &str, message: impl Into<String>) -> polos_sdk::Error {
    Failure::new(code, message).into()
}
