//! Who may ask: keys, the token of the data directory, and the check of `Host` and `Origin`.

mod keys;
mod origin;
mod token;

pub(crate) use keys::{ALL as SCOPES, Caller, Keys, hash_of, name_of as scope_name, new_secret};
pub(crate) use origin::Hosts;
pub use token::{Error as TokenError, FILE as TOKEN_FILE};
pub(crate) use token::{local_token, write_private};
