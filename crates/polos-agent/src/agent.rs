//! An agent as data: what it is, not how it runs. The same form is read from files and built in
//! Rust; [`Agent::check`] says what is wrong with it before anything runs.

use std::path::PathBuf;

use polos_llm::{CacheFor, Effort, Thinking};
use polos_sandbox::config::{Environment, Scope, ToolsConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 64;
/// How many turns an agent takes unless it says otherwise.
pub(crate) const TURNS_DEFAULT: u32 = 50;
/// How long an agent may take unless it says otherwise, in seconds; waiting for people is free.
const SECONDS_MAX: u64 = 30 * 24 * 3600;

/// An agent: a model with instructions, tools and limits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its name, unique in the namespace: lower-case letters, digits, `-` and `_`.
    #[serde(default)]
    pub id: String,
    /// One line for people, and for models that may call it as a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `anthropic`, `openai` or `scripted`; what the environment names if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The file of replies, for the provider `scripted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<PathBuf>,
    /// The model; the provider's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The instructions. They are sent first and never change within a conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// `sandbox` (all six), one of the six by name, `ask_user`, `agent:NAME`, or a tool that the
    /// worker has registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The JSON Schema that the answer must follow; the answer is plain text if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// When it must stop.
    #[serde(default)]
    pub limits: Limits,
    /// What is asked of the model besides.
    #[serde(default)]
    pub options: ModelOptions,
    /// The box that the six tools work in, and what may be done there without a person.
    #[serde(default)]
    pub sandbox: ToolsConfig,
    /// The queue of its runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// What an error that nobody caught does: by default a root run blocks and a child fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
}

/// What an error that nobody caught does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It blocks and needs a person.
    Block,
    /// It fails.
    Fail,
}

/// When an agent must stop. A limit that is reached fails the run with the code `limit_reached`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Turns of the model; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// Tokens in and out, over all turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money over all turns. Only a model with a known price can be held to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dollars: Option<f64>,
    /// Seconds since the run began to work, by the journal's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What is asked of the model besides the conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub thinking: Thinking,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// How long the provider is to keep the prompt's prefix.
    #[serde(default)]
    pub cache: CacheFor,
}

/// What is wrong with an agent: which field, why, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {message}\nhint: {hint}")]
pub struct Invalid {
    /// The field, as a path such as `limits.turns`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: String,
}

fn invalid(field: &str, message: impl Into<String>, hint: impl Into<String>) -> Invalid {
    Invalid { field: field.to_owned(), message: message.into(), hint: hint.into() }
}

/// The six tools of the sandbox, in their order.
pub(crate) const SANDBOX_TOOLS: [&str; 6] = ["exec", "read", "write", "edit", "glob", "grep"];

impl Agent {
    /// An agent with a name and nothing else; the environment chooses provider and model.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Says what the agent does, in one line.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Sets provider and model.
    #[must_use]
    pub fn model(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self.model = Some(model.into());
        self
    }

    /// Sets the instructions.
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.system = text.into();
        self
    }

    /// Sets the tools, by name.
    #[must_use]
    pub fn tools(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tools = names.into_iter().map(Into::into).collect();
        self
    }

    /// Demands an answer that follows a JSON Schema.
    #[must_use]
    pub fn output(mut self, schema: Value) -> Self {
        self.output = Some(schema);
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets commands that fit a pattern run without a person.
    #[must_use]
    pub fn allow(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.sandbox.exec.allowlist = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// The tools' names, with `sandbox` spelled out, each once, in order.
    pub fn tool_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let spelled = self.tools.iter().flat_map(|name| match name.as_str() {
            "sandbox" => SANDBOX_TOOLS.to_vec(),
            other => vec![other],
        });
        for name in spelled {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// True if any of its tools works in a sandbox.
    pub fn uses_sandbox(&self) -> bool {
        self.tool_names().iter().any(|name| SANDBOX_TOOLS.contains(name))
    }

    /// Says the first thing that is wrong with the definition.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_id()?;
        self.check_provider()?;
        self.check_tools()?;
        self.check_limits()?;
        self.check_options()?;
        self.check_sandbox()?;
        self.check_output()
    }

    fn check_id(&self) -> Result<(), Invalid> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = self.id.len() <= ID_BYTES_MAX
            && self.id.bytes().next().is_some_and(fits)
            && self.id.bytes().all(|b| fits(b) || b == b'-' || b == b'_');
        let hint = "use 1 to 64 of a-z, 0-9, `-` and `_`, beginning with a letter or digit";
        if good { Ok(()) } else { Err(invalid("id", format!("is `{}`", self.id), hint)) }
    }

    fn check_provider(&self) -> Result<(), Invalid> {
        let known = [None, Some("anthropic"), Some("openai"), Some("scripted")];
        if !known.contains(&self.provider.as_deref()) {
            let name = self.provider.as_deref().unwrap_or_default();
            let hint = "use `anthropic`, `openai` or `scripted`, or leave it out to let the \
                        environment choose";
            return Err(invalid("provider", format!("is `{name}`, which is not known"), hint));
        }
        match (self.provider.as_deref(), &self.script) {
            (Some("scripted") | None, _) | (Some(_), None) => Ok(()),
            (Some(name), Some(_)) => Err(invalid(
                "script",
                format!("is set, but the provider is `{name}`"),
                "set `provider = \"scripted\"`, or leave `script` out",
            )),
        }
    }

    fn check_tools(&self) -> Result<(), Invalid> {
        for name in &self.tools {
            let plain = name.strip_prefix("agent:").unwrap_or(name);
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if plain.is_empty() || plain.len() > ID_BYTES_MAX || !plain.chars().all(fits) {
                let hint = "name `sandbox`, one of its six tools, `ask_user`, `agent:NAME`, or a \
                            tool that the worker registers";
                return Err(invalid("tools", format!("names `{name}`"), hint));
            }
            if plain == self.id && name.starts_with("agent:") {
                let hint = "let it call another agent";
                return Err(invalid("tools", format!("lets `{plain}` call itself"), hint));
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Invalid> {
        let hint = "give a number from 1, or leave it out";
        let zero = [
            ("limits.turns", self.limits.turns == Some(0)),
            ("limits.tokens", self.limits.tokens == Some(0)),
            ("limits.seconds", self.limits.seconds == Some(0)),
        ];
        if let Some((field, _)) = zero.iter().find(|(_, is_zero)| *is_zero) {
            return Err(invalid(field, "is 0", hint));
        }
        if self.limits.seconds.is_some_and(|seconds| seconds > SECONDS_MAX) {
            return Err(invalid("limits.seconds", "is above 30 days", "give a smaller number"));
        }
        match self.limits.dollars {
            Some(dollars) if !(dollars.is_finite() && dollars > 0.0) => Err(invalid(
                "limits.dollars",
                format!("is {dollars}"),
                "give an amount above 0, such as 2.50, or leave it out",
            )),
            _ => Ok(()),
        }
    }

    fn check_options(&self) -> Result<(), Invalid> {
        if self.options.max_tokens == Some(0) {
            let hint = "give a number from 1, or leave it out";
            return Err(invalid("options.max_tokens", "is 0", hint));
        }
        match self.options.temperature {
            Some(t) if !(0.0..=2.0).contains(&t) => {
                Err(invalid("options.temperature", format!("is {t}"), "give 0 to 2"))
            }
            _ => Ok(()),
        }
    }

    fn check_sandbox(&self) -> Result<(), Invalid> {
        self.sandbox.exec_policy().map_err(|error| {
            let hint = "mend the pattern, or leave it out";
            invalid("sandbox.exec.allowlist", error.to_string(), hint)
        })?;
        let files = &self.sandbox.files;
        let relative = |path: &&String| !path.starts_with('/');
        if let Some(path) = files.read_paths.iter().chain(&files.write_paths).find(relative) {
            let message = format!("names `{path}`, which is not absolute");
            return Err(invalid("sandbox.files", message, "write the path from `/` on"));
        }
        if self.sandbox.env != Environment::Local {
            let hint = "use `local`; other environments are not in this build";
            return Err(invalid("sandbox.env", "is not `local`", hint));
        }
        match &self.sandbox.scope {
            Scope::Named(name) if name.trim().is_empty() => {
                Err(invalid("sandbox.scope", "names nothing", "give the name that the runs share"))
            }
            _ => Ok(()),
        }
    }

    fn check_output(&self) -> Result<(), Invalid> {
        let Some(output) = &self.output else { return Ok(()) };
        schema::check(output).map_err(|wrong| {
            let field = format!("output{}", wrong.path);
            invalid(&field, wrong.message, "use type, properties, required, items, enum and limits")
        })
    }

    /// How many turns it may take.
    pub fn turns_max(&self) -> u32 {
        self.limits.turns.unwrap_or(TURNS_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(change: impl FnOnce(&mut Agent), expect: &str) {
        let mut agent = Agent::new("a");
        change(&mut agent);
        let said = agent.check().map_or_else(|error| error.to_string(), |()| String::new());
        assert!(said.starts_with(expect) && said.is_empty() == expect.is_empty(), "{said}");
    }

    #[test]
    fn says_which_field_is_wrong() {
        check(|_| {}, "");
        check(|a| a.id = "Über".into(), "`id` is `Über`");
        check(|a| a.provider = Some("acme".into()), "`provider` is `acme`");
        check(|a| a.limits.turns = Some(0), "`limits.turns` is 0");
        check(|a| a.limits.dollars = Some(f64::NAN), "`limits.dollars` is NaN");
        check(|a| a.options.temperature = Some(3.0), "`options.temperature` is 3");
        check(|a| a.tools = vec!["agent:a".into()], "`tools` lets `a` call itself");
        check(|a| a.tools = vec!["a b".into()], "`tools` names `a b`");
        check(|a| a.sandbox.exec.allowlist = vec![String::new()], "`sandbox.exec.allowlist`");
        check(|a| a.sandbox.files.read_paths = vec!["lib".into()], "`sandbox.files` names `lib`");
        check(|a| a.sandbox.scope = Scope::Named(String::new()), "`sandbox.scope` names nothing");
        check(|a| a.sandbox.env = Environment::Docker, "`sandbox.env` is not `local`");
        check(|a| a.output = Some(json!({"type": "text"})), "`output.type`");
    }

    #[test]
    fn spells_the_sandbox_out_once() {
        let agent = Agent::new("a").tools(["ask_user", "sandbox", "read"]);
        let names = ["ask_user", "exec", "read", "write", "edit", "glob", "grep"];
        assert_eq!(agent.tool_names(), names);
        assert!(agent.uses_sandbox());
        assert!(!Agent::new("a").tools(["ask_user"]).uses_sandbox());
    }
}
