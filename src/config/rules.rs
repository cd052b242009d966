//! Reads and validates the rules of the route table.

use protocol::KEY_PREFIX;
use serde_json::Value;

use super::fields::{Fields, Problems, kind};
use super::modes::{rule_mode, rule_warning};
use super::{Config, Problem, ShippedTable, WrittenRule};
use crate::mode::Mode;
use crate::restriction::{Locator, Locators};
use crate::route::{Conflict, PathCase, Requirement, RouteTable, Rule, Template, Terms};

/// The table, and warnings.
pub(super) fn routes(
    fields: &mut Fields<'_>,
    path_case: PathCase,
    filter_mode: Mode,
    problems: &Problems,
) -> (RouteTable, Vec<Problem>) {
    let mut table = RouteTable::new(path_case);
    let mut rules = Vec::new();
    let mut places = Vec::new();
    let mut warnings = Vec::new();
    let (list, shipped) = rule_list(fields);
    for (at, value) in list.into_iter().enumerate() {
        let path = fields.path_of(&format!("routes[{at}]"));
        let written = value["path"].as_str().unwrap_or_default().to_owned();
        let Some(rule) = rule(Fields::of(value, path.clone(), problems), filter_mode, problems) else {
            continue;
        };
        warnings.extend(rule_warning(&path, rule.terms.mode));
        if path_case == PathCase::Insensitive
            && let Some(segment) = rule.template.segment_with_other_letters()
        {
            let message = format!("has {segment:?}: path_case: insensitive ignores the case of A to Z only");
            problems.add(format!("{path}.path"), message);
        }
        if table.add(rule.clone()) == Err(Conflict) {
            let earlier = rules.iter().position(|earlier| conflict(earlier, &rule, path_case));
            let place = earlier.and_then(|earlier| places.get(earlier));
            let place = place.map_or("an earlier rule", |(place, _): &(String, String)| place);
            problems.add(&path, format!("{place}, which comes first, has the same path and method"));
        }
        rules.push(rule);
        places.push((path, written));
    }
    let may_ignore_case = shipped.is_none_or(ShippedTable::may_upstream_ignore_case);
    let case_gaps = if may_ignore_case { table.case_gaps(&rules) } else { Vec::new() };
    let case_gaps = case_gaps.into_iter().filter_map(|gap| {
        let ((path, weaker), (place, stricter)) = (places.get(gap.weaker)?, places.get(gap.stricter)?);
        let message = format!(
            "{weaker:?} admits {:?} for less than {place} ({stricter:?}) requires: if the upstream ignores letter case, set \
             path_case: insensitive",
            gap.path
        );
        Some(Problem { path: path.clone(), message })
    });
    warnings.extend(case_gaps);
    (table, warnings)
}

/// Whether two rules have the same path and share a method.
fn conflict(one: &Rule, other: &Rule, path_case: PathCase) -> bool {
    let mut table = RouteTable::new(path_case);
    [one, other].into_iter().any(|rule| table.add(rule.clone()) == Err(Conflict))
}

/// The rules, and the shipped table that they are.
fn rule_list(fields: &mut Fields<'_>) -> (Vec<Value>, Option<ShippedTable>) {
    let routes = fields.take("routes").unwrap_or_default();
    let shipped = ShippedTable::named_by(&routes);
    let rules = match (shipped, routes) {
        (Some(table), _) => serde_json::from_str(table.json())
            .map_err(|error| format!("the shipped table is not JSON: {error}")),
        (None, Value::Array(rules)) => Ok(rules),
        (None, other) => {
            let given = if other.is_string() { other.to_string() } else { kind(&other).to_owned() };
            Err(format!("must be a list of rules, documented or posthog, not {given}"))
        }
    };
    let rules = rules.unwrap_or_else(|problem| {
        fields.problem("routes", problem);
        Vec::new()
    });
    (rules, shipped)
}

impl Config {
    /// The rules of the route table in the order of the list, without the invalid ones. Only the command line needs them.
    pub fn rules(configuration: Value) -> Vec<WrittenRule> {
        let problems = Problems::default();
        let mut fields = Fields::of(configuration, String::new(), &problems);
        let written = |(at, value): (usize, Value)| {
            let template = value["path"].as_str()?.to_owned();
            let rule = rule(Fields::of(value, String::new(), &problems), Mode::default(), &problems)?;
            Some(WrittenRule { at, template, rule })
        };
        rule_list(&mut fields).0.into_iter().enumerate().filter_map(written).collect()
    }
}

fn rule(mut fields: Fields<'_>, filter_mode: Mode, problems: &Problems) -> Option<Rule> {
    let path = fields.take_string("path");
    let template = match &path {
        Some(path) => {
            path.parse::<Template>().map_err(|error| fields.problem("path", format!("{path:?} {error}"))).ok()
        }
        None => {
            fields.problem("path", "is required");
            None
        }
    };
    let path = path.unwrap_or_default();
    let methods = methods(&mut fields, problems);
    let public = fields.take_bool("public").unwrap_or(false);
    let requirement = match (public, fields.take_string("scope")) {
        (true, None) => Some(Requirement::Public),
        (false, Some(scope)) => requirement(&scope).or_else(|| {
            fields.problem(
                "scope",
                format!("{scope:?} is not a scope: write object, object:read, object:write or *"),
            );
            None
        }),
        _ => {
            fields.problem("scope", "exactly one of scope and public: true is required");
            None
        }
    };
    let mode = rule_mode(&mut fields, filter_mode);
    let bearer_prefixes = bearer_prefixes(&mut fields, problems);
    let encoded_slashes = encoded_slashes(&mut fields, &path, problems);
    let locators = locators(&mut fields, &path, public, problems);
    for (field, locator) in [("project", locators.project), ("organization", locators.organization)] {
        if locator.segment.is_some_and(|segment| encoded_slashes.iter().any(|&earlier| earlier < segment)) {
            let message = "must not follow a segment of encoded_slashes, whose slashes could move another segment \
                           to its place";
            fields.problem(field, message);
        }
    }
    let project_query = project_query(&mut fields, &locators, problems);
    if public && !bearer_prefixes.is_empty() {
        fields.problem("bearer_prefixes", "must not be on a public rule, which forwards every token");
    }
    fields.finish();
    let terms =
        Terms { requirement: requirement?, mode, bearer_prefixes, encoded_slashes, locators, project_query };
    Some(Rule { template: template?, methods: methods?, terms })
}

/// For `object`, the method decides between read and write; `object:action` and `*` apply to every method.
fn requirement(scope: &str) -> Option<Requirement> {
    if let Ok(scope) = scope.parse() {
        return Some(Requirement::Fixed(scope));
    }
    format!("{scope}:read").parse::<protocol::Scope>().ok().map(|_| Requirement::of_object(scope))
}

/// `None` after a problem; `Some(None)` for a rule that applies to every method.
fn methods(fields: &mut Fields<'_>, problems: &Problems) -> Option<Option<Vec<String>>> {
    let Some(list) = fields.take_list("methods") else { return Some(None) };
    if list.is_empty() {
        fields.problem("methods", "must name a method, or be left out for all");
    }
    let mut methods = Vec::new();
    for (at, value) in list.iter().enumerate() {
        match value {
            Value::String(method)
                if !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') =>
            {
                methods.push(method.clone());
            }
            Value::String(method) => {
                let path = fields.path_of(&format!("methods[{at}]"));
                problems.add(path, format!("must be a method in upper case, not {method:?}"));
            }
            other => {
                let path = fields.path_of(&format!("methods[{at}]"));
                problems.add(path, format!("must be a string, not {}", kind(other)));
            }
        }
    }
    (!methods.is_empty() && methods.len() == list.len()).then_some(Some(methods))
}

/// The prefixes of bearer tokens that the upstream judges.
fn bearer_prefixes(fields: &mut Fields<'_>, problems: &Problems) -> Vec<Box<str>> {
    const LONGEST: usize = 32;
    let mut prefixes = Vec::new();
    for (at, value) in fields.take_list("bearer_prefixes").into_iter().flatten().enumerate() {
        let problem = |message| problems.add(fields.path_of(&format!("bearer_prefixes[{at}]")), message);
        let Value::String(prefix) = value else {
            problem(format!("must be a string, not {}", kind(&value)));
            continue;
        };
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(1..=LONGEST).contains(&prefix.len()) || !prefix.bytes().all(is_letter) {
            problem(format!(
                "must be 1 to {LONGEST} letters, digits, hyphens or underscores, not {prefix:?}"
            ));
        } else if prefix.starts_with(KEY_PREFIX) || KEY_PREFIX.starts_with(prefix.as_str()) {
            problem(format!("must not be {prefix:?}: personal API keys begin with {KEY_PREFIX:?}"));
        }
        prefixes.push(prefix.into());
    }
    prefixes
}

/// The positions of the segments that may have encoded slashes, by their names in the path.
fn encoded_slashes(fields: &mut Fields<'_>, path: &str, problems: &Problems) -> Vec<usize> {
    let mut positions = Vec::new();
    for (at, value) in fields.take_list("encoded_slashes").into_iter().flatten().enumerate() {
        let named = value.as_str().map(|name| segments_named(name, path)).unwrap_or_default();
        if named.is_empty() {
            problems.add(fields.path_of(&format!("encoded_slashes[{at}]")), not_a_segment(&value));
        }
        positions.extend(named);
    }
    positions
}

/// How the project and the organization of a request are found.
fn locators(fields: &mut Fields<'_>, path: &str, public: bool, problems: &Problems) -> Locators {
    let mut locators = Locators {
        project: locator(fields, "project", path),
        organization: locator(fields, "organization", path),
    };
    for (at, value) in fields.take_list("upstream_judges").into_iter().flatten().enumerate() {
        match value.as_str() {
            Some("project") => locators.project.upstream_judges = true,
            Some("organization") => locators.organization.upstream_judges = true,
            _ => {
                let path = fields.path_of(&format!("upstream_judges[{at}]"));
                problems.add(path, format!("must be project or organization, not {value}"));
            }
        }
    }
    if public && locators != Locators::NONE {
        let message = "a public rule needs no key, so it has no project, organization or upstream_judges";
        fields.problem("public", message);
    }
    locators
}

/// The query fields with which the upstream replaces the project of the path.
fn project_query(fields: &mut Fields<'_>, locators: &Locators, problems: &Problems) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for (at, value) in fields.take_list("project_query").into_iter().flatten().enumerate() {
        match value.as_str().filter(|name| !name.is_empty()) {
            Some(name) => names.push(name.into()),
            None => {
                let path = fields.path_of(&format!("project_query[{at}]"));
                problems.add(path, format!("must be the name of a query field, not {value}"));
            }
        }
    }
    if !names.is_empty() && locators.project.segment.is_none() {
        fields.problem("project_query", "is about the project of the path, so the rule needs project too");
    }
    names
}

/// The segment that a field names.
fn locator(fields: &mut Fields<'_>, field: &'static str, path: &str) -> Locator {
    let name = fields.take_string(field);
    let named = name.as_ref().map(|name| segments_named(name, path)).unwrap_or_default();
    match (name, named.len()) {
        (None, _) | (_, 1) => {}
        (Some(name), 0) => fields.problem(field, not_a_segment(&name.into())),
        (Some(name), _) => fields.problem(field, format!("{name:?} names several segments of the path")),
    }
    Locator { segment: named.first().copied(), upstream_judges: false }
}

/// The positions of the segments `{name}` of a path.
fn segments_named(name: &str, path: &str) -> Vec<usize> {
    let segment = format!("{{{name}}}");
    let parts = path.split('/').skip(1).enumerate();
    let named = parts.filter(|(_, part)| *part == segment && !name.starts_with('*'));
    named.map(|(at, _)| at).collect()
}

fn not_a_segment(value: &Value) -> String {
    format!("must be the name of a {{name}} in the path, not {value}")
}
