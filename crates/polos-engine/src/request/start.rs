//! Start a run. A start key makes it the same run however often it is asked for.

use super::Caller;
use crate::engine::Engine;
use crate::error::{Class, Error};
use crate::input::Kept;
use polos_protocol::record::RunOptions;
use polos_protocol::rest::{StartRequest, StartResponse};
use polos_protocol::value::BlobRef;
use polos_protocol::{Definition, Namespace, RunId, Value, limits};
use polos_store::row::RunRow;
use polos_store::{Change, Check, Read};
use std::sync::Arc;

/// Checks a name that people give: of a workflow, topic, queue or key.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control)
    {
        let shown: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
        let message = format!("`{shown}` is not a {what}");
        let hint = format!("use 1 to {} bytes without control characters", limits::NAME_BYTES_MAX);
        return Err(Error::new(Class::Invalid, "bad_name", message, hint));
    }
    Ok(())
}

impl Engine {
    pub(super) fn start(
        &mut self,
        caller: Caller<'_>,
        request: StartRequest,
        kept: Option<Kept>,
        store: &dyn Read,
    ) -> Result<StartResponse, Error> {
        self.check_start(caller, &request, store)?;
        let input = match &kept {
            Some(Kept { hash, text }) => {
                let (hash, size) = (hash.clone(), text.len() as u64);
                Value::from_reference(BlobRef { hash, size })
            }
            None => request.input.clone().into_value(),
        };
        if let Some(key) = &request.key {
            let known = self.overlay.start_key(caller.namespace, &request.workflow, key, store)?;
            if let Some(id) = known {
                return self.started_before(caller, id, (&input, key), store);
            }
        }
        let id = self.new_run(caller, request, input, None);
        if let Some(Kept { hash, text }) = kept {
            self.change(Change::PutBlob { hash, text, run: id });
        }
        Ok(StartResponse { id, existing: false, state: polos_protocol::State::Queued })
    }

    fn check_start(
        &self,
        caller: Caller<'_>,
        request: &StartRequest,
        store: &dyn Read,
    ) -> Result<(), Error> {
        check_name("workflow", &request.workflow)?;
        if let Some(key) = &request.key {
            check_name("start key", key)?;
        }
        if request.must_exist && self.definition(caller.namespace, &request.workflow).is_none() {
            let message = format!("no connected worker has `{}`", request.workflow);
            let hint = "start its worker, or leave `must_exist` out to let the run wait for one";
            return Err(Error::new(Class::NotFound, "unknown_workflow", message, hint));
        }
        self.check_options(caller.namespace, &request.options, store)
    }

    /// Checks how a run is asked to run: of a client's start and of a run's child alike.
    pub(crate) fn check_options(
        &self,
        namespace: &Namespace,
        options: &RunOptions,
        store: &dyn Read,
    ) -> Result<(), Error> {
        let names = [("queue", &options.queue), ("concurrency key", &options.concurrency_key)];
        for (what, name) in names {
            if let Some(name) = name {
                check_name(what, name)?;
            }
        }
        if options.labels.len() > limits::LABELS_MAX {
            let message = format!("{} labels are too many", options.labels.len());
            return Err(Error::new(
                Class::Invalid,
                "too_many_labels",
                message,
                format!("use {} at the most", limits::LABELS_MAX),
            ));
        }
        for (name, value) in &options.labels {
            check_name("label", name)?;
            check_name("label's value", value)?;
        }
        if let Some(session) = options.session
            && self.overlay.session(namespace, session, store)?.is_none()
        {
            return Err(Error::not_found("session", session));
        }
        Ok(())
    }

    fn started_before(
        &mut self,
        caller: Caller<'_>,
        id: RunId,
        (input, key): (&Value, &str),
        store: &dyn Read,
    ) -> Result<StartResponse, Error> {
        if !self.bring(caller.namespace, id, store)? {
            let message =
                format!("the start key `{key}` was used by run `{id}`, which has been deleted");
            return Err(Error::new(Class::Conflict, "start_key_used", message, "use another key"));
        }
        let live = &self.runs[&id];
        if live.run.row.input != *input {
            let message = format!("the start key `{key}` started run `{id}` with another input");
            return Err(Error::new(
                Class::Conflict,
                "start_key_conflict",
                message,
                "use another key, or the same input",
            ));
        }
        Ok(StartResponse { id, existing: true, state: live.run.status.state })
    }

    /// Makes a run without a parent.
    pub(super) fn new_run(
        &mut self,
        caller: Caller<'_>,
        request: StartRequest,
        input: Value,
        fork: Option<(RunId, Arc<str>)>,
    ) -> RunId {
        let (now, tail) = self.ids.parts();
        let id = RunId::from_parts(now, tail);
        let definition = self.definition(caller.namespace, &request.workflow);
        let queue =
            request.options.queue.clone().or_else(|| definition.and_then(|d| d.queue.clone()));
        let kind = definition.map(|definition| definition.kind).unwrap_or_default();
        if let Some(key) = &request.key {
            self.overlay.put_start_key(caller.namespace, &request.workflow, key, id);
            self.require(Check::StartKeyAbsent {
                workflow: request.workflow.clone(),
                key: key.clone(),
            });
        }
        self.require(Check::RunAbsent(id));
        let (forked_from, seed) = match fork {
            Some((from, seed)) => (Some(from), seed),
            None => (None, self.ids.seed().into()),
        };
        self.insert_run(Arc::new(RunRow {
            namespace: caller.namespace.clone(),
            id,
            workflow: request.workflow,
            kind,
            input,
            start_key: request.key,
            seed,
            root: id,
            parent: None,
            parent_key: None,
            detached: false,
            depth: 0,
            queue: queue.unwrap_or_else(|| "default".to_owned()),
            options: request.options,
            principal: caller.principal.to_owned(),
            forked_from,
            created_ms: self.now,
        }));
        id
    }

    /// What a connected worker has registered under a name.
    pub(crate) fn definition(&self, namespace: &Namespace, name: &str) -> Option<&Definition> {
        self.workers
            .values()
            .filter(|w| w.namespace == *namespace)
            .find_map(|w| w.definitions.get(name))
    }
}
