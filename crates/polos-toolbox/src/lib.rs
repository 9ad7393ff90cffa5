//! The six tools, served from inside a sandbox.
