//! API keys: the secret's hash, never the secret.

use polos_protocol::rest::ApiKey;

/// A key. Key: (key.namespace, key.id); unique by hash.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    /// All but the secret.
    pub key: ApiKey,
    /// The SHA-256 of the secret.
    pub secret_hash: [u8; 32],
}
