//! Values in and out of the user's types.

use crate::error::Error;
use polos_protocol::{Failure, StepKey, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Serializes a value for the journal.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Failure> {
    Value::from_serialize(value).map_err(|cause| {
        Failure::new("value", format!("the value cannot be written as JSON: {cause}")).terminal()
    })
}

/// Reads a recorded value.
pub(crate) fn from_value<T: DeserializeOwned>(key: &StepKey, value: &Value) -> Result<T, Error> {
    value.parse().map_err(|cause| Error::Value { key: key.clone(), message: cause.to_string() })
}
