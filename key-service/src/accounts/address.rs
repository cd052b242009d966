//! The address by which a user is stored and found: an email address, or that of a service account.

use std::str::FromStr;

use deserr::Deserr;
use serde::Serialize;
use utoipa::ToSchema;

use super::user::normal_email;
use crate::validation::Violation;

/// What the address of a service account begins with. The name follows, which has no `@`, so no email address is like it.
pub(crate) const PREFIX: &str = "service:";

/// The most characters of a name.
const MAX_NAME_CHARS: usize = 60;

/// The kinds of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person with an email address.
    Person,
    /// A service account.
    Service,
}

impl UserKind {
    /// The kind of the user with this address.
    pub(crate) fn of(address: &str) -> Self {
        if address.starts_with(PREFIX) && !address.contains('@') {
            UserKind::Service
        } else {
            UserKind::Person
        }
    }

    /// Whether it is a service account.
    pub fn is_service(self) -> bool {
        self == UserKind::Service
    }
}

/// The name of a service account: up to 60 lower-case letters, digits, `-`, `_` and `.`, a letter or digit first.
#[derive(Clone, Debug, PartialEq, Eq, Deserr, ToSchema)]
#[deserr(try_from(&String) = ServiceName::from_str -> Violation)]
#[schema(value_type = String, max_length = 60, pattern = "^[a-z0-9][a-z0-9._-]*$")]
pub struct ServiceName(String);

impl FromStr for ServiceName {
    type Err = Violation;

    fn from_str(name: &str) -> Result<Self, Violation> {
        if name.is_empty() {
            return Err(Violation::blank());
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !name.starts_with(is_plain) || !name.chars().all(|c| is_plain(c) || "-_.".contains(c)) {
            return Err(Violation::input(
                "Write lower-case letters, digits, -, _ and ., and begin with a letter or digit.",
            ));
        }
        if name.len() > MAX_NAME_CHARS {
            return Err(Violation::too_long(MAX_NAME_CHARS));
        }
        Ok(ServiceName(name.to_owned()))
    }
}

impl ServiceName {
    /// The address by which the service account is stored and found: `service:` and the name.
    pub fn address(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// The form in which the address of a user is stored and compared: an email address, or `service:` and a name.
pub(crate) fn normal_address(text: &str) -> Result<String, Violation> {
    let text = text.trim();
    match UserKind::of(text) {
        UserKind::Service => Ok(text[PREFIX.len()..].parse::<ServiceName>()?.address()),
        UserKind::Person => normal_email(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_service_account_is_like_no_email_address() {
        assert_eq!(normal_address(" service:ci-2.deploy ").unwrap(), "service:ci-2.deploy");
        assert_eq!(normal_address("Service:CI@example.com").unwrap(), "service:ci@example.com");
        assert_eq!(UserKind::of("service:ci@example.com"), UserKind::Person);
        for address in ["service:", "service:CI", "service:a b", "service:-a", "service:service:a", "nobody"]
        {
            assert!(normal_address(address).is_err(), "{address}");
        }
        assert!("x".repeat(60).parse::<ServiceName>().is_ok());
        assert_eq!("x".repeat(61).parse::<ServiceName>().unwrap_err().code, "max_length");
    }
}
