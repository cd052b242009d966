//! Path templates of rules: `/api/projects/{project_id}/insights/{*rest}`.

use std::str::FromStr;

/// A path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The segments that the path must begin with.
    pub(super) segments: Vec<Segment>,
    /// Whether the template ends with a rest, which matches any further segments or none.
    pub(super) has_rest: bool,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this text, after percent-decoding.
    Literal(Box<str>),
    /// Any one segment.
    Parameter,
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("must begin with \"/\"")]
    NotAbsolute,
    /// It has `//`, or a `.` or `..` segment.
    #[error("has the segment {0:?}; the filter refuses every request with this segment")]
    UnmatchableSegment(String),
    /// It has an escape, or a character that no decoded path can have.
    #[error("has {0:?} in a segment: write segments decoded, without escapes")]
    UnmatchableCharacter(char),
    /// `{*rest}` is not last.
    #[error("has {0:?} before its end: only the last segment can take the rest")]
    RestNotLast(String),
    /// Braces that do not enclose the name of a whole segment.
    #[error("has the segment {0:?}: a parameter is a whole segment, {{name}} or, at the end, {{*rest}}")]
    Parameter(String),
}

impl Template {
    /// A segment with a letter outside A to Z that has a case.
    pub(crate) fn segment_with_other_letters(&self) -> Option<&str> {
        let is_other = |c: char| !c.is_ascii() && (c.is_lowercase() || c.is_uppercase());
        self.segments.iter().find_map(|segment| match segment {
            Segment::Literal(text) if text.contains(is_other) => Some(text.as_ref()),
            _ => None,
        })
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').ok_or(TemplateError::NotAbsolute)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut template = Template { segments: Vec::new(), has_rest: false };
        if path.is_empty() {
            return if text == "/" {
                Ok(template)
            } else {
                Err(TemplateError::UnmatchableSegment(String::new()))
            };
        }
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            match parameter_name(part)? {
                None => template.segments.push(Segment::Literal(literal(part)?.into())),
                Some(name) if !name.starts_with('*') => template.segments.push(Segment::Parameter),
                Some(_) if parts.peek().is_none() => template.has_rest = true,
                Some(_) => return Err(TemplateError::RestNotLast(part.to_owned())),
            }
        }
        Ok(template)
    }
}

/// The text between the braces of a parameter; `None` for a literal.
fn parameter_name(part: &str) -> Result<Option<&str>, TemplateError> {
    if !part.contains(['{', '}']) {
        return Ok(None);
    }
    let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match inner {
        Some(name) if is_name(name.strip_prefix('*').unwrap_or(name)) => Ok(Some(name)),
        _ => Err(TemplateError::Parameter(part.to_owned())),
    }
}

fn literal(part: &str) -> Result<&str, TemplateError> {
    if matches!(part, "" | "." | "..") {
        return Err(TemplateError::UnmatchableSegment(part.to_owned()));
    }
    match part.chars().find(|c| c.is_control() || "%\\;#?*".contains(*c)) {
        Some(c) => Err(TemplateError::UnmatchableCharacter(c)),
        None => Ok(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_can_match_are_read() {
        let literal = |text: &str| Segment::Literal(text.into());
        let read = |text: &str| {
            let template: Template = text.parse().unwrap();
            (template.segments, template.has_rest)
        };
        assert_eq!(read("/"), (vec![], false));
        assert_eq!(read("/{*rest}"), (vec![], true));
        assert_eq!(read("/decide"), (vec![literal("decide")], false));
        assert_eq!(read("/decide/"), (vec![literal("decide")], false));
        assert_eq!(
            read("/a/{id}/b c/{*rest}"),
            (vec![literal("a"), Segment::Parameter, literal("b c")], true)
        );
    }

    #[test]
    fn templates_that_cannot_match_are_refused_with_the_reason() {
        let error = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert_eq!(error("decide"), r#"must begin with "/""#);
        assert_eq!(error(""), r#"must begin with "/""#);
        for text in ["//", "/a//b", "/a/../b", "/./a"] {
            assert!(error(text).contains("the filter refuses every request with this segment"), "{text}");
        }
        for text in ["/a%20b", "/a;b", "/a?b", "/*", "/a\\b"] {
            assert!(error(text).contains("write segments decoded"), "{text}");
        }
        for text in ["/{}", "/{*}", "/a{id}", "/{id}b", "/{a-b}", "/{id", "/id}"] {
            assert!(error(text).contains("a parameter is a whole segment"), "{text}");
        }
        assert!(error("/{*rest}/a").contains("only the last segment"));
    }
}
