//! Reading the arguments that several commands share.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use const_format::concatcp;
use protocol::{ResourceId, ScopeSet};
use strum::VariantNames;

use crate::audit::Action;
use crate::catalogue::Catalogue;
use crate::keys::rules::{self, Permissions, Scopes};
use crate::keys::{KeyState, ResourceIds};
use crate::paging::{MAX_LIMIT, Page, PageRequest};
use crate::time::Timestamp;
use crate::validation::Violation;

/// The scopes of an argument, separated by commas or spaces. [`within_catalogue`] checks their objects.
pub(super) fn scopes(argument: &str) -> Result<ScopeSet, Violation> {
    Ok(Scopes::parse(listed(argument)).map_err(with_help)?.into())
}

/// The ids of an argument, separated by commas or spaces. An empty argument is an error, because it may be an unset variable.
pub(super) fn resource_ids(argument: &str) -> Result<Option<Vec<ResourceId>>, Violation> {
    if listed(argument).next().is_none() {
        return Err(Violation::blank());
    }
    Ok(ResourceIds::parse(listed(argument))?.into())
}

/// The argument that removes every permission. An empty argument is an error, because it may be an unset variable.
const NONE: &str = "none";

/// The permissions of an argument: scopes, separated by commas or spaces, or `none`. [`within_catalogue`] checks their
/// objects.
pub(super) fn permissions(argument: &str) -> Result<ScopeSet, Violation> {
    let permissions = match listed(argument).collect::<Vec<_>>()[..] {
        [] => Err(Violation::blank()),
        [NONE] => Ok(Permissions::default()),
        _ => Permissions::parse(listed(argument)),
    };
    Ok(permissions.map_err(with_help)?.into())
}

/// The scopes, if each is in the catalogue or included in `held`.
pub(super) fn within_catalogue(
    scopes: ScopeSet,
    catalogue: &Catalogue,
    held: &ScopeSet,
) -> Result<ScopeSet, Violation> {
    let check = |scope| rules::within_catalogue(scope, catalogue, held);
    scopes.iter().try_for_each(check).map_err(with_help)?;
    Ok(scopes)
}

/// The permissions in the form in which an argument gives them.
pub(super) fn permissions_shown(permissions: &ScopeSet) -> String {
    if permissions.is_empty() { NONE.to_owned() } else { permissions.to_string() }
}

fn listed(argument: &str) -> impl Iterator<Item = &str> {
    argument.split([',', ' ']).filter(|text| !text.is_empty())
}

fn with_help(violation: Violation) -> Violation {
    let detail = violation.detail.trim_end_matches('.');
    Violation {
        detail: format!(
            "{detail}; `key-service scopes` lists the scopes of the catalogue, which SCOPE_CATALOGUE names"
        ),
        ..violation
    }
}

/// A moment in an argument: a time, a date, which means its beginning in UTC, or how long from now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_after(text, Timestamp::now()).ok_or_else(|| {
        "write a time such as 2030-01-31T12:00:00Z, a date such as 2030-01-31, or a duration such as 30d (h, d or w)"
            .to_owned()
    })
}

fn moment_after(text: &str, now: Timestamp) -> Option<Timestamp> {
    let time = Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")));
    time.ok().or_else(|| {
        let (number, seconds) =
            UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)))?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = number.parse::<u32>().ok().filter(|_| is_number)?.checked_mul(*seconds)?;
        Some(now.plus_seconds(seconds))
    })
}

/// The units of durations, in seconds.
const UNITS: [(&str, u32); 3] = [("h", 3_600), ("d", 86_400), ("w", 604_800)];

/// The help text about scopes.
pub(super) const SCOPES_HELP: &str =
    "A scope is * for everything, or an object with :read or :write, such as \
    insight:read; :write includes :read.
`key-service scopes` lists the objects of the catalogue.";

/// The help text about permissions.
pub(super) const PERMISSIONS_HELP: &str =
    concatcp!(SCOPES_HELP, "\nThe permission ", NONE, " means no scope.");

/// An action of the audit log, or a prefix of some.
pub(super) fn actions(text: &str) -> Result<String, String> {
    let names = Action::VARIANTS;
    if names.iter().any(|name| name.starts_with(text)) {
        return Ok(text.to_owned());
    }
    Err(format!("no action has this prefix; the actions are {}", names.join(", ")))
}

/// A state of keys by its name.
pub(super) fn state() -> impl TypedValueParser<Value = KeyState> {
    PossibleValuesParser::new(KeyState::VARIANTS).try_map(KeyState::try_from)
}

/// All results of a search, fetched page by page.
pub(super) async fn pages<T, E>(
    search: impl AsyncFn(PageRequest) -> Result<Page<T>, E>,
) -> Result<Vec<T>, E> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let found = search(PageRequest { limit: MAX_LIMIT, offset }).await?;
        let is_last = found.rows.len() < MAX_LIMIT as usize;
        all.extend(found.rows);
        if is_last {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_a_duration() {
        let now = Timestamp::parse("2030-01-31T12:00:00Z").unwrap();
        let shown = |text: &str| moment_after(text, now).map(|moment| moment.to_string());
        for (text, moment) in [
            ("2031-02-01T01:00:00+01:00", "2031-02-01T00:00:00Z"),
            ("2031-02-01", "2031-02-01T00:00:00Z"),
            ("12h", "2030-02-01T00:00:00Z"),
            ("30d", "2030-03-02T12:00:00Z"),
            ("2w", "2030-02-14T12:00:00Z"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(moment), "{text}");
        }
        for text in [
            "",
            "d",
            "30",
            "6m",
            "-1d",
            "+1d",
            "1.5d",
            "30 d",
            "30D",
            "9999999999d",
            "2031-02-30",
            "tomorrow",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
