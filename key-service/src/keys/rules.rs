//! The rules for the fields that the owner of a key sets. Each rule is a type that has only valid values.

use std::borrow::Cow;

use deserr::Deserr;
use protocol::{InvalidScope, Scope, ScopeSet};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::catalogue::Catalogue;
use crate::time::Timestamp;
use crate::validation::{FieldErrors, Violation};

/// The longest time that a roll may leave the old value working: a week, in seconds.
pub const MAX_GRACE_S: u32 = 604_800;

/// A well-formed scope of any object, or `*`. [`within_catalogue`] checks the object.
#[derive(Clone, Debug, PartialEq, Eq, Deserr)]
#[deserr(try_from(String) = AnyScope::try_from -> Violation)]
pub struct AnyScope(Scope);

impl TryFrom<String> for AnyScope {
    type Error = Violation;

    fn try_from(text: String) -> Result<Self, Violation> {
        text.parse().map(AnyScope).map_err(|error: InvalidScope| Violation::input(error.to_string()))
    }
}

impl From<AnyScope> for Scope {
    fn from(scope: AnyScope) -> Scope {
        scope.0
    }
}

/// The OpenAPI document names this schema, and lists the scopes of the catalogue in it.
impl ToSchema for AnyScope {
    fn name() -> Cow<'static, str> {
        "Scope".into()
    }
}

impl PartialSchema for AnyScope {
    fn schema() -> RefOr<Schema> {
        let pattern = r"^(\*|[a-z0-9_]+:(read|write))$";
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }
}

/// What a key may do: one scope or more.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(Vec<AnyScope>) = Scopes::try_from -> Violation)]
#[schema(value_type = Vec<AnyScope>, min_items = 1)]
pub struct Scopes(ScopeSet);

impl TryFrom<Vec<AnyScope>> for Scopes {
    type Error = Violation;

    fn try_from(scopes: Vec<AnyScope>) -> Result<Self, Violation> {
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
        well_formed(texts)?.try_into()
    }
}

impl From<Scopes> for ScopeSet {
    fn from(scopes: Scopes) -> ScopeSet {
        scopes.0
    }
}

/// A user's permissions, which limit every key of the user: any scopes, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(from(Vec<AnyScope>) = Permissions::from, error = FieldErrors)]
#[schema(value_type = Vec<AnyScope>)]
pub struct Permissions(ScopeSet);

impl From<Vec<AnyScope>> for Permissions {
    fn from(scopes: Vec<AnyScope>) -> Self {
        Permissions(scopes.into_iter().map(Scope::from).collect())
    }
}

impl Permissions {
    /// Reads permissions from their texts.
    ///
    /// # Errors
    /// The first text that is not a scope.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, Violation> {
        Ok(well_formed(texts)?.into())
    }
}

impl From<Permissions> for ScopeSet {
    fn from(permissions: Permissions) -> ScopeSet {
        permissions.0
    }
}

fn well_formed<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<AnyScope>, Violation> {
    texts.into_iter().map(|text| AnyScope::try_from(text.to_owned())).collect()
}

/// Refuses a scope whose object is not in the catalogue. A scope that `held`, the earlier scopes, include by name is not
/// refused.
///
/// # Errors
/// The scope, in the words of PostHog.
pub fn within_catalogue(scope: &Scope, catalogue: &Catalogue, held: &ScopeSet) -> Result<(), Violation> {
    if catalogue.has(scope) || is_held(scope, held) {
        return Ok(());
    }
    Err(Violation::input(InvalidScope(scope.to_string()).to_string()))
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
    let is_lacking =
        |scope: &&Scope| **scope != Scope::All && !permissions.permits(scope) && !is_held(scope, held);
    match scopes.iter().find(is_lacking) {
        None => Ok(()),
        Some(scope) => Err(Violation::input(format!("The owner of the key lacks this permission: {scope}"))),
    }
}

/// Whether `held` includes the scope by name, not by `*`.
fn is_held(scope: &Scope, held: &ScopeSet) -> bool {
    held.iter().any(|one| *one != Scope::All && one.satisfies(scope))
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
    fn scopes_are_well_formed() {
        assert_eq!(Scopes::parse(["insight:read", "webhook:write", "*"]).unwrap().0.iter().count(), 3);
        let refused = |texts: &[&str]| Scopes::parse(texts.iter().copied()).unwrap_err();
        assert_eq!(refused(&["insight:read", "insight:admin"]).detail, "Invalid scope: insight:admin");
        assert_eq!(refused(&[]).code, "empty");
    }

    #[test]
    fn scopes_name_objects_of_the_catalogue_or_were_held_before() {
        let catalogue = Catalogue::posthog().unwrap();
        let check = |scope: &str, held: &str| {
            let held = ScopeSet::parse(held.split_whitespace()).unwrap();
            within_catalogue(&scope.parse().unwrap(), &catalogue, &held).map_err(|violation| violation.detail)
        };
        assert_eq!(check("insight:read", ""), Ok(()));
        assert_eq!(check("*", ""), Ok(()));
        let invalid = |scope: &str| Err(format!("Invalid scope: {scope}"));
        assert_eq!(check("unicorn:read", ""), invalid("unicorn:read"));
        assert_eq!(check("unicorn:read", "unicorn:write"), Ok(()), "less of what it had");
        assert_eq!(check("unicorn:write", "unicorn:read"), invalid("unicorn:write"));
        assert_eq!(check("unicorn:read", "*"), invalid("unicorn:read"));
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
