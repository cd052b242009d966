//! The route table: finds the most specific rule for a request and the access that it needs.

use protocol::{Action, Scope};

use crate::ambiguity::Ambiguity;
use crate::mode::Mode;
use crate::request::{RequestHead, decoded};
use crate::restriction::{Locators, Requested, RequestedId};

mod encoded_slashes;
mod letter_case;
mod listing;
mod template;
#[cfg(test)]
mod tests;

pub use letter_case::CaseGap;
pub use listing::Deciding;
use template::Segment;
pub use template::{Template, TemplateError};

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access<'t> {
    /// Nothing.
    Public,
    /// A key that holds this scope.
    Authenticated(&'t Scope),
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'t> {
    /// What the route asks of its callers.
    pub access: Access<'t>,
    /// Whether its rule is enforced.
    pub mode: Mode,
    /// The prefixes of bearer tokens that the upstream judges.
    pub bearer_prefixes: &'t [Box<str>],
    /// How the project and the organization of the request are found in its path.
    pub locators: &'t Locators,
    /// The query fields with which the upstream replaces the project of the path.
    pub project_query: &'t [Box<str>],
}

/// Proof that a rule leaves the bearer token of a request to the upstream. Only [`Route::leaves_to_upstream`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftToUpstream(());

impl Route<'_> {
    /// The project and the organization that a request concerns.
    pub fn requested(&self, head: &RequestHead<'_>) -> Requested {
        let mut requested = self.locators.requested(head.path);
        if matches!(requested.project, RequestedId::Id(_) | RequestedId::NoId(_))
            && head.has_query_field(self.project_query)
        {
            requested.project = RequestedId::Unknown;
        }
        requested
    }

    /// Whether the rule names a prefix of this token.
    pub fn leaves_to_upstream(&self, bearer_token: Option<&[u8]>) -> Option<LeftToUpstream> {
        let begins = |prefix: &str| bearer_token.is_some_and(|token| token.starts_with(prefix.as_bytes()));
        self.bearer_prefixes.iter().any(|prefix| begins(prefix)).then_some(LeftToUpstream(()))
    }
}

/// What a rule requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No key is needed.
    Public,
    /// One scope for every method.
    Fixed(Scope),
    /// The object's `read` scope for GET, HEAD and OPTIONS, its `write` scope for every other method.
    ByMethod {
        /// For safe methods.
        read: Scope,
        /// For the others.
        write: Scope,
    },
}

impl Requirement {
    /// The default requirement of an object: `read` for safe methods, `write` for the others.
    pub fn of_object(object: &str) -> Self {
        let scope = |action| Scope::Object { object: object.into(), action };
        Requirement::ByMethod { read: scope(Action::Read), write: scope(Action::Write) }
    }

    fn access(&self, method: &[u8]) -> Access<'_> {
        match self {
            Requirement::Public => Access::Public,
            Requirement::Fixed(scope) => Access::Authenticated(scope),
            Requirement::ByMethod { read, .. } if matches!(method, b"GET" | b"HEAD" | b"OPTIONS") => {
                Access::Authenticated(read)
            }
            Requirement::ByMethod { write, .. } => Access::Authenticated(write),
        }
    }
}

/// One rule of the table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The paths that it matches.
    pub template: Template,
    /// The methods that it matches; `None` for all.
    pub methods: Option<Vec<String>>,
    /// What it says of the requests that it matches.
    pub terms: Terms,
}

/// What a rule says of the requests that it matches.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it requires.
    pub requirement: Requirement,
    /// Whether it is enforced.
    pub mode: Mode,
    /// The prefixes of bearer tokens that the upstream judges. No personal API key begins with one of these.
    pub bearer_prefixes: Vec<Box<str>>,
    /// The positions of segments that may have encoded slashes.
    pub encoded_slashes: Vec<usize>,
    /// How the project and the organization of a request are found in its path.
    pub locators: Locators,
    /// The query fields with which the upstream replaces the project of the path.
    pub project_query: Vec<Box<str>>,
}

impl Terms {
    /// A requirement that is enforced.
    pub fn of(requirement: Requirement) -> Self {
        Terms {
            requirement,
            mode: Mode::Enforce,
            bearer_prefixes: Vec::new(),
            encoded_slashes: Vec::new(),
            locators: Locators::NONE,
            project_query: Vec::new(),
        }
    }

    fn route(&self, method: &[u8]) -> Route<'_> {
        Route {
            access: self.requirement.access(method),
            mode: self.mode,
            bearer_prefixes: &self.bearer_prefixes,
            locators: &self.locators,
            project_query: &self.project_query,
        }
    }
}

/// An earlier rule has the same template and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// Whether paths are case-sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathCase {
    /// `/Admin` and `/admin` are different paths.
    #[default]
    Sensitive,
    /// The case of A to Z is ignored.
    Insensitive,
}

/// The rules, as a tree of path segments.
#[derive(Debug, Default)]
pub struct RouteTable {
    path_case: PathCase,
    root: Node,
}

/// A route that no rule matches needs `*`, and a key without restrictions: deny by default.
const UNNAMED: Route<'static> = Route {
    access: Access::Authenticated(&Scope::All),
    mode: Mode::Enforce,
    bearer_prefixes: &[],
    locators: &Locators::NONE,
    project_query: &[],
};

impl RouteTable {
    /// A table without rules.
    pub fn new(path_case: PathCase) -> Self {
        RouteTable { path_case, root: Node::default() }
    }

    /// Adds a rule. The order of rules does not matter.
    ///
    /// # Errors
    /// [`Conflict`] if an earlier rule has the same template and shares a method.
    pub fn add(&mut self, rule: Rule) -> Result<(), Conflict> {
        let mut node = &mut self.root;
        for segment in &rule.template.segments {
            node = match segment {
                Segment::Literal(text) => match self.path_case {
                    PathCase::Sensitive => node.literal_mut(text),
                    PathCase::Insensitive => node.literal_mut(&text.to_ascii_lowercase()),
                },
                Segment::Parameter => node.parameter.get_or_insert_default(),
            };
        }
        let leaf = if rule.template.has_rest { &mut node.rest } else { &mut node.exact };
        let leaf = leaf.get_or_insert_default();
        leaf.rest_from = rule.template.has_rest.then_some(rule.template.segments.len());
        leaf.add(rule.methods, rule.terms)
    }

    /// The access that a request needs, and whether its rule is enforced.
    ///
    /// Rules are compared segment by segment from the left: a literal goes before a `{name}`, and both before a
    /// `{*rest}`; a rule that ends exactly where the path ends goes before one whose rest is empty. Only the rule
    /// that is found decides: if it does not list the method, the route counts as matched by no rule.
    ///
    /// # Errors
    /// [`Ambiguity::PathEncoding`] if the path has an encoded slash that the rule does not accept.
    pub fn classify(&self, head: &RequestHead<'_>) -> Result<Route<'_>, Ambiguity> {
        let leaf = self.leaf_of_path(head.path);
        let found = leaf.and_then(|leaf| Some((leaf, leaf.terms(head.method)?)));
        if head.has_encoded_slash
            && !found.is_some_and(|(leaf, terms)| self.accepts_encoded_slashes(head.path, leaf, terms))
        {
            return Err(Ambiguity::PathEncoding);
        }
        Ok(found.map_or(UNNAMED, |(_, terms)| terms.route(head.method)))
    }

    /// Whether a rule leaves the judgement of a restriction to the upstream.
    pub(crate) fn leaves_restrictions_to_upstream(&self) -> bool {
        self.root.any(&|terms| terms.locators.upstream_judges())
    }

    fn leaf_of_path(&self, path: &[u8]) -> Option<&Leaf> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        match path {
            b"" => self.root.leaf(),
            path => self.root.find(Some(path), self.path_case),
        }
    }

    fn leaf_of_template(&self, template: &Template) -> Option<&Leaf> {
        let node = template.segments.iter().try_fold(&self.root, |node, segment| match segment {
            Segment::Literal(text) => node.literal(text.as_bytes(), self.path_case),
            Segment::Parameter => node.parameter.as_deref(),
        });
        let node = node?;
        if template.has_rest { node.rest.as_ref() } else { node.exact.as_ref() }
    }
}

/// The rules whose paths share a prefix.
#[derive(Debug, Default)]
struct Node {
    /// Sorted by text.
    literals: Vec<(Box<str>, Node)>,
    parameter: Option<Box<Node>>,
    exact: Option<Leaf>,
    rest: Option<Leaf>,
}

impl Node {
    fn literal_mut(&mut self, text: &str) -> &mut Node {
        let at = match self.literals.binary_search_by(|(literal, _)| literal.as_ref().cmp(text)) {
            Ok(at) => at,
            Err(at) => {
                self.literals.insert(at, (text.into(), Node::default()));
                at
            }
        };
        &mut self.literals[at].1
    }

    fn literal(&self, text: &[u8], path_case: PathCase) -> Option<&Node> {
        let at = match path_case {
            PathCase::Sensitive => {
                self.literals.binary_search_by(|(literal, _)| literal.as_bytes().cmp(text)).ok()?
            }
            PathCase::Insensitive => {
                let lower = || text.iter().map(u8::to_ascii_lowercase);
                self.literals.binary_search_by(|(literal, _)| literal.bytes().cmp(lower())).ok()?
            }
        };
        Some(&self.literals.get(at)?.1)
    }

    /// Whether any rule below has such terms.
    fn any(&self, is_it: &impl Fn(&Terms) -> bool) -> bool {
        let in_leaf =
            |leaf: &Leaf| leaf.by_method.iter().map(|(_, terms)| terms).chain(&leaf.other_methods).any(is_it);
        self.exact.iter().chain(&self.rest).any(in_leaf)
            || self
                .literals
                .iter()
                .map(|(_, node)| node)
                .chain(self.parameter.as_deref())
                .any(|node| node.any(is_it))
    }

    /// The rules for a path that ends here.
    fn leaf(&self) -> Option<&Leaf> {
        self.exact.as_ref().or(self.rest.as_ref())
    }

    /// Finds the most specific rules for the rest of a path. Each node is visited at most once.
    fn find(&self, path: Option<&[u8]>, path_case: PathCase) -> Option<&Leaf> {
        let Some(path) = path else { return self.leaf() };
        let mut parts = path.splitn(2, |&byte| byte == b'/');
        let (segment, left) = (decoded(parts.next().unwrap_or_default()), parts.next());
        let by_literal = self.literal(&segment, path_case).and_then(|node| node.find(left, path_case));
        let by_parameter = || self.parameter.as_ref().and_then(|node| node.find(left, path_case));
        by_literal.or_else(by_parameter).or(self.rest.as_ref())
    }
}

/// The terms of one template, by method.
#[derive(Debug, Default)]
struct Leaf {
    by_method: Vec<(String, Terms)>,
    other_methods: Option<Terms>,
    /// How many segments precede the rest; `None` without a rest.
    rest_from: Option<usize>,
}

impl Leaf {
    fn add(&mut self, methods: Option<Vec<String>>, terms: Terms) -> Result<(), Conflict> {
        let Some(methods) = methods else {
            return match self.other_methods.replace(terms) {
                None => Ok(()),
                Some(_) => Err(Conflict),
            };
        };
        for method in methods {
            if self.by_method.iter().any(|(known, _)| *known == method) {
                return Err(Conflict);
            }
            self.by_method.push((method, terms.clone()));
        }
        Ok(())
    }

    fn terms(&self, method: &[u8]) -> Option<&Terms> {
        let listed = self.by_method.iter().find(|(known, _)| known.as_bytes() == method);
        listed.map(|(_, terms)| terms).or(self.other_methods.as_ref())
    }
}
