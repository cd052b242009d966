use std::collections::{BTreeMap, BTreeSet};

use protocol::Scope;

use super::*;
use crate::route::{Requirement, Terms};

/// Rules of these templates, methods (all if empty) and scopes, and their table.
fn table(rules: &[(&str, &str, &str)]) -> (RouteTable, Vec<Rule>) {
    let mut table = RouteTable::new(PathCase::Sensitive);
    let mut added = Vec::new();
    for (template, methods, scope) in rules {
        let rule = Rule {
            template: template.parse().unwrap(),
            methods: (!methods.is_empty()).then(|| methods.split(' ').map(str::to_owned).collect()),
            terms: Terms::of(match scope.split_once(':') {
                None if *scope == "public" => Requirement::Public,
                Some((object, "")) => Requirement::of_object(object),
                _ => Requirement::Fixed(scope.parse().unwrap()),
            }),
        };
        if table.add(rule.clone()).is_ok() {
            added.push(rule);
        }
    }
    (table, added)
}

fn gaps(rules: &[(&str, &str, &str)]) -> Vec<String> {
    let (table, added) = table(rules);
    assert_eq!(added.len(), rules.len(), "they conflict");
    let print = |gap: CaseGap| format!("{} {} {}", gap.weaker, gap.stricter, gap.path);
    table.case_gaps(&added).into_iter().map(print).collect()
}

#[test]
fn a_weaker_parameter_or_rest_beside_a_literal_is_a_gap() {
    assert_eq!(gaps(&[("/{*rest}", "", "public"), ("/admin", "", "*")]), ["0 1 /Admin"]);
    assert_eq!(gaps(&[("/ADMIN/{*rest}", "", "*"), ("/{name}", "", "public")]), ["1 0 /aDMIN"]);
    assert_eq!(
        gaps(&[("/a/{id}/x", "", "public"), ("/a/b/{name}", "", "a:read"), ("/a", "", "*")]),
        ["0 1 /a/B/x"]
    );
    assert_eq!(gaps(&[("/{*rest}", "", "a:read"), ("/admin", "", "b:read")]), ["0 1 /Admin"]);
    assert_eq!(gaps(&[("/Admin", "", "public"), ("/admin", "", "*")]), ["0 1 /Admin"]);
    assert_eq!(gaps(&[("/{*rest}", "GET", "public"), ("/admin", "POST", "*")]), ["0 1 /Admin"]);
}

#[test]
fn a_spelling_is_found_that_no_other_rule_takes() {
    let rest = ("/{*rest}", "", "public");
    let stricter = [("/admin", "", "*"), ("/Admin", "", "*"), ("/ADMIN", "", "*")];
    assert_eq!(
        gaps(&[rest, stricter[0], stricter[1], stricter[2]]),
        ["0 1 /aDmin", "0 2 /ADmin", "0 3 /aDMIN"]
    );
    assert_eq!(gaps(&[rest, ("/a", "", "*"), ("/A", "", "*")]), Vec::<String>::new(), "there is none");
    let (long, other) = (format!("/{}", "a".repeat(70)), format!("0 1 /A{}", "a".repeat(69)));
    assert_eq!(gaps(&[rest, (&long, "", "*")]), [other]);
    assert_eq!(
        gaps(&[rest, ("/a/b", "", "*"), ("/A", "", "*")]),
        ["0 1 /a/B", "0 2 /a"],
        "one of two segments"
    );
    assert_eq!(gaps(&[rest, ("/1a", "", "*")]), ["0 1 /1A"], "what has no case is skipped");
    let exact = ("/admin", "", "public");
    assert_eq!(gaps(&[rest, exact, ("/admin/{*rest}", "", "*")]), ["0 2 /Admin/x"], "past the exact one");
    assert_eq!(gaps(&[rest, exact, ("/admin/{id}", "", "*"), ("/x", "", "public")]), ["0 2 /Admin/xx"]);
}

#[test]
fn the_rule_that_lists_the_method_is_named() {
    let rest = ("/{*rest}", "", "public");
    assert_eq!(gaps(&[rest, ("/admin", "GET", "*"), ("/admin", "PUT", "*")]), ["0 1 /Admin", "0 2 /Admin"]);
    assert_eq!(gaps(&[rest, ("/admin", "GET", "public"), ("/admin", "", "*")]), ["0 2 /Admin"]);
    let listed = ("/admin", "GET HEAD OPTIONS X", "public");
    assert_eq!(gaps(&[rest, ("/admin", "", "a:read"), listed]), ["0 1 /Admin"]);
    assert_eq!(
        gaps(&[("/{*rest}", "DELETE", "public"), ("/admin", "", "public"), ("/admin", "DELETE", "*")]),
        ["0 2 /Admin"]
    );
    for others in ["GET HEAD", "GET OPTIONS", "HEAD OPTIONS"] {
        let rules = [("/{*rest}", "", "a:"), ("/admin", "", "a:write"), ("/admin", others, "public")];
        assert_eq!(gaps(&rules), ["0 1 /Admin"], "for the third that only reads");
    }
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
    ] {
        assert_eq!(gaps(rules), Vec::<String>::new(), "{rules:?}");
    }
}

#[test]
fn many_rules_are_compared_in_little_time() {
    // Each pair of rules that took a look at all rules took minutes.
    let paths: Vec<String> = (0..250).map(|n| format!("/api/v1/resource_{n}/{{id}}")).collect();
    let mut rules = vec![("/{*rest}", "", "public")];
    for path in &paths {
        rules.extend([
            (path.as_str(), "GET HEAD", "a:read"),
            (path.as_str(), "POST PUT PATCH DELETE", "a:write"),
        ]);
    }
    let found = gaps(&rules);
    assert_eq!((found.len(), found[0].as_str()), (500, "0 1 /Api/V1/Resource_0/x"));
}

#[test]
fn a_table_that_ignores_letter_case_has_no_gap() {
    let mut table = RouteTable::new(PathCase::Insensitive);
    let rule = |path: &str, method: &str, requirement| Rule {
        template: path.parse().unwrap(),
        methods: Some(vec![method.to_owned()]),
        terms: Terms::of(requirement),
    };
    let rules = [rule("/A", "GET", Requirement::Public), rule("/a", "PUT", Requirement::Fixed(Scope::All))];
    rules.iter().for_each(|rule| table.add(rule.clone()).unwrap());
    assert_eq!(table.case_gaps(&rules), []);
}

/// The segments of paths that are searched: all spellings of the literals, and one other.
const SEGMENTS: [&str; 8] = ["a", "A", "ab", "aB", "Ab", "AB", "7", "x"];
const METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"];

/// The most specific template that matches a path: a literal goes before a parameter, and that before the rest; a
/// template that ends with the path goes before one whose rest is empty.
fn most_specific<'r>(rules: &'r [Rule], path: &[&str]) -> Option<&'r Template> {
    let rank = |template: &Template| {
        let mut ranks = Vec::new();
        for (at, segment) in template.segments.iter().enumerate() {
            ranks.push(match segment {
                Segment::Literal(text) if *path.get(at)? == text.as_ref() => 2,
                Segment::Literal(_) => return None,
                Segment::Parameter => path.get(at).map(|_| 1)?,
            });
        }
        let ends = template.segments.len() == path.len();
        if !ends && !template.has_rest {
            return None;
        }
        ranks.push(u8::from(!template.has_rest));
        Some(ranks)
    };
    let ranked = rules.iter().filter_map(|rule| Some((rank(&rule.template)?, &rule.template)));
    ranked.max_by(|left, right| left.0.cmp(&right.0)).map(|(_, template)| template)
}

/// All gaps, found by trying all paths: which other paths each pair of rules lets through.
fn all_gaps(rules: &[Rule]) -> BTreeMap<(usize, usize), BTreeSet<String>> {
    let mut paths: Vec<Vec<&str>> = vec![vec![]];
    for from in [0, 1, 9] {
        let longer = paths[from..].iter().flat_map(|path| SEGMENTS.map(|next| [&path[..], &[next]].concat()));
        paths.extend(longer.collect::<Vec<_>>());
    }
    let judged = |template: &Template, method: &str| {
        let mut unlisted = None;
        let mut first = None;
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.template == *template) {
            first = first.or(Some(at));
            match &rule.methods {
                None => unlisted = Some(at),
                Some(methods) if methods.iter().any(|listed| listed == method) => {
                    return (at, rules[at].terms.route(method.as_bytes()));
                }
                Some(_) => {}
            }
        }
        match unlisted {
            Some(at) => (at, rules[at].terms.route(method.as_bytes())),
            None => (first.unwrap(), UNNAMED),
        }
    };
    let mut gaps: BTreeMap<(usize, usize), BTreeSet<String>> = BTreeMap::new();
    for path in &paths {
        let Some(strict) = most_specific(rules, path) else { continue };
        let mut others: Vec<Vec<&str>> = vec![vec![]];
        for (at, segment) in path.iter().enumerate() {
            let is_literal = matches!(strict.segments.get(at), Some(Segment::Literal(_)));
            let spellings = SEGMENTS.iter().filter(|spelling| match is_literal {
                true => spelling.eq_ignore_ascii_case(segment),
                false => *spelling == segment,
            });
            let spellings: Vec<&str> = spellings.copied().collect();
            let longer = others
                .iter()
                .flat_map(|other| spellings.iter().map(move |spelling| [&other[..], &[*spelling]].concat()));
            others = longer.collect();
        }
        for other in others {
            let Some(weak) = most_specific(rules, &other) else { continue };
            for method in METHODS {
                let ((weaker, admitted), (stricter, required)) =
                    (judged(weak, method), judged(strict, method));
                let is_gap = match (admitted.access, required.access) {
                    (Access::Public, Access::Authenticated(_)) => true,
                    (Access::Authenticated(held), Access::Authenticated(needed)) => !held.satisfies(needed),
                    _ => false,
                };
                if is_gap && weak != strict {
                    gaps.entry((weaker, stricter)).or_default().insert(format!("/{}", other.join("/")));
                }
            }
        }
    }
    gaps
}

#[test]
fn exactly_the_gaps_are_found_that_trying_all_paths_finds() {
    let mut random = 1_u64;
    let mut pick = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    let mut found = 0;
    for _ in 0..400 {
        let rules: Vec<(String, &str, &str)> = (0..2 + pick(4))
            .map(|_| {
                let mut template = String::new();
                for _ in 0..pick(3) {
                    template = template + "/" + ["a", "A", "ab", "aB", "Ab", "AB", "7", "{id}"][pick(8)];
                }
                let template = template + ["/{*rest}", "/"][pick(2)];
                let methods = ["", "", "GET", "PUT", "POST PUT"][pick(5)];
                (template, methods, ["public", "public", "*", "o:read", "o:"][pick(5)])
            })
            .collect();
        let rules: Vec<(&str, &str, &str)> =
            rules.iter().map(|(template, methods, scope)| (template.as_str(), *methods, *scope)).collect();
        let (table, added) = table(&rules);
        let (gaps, all) = (table.case_gaps(&added), all_gaps(&added));
        let pairs: Vec<(usize, usize)> = gaps.iter().map(|gap| (gap.weaker, gap.stricter)).collect();
        assert_eq!(pairs.len(), all.len(), "{rules:?}: {gaps:?}, and not {all:?}");
        for gap in &gaps {
            let paths = all.get(&(gap.weaker, gap.stricter));
            assert!(
                paths.is_some_and(|paths| paths.contains(&gap.path)),
                "{rules:?}: {gap:?}, and not {all:?}"
            );
        }
        found += gaps.len();
    }
    assert!(found > 100, "{found}");
}
