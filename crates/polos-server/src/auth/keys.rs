//! API keys in memory: the hashes of their secrets, and what each may do.

use crate::rest::Refusal;
use crate::worker::hex;
use axum::http::{HeaderMap, StatusCode, header};
use polos_protocol::rest::{ApiKey, Scope};
use polos_protocol::{ApiKeyId, Namespace};
use polos_store::row::ApiKeyRow;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// What every secret begins with, so that scanners find one that leaked.
pub(crate) const SECRET_PREFIX: &str = "polos_";
/// Names another namespace than the key's; for admins of `default` only.
const NAMESPACE_HEADER: &str = "polos-namespace";
/// The name of whoever holds the data directory's token.
const LOCAL: &str = "local";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The namespace it asks in.
    pub(crate) namespace: Namespace,
    /// The name of its key.
    pub(crate) principal: Arc<str>,
    /// True for an admin of `default`.
    pub(crate) is_root: bool,
    /// Cancelled when the key is revoked.
    pub(crate) revoked: CancellationToken,
    scopes: u8,
}

impl Caller {
    /// Refuses who lacks the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scopes & bit(scope) != 0 {
            return Ok(());
        }
        let name = name_of(scope);
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "scope_missing",
            format!("the key `{}` lacks the scope `{name}`", self.principal),
            format!("use a key that was made with the scope `{name}`"),
        ))
    }
}

/// All keys. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Arc<RwLock<HashMap<[u8; 32], Entry>>>);

#[derive(Debug)]
struct Entry {
    /// Absent for the token of the data directory.
    id: Option<ApiKeyId>,
    caller: Caller,
}

impl Keys {
    /// Takes the keys that the store holds; revoked ones are left out.
    pub(crate) fn add_all(&self, rows: Vec<ApiKeyRow>) {
        for row in rows {
            self.add(&row.key, row.secret_hash);
        }
    }

    /// Takes a key, once it is durable.
    pub(crate) fn add(&self, key: &ApiKey, hash: [u8; 32]) {
        if key.revoked_ms.is_some() {
            return;
        }
        let scopes = key.scopes.iter().copied().map(bit).fold(0, |all, bit| all | bit);
        let caller = Caller {
            namespace: key.namespace.clone(),
            principal: key.name.as_str().into(),
            is_root: key.namespace == Namespace::default() && scopes & bit(Scope::Admin) != 0,
            revoked: CancellationToken::new(),
            scopes,
        };
        self.insert(hash, Entry { id: Some(key.id), caller });
    }

    /// Takes the token of the data directory, which may do everything.
    pub(crate) fn add_local(&self, token: &str) {
        let caller = Caller {
            namespace: Namespace::default(),
            principal: LOCAL.into(),
            is_root: true,
            revoked: CancellationToken::new(),
            scopes: ALL.into_iter().map(bit).fold(0, |all, bit| all | bit),
        };
        self.insert(hash_of(token), Entry { id: None, caller });
    }

    fn insert(&self, hash: [u8; 32], entry: Entry) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(hash, entry);
    }

    /// Forgets a key, and ends what it has open.
    pub(crate) fn revoke(&self, id: ApiKeyId) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, entry| {
            let gone = entry.id == Some(id);
            if gone {
                entry.caller.revoked.cancel();
            }
            !gone
        });
    }

    /// Finds out who asks, from `Authorization: Bearer …` and `Polos-Namespace`.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let hash = hash_of(bearer(headers)?);
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // The map finds by a hash that nobody can steer; the comparison itself takes equal time.
        let caller = keys
            .get_key_value(&hash)
            .filter(|(known, _)| bool::from(known.ct_eq(&hash)))
            .map(|(_, entry)| entry.caller.clone())
            .ok_or_else(|| unauthorized("the key is not known here, or has been revoked"))?;
        drop(keys);
        match headers.get(NAMESPACE_HEADER) {
            None => Ok(caller),
            Some(value) => in_namespace(caller, value),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let text = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthorized("this needs a key"))?
        .to_str()
        .map_err(|_| unauthorized("the key is not text"))?;
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(secret.trim()),
        _ => Err(unauthorized("the key must come as `Authorization: Bearer polos_…`")),
    }
}

fn in_namespace(caller: Caller, value: &axum::http::HeaderValue) -> Result<Caller, Refusal> {
    let namespace: Namespace = value
        .to_str()
        .map_err(|error| Refusal::invalid("invalid_namespace", error.to_string()))?
        .parse()
        .map_err(|error| Refusal::invalid("invalid_namespace", format!("{error}")))?;
    if namespace != caller.namespace && !caller.is_root {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "namespace_refused",
            format!("the key `{}` is for the namespace `{}`", caller.principal, caller.namespace),
            "leave `Polos-Namespace` out, or use a key of that namespace",
        ));
    }
    Ok(Caller { namespace, ..caller })
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        message,
        "send `Authorization: Bearer` with a key, or with the token in the data directory",
    )
}

/// Makes a secret: 256 random bits, in hex after the prefix.
pub(crate) fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{SECRET_PREFIX}{}", hex(&bytes)))
}

/// What is kept of a secret.
pub(crate) fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// All scopes.
pub(crate) const ALL: [Scope; 5] =
    [Scope::Read, Scope::Write, Scope::Approve, Scope::Worker, Scope::Admin];

fn bit(scope: Scope) -> u8 {
    match scope {
        Scope::Read => 1,
        Scope::Write => 2,
        Scope::Approve => 4,
        Scope::Worker => 8,
        Scope::Admin => 16,
    }
}

/// The name under which a scope is sent.
pub(crate) fn name_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Approve => "approve",
        Scope::Worker => "worker",
        Scope::Admin => "admin",
    }
}
