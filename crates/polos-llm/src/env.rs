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
    /// The model to ask for when an agent names none.
    pub model: String,
}

/// Reads the process's environment. Nothing set is an error that says what to set.
pub fn from_env() -> Result<FromEnv, Error> {
    from_lookup(|name| std::env::var(name).ok())
}

/// Reads variables from anywhere; one that is empty counts as not set.
pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<FromEnv, Error> {
    let get = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    if let Some(key) = get("ANTHROPIC_API_KEY") {
        return anthropic(AnthropicOptions::new(Secret::new(key)), &get);
    }
    if let Some(token) = get("ANTHROPIC_AUTH_TOKEN") {
        let options = AnthropicOptions::new(Secret::new(token));
        return anthropic(AnthropicOptions { bearer: true, ..options }, &get);
    }
    if let Some(key) = get("OPENAI_API_KEY") {
        return openai(OpenAiOptions::new(Secret::new(key)), &get);
    }
    Err(Error::config(
        "no model provider is configured",
        "set ANTHROPIC_API_KEY or OPENAI_API_KEY, or use the provider `scripted`",
    ))
}

fn anthropic(
    options: AnthropicOptions,
    get: &impl Fn(&str) -> Option<String>,
) -> Result<FromEnv, Error> {
    let base_url = get("ANTHROPIC_BASE_URL").unwrap_or_else(|| options.base_url.clone());
    let provider = Anthropic::new(AnthropicOptions { base_url, ..options })?;
    let model = get("ANTHROPIC_MODEL").unwrap_or_else(|| ANTHROPIC_MODEL.into());
    Ok(FromEnv { provider: Arc::new(provider), model })
}

fn openai(options: OpenAiOptions, get: &impl Fn(&str) -> Option<String>) -> Result<FromEnv, Error> {
    let options = match get("OPENAI_BASE_URL") {
        Some(url) => options.with_base_url(url),
        None => options,
    };
    let default = (options.dialect == Dialect::OpenAi).then(|| OPENAI_MODEL.to_owned());
    let model = get("OPENAI_MODEL").or(default).ok_or_else(|| {
        Error::config(
            format!("no model is named for `{}`", options.base_url),
            "set OPENAI_MODEL to a model that this server has",
        )
    })?;
    Ok(FromEnv { provider: Arc::new(OpenAi::new(options)?), model })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)], expect: Result<(&str, &str), &str>) {
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let found = from_lookup(lookup);
        let found = found.as_ref().map(|found| (found.provider.name(), found.model.as_str()));
        assert_eq!(
            found.map_err(|error| error.message().to_owned()),
            expect.map_err(str::to_owned)
        );
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
