//! Chooses a provider from environment variables.
//!
//! | variable | meaning |
//! |---|---|
//! | `ANTHROPIC_API_KEY`, or `ANTHROPIC_AUTH_TOKEN` for a bearer token | use Anthropic; it comes first when both are set |
//! | `ANTHROPIC_BASE_URL`, `ANTHROPIC_MODEL` | another address, another model |
//! | `OPENAI_API_KEY` | use OpenAI, or a server that speaks its protocol |
//! | `OPENAI_BASE_URL`, `OPENAI_MODEL` | its address (with `/v1`); its model, which only OpenAI itself has a default for |

use std::sync::Arc;

use crate::anthropic::{Anthropic, AnthropicOptions};
use crate::error::Error;
use crate::openai::{Dialect, OpenAi, OpenAiOptions};
use crate::provider::Provider;
use crate::secret::Secret;

const ANTHROPIC_MODEL: &str = "claude-sonnet-5-5";
const OPENAI_MODEL: &str = "gpt-6.1-terra";

/// Is what the environment chose.
#[derive(Clone, Debug)]
pub struct FromEnv {
    pub provider: Arc<dyn Provider>,
    /// The model to ask for when an agent names none; see [`FromEnv::model`].
    default_model: Option<String>,
    base_url: String,
}

impl FromEnv {
    /// The model to ask for when an agent names none. A server of the user's own has no usual one.
    pub fn model(&self) -> Result<&str, Error> {
        self.default_model.as_deref().ok_or_else(|| {
            Error::config(
                format!("no model is named for `{}`", self.base_url),
                "set OPENAI_MODEL, or the agent's `model`, to a model that this server has",
            )
        })
    }
}

/// Reads the process's environment. Nothing set is an error that says what to set.
pub fn from_env() -> Result<FromEnv, Error> {
    from_lookup(|name| std::env::var(name).ok())
}

/// Reads variables from anywhere; one that is empty counts as not set.
pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<FromEnv, Error> {
    let chosen = match anthropic(&lookup)? {
        Some(found) => Some(found),
        None => openai(&lookup)?,
    };
    chosen.ok_or_else(|| {
        let hint = "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or use the provider `scripted`";
        Error::config("no model provider is configured", hint)
    })
}

/// Reads the variables of one provider, for an agent that names it: `anthropic` or `openai`.
pub fn from_lookup_named(
    name: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<FromEnv, Error> {
    let (found, variable) = match name {
        "anthropic" => (anthropic(&lookup)?, "ANTHROPIC_API_KEY"),
        "openai" => (openai(&lookup)?, "OPENAI_API_KEY"),
        _ => {
            let hint = "the providers are `anthropic`, `openai` and `scripted`";
            return Err(Error::config(format!("there is no provider `{name}`"), hint));
        }
    };
    found.ok_or_else(|| {
        let message = format!("the provider `{name}` has no key");
        Error::config(message, format!("set {variable}"))
    })
}

fn get(lookup: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn anthropic(lookup: &impl Fn(&str) -> Option<String>) -> Result<Option<FromEnv>, Error> {
    let get = |name| get(lookup, name);
    let options = if let Some(key) = get("ANTHROPIC_API_KEY") {
        AnthropicOptions::new(Secret::new(key))
    } else if let Some(token) = get("ANTHROPIC_AUTH_TOKEN") {
        AnthropicOptions { bearer: true, ..AnthropicOptions::new(Secret::new(token)) }
    } else {
        return Ok(None);
    };
    let base_url = get("ANTHROPIC_BASE_URL").unwrap_or_else(|| options.base_url.clone());
    let options = AnthropicOptions { base_url: base_url.clone(), ..options };
    let provider = Arc::new(Anthropic::new(options)?);
    let default_model = get("ANTHROPIC_MODEL").or_else(|| Some(ANTHROPIC_MODEL.into()));
    Ok(Some(FromEnv { provider, default_model, base_url }))
}

fn openai(lookup: &impl Fn(&str) -> Option<String>) -> Result<Option<FromEnv>, Error> {
    let get = |name| get(lookup, name);
    let Some(key) = get("OPENAI_API_KEY") else { return Ok(None) };
    let options = OpenAiOptions::new(Secret::new(key));
    let options = match get("OPENAI_BASE_URL") {
        Some(url) => options.with_base_url(url),
        None => options,
    };
    let default = (options.dialect == Dialect::OpenAi).then(|| OPENAI_MODEL.to_owned());
    let default_model = get("OPENAI_MODEL").or(default);
    let base_url = options.base_url.clone();
    Ok(Some(FromEnv { provider: Arc::new(OpenAi::new(options)?), default_model, base_url }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expect: Result<(&str, &str), &str>) {
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let found = from_lookup(lookup)
            .and_then(|found| Ok((found.provider.name().to_owned(), found.model()?.to_owned())));
        let found = found.map_err(|error| error.message().to_owned());
        let expect = expect.map(|(provider, model)| (provider.to_owned(), model.to_owned()));
        assert_eq!(found, expect.map_err(str::to_owned));
    }

    #[test]
    fn picks_what_is_set() {
        check(&[("ANTHROPIC_API_KEY", "k")], Ok(("anthropic", ANTHROPIC_MODEL)));
        check(&[("ANTHROPIC_AUTH_TOKEN", "k")], Ok(("anthropic", ANTHROPIC_MODEL)));
        check(
            &[("ANTHROPIC_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
            Ok(("anthropic", ANTHROPIC_MODEL)),
        );
        check(&[("ANTHROPIC_API_KEY", " "), ("OPENAI_API_KEY", "k")], Ok(("openai", OPENAI_MODEL)));
        check(&[("OPENAI_API_KEY", "k"), ("OPENAI_MODEL", "m")], Ok(("openai", "m")));
        let local = ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
        check(&[("OPENAI_API_KEY", "k"), local, ("OPENAI_MODEL", "m")], Ok(("openai", "m")));
        check(
            &[("OPENAI_API_KEY", "k"), local],
            Err("no model is named for `http://127.0.0.1:1/v1`"),
        );
        check(&[], Err("no model provider is configured"));
    }

    #[test]
    fn a_named_provider_is_the_one_or_none() {
        let lookup = |name: &str| (name == "OPENAI_API_KEY").then(|| "k".to_owned());
        assert_eq!(from_lookup_named("openai", lookup).unwrap().provider.name(), "openai");
        let error = from_lookup_named("anthropic", lookup).unwrap_err();
        assert_eq!(error.hint(), Some("set ANTHROPIC_API_KEY"));
        let error = from_lookup_named("gemini", lookup).unwrap_err();
        assert_eq!(error.message(), "there is no provider `gemini`");
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_the_key() {
        let lookup = |name: &str| match name {
            "ANTHROPIC_API_KEY" => Some("sesame-open".to_owned()),
            "ANTHROPIC_BASE_URL" => Some("ftp://x".to_owned()),
            _ => None,
        };
        let error = from_lookup(lookup).unwrap_err();
        assert_eq!(error.message(), "base URL `ftp://x` is not an http or https address");
        assert!(!format!("{error:?}").contains("sesame"));
    }
}
