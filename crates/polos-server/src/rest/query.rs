//! What stands after the `?`, and ids in paths: parsed by name, with errors that name them.

use super::error::Refusal;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use polos_protocol::rest::{PAGE_ITEMS, PAGE_ITEMS_MAX};
use polos_store::read::PageRequest;
use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;

/// A parameter of a query, for the check of names and for the description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// The JSON Schema type: `string`, `integer`, `boolean`, or `array` for one that may repeat.
    pub(crate) kind: &'static str,
    pub(crate) about: &'static str,
}

/// Makes a parameter.
pub(crate) const fn parameter(
    name: &'static str,
    kind: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter { name, kind, about }
}

pub(crate) const CURSOR: Parameter =
    parameter("cursor", "string", "`next_cursor` of the page before");
pub(crate) const LIMIT: Parameter =
    parameter("limit", "integer", "how many items at the most; 50 unless given, up to 500");
/// The parameters of a list.
pub(crate) const PAGE: &[Parameter] = &[CURSOR, LIMIT];

/// The pairs of a query, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Refuses names that the route does not know: a typo must not widen a filter.
    pub(crate) fn only(&self, known: &[Parameter]) -> Result<(), Refusal> {
        for (name, _) in &self.0 {
            if !known.iter().any(|parameter| parameter.name == name) {
                let names: Vec<_> = known.iter().map(|p| format!("`{}`", p.name)).collect();
                let mut refusal = Refusal::invalid(
                    "unknown_parameter",
                    format!(
                        "there is no parameter `{}`",
                        name.chars().take(64).collect::<String>()
                    ),
                );
                refusal.body.hint = match names.len() {
                    0 => "this path takes none".into(),
                    _ => format!("there are {}", names.join(", ")),
                };
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The values of a name, repeated or separated by commas.
    pub(crate) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).filter(|value| !value.is_empty())
    }

    /// The one value of a name, if it is there.
    pub(crate) fn one<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let mut values = self.all(name);
        let Some(text) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(invalid(name, "it stands more than once"));
        }
        text.parse().map(Some).map_err(|error| invalid(name, error))
    }

    /// `cursor` and `limit`.
    pub(crate) fn page(&self) -> Result<PageRequest, Refusal> {
        let limit = self.one(LIMIT.name)?.unwrap_or(PAGE_ITEMS);
        if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
            return Err(invalid(LIMIT.name, format!("it must be 1 to {PAGE_ITEMS_MAX}")));
        }
        Ok(PageRequest { cursor: self.one(CURSOR.name)?, limit })
    }
}

/// A value that does not fit its parameter.
pub(crate) fn invalid(name: &str, why: impl Display) -> Refusal {
    Refusal::invalid("invalid_parameter", format!("the parameter `{name}`: {why}"))
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// The id or name in a path.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::invalid("invalid_path", error.to_string()))?;
        text.parse().map(Self).map_err(|error| Refusal::invalid("invalid_id", format!("{error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_repeat_or_have_commas() {
        let query = Query::parse("state=a,b&state=c&label=x%3Ay&limit=7");
        assert_eq!(query.list("state").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(query.all("label").collect::<Vec<_>>(), ["x:y"]);
        assert_eq!(query.page().unwrap().limit, 7);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let code = |text: &str| Query::parse(text).page().unwrap_err().body.code;
        assert_eq!(code("limit=0"), "invalid_parameter");
        assert_eq!(code("limit=x"), "invalid_parameter");
        assert_eq!(code("limit=1&limit=2"), "invalid_parameter");
        let refusal = Query::parse("limits=1").only(PAGE).unwrap_err();
        assert_eq!(refusal.body.code, "unknown_parameter");
        assert_eq!(refusal.body.hint, "there are `cursor`, `limit`");
    }
}
