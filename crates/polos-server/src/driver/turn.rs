//! One turn: what waits goes into the engine, one commit makes it durable, and then it is let out.

use super::handle::Call;
use super::message::{Message, Reply};
use super::outage::Breakdown;
use super::outbox::{Letters, Outbox};
use super::service::{Driver, Refused, Waiting};
use polos_engine::error::Class;
use polos_engine::{
    ConnectionId, Engine, Error, Input, Moment, Output, Request, RequestId, Response,
};
use polos_protocol::Namespace;
use polos_store::row::AuditRow;
use polos_store::{Batch, Change, Command, Outcome};
use std::collections::HashMap;

impl Driver {
    /// Takes one turn. On an error nothing of it has been let out.
    pub(super) fn turn(
        &mut self,
        engine: &mut Engine,
        batch: &mut Vec<Message>,
    ) -> Result<(), Breakdown> {
        if engine.next_deadline().is_some_and(|at| at <= self.clock.now()) {
            self.handle(engine, Input::Tick)?;
        }
        for Refused { row, reply, error } in std::mem::take(&mut self.refused) {
            let id = self.write_audit(engine, row)?;
            self.replies.insert(id, Waiting { reply, instead: Some(error) });
        }
        for message in batch.drain(..) {
            self.take(engine, message)?;
        }
        self.commit(engine.take_commands(&*self.store))?;
        let outputs = engine
            .committed(self.clock.now(), &*self.store)
            .map_err(|cause| Breakdown::Read(cause.message))?;
        self.deliver(outputs);
        Ok(())
    }

    fn handle(&mut self, engine: &mut Engine, input: Input) -> Result<(), Breakdown> {
        let entropy = self.entropy.draw().map_err(Breakdown::Entropy)?;
        engine.handle(Moment { now: self.clock.now(), entropy }, input, &*self.store);
        Ok(())
    }

    fn take(&mut self, engine: &mut Engine, message: Message) -> Result<(), Breakdown> {
        let input = match message {
            Message::Connect { connection, namespace, hello, outbox } => {
                self.outboxes.insert(connection, Some(outbox));
                Input::Connect { connection, namespace, hello }
            }
            Message::Frame { connection, frame } if self.knows(connection) => {
                Input::Frame { connection, frame: *frame }
            }
            Message::Blob { connection, run, hash, text } if self.knows(connection) => {
                Input::Blob { connection, run, hash, text }
            }
            Message::Paged { connection, ended } if self.knows(connection) => {
                Input::Paged { connection, ended }
            }
            Message::Disconnect { connection } if self.outboxes.remove(&connection).is_some() => {
                Input::Disconnect { connection }
            }
            Message::WorkerDead { worker } => Input::WorkerDead { worker },
            Message::Call(call, reply) => return self.call(engine, *call, reply),
            Message::Stop => {
                self.stopping = true;
                return Ok(());
            }
            Message::Frame { .. }
            | Message::Paged { .. }
            | Message::Blob { .. }
            | Message::Disconnect { .. } => return Ok(()),
        };
        self.handle(engine, input)
    }

    /// True if the connection is one of this engine's and has not been closed.
    fn knows(&self, connection: ConnectionId) -> bool {
        matches!(self.outboxes.get(&connection), Some(Some(_)))
    }

    fn call(&mut self, engine: &mut Engine, call: Call, reply: Reply) -> Result<(), Breakdown> {
        let Call { namespace, principal, request, audit } = call;
        let id = self.next_request();
        if let Some(row) = audit {
            let row = AuditRow { at: self.clock.now(), ..row };
            self.audits.insert(id, row.clone());
            self.write_audit(engine, row)?;
        }
        self.replies.insert(id, Waiting { reply, instead: None });
        self.handle(engine, Input::Request { id, namespace, principal, request })
    }

    fn next_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn write_audit(&mut self, engine: &mut Engine, row: AuditRow) -> Result<RequestId, Breakdown> {
        let id = self.next_request();
        let (namespace, principal) = (row.namespace.clone(), row.principal.as_str().into());
        let request = Request::Write(vec![Change::InsertAudit(row)]);
        self.handle(engine, Input::Request { id, namespace, principal, request })?;
        Ok(id)
    }

    fn commit(&self, commands: Vec<Command>) -> Result<(), Breakdown> {
        if commands.is_empty() {
            return Ok(());
        }
        let batch = Batch { owner: self.store.incarnation(), commands };
        let outcomes = self.store.commit(batch).map_err(Breakdown::Commit)?;
        match outcomes.iter().position(|outcome| *outcome != Outcome::Applied) {
            Some(command) => Err(Breakdown::Refused { command }),
            None => Ok(()),
        }
    }

    fn deliver(&mut self, outputs: Vec<Output>) {
        let mut letters: HashMap<ConnectionId, Letters> = HashMap::new();
        for output in outputs {
            match output {
                Output::Send(connection, frame) => {
                    letters.entry(connection).or_default().frames.push(frame);
                }
                Output::Page(connection, order) => {
                    letters.entry(connection).or_default().orders.push(*order);
                }
                Output::Close(connection) => {
                    self.send(connection, letters.remove(&connection));
                    if let Some(outbox) = self.outboxes.get_mut(&connection) {
                        *outbox = None;
                    }
                }
                Output::Reply(id, response) => self.reply(id, response),
                Output::Changed(namespace, run) => self.changes.notify(namespace, run),
            }
        }
        for (connection, letters) in letters {
            self.send(connection, Some(letters));
        }
    }

    fn send(&mut self, connection: ConnectionId, letters: Option<Letters>) {
        if let Some(letters) = letters
            && let Some(Some(outbox)) = self.outboxes.get_mut(&connection)
        {
            Outbox::send(outbox, letters);
        }
    }

    fn reply(&mut self, id: RequestId, response: Result<Response, Error>) {
        let row = self.audits.remove(&id);
        let Some(Waiting { reply, instead }) = self.replies.remove(&id) else { return };
        match (row, response, instead) {
            (Some(row), Err(error), _) if error.class != Class::Unavailable => {
                self.refused.push(Refused { row: refused(row, error.code), reply, error });
            }
            (_, Ok(_), Some(error)) => {
                let _ = reply.send(Err(error));
            }
            (_, response, _) => {
                let _ = reply.send(response);
            }
        }
    }
}

/// The entry that takes an entry back.
fn refused(row: AuditRow, code: &str) -> AuditRow {
    let action = format!("{}.refused", row.action);
    AuditRow { action, detail: serde_json::json!({ "error": code }), ..row }
}

/// The audit entry with which the driver proves that the store takes writes again.
pub(super) fn recovered(at: u64, problem: &str) -> Command {
    let row = AuditRow {
        namespace: Namespace::default(),
        at,
        principal: "server".into(),
        action: "store.recovered".into(),
        target: "store".into(),
        detail: serde_json::json!({ "problem": problem }),
    };
    Command {
        namespace: Namespace::default(),
        checks: Vec::new(),
        changes: vec![Change::InsertAudit(row)],
    }
}
