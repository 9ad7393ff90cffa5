//! Between columns and types: how ids, numbers, JSON and values stand in the database, and how a
//! row that does not read back is named.

use crate::error::ReadError;
use polos_protocol::{Failure, Value};
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{Connection, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// A number as stored. The database has 63 bits: what is above (a timer that is never due) is kept
/// as the highest number there is.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Data as JSON text. Maps have text keys throughout, so this fails for none of our types.
pub(super) fn json<T: Serialize>(data: &T) -> rusqlite::Result<String> {
    serde_json::to_string(data)
        .map_err(|cause| rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}

/// JSON text, if there is any data.
pub(super) fn json_opt<T: Serialize>(data: Option<&T>) -> rusqlite::Result<Option<String>> {
    data.map(json).transpose()
}

/// The column `envelope` of a value: null for plain inline JSON.
pub(super) fn envelope(value: &Value) -> rusqlite::Result<Option<String>> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a polos_protocol::value::BlobRef>,
        #[serde(skip_serializing_if = "Option::is_none")]
        codec: Option<&'a str>,
    }
    if value.text().is_some() && value.reference().is_none() && value.codec().is_none() {
        return Ok(None);
    }
    json(&Envelope { reference: value.reference(), codec: value.codec() }).map(Some)
}

/// A column that does not hold what was written.
#[derive(Debug)]
pub(super) struct Misfit {
    column: String,
    cause: String,
}

/// Reads the columns of a row from left to right.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Columns<'r> {
    fn misfit(&self, cause: impl Display) -> Misfit {
        let column = self.row.as_ref().column_name(self.next - 1).unwrap_or("?").to_owned();
        Misfit { column, cause: cause.to_string() }
    }

    /// The next column as the database has it.
    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, Misfit> {
        self.next += 1;
        self.row.get(self.next - 1).map_err(|cause| self.misfit(cause))
    }

    fn text(&mut self) -> Result<Option<&'r str>, Misfit> {
        self.next += 1;
        let column = self.row.get_ref(self.next - 1).map_err(|cause| self.misfit(cause))?;
        column.as_str_or_null().map_err(|cause| self.misfit(cause))
    }

    fn some_text(&mut self) -> Result<&'r str, Misfit> {
        self.text()?.ok_or_else(|| self.misfit("it is null"))
    }

    /// Passes over columns.
    pub(super) fn skip(&mut self, count: usize) -> &mut Self {
        self.next += count;
        self
    }

    /// A number.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, Misfit> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| self.misfit(format_args!("{number} is out of range")))
    }

    /// A number that may be absent.
    pub(super) fn number_opt<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, Misfit> {
        let Some(number) = self.get::<Option<i64>>()? else { return Ok(None) };
        T::try_from(number)
            .map(Some)
            .map_err(|_| self.misfit(format_args!("{number} is out of range")))
    }

    /// Something with a text form: an id, a namespace.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, Misfit> {
        self.some_text()?.parse().map_err(|cause| self.misfit(cause))
    }

    /// The same, if it is there.
    pub(super) fn parsed_opt<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, Misfit> {
        self.text()?.map(str::parse).transpose().map_err(|cause| self.misfit(cause))
    }

    /// One of a set of names.
    pub(super) fn named<T>(&mut self, from_name: fn(&str) -> Option<T>) -> Result<T, Misfit> {
        let name = self.some_text()?;
        from_name(name).ok_or_else(|| self.misfit(format_args!("`{name}` is not known")))
    }

    /// One of a set of numbers.
    pub(super) fn numbered<T>(&mut self, from: fn(u8) -> Option<T>) -> Result<T, Misfit> {
        let number = self.number()?;
        from(number).ok_or_else(|| self.misfit(format_args!("{number} is not known")))
    }

    /// Text that is wrapped.
    pub(super) fn wrapped<T>(&mut self, wrap: fn(&str) -> T) -> Result<T, Misfit> {
        self.some_text().map(wrap)
    }

    /// Text that is wrapped, if it is there.
    pub(super) fn wrapped_opt<T>(&mut self, wrap: fn(&str) -> T) -> Result<Option<T>, Misfit> {
        Ok(self.text()?.map(wrap))
    }

    /// Data as JSON.
    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, Misfit> {
        serde_json::from_str(self.some_text()?).map_err(|cause| self.misfit(cause))
    }

    /// A recorded error.
    pub(super) fn failure(&mut self) -> Result<Option<Failure>, Misfit> {
        self.text()?.map(serde_json::from_str).transpose().map_err(|cause| self.misfit(cause))
    }

    /// JSON that stays text.
    pub(super) fn raw(&mut self) -> Result<Option<Arc<RawValue>>, Misfit> {
        let Some(text) = self.text()? else { return Ok(None) };
        RawValue::from_string(text.to_owned())
            .map(|raw| Some(raw.into()))
            .map_err(|cause| self.misfit(cause))
    }

    /// A value: the columns `envelope` and the text after it.
    pub(super) fn value(&mut self) -> Result<Value, Misfit> {
        self.value_opt()?.ok_or_else(|| self.misfit("there is neither a text nor an envelope"))
    }

    /// A value, if there is one.
    pub(super) fn value_opt(&mut self) -> Result<Option<Value>, Misfit> {
        let envelope = self.text()?;
        let envelope: Option<Value> =
            envelope.map(serde_json::from_str).transpose().map_err(|cause| self.misfit(cause))?;
        let Some(text) = self.text()? else { return Ok(envelope) };
        let value = Value::from_text(text).map_err(|cause| self.misfit(cause))?;
        Ok(Some(match envelope.as_ref().and_then(Value::codec) {
            Some(codec) => value.with_codec(codec),
            None => value,
        }))
    }
}

/// The only column of a row, as a number.
pub(super) fn only_number<T: TryFrom<i64>>(columns: &mut Columns<'_>) -> Result<T, Misfit> {
    columns.number()
}

/// The only column of a row, as something with a text form.
pub(super) fn only_parsed<T: FromStr<Err: Display>>(
    columns: &mut Columns<'_>,
) -> Result<T, Misfit> {
    columns.parsed()
}

/// Wraps text to be shared.
pub(super) fn shared(text: &str) -> Arc<str> {
    text.into()
}

/// A statement that reads: the table's name and its first selected columns name a damaged row.
pub(super) struct Query<'c> {
    pub(super) connection: &'c Connection,
    pub(super) table: &'static str,
    pub(super) key_len: usize,
    pub(super) sql: &'c str,
}

impl Query<'_> {
    /// All rows.
    pub(super) fn all<T>(
        &self,
        params: impl Params,
        decode: impl Fn(&mut Columns<'_>) -> Result<T, Misfit>,
    ) -> Result<Vec<T>, ReadError> {
        let mut found = Vec::new();
        self.each(params, decode, |row| {
            found.push(row);
            true
        })?;
        Ok(found)
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        params: impl Params,
        decode: impl Fn(&mut Columns<'_>) -> Result<T, Misfit>,
    ) -> Result<Option<T>, ReadError> {
        let mut found = None;
        self.each(params, decode, |row| {
            found = Some(row);
            false
        })?;
        Ok(found)
    }

    /// Row after row, for as long as `take` wants more.
    pub(super) fn each<T>(
        &self,
        params: impl Params,
        decode: impl Fn(&mut Columns<'_>) -> Result<T, Misfit>,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), ReadError> {
        let mut statement = self.connection.prepare_cached(self.sql).map_err(unreadable)?;
        let mut rows = statement.query(params).map_err(unreadable)?;
        while let Some(row) = rows.next().map_err(unreadable)? {
            let decoded = decode(&mut Columns { row, next: 0 })
                .map_err(|misfit| self.damaged(row, &misfit))?;
            if !take(decoded) {
                break;
            }
        }
        Ok(())
    }

    /// Says of each row that does not read back what is wrong, up to so many in all.
    pub(super) fn damages(
        &self,
        decode: fn(&mut Columns<'_>) -> Result<(), Misfit>,
        findings: &mut Vec<String>,
        findings_max: usize,
    ) {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(self.sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Err(misfit) = decode(&mut Columns { row, next: 0 }) {
                    findings.push(self.damaged(row, &misfit).to_string());
                }
                if findings.len() >= findings_max {
                    break;
                }
            }
            Ok(())
        };
        if let Err(cause) = read() {
            findings.push(format!("{}: {cause}", self.table));
        }
    }

    fn damaged(&self, row: &Row<'_>, misfit: &Misfit) -> ReadError {
        let key: Vec<_> = (0..self.key_len)
            .map(|index| match row.get_ref(index) {
                Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
                Ok(ValueRef::Integer(number)) => number.to_string(),
                _ => "?".to_owned(),
            })
            .collect();
        let message = format!("`{}`: {}", misfit.column, misfit.cause);
        ReadError::Damaged { row: format!("{} {}", self.table, key.join("/")), message }
    }
}

/// What a failed statement means to whoever reads.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn unreadable(cause: rusqlite::Error) -> ReadError {
    ReadError::Database(cause.to_string())
}
