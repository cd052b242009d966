//! The rules for the fields that the owner of a key sets. Each rule is a type that has only valid values.

use std::borrow::Cow;

use deserr::Deserr;
use protocol::{InvalidScope, Scope, ScopeSet};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::time::Timestamp;
use crate::validation::{FieldErrors, Violation};

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

/// A scope of an object that exists, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(try_from(String) = KnownScope::try_from -> Violation)]
pub struct KnownScope(Scope);

impl TryFrom<String> for KnownScope {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        let names_an_object = |scope: &Scope| scope.object().is_none_or(|name| SCOPE_OBJECTS.contains(&name));
        let scope = text.parse::<Scope>().ok().filter(names_an_object);
        scope.map(KnownScope).ok_or_else(|| Violation::input(InvalidScope(text).to_string()))
    }
}

impl From<KnownScope> for Scope {
    fn from(scope: KnownScope) -> Scope {
        scope.0
    }
}

impl ToSchema for KnownScope {
    fn name() -> Cow<'static, str> {
        "Scope".into()
    }
}

impl PartialSchema for KnownScope {
    fn schema() -> RefOr<Schema> {
        let of_objects =
            SCOPE_OBJECTS.iter().flat_map(|object| [format!("{object}:read"), format!("{object}:write")]);
        let names = std::iter::once("*".to_owned()).chain(of_objects);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

/// What a key may do: one scope or more.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(Vec<KnownScope>) = Scopes::try_from -> Violation)]
#[schema(value_type = Vec<KnownScope>, min_items = 1, examples(json!(["insight:read"])))]
pub struct Scopes(ScopeSet);

impl TryFrom<Vec<KnownScope>> for Scopes {
    type Error = Violation;

    fn try_from(scopes: Vec<KnownScope>) -> Result<Self, Violation> {
        if scopes.is_empty() {
            return Err(Violation::empty());
        }
        Ok(Scopes(scopes.into_iter().map(Scope::from).collect()))
    }
}

impl Scopes {
    /// Reads scopes from their texts.
    ///
    /// # Errors
    /// The first text that is not a scope, or that there is no text.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        known(texts)?.try_into()
    }
}

impl From<Scopes> for ScopeSet {
    fn from(scopes: Scopes) -> ScopeSet {
        scopes.0
    }
}

/// A user's permissions, which limit every key of the user: any scopes, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(from(Vec<KnownScope>) = Permissions::from, error = FieldErrors)]
#[schema(value_type = Vec<KnownScope>)]
pub struct Permissions(ScopeSet);

impl From<Vec<KnownScope>> for Permissions {
    fn from(scopes: Vec<KnownScope>) -> Self {
        Permissions(scopes.into_iter().map(Scope::from).collect())
    }
}

impl Permissions {
    /// Reads permissions from their texts.
    ///
    /// # Errors
    /// The first text that is not a scope.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        Ok(known(texts)?.into())
    }
}

impl From<Permissions> for ScopeSet {
    fn from(permissions: Permissions) -> ScopeSet {
        permissions.0
    }
}

fn known<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<KnownScope>, Violation> {
    texts.into_iter().map(|text| KnownScope::try_from(text.to_owned())).collect()
}

/// Refuses scopes that a key's user lacks, because the key would gain them as soon as the user does. `*` is never refused,
/// because it means everything that the user may do, now and later. Scopes that `held`, the earlier scopes, include by name
/// are not refused either.
///
/// # Errors
/// The first scope that the user lacks.
pub fn within_permissions(
    scopes: &ScopeSet,
    permissions: &ScopeSet,
    held: &ScopeSet,
) -> Result<(), Violation> {
    let is_held = |scope: &Scope| held.iter().any(|one| *one != Scope::All && one.satisfies(scope));
    let is_lacking = |scope: &&Scope| **scope != Scope::All && !permissions.permits(scope) && !is_held(scope);
    match scopes.iter().find(is_lacking) {
        None => Ok(()),
        Some(scope) => Err(Violation::input(format!("The owner of the key lacks this permission: {scope}"))),
    }
}

/// When a key or a management token expires: a time in the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2099-01-31T12:00:00Z"))]
pub struct Expiry(Timestamp);

impl Expiry {
    /// An expiry at this moment, which must be after `now`.
    ///
    /// # Errors
    /// The moment is not after `now`.
    pub fn new(moment: Timestamp, now: Timestamp) -> Result<Self, Violation> {
        if moment <= now {
            return Err(Violation::input("This time has passed already."));
        }
        Ok(Expiry(moment))
    }
}

impl From<Expiry> for Timestamp {
    fn from(expiry: Expiry) -> Timestamp {
        expiry.0
    }
}

/// How long a roll leaves the old value working, in seconds: a week at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(i64) = GraceSeconds::try_from -> Violation)]
#[schema(value_type = u32, minimum = 0, maximum = 604800)]
pub struct GraceSeconds(u32);

impl TryFrom<i64> for GraceSeconds {
    type Error = Violation;

    fn try_from(seconds: i64) -> Result<Self, Violation> {
        let seconds = u32::try_from(seconds).ok().filter(|&seconds| seconds <= MAX_GRACE_S);
        seconds.map(GraceSeconds).ok_or_else(|| Violation::out_of_range(0, MAX_GRACE_S))
    }
}

impl From<GraceSeconds> for u32 {
    fn from(GraceSeconds(seconds): GraceSeconds) -> u32 {
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_name_objects_that_exist() {
        assert_eq!(Scopes::parse(["insight:read", "webhook:write", "*"]).unwrap().0.iter().count(), 3);
        let refused = |texts: &[&str]| Scopes::parse(texts.iter().copied()).unwrap_err();
        assert_eq!(refused(&["insight:read", "unicorn:read"]).detail, "Invalid scope: unicorn:read");
        assert_eq!(refused(&["insight:admin"]).detail, "Invalid scope: insight:admin");
        assert_eq!(refused(&[]).code, "empty");
    }

    #[test]
    fn a_key_has_no_scope_that_its_user_lacks_unless_it_had_it_before() {
        let set = |texts: &str| ScopeSet::parse(texts.split_whitespace()).unwrap();
        let check = |scopes: &str, permissions: &str, held: &str| {
            within_permissions(&set(scopes), &set(permissions), &set(held))
                .map_err(|violation| violation.detail)
        };
        assert_eq!(check("insight:read cohort:read", "insight:write cohort:read", ""), Ok(()));
        let lacks = |scope: &str| Err(format!("The owner of the key lacks this permission: {scope}"));
        assert_eq!(check("insight:write", "insight:read", ""), lacks("insight:write"));
        assert_eq!(check("insight:read person:read", "insight:read", ""), lacks("person:read"));
        assert_eq!(check("*", "", ""), Ok(()), "what the user may do, which is nothing now");
        assert_eq!(check("person:read", "", "person:write"), Ok(()));
        assert_eq!(check("person:read", "insight:read", "*"), lacks("person:read"));
    }

    #[test]
    fn a_grace_period_is_at_most_a_week() {
        assert_eq!(GraceSeconds::try_from(604_800).map(u32::from), Ok(604_800));
        assert!(GraceSeconds::try_from(604_801).is_err() && GraceSeconds::try_from(-1).is_err());
    }

    #[test]
    fn an_expiry_is_in_the_future() {
        let now = Timestamp::from_unix_ms(1_000);
        assert!(Expiry::new(now, now).is_err());
        assert!(Expiry::new(Timestamp::from_unix_ms(1_001), now).is_ok());
    }
}
