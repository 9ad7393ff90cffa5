//! Whether the store takes writes, for `/v1/health` and for refusals.

use std::sync::{Arc, PoisonError, RwLock};

/// The server's health. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<RwLock<Option<String>>>);

impl Health {
    /// What is wrong, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn degrade(&self, problem: String) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }

    pub(crate) fn recover(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
