//! What may stand in the fields of a key that its owner writes.

use protocol::{InvalidScope, Scope, ScopeSet};

use crate::time::Timestamp;
use crate::validation::{FieldError, is_bidi_control};

/// The most characters of a label.
pub const MAX_LABEL_CHARS: usize = 40;

/// The longest time that a roll may leave the old value working: a week, in seconds.
pub const MAX_GRACE_S: u32 = 604_800;

/// The resources that PostHog's scopes name.
pub const SCOPE_OBJECTS: [&str; 38] = [
    "action",
    "activity_log",
    "annotation",
    "batch_export",
    "cohort",
    "comment",
    "dashboard",
    "dataset",
    "early_access_feature",
    "endpoint",
    "error_tracking",
    "evaluation",
    "event_definition",
    "experiment",
    "export",
    "feature_flag",
    "group",
    "hog_function",
    "insight",
    "integration",
    "llm_prompt",
    "logs",
    "notebook",
    "organization",
    "organization_member",
    "person",
    "plugin",
    "project",
    "property_definition",
    "query",
    "session_recording",
    "sharing_configuration",
    "subscription",
    "survey",
    "task",
    "user",
    "web_analytics",
    "webhook",
];

/// A label: 1 to [`MAX_LABEL_CHARS`] characters, white space around them removed, and none that turns the reading direction.
///
/// # Errors
/// The field `label`, and what is wrong with it.
pub fn label(text: &str) -> Result<String, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FieldError::blank("label"));
    }
    if text.chars().count() > MAX_LABEL_CHARS {
        return Err(FieldError::too_long("label", MAX_LABEL_CHARS));
    }
    if text.contains('\0') {
        let detail = "Null characters are not allowed.".to_owned();
        return Err(FieldError { field: "label", code: "null_characters_not_allowed", detail });
    }
    if text.contains(is_bidi_control) {
        return Err(FieldError::input(
            "label",
            "Characters that turn the reading direction are not allowed.",
        ));
    }
    Ok(text.to_owned())
}

/// One scope or more, each of an object that exists.
///
/// # Errors
/// The field `field`, and the first scope that is none.
pub fn scopes<'a>(
    field: &'static str,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<ScopeSet, FieldError> {
    let scopes = texts.into_iter().map(|text| scope(field, text)).collect::<Result<Vec<_>, _>>()?;
    if scopes.is_empty() {
        let detail = "This list may not be empty.".to_owned();
        return Err(FieldError { field, code: "empty", detail });
    }
    Ok(scopes.into_iter().collect())
}

/// Refuses scopes that a key's user lacks: the key would gain them on the day that the user does. `*` is never refused,
/// since it means what the user may do, now and later. Neither is what `held`, the scopes of before, include by name.
///
/// # Errors
/// The field `scopes`, and the first scope that the user lacks.
pub fn within_permissions(
    scopes: &ScopeSet,
    permissions: &ScopeSet,
    held: &ScopeSet,
) -> Result<(), FieldError> {
    let is_held = |scope: &Scope| held.iter().any(|one| *one != Scope::All && one.satisfies(scope));
    let is_lacking = |scope: &&Scope| **scope != Scope::All && !permissions.permits(scope) && !is_held(scope);
    match scopes.iter().find(is_lacking) {
        None => Ok(()),
        Some(scope) => {
            let detail = format!("The user of the key lacks this permission: {scope}");
            Err(FieldError::input("scopes", detail))
        }
    }
}

/// One scope, of an object that exists.
///
/// # Errors
/// The field `field`.
pub fn scope(field: &'static str, text: &str) -> Result<Scope, FieldError> {
    let scope = text.parse::<Scope>().ok().filter(names_an_object);
    scope.ok_or_else(|| FieldError::input(field, InvalidScope(text.to_owned()).to_string()))
}

/// What a user's keys can do at most: any scopes, even none.
///
/// # Errors
/// The field `permissions`, and the first scope that is none.
pub fn permissions<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<ScopeSet, FieldError> {
    texts.into_iter().map(|text| scope("permissions", text)).collect()
}

fn names_an_object(scope: &Scope) -> bool {
    scope.object().is_none_or(|name| SCOPE_OBJECTS.contains(&name))
}

/// A time that is still to come.
///
/// # Errors
/// The field `expires_at`.
pub fn expires_at(moment: Timestamp, now: Timestamp) -> Result<Timestamp, FieldError> {
    if moment <= now {
        return Err(FieldError::input("expires_at", "This time has passed already."));
    }
    Ok(moment)
}

/// Seconds that a roll leaves the old value working, 0 to [`MAX_GRACE_S`].
///
/// # Errors
/// The field `grace_s`.
pub fn grace_s(seconds: i64) -> Result<u32, FieldError> {
    let out_of_range = || FieldError::input("grace_s", format!("Ensure this value is 0 to {MAX_GRACE_S}."));
    u32::try_from(seconds).ok().filter(|&seconds| seconds <= MAX_GRACE_S).ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_1_to_40_characters_after_trimming() {
        assert_eq!(label("  CI  ").unwrap(), "CI");
        assert_eq!(label(&"é".repeat(40)).unwrap().chars().count(), 40);
        assert_eq!(label(&"é".repeat(41)).unwrap_err().code, "max_length");
        assert_eq!(label(" \t ").unwrap_err().code, "blank");
        assert_eq!(label("a\0b").unwrap_err().code, "null_characters_not_allowed");
    }

    #[test]
    fn a_label_reads_in_the_order_in_which_it_is_written() {
        assert_eq!(
            label("مفتاح CI").unwrap(),
            "مفتاح CI",
            "a script that is written from right to left is no control"
        );
        for control in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .chars()
        {
            assert_eq!(label(&format!("a{control}b")).unwrap_err().field, "label", "{control:?}");
        }
    }

    #[test]
    fn scopes_name_objects_that_exist() {
        assert_eq!(scopes("scopes", ["insight:read", "webhook:write", "*"]).unwrap().iter().count(), 3);
        let refused = |texts: &[&str]| scopes("scopes", texts.iter().copied()).unwrap_err();
        assert_eq!(refused(&["insight:read", "unicorn:read"]).detail, "Invalid scope: unicorn:read");
        assert_eq!(refused(&["insight:admin"]).detail, "Invalid scope: insight:admin");
        assert_eq!(refused(&[]).code, "empty");
    }

    #[test]
    fn a_key_has_no_scope_that_its_user_lacks_unless_it_had_it_before() {
        let set = |texts: &str| ScopeSet::parse(texts.split_whitespace()).unwrap();
        let check = |scopes: &str, permissions: &str, held: &str| {
            within_permissions(&set(scopes), &set(permissions), &set(held)).map_err(|invalid| invalid.detail)
        };
        assert_eq!(check("insight:read cohort:read", "insight:write cohort:read", ""), Ok(()));
        let lacks = |scope: &str| Err(format!("The user of the key lacks this permission: {scope}"));
        assert_eq!(check("insight:write", "insight:read", ""), lacks("insight:write"));
        assert_eq!(check("insight:read person:read", "insight:read", ""), lacks("person:read"));
        assert_eq!(check("*", "", ""), Ok(()), "what the user may do, which is nothing now");
        assert_eq!(check("person:read", "", "person:write"), Ok(()));
        assert_eq!(check("person:read", "insight:read", "*"), lacks("person:read"));
    }

    #[test]
    fn a_grace_is_a_week_at_most() {
        assert_eq!(grace_s(604_800), Ok(604_800));
        assert!(grace_s(604_801).is_err() && grace_s(-1).is_err());
    }

    #[test]
    fn an_expiry_is_in_the_future() {
        let now = Timestamp::from_unix_ms(1_000);
        assert!(expires_at(now, now).is_err());
        assert!(expires_at(Timestamp::from_unix_ms(1_001), now).is_ok());
    }
}
