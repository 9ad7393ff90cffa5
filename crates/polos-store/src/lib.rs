//! The rows of Polos: one trait, SQLite underneath.
