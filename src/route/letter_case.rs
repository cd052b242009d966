//! Where a server that ignores letter case would serve the paths of one rule under another that asks for less.

use super::template::{Segment, Template};
use super::{Access, RouteTable, Rule};
use crate::request::RequestHead;

/// A path that two rules claim if letter case is ignored, and that the weaker one gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseGap {
    /// The place of the rule that is asked, in the list of rules.
    pub weaker: usize,
    /// The place of the rule that asks for more.
    pub stricter: usize,
    /// Such a path.
    pub path: String,
}

impl RouteTable {
    /// The gaps between these rules, which are the table's: a `{name}` or `{*rest}` takes `/Admin` where a literal takes
    /// `/admin` and asks for more.
    pub fn case_gaps(&self, rules: &[Rule]) -> Vec<CaseGap> {
        let mut gaps = Vec::new();
        for (weaker, rule) in rules.iter().enumerate() {
            for (stricter, other) in rules.iter().enumerate() {
                let Some((path, other_case)) = paths_in_both_cases(&rule.template, &other.template) else {
                    continue;
                };
                if methods(rule, other).any(|method| self.asks_less(rule, method, &other_case, &path)) {
                    gaps.push(CaseGap { weaker, stricter, path: other_case });
                }
            }
        }
        gaps
    }

    /// Whether `rule` decides about `path`, and whoever it admits might not be admitted to `stricter`.
    fn asks_less(&self, rule: &Rule, method: &str, path: &str, stricter: &str) -> bool {
        let access = |path: &str| {
            let head = RequestHead {
                method: method.as_bytes(),
                path: path.as_bytes(),
                bearer_token: None,
                is_preflight: false,
            };
            self.classify(&head)
        };
        let found = access(path);
        found == rule.requirement.access(method.as_bytes())
            && match (found, access(stricter)) {
                (_, Access::Public) => false,
                (Access::Public, Access::Authenticated(_)) => true,
                (Access::Authenticated(scope), Access::Authenticated(required)) => !scope.satisfies(required),
            }
    }
}

/// The methods that either rule lists, and one of each kind.
fn methods<'r>(rule: &'r Rule, other: &'r Rule) -> impl Iterator<Item = &'r str> {
    let listed = [&rule.methods, &other.methods].into_iter().flatten().flatten();
    listed.map(String::as_str).chain(["GET", "POST"])
}

/// A path of the `stricter` template, and the same in another letter case, which the `weaker` one matches by a parameter
/// or its rest; `None` if there is none.
fn paths_in_both_cases(weaker: &Template, stricter: &Template) -> Option<(String, String)> {
    const ANYTHING: &str = "x";
    let (mut path, mut other_case) = (String::new(), String::new());
    for at in 0..weaker.segments.len().max(stricter.segments.len()) {
        let (here, there) = match (weaker.segments.get(at), stricter.segments.get(at)) {
            (None, _) if !weaker.has_rest => return None,
            (_, None) if !stricter.has_rest => return None,
            (Some(Segment::Literal(weak)), Some(Segment::Literal(strict))) => {
                if !weak.eq_ignore_ascii_case(strict) {
                    return None;
                }
                (strict.to_string(), weak.to_string())
            }
            (_, Some(Segment::Literal(strict))) => (strict.to_string(), in_other_case(strict)),
            (Some(Segment::Literal(weak)), _) => (weak.to_string(), weak.to_string()),
            _ => (ANYTHING.to_owned(), ANYTHING.to_owned()),
        };
        path = path + "/" + &here;
        other_case = other_case + "/" + &there;
    }
    (path != other_case).then_some((path, other_case))
}

fn in_other_case(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if upper == text { text.to_ascii_lowercase() } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{PathCase, Requirement};

    /// The gaps between rules of these templates, methods (all if empty) and scopes.
    fn gaps(rules: &[(&str, &str, &str)]) -> Vec<String> {
        let rules: Vec<Rule> = rules
            .iter()
            .map(|(template, methods, scope)| Rule {
                template: template.parse().unwrap(),
                methods: (!methods.is_empty()).then(|| methods.split(' ').map(str::to_owned).collect()),
                requirement: match *scope {
                    "public" => Requirement::Public,
                    scope => Requirement::Fixed(scope.parse().unwrap()),
                },
            })
            .collect();
        let mut table = RouteTable::new(PathCase::Sensitive);
        rules.iter().for_each(|rule| table.add(rule.clone()).unwrap());
        let print = |gap: CaseGap| format!("{} {} {}", gap.weaker, gap.stricter, gap.path);
        table.case_gaps(&rules).into_iter().map(print).collect()
    }

    #[test]
    fn a_weaker_parameter_or_rest_beside_a_literal_is_a_gap() {
        assert_eq!(gaps(&[("/{*rest}", "", "public"), ("/admin", "", "*")]), ["0 1 /ADMIN"]);
        assert_eq!(gaps(&[("/ADMIN/{*rest}", "", "*"), ("/{name}", "", "public")]), ["1 0 /admin"]);
        assert_eq!(
            gaps(&[("/a/{id}/x", "", "public"), ("/a/b/{name}", "", "a:read"), ("/a", "", "*")]),
            ["0 1 /a/B/x"]
        );
        assert_eq!(gaps(&[("/{*rest}", "", "a:read"), ("/admin", "", "b:read")]), ["0 1 /ADMIN"]);
        assert_eq!(gaps(&[("/Admin", "", "public"), ("/admin", "", "*")]), ["0 1 /Admin"]);
        assert_eq!(gaps(&[("/{*rest}", "GET", "public"), ("/admin", "POST", "*")]), ["0 1 /ADMIN"]);
    }

    #[test]
    fn where_nothing_is_lost_there_is_no_gap() {
        for rules in [
            &[("/{*rest}", "", "*"), ("/admin", "", "public")][..],
            &[("/{*rest}", "", "a:write"), ("/admin", "", "a:read")],
            &[("/{*rest}", "", "public"), ("/health", "", "public")],
            &[("/{*rest}", "", "public"), ("/7", "", "*")],
            &[("/{name}", "", "public"), ("/admin/x", "", "*")],
            &[("/a/{*rest}", "", "public"), ("/b/admin", "", "*")],
            &[("/{*rest}", "PUT", "public"), ("/admin", "", "*"), ("/ADMIN", "", "*")],
        ] {
            assert_eq!(gaps(rules), Vec::<String>::new(), "{rules:?}");
        }
    }
}
