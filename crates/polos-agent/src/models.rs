//! Finds the provider and the model that an agent is to speak with, when it is to speak.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use polos_llm::{
    Error, FromEnv, Ledger, Ledgered, Prices, Provider, Script, Scripted, from_lookup,
};

use crate::agent::Agent;

/// The name of the model of every script.
const SCRIPTED: &str = "scripted";

/// The providers of a worker. Clones share what was opened.
#[derive(Debug, Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Option<Ledger>,
    /// For agents that name neither provider nor script.
    default: Option<Model>,
    prices: Prices,
    opened: Mutex<HashMap<Wanted, Found>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Wanted {
    Environment,
    Anthropic,
    OpenAi,
    Script(PathBuf),
}

/// What was found for agents that want the same.
#[derive(Debug, Clone)]
enum Found {
    /// A provider of the environment, which may know no model by itself.
    Environment(FromEnv),
    Model(Model),
}

/// A provider, and the model that it is asked for unless an agent says otherwise.
#[derive(Debug, Clone)]
pub struct Model {
    /// Answers the calls.
    pub provider: Arc<dyn Provider>,
    /// The model's name.
    pub name: String,
}

impl Default for Models {
    fn default() -> Self {
        Self::new(None, None, Prices::builtin())
    }
}

impl Models {
    /// Providers as the environment names them, or `default` before all others; `ledger` writes
    /// each call down as it is made.
    pub fn new(default: Option<Model>, ledger: Option<Ledger>, prices: Prices) -> Self {
        let default = default.map(|model| model.ledgered(ledger.as_ref()));
        let opened = Mutex::default();
        Self { inner: Arc::new(Inner { ledger, default, prices, opened }) }
    }

    /// The prices by which replies are charged.
    pub(crate) fn prices(&self) -> &Prices {
        &self.inner.prices
    }

    /// The provider and model of an agent. Nothing is called.
    pub fn of(&self, agent: &Agent) -> Result<Model, Error> {
        match (Wanted::of(agent), &self.inner.default) {
            (Wanted::Environment, Some(default)) => {
                Found::Model(default.clone()).named(agent.model.as_deref())
            }
            (wanted, _) => self.open(wanted)?.named(agent.model.as_deref()),
        }
    }

    fn open(&self, wanted: Wanted) -> Result<Found, Error> {
        let mut opened = self.inner.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = opened.get(&wanted) {
            return Ok(found.clone());
        }
        let found = wanted.open()?.ledgered(self.inner.ledger.as_ref());
        opened.insert(wanted, found.clone());
        Ok(found)
    }
}

impl Found {
    fn ledgered(self, ledger: Option<&Ledger>) -> Self {
        match self {
            Self::Environment(mut found) => {
                found.provider = ledgered(found.provider, ledger);
                Self::Environment(found)
            }
            Self::Model(model) => Self::Model(model.ledgered(ledger)),
        }
    }

    /// The model of this name, or else the one that is usual.
    fn named(self, name: Option<&str>) -> Result<Model, Error> {
        let name = name.map(str::to_owned);
        Ok(match self {
            Self::Environment(found) => {
                let name = name.map_or_else(|| found.model().map(str::to_owned), Ok)?;
                Model { provider: found.provider, name }
            }
            Self::Model(model) => Model { name: name.unwrap_or(model.name), ..model },
        })
    }
}

fn ledgered(provider: Arc<dyn Provider>, ledger: Option<&Ledger>) -> Arc<dyn Provider> {
    match ledger {
        Some(ledger) => Arc::new(Ledgered::new(provider, ledger.clone())),
        None => provider,
    }
}

impl Model {
    /// A model that answers from a script.
    pub fn scripted(script: Script) -> Self {
        Self { provider: Arc::new(Scripted::new(script)), name: SCRIPTED.to_owned() }
    }

    fn ledgered(self, ledger: Option<&Ledger>) -> Self {
        Self { provider: ledgered(self.provider, ledger), ..self }
    }
}

impl TryFrom<FromEnv> for Model {
    type Error = Error;

    fn try_from(found: FromEnv) -> Result<Self, Error> {
        Found::Environment(found).named(None)
    }
}

impl Wanted {
    fn of(agent: &Agent) -> Self {
        match (agent.provider.as_deref(), &agent.script) {
            (Some("anthropic"), _) => Self::Anthropic,
            (Some("openai"), _) => Self::OpenAi,
            (_, Some(script)) => Self::Script(script.clone()),
            (Some(_), None) => Self::Script(PathBuf::new()),
            (None, None) => Self::Environment,
        }
    }

    fn open(&self) -> Result<Found, Error> {
        let only = |prefix: &'static str| {
            from_lookup(move |name| std::env::var(name).ok().filter(|_| name.starts_with(prefix)))
        };
        match self {
            Self::Environment => polos_llm::from_env().map(Found::Environment),
            Self::Anthropic => only("ANTHROPIC_").map(Found::Environment),
            Self::OpenAi => only("OPENAI_").map(Found::Environment),
            Self::Script(path) => {
                Script::load(path).map(|script| Found::Model(Model::scripted(script)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_own_words_come_before_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let script = "script = \"x\"\n[[reply]]\ntext = \"hi\"\n";
        std::fs::write(dir.path().join("own.toml"), script).unwrap();
        let default = Model::scripted(Script::from_toml(script).unwrap());
        let models = Models::new(Some(default), None, Prices::builtin());
        assert_eq!(models.of(&Agent::new("a")).unwrap().name, "scripted");
        let mut own = Agent::new("b");
        own.model = Some("my-model".to_owned());
        own.script = Some(dir.path().join("own.toml"));
        assert_eq!(models.of(&own).unwrap().name, "my-model");
        own.script = Some(dir.path().join("none.toml"));
        assert!(models.of(&own).unwrap_err().message().contains("cannot read script"));
    }
}
