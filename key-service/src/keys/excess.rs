//! Compares an existing key with what a file or a command asks for.

use std::fmt;

use protocol::{ResourceId, Restrictions, ScopeSet};

use super::key::Key;
use crate::time::Timestamp;

/// What a file or a command asks a key to allow.
pub(crate) struct Asked<'a> {
    pub(crate) scopes: &'a ScopeSet,
    pub(crate) restrictions: &'a Restrictions,
    pub(crate) expires_at: Option<Timestamp>,
}

/// That a key allows more than was asked for: what it allows, and the command that narrows it.
#[derive(Debug)]
pub(crate) struct Excess {
    /// The first field that allows more.
    pub(crate) field: &'static str,
    allowed: Vec<String>,
    command: String,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it allows more: {}; {}", self.allowed.join(", "), self.command)
    }
}

impl Key {
    /// What this key allows beyond `asked`; `None` if nothing.
    pub(crate) fn beyond(&self, asked: &Asked<'_>, now: Timestamp) -> Option<Excess> {
        let mut parts = Vec::new();
        if !self.scopes.iter().all(|scope| asked.scopes.permits(scope)) {
            let scopes = listed(asked.scopes.iter());
            parts.push(("scopes", format!("the scopes {}", self.scopes), format!("--scopes {scopes}")));
        }
        let Restrictions { projects, organizations } = &self.restrictions;
        let lists = [
            ("scoped_teams", "projects", projects, &asked.restrictions.projects),
            ("scoped_organizations", "organizations", organizations, &asked.restrictions.organizations),
        ];
        for (field, name, held, asked) in lists {
            if let Some(asked) = asked.as_ref().filter(|asked| !is_within(held.as_ref(), asked)) {
                let held = held
                    .as_ref()
                    .map_or_else(|| format!("all {name}"), |held| format!("the {name} {}", listed(held)));
                parts.push((field, held, format!("--{name} {}", listed(asked))));
            }
        }
        let ends_later = |asked: &Timestamp| self.expires_at.is_none_or(|held| held > *asked);
        let expires_at = asked.expires_at.filter(ends_later);
        if let Some(expires_at) = expires_at {
            let held = self.expires_at.map_or_else(|| "no expiry".to_owned(), |held| format!("until {held}"));
            parts.push(("expires_at", held, format!("--expires-at {expires_at}")));
        }
        let field = parts.first()?.0;
        let (allowed, arguments): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|(_, held, argument)| (held, argument)).unzip();
        let command = if expires_at.is_some_and(|expires_at| expires_at <= now) {
            format!("`key-service key delete {}` ends it", self.id)
        } else {
            format!("`key-service key update {} {}` narrows it", self.id, arguments.join(" "))
        };
        Some(Excess { field, allowed, command })
    }
}

fn is_within(held: Option<&Vec<ResourceId>>, asked: &[ResourceId]) -> bool {
    held.is_some_and(|held| held.iter().all(|id| asked.contains(id)))
}

fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000);

    fn key(scopes: &str, restrictions: &str, expires_at: Option<i64>) -> Key {
        Key {
            id: "ID".to_owned(),
            user_id: String::new(),
            label: String::new(),
            mask_value: String::new(),
            scopes: ScopeSet::parse(scopes.split(' ')).unwrap(),
            restrictions: serde_json::from_str(restrictions).unwrap(),
            created_at: NOW,
            last_used_at: None,
            last_rolled_at: None,
            expires_at: expires_at.map(Timestamp::from_unix_ms),
            old_value_expires_at: None,
        }
    }

    /// The field and the text of what the first key allows beyond the second one.
    fn excess(held: &Key, asked: &Key) -> Option<(&'static str, String)> {
        let asked =
            Asked { scopes: &asked.scopes, restrictions: &asked.restrictions, expires_at: asked.expires_at };
        held.beyond(&asked, NOW).map(|excess| (excess.field, excess.to_string()))
    }

    #[test]
    fn a_key_that_allows_as_much_or_less_has_no_excess() {
        let asked = key("insight:write cohort:read", r#"{"projects":[7,8]}"#, Some(2_000_000));
        for held in [
            key("cohort:read insight:write", r#"{"projects":[8,7]}"#, Some(2_000_000)),
            key("insight:read", r#"{"projects":[7],"organizations":["acme"]}"#, Some(1_500_000)),
        ] {
            assert_eq!(excess(&held, &asked), None);
        }
        let free = key("*", "{}", None);
        assert_eq!(excess(&asked, &free), None);
    }

    #[test]
    fn what_a_key_allows_beyond_is_named_with_the_command_that_narrows_it() {
        let asked = key("insight:read", r#"{"projects":[7],"organizations":["acme"]}"#, Some(2_000_000));
        let found = |scopes, restrictions, expires_at| excess(&key(scopes, restrictions, expires_at), &asked);
        let both = r#"{"projects":[7],"organizations":["acme"]}"#;
        let (field, text) = found("insight:write query:read", both, Some(2_000_000)).unwrap();
        assert_eq!(field, "scopes");
        let narrow = "`key-service key update ID --scopes insight:read` narrows it";
        assert_eq!(text, format!("it allows more: the scopes insight:write query:read; {narrow}"));
        let (field, text) = found("insight:read", r#"{"projects":[7,8]}"#, Some(2_000_000)).unwrap();
        assert_eq!(field, "scoped_teams");
        let narrow = "`key-service key update ID --projects 7 --organizations acme` narrows it";
        assert_eq!(text, format!("it allows more: the projects 7,8, all organizations; {narrow}"));
        let (field, text) = found("insight:read", both, None).unwrap();
        assert_eq!(field, "expires_at");
        let narrow = "`key-service key update ID --expires-at 1970-01-01T00:33:20Z` narrows it";
        assert_eq!(text, format!("it allows more: no expiry; {narrow}"));
        assert_eq!(found("insight:read", both, Some(3_000_000)).unwrap().0, "expires_at");
    }

    #[test]
    fn a_key_that_should_have_expired_is_to_be_deleted() {
        let (_, text) = excess(&key("*", "{}", None), &key("*", "{}", Some(1_000_000))).unwrap();
        assert_eq!(text, "it allows more: no expiry; `key-service key delete ID` ends it");
    }
}
