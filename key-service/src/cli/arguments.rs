//! What several commands make of their arguments.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::keys::KeyState;
use crate::paging::{Found, MAX_LIMIT, Page};

/// The scopes of an argument, separated by commas or spaces.
pub(super) fn scope_texts(argument: &str) -> impl Iterator<Item = &str> {
    argument.split([',', ' ']).filter(|text| !text.is_empty())
}

/// A state of keys by its name.
pub(super) fn state() -> impl TypedValueParser<Value = KeyState> {
    let names = KeyState::ALL.map(|(name, _)| name);
    PossibleValuesParser::new(names).try_map(|text| {
        let state = KeyState::ALL.into_iter().find(|(name, _)| *name == text);
        state.map(|(_, state)| state).ok_or("no such state")
    })
}

/// All that a search finds, page by page.
pub(super) async fn pages<T, E>(search: impl AsyncFn(Page) -> Result<Found<T>, E>) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let found = search(Page { limit: MAX_LIMIT, offset }).await?;
        let is_last = found.rows.len() < MAX_LIMIT as usize;
        all.extend(found.rows);
        if is_last {
            return Ok(all);
        }
    }
}
