//! Finds case gaps: paths that a weaker rule admits, and that a case-insensitive server treats as paths of a stricter
//! rule.

use super::template::{Segment, Template};
use super::{Access, PathCase, Route, RouteTable, Rule, UNNAMED};

#[cfg(test)]
mod tests;

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
