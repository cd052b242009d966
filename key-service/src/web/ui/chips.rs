//! Scopes in tables.

use protocol::{Scope, ScopeSet};

use crate::catalogue::Catalogue;

/// The number of scopes that a table shows; the rest are shown on demand.
const SHOWN: usize = 3;

/// One scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chip {
    /// Its text.
    pub(super) text: String,
    /// Whether the catalogue no longer has its object.
    pub(super) is_retired: bool,
}

/// The scopes of a key, or the permissions of a user: those that are no longer in the catalogue first.
pub(super) struct Chips(Vec<Chip>);

impl Chips {
    /// These scopes.
    pub(super) fn new(scopes: &ScopeSet, catalogue: &Catalogue) -> Self {
        let chip = |scope: &Scope| Chip {
            text: match scope {
                Scope::All => "all access".to_owned(),
                scope => scope.to_string(),
            },
            is_retired: !catalogue.has(scope),
        };
        let mut chips: Vec<_> = scopes.iter().map(chip).collect();
        chips.sort_by_key(|chip| !chip.is_retired);
        Chips(chips)
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Chip] {
        &self.0
    }

    /// Those that a table shows.
    pub(super) fn first(&self) -> &[Chip] {
        self.0.get(..SHOWN).unwrap_or(&self.0)
    }

    /// The others.
    pub(super) fn more(&self) -> &[Chip] {
        self.0.get(SHOWN..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chips(scopes: &[&str]) -> Chips {
        let scopes = ScopeSet::parse(scopes.iter().copied()).unwrap();
        Chips::new(&scopes, &Catalogue::posthog().unwrap())
    }

    fn texts(chips: &[Chip]) -> Vec<&str> {
        chips.iter().map(|chip| chip.text.as_str()).collect()
    }

    #[test]
    fn many_scopes_are_shown_on_demand() {
        let scopes = ["insight:read", "cohort:read", "person:read", "project:read"];
        assert_eq!(texts(chips(&scopes).first()), scopes[..3]);
        assert_eq!(texts(chips(&scopes).more()), ["project:read"]);
        assert!(chips(&scopes[..2]).more().is_empty() && chips(&[]).first().is_empty());
        assert_eq!(texts(chips(&["*"]).first()), ["all access"]);
    }

    #[test]
    fn scopes_that_the_catalogue_lacks_are_marked_and_shown_first() {
        let chips = chips(&["insight:read", "*", "cohort:read", "unicorn:write"]);
        assert_eq!(texts(chips.first()), ["unicorn:write", "insight:read", "all access"]);
        let retired: Vec<_> = chips.all().iter().map(|chip| chip.is_retired).collect();
        assert_eq!(retired, [true, false, false, false]);
    }
}
