//! What follows from the run alone: idempotency keys, fingerprints, chance.

use polos_protocol::{RunId, StepKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;

/// The key handed to a step's effect: the same over attempts, workers and machines.
pub fn idempotency_key(run: RunId, key: &StepKey, generation: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(b"polos idempotency key\0");
    hash.update(run.bytes());
    hash.update(key.as_str());
    if generation > 0 {
        hash.update(b"\0");
        hash.update(generation.to_be_bytes());
    }
    format!("polos_{}", hex(&hash.finalize()[..16]))
}

/// 32 bytes that derive from the seed, a scope, a purpose and a counter.
pub(crate) fn chance(seed: &str, scope: &str, purpose: &str, counter: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [seed, scope, purpose] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(counter.to_be_bytes());
    hash.finalize().into()
}

/// The first eight bytes as a number.
pub(crate) fn number(bytes: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_be_bytes(first)
}

/// A number as a fraction in 0..1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub(crate) fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

#[expect(clippy::cast_precision_loss, reason = "waits are far below 2^53 milliseconds")]
pub(crate) fn float(millis: u64) -> f64 {
    millis as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-integer cast saturates, which is what a wait wants"
)]
pub(crate) fn millis(float: f64) -> u64 {
    float as u64
}

/// A version 4 UUID made of derived bytes.
pub(crate) fn uuid(bytes: &[u8; 32]) -> String {
    let mut id = [0_u8; 16];
    id.copy_from_slice(&bytes[..16]);
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    let text = hex(&id);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// The SHA-256 of a text, in hex.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash by which replay compares arguments: of their canonical JSON.
pub fn fingerprint<T: Serialize + ?Sized>(args: &T) -> serde_json::Result<Arc<str>> {
    Ok(sha256_hex(&canonical(args)?)[..32].into())
}

/// JSON with sorted keys and no white space: equal values give equal texts.
pub fn canonical<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut text = String::new();
    write_canonical(&serde_json::to_value(value)?, &mut text)?;
    Ok(text)
}

fn write_canonical(value: &serde_json::Value, text: &mut String) -> serde_json::Result<()> {
    match value {
        serde_json::Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write_canonical(item, text)?;
            }
            text.push(']');
        }
        serde_json::Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            text.push('{');
            for (i, (name, field)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::to_string(name)?);
                text.push(':');
                write_canonical(field, text)?;
            }
            text.push('}');
        }
        plain => text.push_str(&serde_json::to_string(plain)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_ignore_the_order_of_keys_and_nothing_else() {
        let a: serde_json::Value =
            serde_json::from_str(r#"{"b":1,"a":[1,{"y":"","x":null}]}"#).unwrap();
        let b: serde_json::Value =
            serde_json::from_str(r#"{"a":[1,{"x":null,"y":""}],"b":1}"#).unwrap();
        assert_eq!(canonical(&a).unwrap(), r#"{"a":[1,{"x":null,"y":""}],"b":1}"#);
        assert_eq!(fingerprint(&a).unwrap(), fingerprint(&b).unwrap());
        assert_ne!(fingerprint(&a).unwrap(), fingerprint(&9_007_199_254_740_993_u64).unwrap());
    }

    #[test]
    fn idempotency_keys_depend_on_run_key_and_generation() {
        let run = RunId::from_bytes([1; 16]);
        let key = StepKey::run().child("charge", 1);
        let first = idempotency_key(run, &key, 0);
        assert_eq!(first, idempotency_key(run, &key, 0));
        assert_ne!(first, idempotency_key(run, &key, 1));
        assert_ne!(first, idempotency_key(run, &StepKey::run().child("charge", 2), 0));
        assert_ne!(first, idempotency_key(RunId::from_bytes([2; 16]), &key, 0));
    }

    #[test]
    fn uuids_have_their_form() {
        let id = uuid(&chance("ab", "", "uuid", 1));
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert_ne!(id, uuid(&chance("ab", "", "uuid", 2)));
        assert_ne!(chance("a", "b", "uuid", 1), chance("ab", "", "uuid", 1));
    }
}
