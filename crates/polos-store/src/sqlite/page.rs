//! Pages by cursor: lists go from the newest time and id down; a cursor is the last row's place.

use crate::error::ReadError;
use crate::read::{PageOf, PageRequest};

/// How many items the page has at most; one at least, so that a list always moves.
pub(super) fn limit(request: &PageRequest) -> usize {
    usize::try_from(request.limit.max(1)).unwrap_or(usize::MAX - 1)
}

/// The place after which the page begins.
pub(super) fn cursor(request: &PageRequest) -> Result<Option<(i64, String)>, ReadError> {
    let Some(text) = &request.cursor else { return Ok(None) };
    let place = text.split_once('.').and_then(|(time, id)| Some((time.parse().ok()?, id)));
    match place {
        Some((time, id)) => Ok(Some((time, id.to_owned()))),
        None => Err(ReadError::Cursor(text.chars().take(64).collect())),
    }
}

/// Cuts one row too many off, and says where the next page begins.
pub(super) fn cut<T>(
    mut items: Vec<T>,
    limit: usize,
    place: impl Fn(&T) -> (u64, String),
) -> PageOf<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(place);
    PageOf { items, next_cursor: last.map(|(time, id)| format!("{time}.{id}")) }
}
