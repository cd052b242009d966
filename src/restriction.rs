//! Judges whether a restricted key may reach the project and the organization that a request concerns.

use std::fmt;

use protocol::{MAX_RESOURCE_ID_BYTES, ResourceId, Restrictions};

use crate::request::decoded;

/// The segment in place of an id with which clients mean the project or organization of their key.
const CURRENT: &[u8] = b"@current";

/// What a key can be restricted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Some projects.
    Project,
    /// Some organizations.
    Organization,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Project => "project",
            Resource::Organization => "organization",
        })
    }
}

/// How a rule finds the project of a request, or its organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locator {
    /// The position of the segment that names it.
    pub segment: Option<usize>,
    /// Whether the upstream judges the restriction if no segment names it, or if the segment is `@current`.
    pub upstream_judges: bool,
}

/// How a rule finds the project and the organization of a request. The default finds neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locators {
    /// The project.
    pub project: Locator,
    /// The organization.
    pub organization: Locator,
}

impl Locators {
    /// Neither is found.
    pub const NONE: Locators = {
        let none = Locator { segment: None, upstream_judges: false };
        Locators { project: none, organization: none }
    };

    /// The project and the organization of a request for this path, which the rule matches.
    pub fn requested(&self, path: &[u8]) -> Requested {
        Requested { project: self.project.requested(path), organization: self.organization.requested(path) }
    }

    /// Whether the upstream judges a restriction, of projects or of organizations.
    pub fn upstream_judges(&self) -> bool {
        self.project.upstream_judges || self.organization.upstream_judges
    }

    /// Whether a restricted key may be admitted here and refused by the other ones.
    pub(crate) fn admit_more_than(&self, other: &Locators) -> bool {
        self.project.admits_more_than(other.project) || self.organization.admits_more_than(other.organization)
    }
}

impl Locator {
    fn requested(self, path: &[u8]) -> RequestedId {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let segment = self.segment.and_then(|at| path.split(|&byte| byte == b'/').nth(at)).map(decoded);
        match segment {
            Some(segment) if *segment != *CURRENT => RequestedId::named(&segment),
            _ if self.upstream_judges => RequestedId::UpstreamJudges,
            _ => RequestedId::Unknown,
        }
    }

    fn admits_more_than(self, other: Locator) -> bool {
        let admits_nothing = self == Locator::default();
        let other_admits_all = other.upstream_judges && other.segment.is_none();
        let is_included = self.segment == other.segment && (!self.upstream_judges || other.upstream_judges);
        !(admits_nothing || other_admits_all || is_included)
    }
}

/// The project and the organization that a request concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The project.
    pub project: RequestedId,
    /// The organization.
    pub organization: RequestedId,
}

/// The project or the organization that a request concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedId {
    /// The path has its id.
    Id(ResourceId),
    /// The path has another text in its place, of which this is the beginning.
    NoId(Box<str>),
    /// The path does not name it, and the upstream judges the restriction.
    UpstreamJudges,
    /// The path does not name it.
    Unknown,
}

impl RequestedId {
    fn named(segment: &[u8]) -> Self {
        let text = String::from_utf8_lossy(segment);
        match text.parse() {
            Ok(id) => RequestedId::Id(id),
            Err(_) => RequestedId::NoId(beginning(&text).into()),
        }
    }
}

/// The beginning of a text, in at most as many bytes as an id has.
fn beginning(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|&end| end <= MAX_RESOURCE_ID_BYTES).last().unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// Why a restricted key is refused, in PostHog's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The key is restricted to others than this one.
    #[error("API key does not have access to the requested {0}: ID {1}.")]
    Other(Resource, Box<str>),
    /// The key is restricted, and the edge cannot know which one the request concerns.
    #[error("API keys with scoped {0}s are only supported on {0}-based endpoints.")]
    Unknown(Resource),
}

/// Whether a key with these restrictions may reach this project and this organization. What the upstream judges is
/// permitted here, unless no id is.
///
/// # Errors
/// The first [`Violation`].
pub fn judge(restrictions: &Restrictions, requested: &Requested) -> Result<(), Violation> {
    let Restrictions { projects, organizations } = restrictions;
    judge_one(Resource::Project, projects.as_deref(), &requested.project)?;
    judge_one(Resource::Organization, organizations.as_deref(), &requested.organization)
}

/// `permitted` is `None` for all.
fn judge_one(
    resource: Resource,
    permitted: Option<&[ResourceId]>,
    requested: &RequestedId,
) -> Result<(), Violation> {
    let Some(permitted) = permitted else { return Ok(()) };
    match requested {
        RequestedId::Id(id) if permitted.contains(id) => Ok(()),
        RequestedId::Id(id) => Err(Violation::Other(resource, id.as_str().into())),
        RequestedId::NoId(text) => Err(Violation::Other(resource, text.clone())),
        // The identity header with the restriction would be empty, so the upstream could not judge.
        RequestedId::UpstreamJudges if permitted.is_empty() => Err(Violation::Unknown(resource)),
        RequestedId::UpstreamJudges => Ok(()),
        RequestedId::Unknown => Err(Violation::Unknown(resource)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restrictions(json: &str) -> Restrictions {
        serde_json::from_str(json).unwrap()
    }

    /// The answer to a key with these restrictions whose rule has these locators.
    fn answer(json: &str, locators: Locators, path: &str) -> String {
        match judge(&restrictions(json), &locators.requested(path.as_bytes())) {
            Ok(()) => "permitted".to_owned(),
            Err(violation) => violation.to_string(),
        }
    }

    fn segment(at: usize, upstream_judges: bool) -> Locator {
        Locator { segment: Some(at), upstream_judges }
    }

    const JUDGED: Locator = Locator { segment: None, upstream_judges: true };

    const NO_PROJECT: &str = "API keys with scoped projects are only supported on project-based endpoints.";

    #[test]
    fn the_segment_must_be_one_of_the_ids() {
        for upstream_judges in [false, true] {
            let locators = Locators { project: segment(2, upstream_judges), ..Locators::NONE };
            let answer = |path: &str| answer(r#"{"projects":[7,"a-b"]}"#, locators, path);
            for path in ["/api/projects/7", "/api/projects/7/", "/api/projects/7/x/8", "/api/projects/a-b"] {
                assert_eq!(answer(path), "permitted", "{path}");
            }
            for (path, id) in [
                ("/api/projects/8/", "8"),
                ("/api/projects/07", "07"),
                ("/api/projects/77", "77"),
                ("/api/projects/A-B", "A-B"),
                ("/api/7/projects/7", "projects"),
                ("/api/projects/7%20", "7 "),
                ("/api/projects/%40CURRENT", "@CURRENT"),
                ("/api/projects/@current2", "@current2"),
                ("/api/projects/7%2F8", "7/8"),
                ("/api/projects/%22%C3%A9", "\"\u{e9}"),
            ] {
                let id = if path == "/api/7/projects/7" { "projects" } else { id };
                let expected = format!("API key does not have access to the requested project: ID {id}.");
                assert_eq!(answer(path), expected, "{path}");
            }
        }
    }

    #[test]
    fn a_long_segment_is_no_id_and_is_cut() {
        let locators = Locators { project: segment(0, false), ..Locators::NONE };
        let longest = "x".repeat(64);
        let json = format!(r#"{{"projects":["{longest}"]}}"#);
        assert_eq!(answer(&json, locators, &format!("/{longest}")), "permitted");
        for (path, id) in [
            (format!("/{longest}x"), longest.clone()),
            (format!("/{longest}%C3%A9"), longest.clone()),
            (format!("/{}%C3%A9", "x".repeat(63)), "x".repeat(63)),
        ] {
            let expected = format!("API key does not have access to the requested project: ID {id}.");
            assert_eq!(answer(&json, locators, &path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_without_the_id_is_refused_unless_the_upstream_judges_it() {
        let of = |project| Locators { project, ..Locators::NONE };
        let projects = r#"{"projects":[7]}"#;
        for path in ["/api/projects/@current/x", "/api/projects/%40current"] {
            assert_eq!(answer(projects, of(segment(2, false)), path), NO_PROJECT);
            assert_eq!(answer(projects, of(segment(2, true)), path), "permitted");
        }
        assert_eq!(answer(projects, Locators::NONE, "/api/projects/7"), NO_PROJECT);
        assert_eq!(answer(projects, of(JUDGED), "/api/projects/8"), "permitted");
        let other = Locators { organization: JUDGED, ..Locators::NONE };
        assert_eq!(answer(projects, other, "/api/projects/7"), NO_PROJECT, "each kind is left on its own");
    }

    #[test]
    fn projects_and_organizations_must_both_be_permitted() {
        let both = r#"{"projects":[1],"organizations":["acme"]}"#;
        let locators = Locators { project: segment(1, false), organization: segment(0, false) };
        assert_eq!(answer(both, locators, "/acme/1"), "permitted");
        assert_eq!(
            answer(both, locators, "/evil/1"),
            "API key does not have access to the requested organization: ID evil."
        );
        assert_eq!(
            answer(both, locators, "/evil/2"),
            "API key does not have access to the requested project: ID 2."
        );
        let project_only = Locators { project: segment(1, false), ..Locators::NONE };
        assert_eq!(
            answer(both, project_only, "/acme/1"),
            "API keys with scoped organizations are only supported on organization-based endpoints."
        );
        assert_eq!(answer(r#"{"projects":[1]}"#, project_only, "/evil/1"), "permitted");
    }

    #[test]
    fn an_empty_list_permits_nothing_even_where_the_upstream_judges() {
        let judged = Locators { project: JUDGED, organization: JUDGED };
        assert_eq!(answer(r#"{"projects":[]}"#, judged, "/"), NO_PROJECT);
        assert_ne!(answer(r#"{"organizations":[]}"#, judged, "/"), "permitted");
        assert_ne!(
            answer(r#"{"projects":[]}"#, Locators { project: segment(0, true), ..judged }, "/1"),
            "permitted"
        );
        assert_eq!(answer("{}", Locators::NONE, "/"), "permitted");
    }

    #[test]
    fn a_locator_admits_more_if_it_passes_what_the_other_refuses() {
        let (none, first, first_judged) = (Locator::default(), segment(0, false), segment(0, true));
        let more = |locator: Locator, other: Locator| {
            let of = |project| Locators { project, ..Locators::NONE };
            let swapped = |organization| Locators { organization, ..Locators::NONE };
            let found = of(locator).admit_more_than(&of(other));
            assert_eq!(found, swapped(locator).admit_more_than(&swapped(other)));
            found
        };
        for locator in [none, first, first_judged, JUDGED] {
            assert!(!more(locator, locator) && !more(none, locator) && !more(locator, JUDGED));
        }
        assert!(more(first, none) && more(first_judged, first) && more(JUDGED, first_judged));
        assert!(!more(first, first_judged) && more(segment(1, false), first));
    }
}
