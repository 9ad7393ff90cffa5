//! Values in and out of the user's types.

mod finite;

use crate::error::Error;
use polos_protocol::{Failure, StepKey, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Serializes a value for the journal. What would not come back as it was is refused.
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Failure> {
    let written = Value::from_serialize(value).map_err(|cause| refused(&cause))?;
    // Only a value that holds a `null` can hold a number that JSON has no word for.
    if written.text().is_some_and(|text| text.contains("null")) {
        finite::check(value).map_err(|cause| refused(&cause))?;
    }
    Ok(written)
}

fn refused(cause: &dyn std::error::Error) -> Failure {
    Failure::new("value", format!("the value cannot be written as JSON: {cause}")).terminal()
}

/// Reads a recorded value.
pub(crate) fn from_value<T: DeserializeOwned>(key: &StepKey, value: &Value) -> Result<T, Error> {
    value.parse().map_err(|cause| Error::Value { key: key.clone(), message: cause.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn values_come_back_as_they_were_or_are_refused() {
        #[derive(Serialize)]
        struct Deep {
            inner: BTreeMap<&'static str, Option<Vec<f64>>>,
        }
        let deep = |numbers| Deep { inner: BTreeMap::from([("a", numbers), ("b", None)]) };
        assert!(to_value(&deep(Some(vec![1.5]))).is_ok());
        assert!(to_value(&deep(Some(vec![1.5, f64::NAN]))).is_err());
        assert!(to_value(&f32::INFINITY).is_err());
        assert_eq!(to_value(&Some(())).unwrap().text(), Some("null"));
        assert_eq!(to_value("null").unwrap().text(), Some("\"null\""));
        assert_eq!(to_value(&u64::MAX).unwrap().parse::<u64>().unwrap(), u64::MAX);
        assert_eq!(to_value(&i64::MIN).unwrap().parse::<i64>().unwrap(), i64::MIN);
    }
}
