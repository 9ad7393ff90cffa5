//! The table of routes: one entry a call, from which both the router and its description are made.

use super::App;
use super::query::Parameter;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use polos_protocol::rest::Scope;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// The schema of a body, made on demand.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One call.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// One sentence for the description.
    pub(crate) about: &'static str,
    /// What the key must be allowed; nothing for a call without a key.
    pub(crate) scope: Option<Scope>,
    pub(crate) query: Vec<Parameter>,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) answer: Answer,
    pub(crate) handler: MethodRouter<App>,
}

/// What a call answers if all is well.
pub(crate) enum Answer {
    /// JSON. The second status is for what was there already.
    Json { status: u16, existing: bool, schema: SchemaOf },
    /// A stream of server-sent events.
    Events(SchemaOf),
    /// The description itself, or a WebSocket.
    Other { status: u16, about: &'static str },
}

fn route<H: Handler<T, App>, T: 'static>(
    (method, filter): (&'static str, MethodFilter),
    path: &'static str,
    about: &'static str,
    handler: H,
) -> Route {
    Route {
        method,
        path,
        about,
        scope: None,
        query: Vec::new(),
        body: None,
        answer: Answer::Other { status: 200, about: "done" },
        handler: on(filter, handler),
    }
}

pub(crate) fn get<H: Handler<T, App>, T: 'static>(
    path: &'static str,
    about: &'static str,
    handler: H,
) -> Route {
    route(("get", MethodFilter::GET), path, about, handler)
}

pub(crate) fn post<H: Handler<T, App>, T: 'static>(
    path: &'static str,
    about: &'static str,
    handler: H,
) -> Route {
    route(("post", MethodFilter::POST), path, about, handler)
}

pub(crate) fn put<H: Handler<T, App>, T: 'static>(
    path: &'static str,
    about: &'static str,
    handler: H,
) -> Route {
    route(("put", MethodFilter::PUT), path, about, handler)
}

impl Route {
    /// Only for keys with this scope.
    pub(crate) fn needs(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    pub(crate) fn query(mut self, parameters: &[Parameter]) -> Self {
        self.query.extend_from_slice(parameters);
        self
    }

    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(crate) fn answers<T: JsonSchema>(mut self) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.answer = Answer::Json { status: 200, existing: false, schema };
        self
    }

    /// Answers 201.
    pub(crate) fn makes<T: JsonSchema>(mut self) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.answer = Answer::Json { status: 201, existing: false, schema };
        self
    }

    /// Answers 201, or 200 if an idempotency key had made it before.
    pub(crate) fn makes_once<T: JsonSchema>(mut self) -> Self {
        let schema = SchemaGenerator::subschema_for::<T>;
        self.answer = Answer::Json { status: 201, existing: true, schema };
        self
    }

    pub(crate) fn streams<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Events(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(crate) fn other(mut self, status: u16, about: &'static str) -> Self {
        self.answer = Answer::Other { status, about };
        self
    }
}
