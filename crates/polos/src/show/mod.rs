//! How things look in a terminal: widths, times, sizes, tables, colour. It never prints; the
//! commands do.

pub(crate) mod amount;
pub(crate) mod json;
pub(crate) mod moment;
pub(crate) mod paint;
pub(crate) mod table;
pub(crate) mod text;
