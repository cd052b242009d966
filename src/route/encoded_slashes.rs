//! Paths with encoded slashes. Some servers read `%2F` as a part of its segment, others as a separator, so a rule must say
//! that its upstream does the first.

use super::{Leaf, RouteTable, Terms};
use crate::request::pieces;

impl RouteTable {
    /// Whether a path with encoded slashes may pass, which `terms` of `leaf` decide while each segment counts as one.
    ///
    /// Each segment with an encoded slash must be one of [`Terms::encoded_slashes`]. With the slashes decoded, no other
    /// rule may name a piece: the path would be two different routes.
    #[cold]
    #[inline(never)]
    pub(super) fn accepts_encoded_slashes(&self, path: &[u8], leaf: &Leaf, terms: &Terms) -> bool {
        let inner = path.strip_prefix(b"/").unwrap_or(path);
        let segments = inner.split(|&byte| byte == b'/').enumerate();
        let mut encoded =
            segments.filter(|(_, segment)| pieces(segment).count() > 1).map(|(at, _)| at).peekable();
        let first = encoded.peek().copied().unwrap_or_default();
        encoded.all(|at| terms.encoded_slashes.contains(&at))
            && self.leaf_of_path(&pieces(path).collect::<Vec<_>>().join(&b'/')).is_none_or(|other| {
                std::ptr::eq(other, leaf) || other.rest_from.is_some_and(|from| from <= first)
            })
    }
}

#[cfg(test)]
mod tests {
    use crate::ambiguity::Ambiguity;
    use crate::config::Config;
    use crate::headers::{HeaderPairs, serialise};
    use crate::request::Reading;
    use crate::route::Access;

    /// The access that a GET request needs, or `400`.
    fn access(routes: &str, path: &str) -> String {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}},"routes":[{routes}]}}"#);
        let policy = Config::read(json.as_bytes()).unwrap().policy;
        let block = serialise(&[(":method", b"GET"), (":path", path.as_bytes()), (":authority", b"a")]);
        let head = Reading::of(HeaderPairs::new(&block).unwrap(), &policy.header_policy).head;
        match head.and_then(|head| policy.routes.classify(&head).map(|route| route.access)) {
            Ok(Access::Public) => "public".to_owned(),
            Ok(Access::Authenticated(scope)) => scope.to_string(),
            Err(Ambiguity::PathEncoding) => "400".to_owned(),
            Err(other) => other.to_string(),
        }
    }

    const FILES: &str =
        r#"{"path":"/repos/{repo}/files/{file}","scope":"file:read","encoded_slashes":["file"]}"#;

    #[test]
    fn the_listed_segment_may_have_encoded_slashes() {
        for path in ["/repos/1/files/a", "/repos/1/files/a%2Fb", "/repos/1/files/a%2fb%2Fc%20d/?x=%2F"] {
            assert_eq!(access(FILES, path), "file:read", "{path}");
        }
    }

    #[test]
    fn every_other_encoded_slash_is_refused() {
        for path in [
            "/repos/1%2F2/files/a",
            "/repos/1%2F2/files/a%2Fb",
            "/repos%2F1/files/a",
            "/repos/1/files/a/b%2Fc",
            "/repos/1/files%2Fa",
            "/other/a%2Fb",
        ] {
            assert_eq!(access(FILES, path), "400", "{path}");
        }
        let methods = FILES.replace("\"scope\"", "\"methods\":[\"PUT\"],\"scope\"");
        assert_eq!(access(&methods, "/repos/1/files/a%2Fb"), "400", "the rule does not list the method");
        let rest = r#"{"path":"/a/{id}/{*rest}","public":true,"encoded_slashes":["id"]}"#;
        assert_eq!(access(rest, "/a/b%2Fc/d"), "public");
        assert_eq!(access(rest, "/a/b/c%2Fd"), "400");
    }

    #[test]
    fn the_pieces_are_checked_like_segments() {
        for segment in [
            "..%2Fa",
            "a%2F..",
            "a%2F.%2Fb",
            "%2Fa",
            "a%2F",
            "a%2F%2Fb",
            "%2F",
            "a%2F%5Cb",
            "a%2F%2e%2e",
            "a%252Fb",
            "a%2F%252E",
            "a%2Fb;c",
            "a%2F%3Bc",
            "a%2F%00",
            "a%2F%c3",
            "%c3%2F%a9",
            "a%2Fb\\c",
            "a%2",
        ] {
            let answer = access(FILES, &format!("/repos/1/files/{segment}"));
            assert!(answer == "400" || answer.contains("character"), "{segment}: {answer}");
        }
    }

    #[test]
    fn a_path_that_another_rule_names_once_the_slash_is_decoded_is_refused() {
        let with = |other: &str| format!(r#"{FILES},{{"path":"{other}","scope":"other:read"}}"#);
        for other in [
            "/repos/{repo}/files/secret/{*rest}",
            "/repos/{repo}/files/{folder}/b",
            "/repos/{repo}/files/{folder}/{*rest}",
            "/repos/{repo}/files/secret/b",
        ] {
            assert_eq!(access(&with(other), "/repos/1/files/secret%2Fb"), "400", "{other}");
        }
        for other in [
            "/{*rest}",
            "/repos/{repo}/{*rest}",
            "/repos/{repo}/files/{*rest}",
            "/repos/{repo}/files/x/{*rest}",
        ] {
            assert_eq!(access(&with(other), "/repos/1/files/secret%2Fb"), "file:read", "{other}");
        }
    }
}
