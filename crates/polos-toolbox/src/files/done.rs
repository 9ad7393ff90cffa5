//! Notes on edits that were done, so that a step that runs again is not refused for its own work.
//!
//! The note is durable before the edit. It says what the file becomes; whether it did become that
//! is read off the file itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sha256_hex;
use crate::durable;
use crate::message::{Code, Edit, EditRequest, Refusal};

/// Where the note of one edit is, if edits are noted.
#[derive(Debug)]
pub(super) struct Note {
    path: Option<PathBuf>,
    request_sha256: String,
}

/// Persisted as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    request_sha256: String,
    reply: Edit,
}

impl Note {
    pub(super) fn of(folder: Option<&Path>, request: &EditRequest) -> Result<Self, Refusal> {
        let bytes = serde_json::to_vec(request).map_err(|error| system(&error))?;
        let id = request.id.as_ref();
        let path = folder
            .zip(id)
            .map(|(folder, id)| folder.join(format!("{}.json", &sha256_hex(id.as_bytes())[..32])));
        Ok(Self { path, request_sha256: sha256_hex(&bytes) })
    }

    /// The reply of the same edit, if it was noted.
    pub(super) fn read(&self) -> Result<Option<Edit>, Refusal> {
        let Some(path) = &self.path else { return Ok(None) };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system(&error)),
        };
        let Ok(content) = serde_json::from_slice::<Content>(&bytes) else { return Ok(None) };
        Ok((content.request_sha256 == self.request_sha256).then_some(content.reply))
    }

    pub(super) fn write(&self, reply: &Edit) -> Result<(), Refusal> {
        let Some(path) = &self.path else { return Ok(()) };
        let content = Content { request_sha256: self.request_sha256.clone(), reply: reply.clone() };
        let bytes = serde_json::to_vec(&content).map_err(|error| system(&error))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| system(&error))?;
        }
        durable::replace(path, &bytes).map_err(|error| system(&error))
    }
}

fn system(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(Code::System, format!("the edit could not be noted: {error}"))
}
