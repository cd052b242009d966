//! Finds case gaps: paths that a weaker rule admits, and that a case-insensitive server treats as paths of a stricter
//! rule.

use super::template::{Segment, Template};
use super::{Access, PathCase, Route, RouteTable, Rule, UNNAMED};

/// The most paths of one length that are tried for two templates. One is enough unless every spelling of a literal is
/// a literal of some rule.
const MOST_PATHS: usize = 256;

/// A path that matches two rules if letter case is ignored, and that the weaker one decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseGap {
    /// The index of the rule that decides.
    pub weaker: usize,
    /// The index of the rule that requires more.
    pub stricter: usize,
    /// An example of such a path.
    pub path: String,
}

impl RouteTable {
    /// The gaps between `rules`, which must be those of the table. In a gap, a path of one rule requires more than a
    /// path that differs from it only in the case (of A to Z) of that rule's literals. Example: `/{*rest}` matches
    /// `/Admin`, and the literal `/admin` requires more.
    pub fn case_gaps(&self, rules: &[Rule]) -> Vec<CaseGap> {
        if self.path_case == PathCase::Insensitive {
            return Vec::new();
        }
        let names = Names::of(rules);
        let mut templates: Vec<&Template> = Vec::new();
        rules.iter().for_each(|rule| push_new(&mut templates, &rule.template));
        let access_of =
            |template| names.methods.iter().map(|method| required_access(rules, template, method)).collect();
        let accesses: Vec<Vec<_>> = templates.iter().copied().map(access_of).collect();
        let mut gaps = Vec::new();
        for (weak, admitted) in templates.iter().zip(&accesses) {
            for (strict, required) in templates.iter().zip(&accesses) {
                // Most pairs end here, which saves the costlier search for a path.
                let mut pairs: Vec<(usize, usize)> = Vec::new();
                for ((weaker, admitted), (stricter, required)) in admitted.iter().zip(required) {
                    if requires_less(*admitted, *required) && !pairs.contains(&(*weaker, *stricter)) {
                        pairs.push((*weaker, *stricter));
                    }
                }
                if pairs.is_empty() {
                    continue;
                }
                let is_gap = |(path, other_case): &(String, String)| {
                    self.is_decided_by(path, strict) && self.is_decided_by(other_case, weak)
                };
                let Some((_, path)) = names.paths_in_two_cases(weak, strict).into_iter().find(is_gap) else {
                    continue;
                };
                gaps.extend(pairs.into_iter().map(|(weaker, stricter)| CaseGap {
                    weaker,
                    stricter,
                    path: path.clone(),
                }));
            }
        }
        gaps
    }

    /// Whether the rules of this template decide a path.
    fn is_decided_by(&self, path: &str, template: &Template) -> bool {
        let decides = self.leaf_of_path(path.as_bytes());
        decides.zip(self.leaf_of_template(template)).is_some_and(|(found, leaf)| std::ptr::eq(found, leaf))
    }
}

/// The rule of this template that decides a method, and the access that it requires. If no rule lists the method, the
/// access is `*`, and the index is that of the first rule.
fn required_access<'r>(rules: &'r [Rule], template: &Template, method: &str) -> (usize, Route<'r>) {
    let mut access = None;
    for (at, rule) in rules.iter().enumerate() {
        if rule.template != *template {
            continue;
        }
        match &rule.methods {
            Some(methods) if methods.iter().any(|listed| listed == method) => {
                return (at, rule.terms.route(method.as_bytes()));
            }
            Some(_) => {
                access.get_or_insert((at, UNNAMED));
            }
            None => access = Some((at, rule.terms.route(method.as_bytes()))),
        }
    }
    access.unwrap_or((0, UNNAMED))
}

/// Whether a request that `admitted` admits may lack what `required` requires. Shadow mode admits everything; two rules in
/// shadow mode are compared as if both were enforced.
fn requires_less(admitted: Route<'_>, required: Route<'_>) -> bool {
    let is_left = |prefix: &str| required.bearer_prefixes.iter().any(|other| prefix.starts_with(&**other));
    match (admitted.access, required.access) {
        (_, Access::Public) => false,
        _ if admitted.mode.is_shadow() && !required.mode.is_shadow() => true,
        _ if admitted.locators.admit_more_than(required.locators) => true,
        _ if !admitted.bearer_prefixes.iter().all(|prefix| is_left(prefix)) => true,
        (Access::Public, Access::Authenticated(_)) => true,
        (Access::Authenticated(scope), Access::Authenticated(required)) => !scope.satisfies(required),
    }
}

/// The names that rules use, and one of each kind that they do not use.
struct Names<'r> {
    literals: Vec<&'r str>,
    /// A segment that is not a literal of any rule.
    other_segment: String,
    /// The methods that rules list, those that `read` covers, and one for all others.
    methods: Vec<String>,
    /// The number of segments of the longest template.
    longest: usize,
}

impl<'r> Names<'r> {
    fn of(rules: &'r [Rule]) -> Self {
        let mut literals: Vec<&str> = Vec::new();
        let mut methods = ["GET", "HEAD", "OPTIONS"].map(str::to_owned).to_vec();
        let mut longest = 0;
        for Rule { template, methods: listed, .. } in rules {
            for segment in &template.segments {
                if let Segment::Literal(text) = segment {
                    push_new(&mut literals, text.as_ref());
                }
            }
            listed.iter().flatten().for_each(|method| push_new(&mut methods, method.clone()));
            longest = longest.max(template.segments.len());
        }
        let other_segment = unused("x", &|name| literals.contains(&name));
        methods.push(unused("X", &|name| methods.iter().any(|method| method == name)));
        Names { literals, other_segment, methods, longest }
    }

    /// Pairs of paths: one that `strict` may match, and one that `weak` may match. They differ only in the case of
    /// the literals of `strict`.
    ///
    /// For a parameter or a rest it is enough to try a segment that is not a literal, because the fewest other rules
    /// match it. Beyond the longest template, more segments change nothing.
    fn paths_in_two_cases(&self, weak: &Template, strict: &Template) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut paths = vec![(String::new(), String::new())];
        for at in 0..=self.longest + 1 {
            found.extend_from_slice(&paths);
            let (here, spellings) = self.segment_in_two_cases(weak, strict, at);
            let mut longer = Vec::new();
            for (path, other_case) in &paths {
                for there in &spellings {
                    longer.push(([path, "/", here].concat(), [other_case, "/", there.as_str()].concat()));
                }
            }
            longer.truncate(MOST_PATHS);
            paths = longer;
            if paths.is_empty() {
                break;
            }
        }
        found
    }

    /// A segment for `strict`, and its counterparts for `weak`.
    fn segment_in_two_cases<'a>(
        &'a self,
        weak: &'a Template,
        strict: &'a Template,
        at: usize,
    ) -> (&'a str, Vec<String>) {
        match (weak.segments.get(at), strict.segments.get(at)) {
            (Some(Segment::Literal(weak)), Some(Segment::Literal(strict))) => {
                match weak.eq_ignore_ascii_case(strict) {
                    true => (strict, vec![weak.to_string()]),
                    false => (strict, Vec::new()),
                }
            }
            (Some(Segment::Literal(weak)), _) => (weak, vec![weak.to_string()]),
            (_, Some(Segment::Literal(strict))) => (strict, self.spellings(strict)),
            _ => (&self.other_segment, vec![self.other_segment.clone()]),
        }
    }

    /// A spelling of a literal in another case that is not a literal; or all spellings, if each of them is a literal.
    fn spellings(&self, literal: &str) -> Vec<String> {
        let letters = literal.bytes().filter(u8::is_ascii_alphabetic).count();
        let taken = self.literals.iter().filter(|other| other.eq_ignore_ascii_case(literal)).count();
        let all = 1_usize.checked_shl(letters as u32).unwrap_or(usize::MAX);
        let mut spellings = Vec::new();
        // One more spelling than there are literals: so one of them is not a literal, unless there are no more
        // spellings.
        for number in 0..all.min(taken + 1) {
            let spelling = spelling(literal, number);
            if !self.literals.contains(&spelling.as_str()) {
                return vec![spelling];
            }
            spellings.push(spelling);
        }
        spellings
    }
}

/// A spelling of a text. Each bit of the number, from the lowest, switches the case of the next letter.
fn spelling(text: &str, number: usize) -> String {
    let mut bits = number;
    let in_case = |c: char| {
        if !c.is_ascii_alphabetic() {
            return c;
        }
        let is_changed = bits & 1 == 1;
        bits >>= 1;
        match is_changed {
            false => c,
            true if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            true => c.to_ascii_lowercase(),
        }
    };
    text.chars().map(in_case).collect()
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The shortest repetition of a letter that is not in use.
fn unused(letter: &str, is_used: &dyn Fn(&str) -> bool) -> String {
    let mut name = letter.to_owned();
    while is_used(&name) {
        name += letter;
    }
    name
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            gaps(&[rest, ("/admin", "GET", "*"), ("/admin", "PUT", "*")]),
            ["0 1 /Admin", "0 2 /Admin"]
        );
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
        let rules =
            [rule("/A", "GET", Requirement::Public), rule("/a", "PUT", Requirement::Fixed(Scope::All))];
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
            let longer =
                paths[from..].iter().flat_map(|path| SEGMENTS.map(|next| [&path[..], &[next]].concat()));
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
                let longer = others.iter().flat_map(|other| {
                    spellings.iter().map(move |spelling| [&other[..], &[*spelling]].concat())
                });
                others = longer.collect();
            }
            for other in others {
                let Some(weak) = most_specific(rules, &other) else { continue };
                for method in METHODS {
                    let ((weaker, admitted), (stricter, required)) =
                        (judged(weak, method), judged(strict, method));
                    let is_gap = match (admitted.access, required.access) {
                        (Access::Public, Access::Authenticated(_)) => true,
                        (Access::Authenticated(held), Access::Authenticated(needed)) => {
                            !held.satisfies(needed)
                        }
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
            let rules: Vec<(&str, &str, &str)> = rules
                .iter()
                .map(|(template, methods, scope)| (template.as_str(), *methods, *scope))
                .collect();
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
}
