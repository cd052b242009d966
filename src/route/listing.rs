//! Looks into a route table: the order in which its rules match, and the rule that decides a request. The command line
//! prints both; a request needs neither.

use std::collections::BTreeMap;

use super::template::Segment;
use super::{PathCase, RouteTable, Rule};
use crate::request::RequestHead;

/// What decides a request, by indices of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deciding {
    /// This rule.
    Rule(usize),
    /// No rule, because the rules of the most specific template do not list the method. This is one of them.
    OtherMethods(usize),
    /// No rule, because none matches the path.
    Nothing,
}

impl RouteTable {
    /// The indices of `rules`, which must be those of the table, in the order in which they match: a request is decided
    /// by the first template that matches its path. Rules with the same template are one group; within it, a rule that
    /// lists methods goes first.
    pub fn match_order(&self, rules: &[Rule]) -> Vec<Vec<usize>> {
        let in_case = |text: &str| match self.path_case {
            PathCase::Sensitive => text.to_owned(),
            PathCase::Insensitive => text.to_ascii_lowercase(),
        };
        // The end of the path goes before any segment, because no path has both there.
        let ranks = |rule: &Rule| {
            let rank = |segment: &Segment| match segment {
                Segment::Literal(text) => (1, in_case(text)),
                Segment::Parameter => (2, String::new()),
            };
            let mut ranks: Vec<(u8, String)> = rule.template.segments.iter().map(rank).collect();
            ranks.push((if rule.template.has_rest { 3 } else { 0 }, String::new()));
            ranks
        };
        let mut groups = BTreeMap::<_, Vec<usize>>::new();
        rules.iter().enumerate().for_each(|(at, rule)| groups.entry(ranks(rule)).or_default().push(at));
        let mut order: Vec<Vec<usize>> = groups.into_values().collect();
        for group in &mut order {
            group.sort_by_key(|&at| rules.get(at).is_some_and(|rule| rule.methods.is_none()));
        }
        order
    }

    /// What decides a request. `rules` must be those of the table.
    pub fn deciding(&self, rules: &[Rule], head: &RequestHead<'_>) -> Deciding {
        let Some(leaf) = self.leaf_of_path(head.path) else { return Deciding::Nothing };
        let of_leaf = |rule: &Rule| {
            self.leaf_of_template(&rule.template).is_some_and(|other| std::ptr::eq(other, leaf))
        };
        let lists_it = |rule: &Rule| {
            rule.methods.as_ref().map(|listed| listed.iter().any(|method| method.as_bytes() == head.method))
        };
        let mut deciding = Deciding::Nothing;
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| of_leaf(rule)) {
            match (lists_it(rule), deciding) {
                (Some(true), _) => return Deciding::Rule(at),
                (None, _) => deciding = Deciding::Rule(at),
                (Some(false), Deciding::Nothing) => deciding = Deciding::OtherMethods(at),
                (Some(false), _) => {}
            }
        }
        deciding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Access, Requirement, Template, Terms};

    fn table(path_case: PathCase, rules: &[(&str, &[&str], &str)]) -> (RouteTable, Vec<Rule>) {
        let mut table = RouteTable::new(path_case);
        let mut added = Vec::new();
        for (template, methods, scope) in rules {
            let rule = Rule {
                template: template.parse().unwrap(),
                methods: (!methods.is_empty())
                    .then(|| methods.iter().map(|&method| method.to_owned()).collect()),
                terms: Terms::of(Requirement::Fixed(scope.parse().unwrap())),
            };
            table.add(rule.clone()).unwrap();
            added.push(rule);
        }
        (table, added)
    }

    fn head<'a>(method: &'a str, path: &'a str) -> RequestHead<'a> {
        RequestHead {
            method: method.as_bytes(),
            path: path.as_bytes(),
            query: b"",
            has_encoded_slash: false,
            bearer_token: None,
            is_preflight: false,
        }
    }

    #[test]
    fn rules_are_listed_most_specific_first() {
        let templates =
            ["/{*rest}", "/a/{id}", "/a", "/a/{*rest}", "/{x}/c", "/B/{id}", "/a/b", "/", "/b/x/y"];
        let rules = templates.map(|template| (template, &[][..], "*"));
        let order = |path_case| {
            let (table, rules) = table(path_case, &rules);
            table.match_order(&rules).into_iter().map(|group| templates[group[0]]).collect::<Vec<_>>()
        };
        assert_eq!(
            order(PathCase::Sensitive),
            ["/", "/B/{id}", "/a", "/a/b", "/a/{id}", "/a/{*rest}", "/b/x/y", "/{x}/c", "/{*rest}"]
        );
        assert_eq!(
            order(PathCase::Insensitive),
            ["/", "/a", "/a/b", "/a/{id}", "/a/{*rest}", "/b/x/y", "/B/{id}", "/{x}/c", "/{*rest}"]
        );
        let (table, rules) = table(PathCase::Sensitive, &[("/a", &[], "*"), ("/a", &["GET"], "*")]);
        assert_eq!(table.match_order(&rules), [[1, 0]], "a rule that lists methods goes first");
    }

    #[test]
    fn the_deciding_rule_is_found_also_where_it_does_not_list_the_method() {
        let (table, rules) = table(
            PathCase::Insensitive,
            &[
                ("/a/{id}", &["GET"], "*"),
                ("/a/{id}", &["PUT"], "*"),
                ("/A/b", &[], "*"),
                ("/a/b", &["GET"], "*"),
            ],
        );
        let deciding = |method, path| table.deciding(&rules, &head(method, path));
        assert_eq!(deciding("PUT", "/A/7/"), Deciding::Rule(1));
        assert_eq!(deciding("POST", "/a/7"), Deciding::OtherMethods(0));
        assert_eq!(deciding("GET", "/a/B"), Deciding::Rule(3));
        assert_eq!(deciding("POST", "/a/b"), Deciding::Rule(2));
        assert_eq!(deciding("GET", "/a"), Deciding::Nothing);
    }

    fn matches(template: &Template, path: &[&str]) -> bool {
        let same = |(segment, part): (&Segment, &&str)| match segment {
            Segment::Literal(text) => text.as_ref() == *part,
            Segment::Parameter => true,
        };
        let least = template.segments.len();
        (path.len() == least || (template.has_rest && path.len() > least))
            && template.segments.iter().zip(path).all(same)
    }

    #[test]
    fn the_first_listed_template_that_matches_is_the_one_that_decides() {
        let mut random = 1_u64;
        let mut pick = |bound: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % bound
        };
        let mut decided = 0;
        for _ in 0..300 {
            let mut templates: Vec<String> = (0..2 + pick(5))
                .map(|_| {
                    let segments: String = (0..pick(3)).map(|_| ["/a", "/b", "/{id}"][pick(3)]).collect();
                    segments + ["/{*rest}", "/"][pick(2)]
                })
                .collect();
            templates.sort();
            templates.dedup();
            // Each rule has a scope of its own, so that the access names it.
            let scopes: Vec<String> = (0..templates.len()).map(|at| format!("o{at}:read")).collect();
            let rules = templates.iter().zip(&scopes).map(|(template, scope)| {
                (template.as_str(), [&["GET"][..], &[]][scope.len() % 2], scope.as_str())
            });
            let (table, rules) = table(PathCase::Sensitive, &rules.collect::<Vec<_>>());
            let order = table.match_order(&rules).concat();
            for first in ["", "a", "b", "c"] {
                for second in ["", "a", "b", "c"] {
                    let parts: Vec<&str> =
                        [first, second].into_iter().filter(|part| !part.is_empty()).collect();
                    let path = format!("/{}", parts.join("/"));
                    let listed = order.iter().copied().find(|&at| matches(&rules[at].template, &parts));
                    let deciding = table.deciding(&rules, &head("GET", &path));
                    match listed {
                        None => assert_eq!(deciding, Deciding::Nothing, "{path} {templates:?}"),
                        Some(at) => {
                            assert_eq!(deciding, Deciding::Rule(at), "{path} {templates:?}");
                            let Requirement::Fixed(scope) = &rules[at].terms.requirement else {
                                unreachable!()
                            };
                            assert_eq!(
                                table.classify(&head("GET", &path)).unwrap().access,
                                Access::Authenticated(scope)
                            );
                            decided += 1;
                        }
                    }
                }
            }
        }
        assert!(decided > 1_000, "{decided}");
    }
}
