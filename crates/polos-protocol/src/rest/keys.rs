//! API keys: hashed in the store, scoped to a namespace, shown once.

use crate::{ApiKeyId, Millis, Namespace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a key may do. Persisted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look at everything in the namespace.
    Read,
    /// Start runs, publish events, and all operators' verbs.
    Write,
    /// Answer approvals.
    Approve,
    /// Connect as a worker.
    Worker,
    /// Make and revoke keys, pause queues, drain workers.
    Admin,
}

/// `POST /v1/keys`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeyRequest {
    /// A name for people; it appears in the journal as who did what.
    pub name: String,
    /// The namespace; only an admin of `default` may name another than its own.
    #[serde(default)]
    pub namespace: Namespace,
    /// What it may do; all of it if empty.
    #[serde(default)]
    pub scopes: Vec<Scope>,
}

/// A key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_ms: Millis,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<Millis>,
}

/// The answer to making a key: the only time the secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeyResponse {
    /// The key.
    #[serde(flatten)]
    pub key: ApiKey,
    /// The secret, `polos_…`: sent as `Authorization: Bearer …`.
    pub secret: String,
}
