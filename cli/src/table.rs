//! The rules of a route table, as they match.

use edge_key_auth::route::Requirement;
use serde_json::{Value, json};

use crate::settings::Accepted;

/// The methods of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// All.
    All,
    /// These.
    Listed(Vec<String>),
    /// Those that the rows above with the same path do not list.
    Others,
}

/// One row: a request is decided by the first row that matches its method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The index of the rule; `None` for what no rule names.
    pub rule: Option<usize>,
    /// The path template, as written; `None` for every path.
    pub template: Option<String>,
    /// The methods.
    pub methods: Methods,
    /// What it requires.
    pub requirement: Requirement,
    /// Whether it has `mode: shadow`.
    pub is_shadow: bool,
    /// What bearer tokens begin with that the upstream judges.
    pub bearer_prefixes: Vec<Box<str>>,
}

/// The rows of a table, the most specific first.
pub fn rows(accepted: &Accepted) -> Vec<Row> {
    let rules: Vec<_> = accepted.rules.iter().map(|written| written.rule.clone()).collect();
    let mut rows = Vec::new();
    for group in accepted.config.policy.routes.match_order(&rules) {
        let written: Vec<_> = group.iter().filter_map(|&at| Some((at, accepted.rules.get(at)?))).collect();
        for (at, written) in &written {
            rows.push(Row {
                rule: Some(*at),
                template: Some(written.template.clone()),
                methods: written.rule.methods.clone().map_or(Methods::All, Methods::Listed),
                requirement: written.rule.terms.requirement.clone(),
                is_shadow: written.rule.terms.mode.is_shadow(),
                bearer_prefixes: written.rule.terms.bearer_prefixes.clone(),
            });
        }
        if let Some((_, last)) = written.last().filter(|(_, last)| last.rule.methods.is_some()) {
            let template = Some(last.template.clone());
            rows.push(Row {
                rule: None,
                template,
                methods: Methods::Others,
                requirement: no_rule(),
                is_shadow: false,
                bearer_prefixes: Vec::new(),
            });
        }
    }
    rows.push(Row {
        rule: None,
        template: None,
        methods: Methods::All,
        requirement: no_rule(),
        is_shadow: false,
        bearer_prefixes: Vec::new(),
    });
    rows
}

/// What a route requires that no rule names.
fn no_rule() -> Requirement {
    Requirement::Fixed(protocol::Scope::All)
}

impl Row {
    /// The cells of a printed row.
    pub fn cells(&self) -> [String; 4] {
        let methods = match &self.methods {
            Methods::All => "all".to_owned(),
            Methods::Listed(methods) => methods.join(" "),
            Methods::Others => "others".to_owned(),
        };
        let template = self.template.as_deref().unwrap_or("every other path");
        let rule = self.rule.map_or_else(|| "no rule".to_owned(), |at| format!("routes[{at}]"));
        let left = match self.bearer_prefixes.join(" ") {
            prefixes if prefixes.is_empty() => prefixes,
            prefixes => format!(", {prefixes} left to the upstream"),
        };
        let shadow = if self.is_shadow { ", shadow" } else { "" };
        [methods, template.to_owned(), in_words(&self.requirement) + shadow + &left, rule]
    }

    /// The row for scripts.
    pub fn to_json(&self) -> Value {
        let methods = match &self.methods {
            Methods::Listed(methods) => json!(methods),
            Methods::All | Methods::Others => Value::Null,
        };
        json!({
            "rule": self.rule.map(|at| format!("routes[{at}]")),
            "path": self.template,
            "methods": methods,
            "public": self.requirement == Requirement::Public,
            "shadow": self.is_shadow,
            "bearer_prefixes": self.bearer_prefixes,
            "scopes": scopes(&self.requirement),
        })
    }
}

/// What a rule requires: for GET, HEAD and OPTIONS, and for the other methods if these need another scope.
fn in_words(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Public => "public".to_owned(),
        Requirement::Fixed(scope) => scope.to_string(),
        Requirement::ByMethod { read, write } => format!("{read} / {write}"),
    }
}

/// The scopes for safe and for other methods.
fn scopes(requirement: &Requirement) -> Value {
    match requirement {
        Requirement::Public => Value::Null,
        Requirement::Fixed(scope) => json!({ "safe": scope.to_string(), "other": scope.to_string() }),
        Requirement::ByMethod { read, write } => {
            json!({ "safe": read.to_string(), "other": write.to_string() })
        }
    }
}
