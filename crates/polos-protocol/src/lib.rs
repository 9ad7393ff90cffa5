//! Ids, values, frames and REST types: the one language both towers speak.
