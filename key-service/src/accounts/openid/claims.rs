//! What the claims of an ID token say about a user, by the settings of its provider.

use protocol::ScopeSet;
use serde_json::{Map, Value};

use super::settings::{Groups, ProviderSettings};
use crate::accounts::user::Email;

/// The most bytes of a subject (OpenID Connect Core, section 2).
const MAX_SUBJECT_BYTES: usize = 255;

/// The claim that names claims which are not in the token (OpenID Connect Core, section 5.6.2).
const DISTRIBUTED: &str = "_claim_names";

/// The claims of an ID token that was verified.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<bool>,
    /// The claims that OpenID Connect does not define.
    pub(super) others: Map<String, Value>,
}

/// A user, as the provider vouches for it.
#[derive(Clone, Debug)]
pub(super) struct Person {
    /// The provider's name for the user. It never changes and is never reused.
    pub(super) subject: String,
    pub(super) email: Email,
    /// Whether the address consists of ASCII. Other addresses can differ at the provider and be equal here, in lower case.
    pub(super) has_ascii_email: bool,
    /// The permissions by the user's groups; `None` if groups do not decide them.
    pub(super) permissions: Option<ScopeSet>,
    /// Whether the user is an admin by its groups; `None` if groups do not decide it.
    pub(super) is_admin: Option<bool>,
}

/// Why a user of a provider cannot sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum SignInRefusal {
    /// The token has no subject that can be stored.
    #[error("The provider sent no usable id of your account.")]
    Subject,
    /// The token has no valid email address.
    #[error("The provider sent no usable email address for your account.")]
    Email,
    /// The provider has not verified that the address is the user's.
    #[error("Your email address is not verified at the provider. Verify it there, then try again.")]
    UnverifiedEmail,
    /// The provider does not vouch for addresses of this domain.
    #[error("Users with the domain of your email address cannot sign in here with this provider.")]
    EmailDomain,
    /// The user's groups are not in the token, or not names.
    #[error("The provider did not send your groups in a form that can be read.")]
    Groups,
    /// Another user has the address, and may not be linked by address.
    #[error("Another user has your email address. Sign in as before, or contact your admin.")]
    EmailTaken,
    /// The identity was unlinked from its user.
    #[error("Your account at the provider is no longer linked to an account here. Contact your admin.")]
    Unlinked,
    /// The user is disabled.
    #[error("Your account is disabled. Contact your admin.")]
    Disabled,
    /// The user was deleted.
    #[error("Your account was deleted. Contact your admin.")]
    Deleted,
    /// Nobody gets an account by signing in.
    #[error("You have no account here. Contact your admin.")]
    Unknown,
}

impl SignInRefusal {
    /// The name in the audit log and in the log.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Whether a subject can be stored.
pub(super) fn is_storable_subject(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= MAX_SUBJECT_BYTES && !subject.contains('\0')
}

/// The user that the claims describe.
///
/// # Errors
/// The provider does not vouch for enough.
pub(super) fn person(claims: &Claims, provider: &ProviderSettings) -> Result<Person, SignInRefusal> {
    let subject = claims.subject.as_str();
    if !is_storable_subject(subject) {
        return Err(SignInRefusal::Subject);
    }
    let sent = claims.email.as_deref().unwrap_or_default();
    // In lower case, the Kelvin sign is k.
    let becomes_ascii = |c: char| !c.is_ascii() && c.to_lowercase().any(|lower| lower.is_ascii());
    if sent.contains(becomes_ascii) {
        return Err(SignInRefusal::Email);
    }
    let email = sent.parse::<Email>().map_err(|_| SignInRefusal::Email)?;
    if claims.email_verified != Some(true) && !provider.trusts_unverified_email {
        return Err(SignInRefusal::UnverifiedEmail);
    }
    if !provider.email_domains.include(email.as_ref()) {
        return Err(SignInRefusal::EmailDomain);
    }
    let Groups { claim, permissions, admins } = &provider.groups;
    let groups = groups(&claims.others, claim)?;
    let permissions = permissions.as_ref().map(|of_groups| {
        let scopes = groups.iter().filter_map(|group| of_groups.get(*group)).chain([&provider.permissions]);
        scopes.flat_map(ScopeSet::iter).cloned().collect()
    });
    let is_admin = admins.as_ref().map(|admins| admins.iter().any(|admin| groups.contains(&admin.as_str())));
    Ok(Person { subject: subject.to_owned(), email, has_ascii_email: sent.is_ascii(), permissions, is_admin })
}

/// The user's groups. A missing claim means none, because some providers omit an empty list.
fn groups<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a str>, SignInRefusal> {
    if name.is_empty() {
        return Ok(Vec::new());
    }
    // Some providers leave out a long list and say where to fetch it. Then the user would wrongly have no groups.
    if claims.get(DISTRIBUTED).is_some_and(|names| names.get(name).is_some()) {
        return Err(SignInRefusal::Groups);
    }
    match claims.get(name) {
        None => Ok(Vec::new()),
        Some(Value::String(group)) => Ok(vec![group]),
        Some(Value::Array(groups)) => {
            groups.iter().map(Value::as_str).collect::<Option<_>>().ok_or(SignInRefusal::Groups)
        }
        Some(_) => Err(SignInRefusal::Groups),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::settings::tests::provider_with;
    use super::*;

    fn claims(others: &Value) -> Claims {
        Claims {
            subject: "7".to_owned(),
            email: Some("Demo@Example.com".to_owned()),
            email_verified: Some(true),
            others: others.as_object().unwrap().clone(),
        }
    }

    fn refusal(claims: &Claims, provider: &Value) -> Option<SignInRefusal> {
        person(claims, &provider_with(provider)).err()
    }

    #[test]
    fn an_address_counts_if_it_is_verified_and_of_a_domain_of_the_provider() {
        let plain = json!({});
        let found = person(&claims(&plain), &provider_with(&plain)).unwrap();
        assert_eq!((found.subject.as_str(), found.email.as_ref()), ("7", "demo@example.com"));
        assert!(found.permissions.is_none() && found.is_admin.is_none());
        for email_verified in [None, Some(false)] {
            let claims = Claims { email_verified, ..claims(&plain) };
            assert_eq!(refusal(&claims, &plain), Some(SignInRefusal::UnverifiedEmail));
            assert_eq!(refusal(&claims, &json!({"trust_unverified_email": true})), None);
        }
        for (email, refused) in [
            (None, SignInRefusal::Email),
            (Some("demo"), SignInRefusal::Email),
            (Some("de\u{202e}mo@example.com"), SignInRefusal::Email),
            (Some("demo@example.org"), SignInRefusal::EmailDomain),
        ] {
            let claims = Claims { email: email.map(str::to_owned), ..claims(&plain) };
            assert_eq!(refusal(&claims, &plain), Some(refused), "{email:?}");
        }
        for subject in [String::new(), "a\0b".to_owned(), "x".repeat(256)] {
            assert_eq!(refusal(&Claims { subject, ..claims(&plain) }, &plain), Some(SignInRefusal::Subject));
        }
    }

    #[test]
    fn groups_decide_permissions_and_role_only_as_far_as_the_settings_say() {
        let decided = |provider: &Value, groups: &Value| {
            let provider = provider_with(provider);
            let person = person(&claims(&json!({ "groups": groups })), &provider).unwrap();
            (person.permissions.map(|permissions| permissions.to_string()), person.is_admin)
        };
        let of_groups = json!({
            "groups_claim": "groups", "permissions": ["user:read"],
            "group_permissions": {"dev": ["insight:read"], "data": ["insight:read", "query:read"]},
        });
        let scopes = |text: &str| (Some(text.to_owned()), None);
        assert_eq!(decided(&of_groups, &json!(["dev", "other"])), scopes("insight:read user:read"));
        assert_eq!(decided(&of_groups, &json!(["dev", "data"])), scopes("insight:read query:read user:read"));
        assert_eq!(decided(&of_groups, &json!("dev")), scopes("insight:read user:read"));
        assert_eq!(decided(&of_groups, &json!([])), scopes("user:read"));
        let admins = json!({"groups_claim": "groups", "admin_groups": ["ops"]});
        assert_eq!(decided(&admins, &json!(["ops"])), (None, Some(true)));
        assert_eq!(decided(&admins, &json!(["dev"])), (None, Some(false)));
        assert_eq!(decided(&json!({}), &json!(["ops"])), (None, None));
    }

    #[test]
    fn two_addresses_that_a_provider_can_tell_apart_are_not_one_user() {
        let plain = json!({});
        let with = |email: &str| Claims { email: Some(email.to_owned()), ..claims(&plain) };
        let has_ascii =
            |email: &str| person(&with(email), &provider_with(&plain)).map(|person| person.has_ascii_email);
        assert_eq!(has_ascii("Mike@Example.com").ok(), Some(true));
        assert_eq!(has_ascii("\u{d6}zge@example.com").ok(), Some(false));
        // In lower case, the Kelvin sign is k, and the capital i with a dot begins with i.
        for email in ["mi\u{212a}e@example.com", "\u{130}da@example.com", "mike@\u{212a}example.com"] {
            assert_eq!(has_ascii(email).err(), Some(SignInRefusal::Email), "{email}");
        }
    }

    #[test]
    fn groups_that_cannot_be_read_are_refused_and_missing_ones_are_none() {
        let provider = json!({"groups_claim": "groups", "admin_groups": ["ops"]});
        for others in
            [json!({"groups": 7}), json!({"groups": ["ops", 7]}), json!({"_claim_names": {"groups": "src1"}})]
        {
            assert_eq!(refusal(&claims(&others), &provider), Some(SignInRefusal::Groups), "{others}");
        }
        let person = person(&claims(&json!({})), &provider_with(&provider)).unwrap();
        assert_eq!(person.is_admin, Some(false));
    }
}
