//! The scope catalogue of the key service (`SCOPE_CATALOGUE`): which objects scopes can name. The key service checks the
//! file as a whole; only the objects matter here.

use edge_key_auth::route::Requirement;
use protocol::{Scope, is_scope_object};
use serde_json::Value;

use crate::document::join;
use crate::finding::Finding;
use crate::settings::{Settings, of_table};

/// The objects of a catalogue.
#[derive(Clone, Debug)]
pub struct Catalogue(Vec<String>);

/// The file is not a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope catalogue: {0}")]
pub struct InvalidCatalogue(String);

impl Catalogue {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// It is not a JSON list of objects.
    pub fn parse(text: &str) -> Result<Self, InvalidCatalogue> {
        let entries: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| InvalidCatalogue(format!("not a JSON list: {error}")))?;
        let name = |(at, entry): (usize, &Value)| match entry["object"].as_str() {
            Some(name) if is_scope_object(name) => Ok(name.to_owned()),
            _ => Err(InvalidCatalogue(format!(
                "[{at}].object: must be a name of lower-case letters, digits and _"
            ))),
        };
        entries.iter().enumerate().map(name).collect::<Result<_, _>>().map(Catalogue)
    }

    /// A finding for each object that valid rules require and that the catalogue lacks. The other settings may have errors.
    pub fn judge(&self, settings: &Settings) -> Vec<Finding> {
        let mut lacking: Vec<(String, Vec<usize>)> = Vec::new();
        for written in settings.rules() {
            let object = match &written.rule.terms.requirement {
                Requirement::Fixed(scope) | Requirement::ByMethod { read: scope, .. } => Scope::object(scope),
                Requirement::Public => None,
            };
            let Some(object) = object.filter(|object| !self.0.iter().any(|known| known == object)) else {
                continue;
            };
            match lacking.iter_mut().find(|(known, _)| *known == object) {
                Some((_, rules)) => rules.push(written.at),
                None => lacking.push((object.to_owned(), vec![written.at])),
            }
        }
        lacking.into_iter().map(|(object, rules)| finding(&object, &rules, settings)).collect()
    }
}

fn finding(object: &str, rules: &[usize], settings: &Settings) -> Finding {
    let mut field = "routes".to_owned();
    let mut mend = "set routes to the rules of your API";
    if settings.shipped().is_none() {
        field = rules.first().map_or(field, |at| format!("routes[{at}].scope"));
        mend = "correct the scope";
    }
    let rules: Vec<_> = rules.iter().map(|at| format!("routes[{at}]")).collect();
    let (rules, table) = (rules.join(", "), of_table(settings.shipped()));
    let message = format!(
        "the scope catalogue has no object {object:?}, so only keys with the scope * reach {rules}{table}: {mend}, or add \
         the object to the catalogue"
    );
    Finding::error(join(&settings.path, &field), message)
}
