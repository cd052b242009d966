//! The rules of a route table, as they match.

use edge_key_auth::restriction::{Locator, Locators};
use edge_key_auth::route::{Requirement, Terms};
use serde_json::{Value, json};

use crate::document::join;
use crate::finding::Finding;
use crate::settings::{Accepted, Settings};

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
#[derive(Clone, Debug)]
pub struct Row {
    /// The index of the rule; `None` for the rows of requests that no rule names.
    pub rule: Option<usize>,
    /// The path template, as written; `None` for every path.
    pub template: Option<String>,
    /// The methods.
    pub methods: Methods,
    /// What the rule says.
    pub terms: Terms,
}

/// The rows of a table, the most specific first.
pub fn rows(accepted: &Accepted) -> Vec<Row> {
    let no_rule = || Terms::of(Requirement::Fixed(protocol::Scope::All));
    let rules: Vec<_> = accepted.rules.iter().map(|written| written.rule.clone()).collect();
    let mut rows = Vec::new();
    for group in accepted.config.policy.routes.match_order(&rules) {
        let written: Vec<_> = group.iter().filter_map(|&at| Some((at, accepted.rules.get(at)?))).collect();
        for (at, written) in &written {
            rows.push(Row {
                rule: Some(*at),
                template: Some(written.template.clone()),
                methods: written.rule.methods.clone().map_or(Methods::All, Methods::Listed),
                terms: written.rule.terms.clone(),
            });
        }
        if let Some((_, last)) = written.last().filter(|(_, last)| last.rule.methods.is_some()) {
            let template = Some(last.template.clone());
            rows.push(Row { rule: None, template, methods: Methods::Others, terms: no_rule() });
        }
    }
    rows.push(Row { rule: None, template: None, methods: Methods::All, terms: no_rule() });
    rows
}

/// Rules that probably match other requests than meant.
pub fn hints(settings: &Settings, accepted: &Accepted) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, written) in accepted.rules.iter().enumerate().filter(|_| accepted.shipped.is_none()) {
        let of_field = |field: &str| join(&settings.path, &format!("routes[{at}].{field}"));
        if let Some(segment) = written.template.split('/').find(|segment| segment.starts_with(':')) {
            let name = segment.trim_start_matches(':');
            let message =
                format!("has {segment:?}, which matches only this text: write {{{name}}} for any segment");
            findings.push(Finding::hint(of_field("path"), message));
        }
        let of_path = accepted.rules.iter().map(|other| &other.rule);
        let mut of_path = of_path.filter(|other| other.template == written.rule.template);
        let covers_head = of_path.any(|other| {
            other.methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == "HEAD"))
        });
        let lists_get = written.rule.methods.iter().flatten().any(|method| method == "GET");
        if lists_get && !covers_head {
            let message = "lists GET without HEAD, so HEAD needs the scope *: add HEAD";
            findings.push(Finding::hint(of_field("methods"), message));
        }
    }
    findings
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
        let mut requires = in_words(&self.terms.requirement);
        if self.terms.mode.is_shadow() {
            requires += ", shadow";
        }
        if !self.terms.bearer_prefixes.is_empty() {
            requires += &format!(", {} left to the upstream", self.terms.bearer_prefixes.join(" "));
        }
        if !self.terms.encoded_slashes.is_empty() {
            requires += &format!(", %2F in {}", self.encoded_slashes().join(" "));
        }
        for (resource, locator) in self.locators() {
            if let Some(segment) = locator.segment.and_then(|at| self.segment(at)) {
                requires += &format!(", {resource} in {segment}");
            }
        }
        if !self.terms.project_query.is_empty() {
            requires += &format!(" without {} in the query", self.terms.project_query.join(" "));
        }
        if !self.upstream_judges().is_empty() {
            requires += &format!(", {} judged by the upstream", self.upstream_judges().join(" "));
        }
        let rule = self.rule.map_or_else(|| "no rule".to_owned(), |at| format!("routes[{at}]"));
        [methods, template.to_owned(), requires, rule]
    }

    /// The names of the segments that may have encoded slashes.
    fn encoded_slashes(&self) -> Vec<&str> {
        self.terms.encoded_slashes.iter().filter_map(|&at| self.segment(at)).collect()
    }

    /// The name of the segment at this position.
    fn segment(&self, at: usize) -> Option<&str> {
        Some(self.template.as_ref()?.split('/').nth(at + 1)?.trim_matches(['{', '}']))
    }

    /// How the project and the organization of a request are found.
    fn locators(&self) -> [(&'static str, Locator); 2] {
        let Locators { project, organization } = self.terms.locators;
        [("project", project), ("organization", organization)]
    }

    /// The restrictions that the upstream judges.
    fn upstream_judges(&self) -> Vec<&'static str> {
        let judged = self.locators().into_iter().filter(|(_, locator)| locator.upstream_judges);
        judged.map(|(resource, _)| resource).collect()
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
            "public": self.terms.requirement == Requirement::Public,
            "shadow": self.terms.mode.is_shadow(),
            "bearer_prefixes": self.terms.bearer_prefixes,
            "encoded_slashes": self.encoded_slashes(),
            "project": self.terms.locators.project.segment.and_then(|at| self.segment(at)),
            "project_query": self.terms.project_query,
            "organization": self.terms.locators.organization.segment.and_then(|at| self.segment(at)),
            "upstream_judges": self.upstream_judges(),
            "scopes": scopes(&self.terms.requirement),
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
