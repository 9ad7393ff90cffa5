//! What people have allowed beyond one run: exact commands, for a session or for always. Kept in a
//! file of the worker's, so that a person can read it and take it back.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use polos_sandbox::policy::Pattern;
use serde::{Deserialize, Serialize};

/// How many grants the file may hold.
const GRANTS_MAX: usize = 10_000;

/// The file `grants.json`: a list, oldest first.
#[derive(Debug)]
pub(crate) struct Grants {
    path: PathBuf,
    writing: Mutex<()>,
}

/// One thing that a person has allowed. Persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// Whose commands it is about.
    pub(crate) agent: String,
    /// The conversation it holds for; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// Exactly what it allows.
    pub(crate) command: Pattern,
    /// Who said so.
    pub(crate) by: String,
}

impl Grants {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, writing: Mutex::default() }
    }

    /// What holds for an agent in a conversation, with its scope.
    pub(crate) fn of(
        &self,
        agent: &str,
        session: Option<&str>,
    ) -> io::Result<Vec<(Pattern, &'static str)>> {
        let held = self.read()?.into_iter().filter(|grant| grant.agent == agent);
        let held = held.filter_map(|grant| match grant.session.as_deref() {
            None => Some((grant.command, "always")),
            Some(of) => (Some(of) == session).then_some((grant.command, "session")),
        });
        Ok(held.collect())
    }

    /// Adds a grant; one that is there already is not added again.
    pub(crate) fn add(&self, grant: Grant) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grants = self.read()?;
        let is_same = |other: &Grant| {
            (&other.agent, &other.session, &other.command)
                == (&grant.agent, &grant.session, &grant.command)
        };
        if grants.iter().any(is_same) {
            return Ok(());
        }
        if grants.len() >= GRANTS_MAX {
            let path = self.path.display();
            let message = format!("`{path}` holds {GRANTS_MAX} grants; take some out");
            return Err(io::Error::other(message));
        }
        grants.push(grant);
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(&grants)?)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn read(&self) -> io::Result<Vec<Grant>> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::other(format!("`{}` cannot be read: {error}", self.path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(agent: &str, session: Option<&str>, command: &str) -> Grant {
        Grant {
            agent: agent.to_owned(),
            session: session.map(str::to_owned),
            command: Pattern::parse(command).unwrap(),
            by: "ann".to_owned(),
        }
    }

    #[test]
    fn a_grant_holds_for_its_agent_and_its_session() {
        let dir = tempfile::tempdir().unwrap();
        let grants = Grants::new(dir.path().join("data/grants.json"));
        let scopes = |agent, session| -> Vec<&str> {
            grants.of(agent, session).unwrap().into_iter().map(|(_, scope)| scope).collect()
        };
        assert!(scopes("a", None).is_empty());
        grants.add(grant("a", None, "ls")).unwrap();
        grants.add(grant("a", Some("s"), "pwd")).unwrap();
        grants.add(grant("a", None, "ls")).unwrap();
        assert_eq!(scopes("a", None), ["always"]);
        assert_eq!(scopes("a", Some("s")), ["always", "session"]);
        assert_eq!(scopes("a", Some("t")), ["always"]);
        assert!(scopes("b", Some("s")).is_empty());
    }
}
