//! The head of a request: an accepted one means the same to every server that may read it.

use std::sync::LazyLock;

use crate::formats::{expand, header_block, percent_decoded};
use edge_key_auth::ambiguity::Ambiguity;
use edge_key_auth::config::Config;
use edge_key_auth::credential::Credential;
use edge_key_auth::header_policy::{HeaderPolicy, OVERRIDES};
use edge_key_auth::headers::HeaderPairs;
use edge_key_auth::request::{Reading, RequestHead};
use edge_key_auth::restriction::{Requested, RequestedId};
use edge_key_auth::route::{Access, Route};
use protocol::{ApiKey, KeyDigest, MAX_RESOURCE_ID_BYTES, ResourceId};
use serde_json::Value;

const WORDS: &[&[u8]] = &[
    b"\n",
    b"\n",
    b"\n",
    b"\n",
    b"\n",
    b"\n",
    b"\n",
    b"\n",
    b"GET /",
    b"POST /",
    b"OPTIONS /",
    b"/api/",
    b"/api/projects/",
    b"insights",
    b"/a/",
    b"/a/b",
    b"/a/b/c",
    b"/a/x",
    b"/decide",
    b"/@me",
    b"/@current",
    b"%40current",
    b"%40me",
    b"%2e",
    b"%2E%2e",
    b"%2f",
    b"/a/x%2Fy",
    b"%5c",
    b"%25",
    b"%252e",
    b"%20",
    b"%00",
    b"%3b",
    b"%3f",
    b"%23",
    b"%c3%a9",
    b"%c3",
    b"%a9",
    b"%c0%ae",
    b"%",
    b"..",
    b"/../",
    b"/./",
    b"//",
    b"\\",
    b";",
    b";x=1",
    b"#",
    b"?",
    b"?a=/../",
    b" ",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b":method ",
    b":path ",
    b":authority ",
    b"host ",
    b"Host ",
    b"api.example.com",
    b"api.example.com:80",
    b"[::1]",
    b"user@host",
    b"authorization ",
    b"Authorization ",
    b"Bearer ",
    b"bEARER ",
    b"Bearer phx_a",
    b"Basic dTpw",
    b"phx_",
    b"phx_1234567890abcdef",
    b",",
    b", ",
    b"origin https://a",
    b"access-control-request-method GET",
    b"x-http-method-override ",
    b"X_HTTP_METHOD ",
    b"x-method-override ",
    b"x-original-method ",
    b"x-original-url ",
    b"x-original-uri ",
    b"x-rewrite-url ",
    b"X-Forwarded_Uri ",
    b"x-auth-user-id ",
    b"X-Auth-User-Id ",
    b"x_auth_user_id ",
    b"x.auth.user.id ",
    b"x-auth-key-id ",
    b"x-auth-scopes ",
    b"x-auth\xffscopes ",
    b"X_AUTH-SCOPES ",
    b"x-auth-scopes2 ",
    b"x-auth-restrictions ",
    b"X_Auth.Restrictions ",
    b"content-type text/plain",
    b"cookie a=b",
    b"a",
    b"b",
    "é".as_bytes(),
    b"/users/",
    b"+",
    b"*",
    b"{",
    b"~",
];

/// The documented table, and one whose rules overlap in every way.
const TABLES: [&str; 2] = [
    include_str!("../../../src/config/default_routes.json"),
    r#"[{"path": "/", "scope": "root:read"},
        {"path": "/a", "scope": "exact:read"},
        {"path": "/a/{*rest}", "scope": "rest:read"},
        {"path": "/a/{id}", "scope": "parameter:read", "project": "id", "mode": "shadow"},
        {"path": "/a/b", "public": true},
        {"path": "/a/{id}/c", "scope": "deep:read", "project": "id", "upstream_judges": ["project"]},
        {"path": "/a/b/{*rest}", "scope": "literal_rest:read"},
        {"path": "/a/x/{id}/d", "scope": "dead_end:read", "organization": "id"},
        {"path": "/users/@me", "public": true},
        {"path": "/users/{id}", "scope": "user:read", "bearer_prefixes": ["phs_"], "upstream_judges": ["project"]},
        {"path": "/caf\u00e9", "public": true}]"#,
];

static CONFIGS: LazyLock<[Config; 2]> = LazyLock::new(|| {
    TABLES.map(|routes| {
        let text = format!(r#"{{"key_service":{{"cluster":"k"}},"routes":{routes}}}"#);
        Config::read(text.as_bytes()).unwrap()
    })
});

/// The second table with `path_case: insensitive`, which allows no other letters than ASCII; and its rules in lower case.
static IGNORES_CASE: LazyLock<(Config, Value)> = LazyLock::new(|| {
    let rules = TABLES[1].replace("\\u00e9", "e");
    let routes = rules.replace("/users/", "/Users/");
    let text = format!(r#"{{"key_service":{{"cluster":"k"}},"path_case":"insensitive","routes":{routes}}}"#);
    (Config::read(text.as_bytes()).unwrap(), serde_json::from_str(&rules).unwrap())
});

/// A table that accepts encoded slashes in the second segment, unless another rule names the pieces.
static ACCEPTS: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"{"key_service":{"cluster":"k"},"routes":[
        {"path":"/a/{id}/{*rest}","scope":"deep:read","encoded_slashes":["id"]},
        {"path":"/a/b/{*rest}","public":true},
        {"path":"/{*rest}","scope":"rest:read"}]}"#;
    Config::read(text.as_bytes()).unwrap()
});

static RULES: LazyLock<[Value; 2]> =
    LazyLock::new(|| TABLES.map(|routes| serde_json::from_str(routes).unwrap()));

/// An input is a request line of method and path, then lines of a header's name and value.
#[test]
fn heads() {
    bolero::check!(name = "requests").for_each(|input: &[u8]| {
        let text = expand(input, WORDS);
        let mut lines = text.split(|&byte| byte == b'\n');
        let (method, path) = at_space(lines.next().unwrap_or_default());
        let mut headers = vec![(&b":method"[..], method), (b":path", path)];
        headers.extend(lines.filter(|line| !line.is_empty()).map(at_space));
        if !headers.iter().any(|(name, _)| *name == b":authority") {
            headers.push((b":authority", b"api.example.com"));
        }
        check(&headers);
    });
}

fn at_space(line: &[u8]) -> (&[u8], &[u8]) {
    let at = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    (&line[..at], line.get(at + 1..).unwrap_or_default())
}

fn check(headers: &[(&[u8], &[u8])]) {
    let block = header_block(headers);
    let reading = Reading::of(HeaderPairs::new(&block).unwrap(), &CONFIGS[0].policy.header_policy);
    check_removed(headers, &reading);
    let Ok(head) = reading.head else { return };
    let of = |name: &[u8]| {
        headers.iter().filter(|header| header.0 == name).map(|header| header.1).collect::<Vec<_>>()
    };

    assert_eq!(of(b":method"), [head.method]);
    let [path] = of(b":path")[..] else { panic!("two paths") };
    assert_eq!(path.split(|&byte| byte == b'?').next(), Some(head.path));
    let [authority] = of(b":authority")[..] else { panic!("two authorities") };
    assert!(!authority.is_empty() && of(b"host").iter().all(|host| *host == authority));
    assert!(!authority.iter().any(|byte| b"@/\\?#%, \t".contains(byte) || *byte >= 0x7f));
    let has = |name: &[u8]| !of(name).is_empty();
    let is_preflight = head.method == b"OPTIONS" && has(b"origin") && has(b"access-control-request-method");
    assert_eq!(head.is_preflight, is_preflight);

    check_credential(&of(b"authorization"), &head);
    check_path(&head);
}

/// The headers to remove are exactly all spellings of identity headers and of removed overrides, even of refused requests. A
/// spelling that cannot be removed, because it is not UTF-8, is refused.
fn check_removed(headers: &[(&[u8], &[u8])], reading: &Reading<'_>) {
    let own = CONFIGS[0].policy.identity_headers.0.iter().map(|header| &*header.name);
    let overrides = OVERRIDES.iter().filter(|known| known.is_removed).map(|known| known.name);
    let unwanted: Vec<&[u8]> = own.chain(overrides).map(str::as_bytes).collect();
    // As PHP and CGI fold the name of a variable.
    let fold = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    let folded = |name: &[u8]| name.iter().map(fold).collect::<Vec<_>>();
    let names = headers.iter().map(|header| header.0).filter(|name| unwanted.contains(&&*folded(name)));
    let (removable, others): (Vec<_>, Vec<_>) = names.partition(|name| std::str::from_utf8(name).is_ok());
    assert_eq!(reading.removed.iter().map(|name| name.as_bytes()).collect::<Vec<_>>(), removable);
    assert!(others.is_empty() || reading.head.is_err());
}

/// A reader of the whole header and a reader of its comma-separated parts find the same token.
fn check_credential(authorization: &[&[u8]], head: &RequestHead<'_>) {
    assert!(authorization.len() <= 1);
    let value = authorization.first().copied().unwrap_or_default();
    let token = |text: &[u8]| {
        let (scheme, token) = text.trim_ascii().split_at_checked(6)?;
        let token = token.strip_prefix(b" ").or(token.strip_prefix(b"\t"))?.trim_ascii();
        (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then(|| token.to_vec())
    };
    assert_eq!(head.bearer_token.map(<[u8]>::to_vec), token(value));
    for part in value.split(|&byte| byte == b',') {
        assert_eq!(token(part), token(value), "{:?}", String::from_utf8_lossy(value));
    }
    match (Credential::of(head.bearer_token), head.bearer_token) {
        (Credential::Missing, token) => assert_eq!(token, None),
        (Credential::Impossible, token) => assert!(ApiKey::parse(token.unwrap()).is_err()),
        (Credential::Token(may_be_key), token) => {
            assert_eq!(Some(may_be_key), token);
            if let Ok(key) = ApiKey::parse(may_be_key) {
                assert_eq!(key.digest(), KeyDigest::of_value(std::str::from_utf8(may_be_key).unwrap()));
            }
        }
    }
}

/// Normalisations that a server may apply before routing change neither the path nor the access that it needs.
fn check_path(head: &RequestHead<'_>) {
    if head.has_encoded_slash {
        return check_encoded_slashes(head);
    }
    let decoded = percent_decoded(head.path);
    let text = std::str::from_utf8(&decoded).unwrap();
    check_normalised(&decoded, text);
    assert_eq!(
        head.path.split(|&b| b == b'/').count(),
        text.split('/').count(),
        "an escape makes a segment: {text:?}"
    );

    let encoded = encoded(&decoded);
    let headers = [(&b":method"[..], head.method), (b":path", &encoded), (b":authority", b"a")];
    let block = header_block(&headers);
    let pairs = HeaderPairs::new(&block).unwrap();
    let again = Reading::of(pairs, &HeaderPolicy::default()).head.unwrap();
    for (config, rules) in CONFIGS.iter().zip(RULES.iter()) {
        let route = |head: &RequestHead<'_>| {
            let route = config.policy.routes.classify(head).unwrap();
            (shown(&route), route.requested(head))
        };
        let (access, requested) = route(head);
        let rule = deciding_rule(rules, text);
        assert_eq!(access, expected(rule, head.method), "{text:?}");
        check_requested(rule, text, &requested);
        assert_eq!((&access, &requested), (&route(&again).0, &route(&again).1), "{text:?} encoded anew");
        let decoded = route(&with_path(head, &decoded));
        assert_eq!((&access, &requested), (&decoded.0, &decoded.1), "{text:?} decoded");
    }

    let [lower, upper] = [decoded.to_ascii_lowercase(), decoded.to_ascii_uppercase()];
    let (config, rules) = &*IGNORES_CASE;
    for path in [head.path, &lower, &upper] {
        let access = shown(&config.policy.routes.classify(&with_path(head, path)).unwrap());
        let rule = deciding_rule(rules, &text.to_ascii_lowercase());
        assert_eq!(access, expected(rule, head.method), "{text:?}");
    }
}

/// The project and the organization are those that a server reads in the decoded path.
fn check_requested(rule: Option<&Value>, path: &str, requested: &Requested) {
    for (resource, requested) in [("project", &requested.project), ("organization", &requested.organization)]
    {
        let name = rule.and_then(|rule| rule[resource].as_str()).map(|name| format!("{{{name}}}"));
        let at = name.and_then(|name| {
            segments(rule.unwrap()["path"].as_str().unwrap()).iter().position(|segment| *segment == name)
        });
        let segment = at.map(|at| segments(path)[at]).filter(|segment| *segment != "@current");
        let judges = rule.and_then(|rule| rule["upstream_judges"].as_array());
        let is_judged = judges.is_some_and(|judges| judges.iter().any(|judged| judged == resource));
        match (requested, segment) {
            (RequestedId::Id(id), Some(segment)) => assert_eq!(id.as_str(), segment),
            (RequestedId::NoId(beginning), Some(segment)) => {
                assert!(segment.starts_with(&**beginning) && beginning.len() <= MAX_RESOURCE_ID_BYTES);
                assert!(segment.parse::<ResourceId>().is_err(), "{segment:?}");
            }
            (RequestedId::UpstreamJudges, None) => assert!(is_judged, "{path:?}"),
            (RequestedId::Unknown, None) => assert!(!is_judged, "{path:?}"),
            (requested, segment) => panic!("{path:?}: {requested:?} for {segment:?}"),
        }
    }
}

/// An encoded slash is accepted only where a rule says so, and then its pieces are like segments.
fn check_encoded_slashes(head: &RequestHead<'_>) {
    for config in CONFIGS.iter() {
        assert_eq!(config.policy.routes.classify(head).err(), Some(Ambiguity::PathEncoding));
    }
    if ACCEPTS.policy.routes.classify(head).is_err() {
        return;
    }
    let lower = head.path.to_ascii_lowercase();
    let has_slash = |segment: &[u8]| segment.windows(3).any(|part| part == b"%2f");
    let found = lower.split(|&byte| byte == b'/').enumerate().filter(|(_, segment)| has_slash(segment));
    assert_eq!(found.map(|(at, _)| at).collect::<Vec<_>>(), [2], "{:?}", String::from_utf8_lossy(head.path));
    let decoded = percent_decoded(head.path);
    let text = std::str::from_utf8(&decoded).unwrap();
    check_normalised(&decoded, text);
    assert!(text.starts_with("/a/") && !text.starts_with("/a/b/"), "{text:?}");
}

/// Normalisations of servers do not change this path, which is decoded.
fn check_normalised(decoded: &[u8], text: &str) {
    let unchanged = [
        ("decoded twice", percent_decoded(decoded)),
        ("as a path of Windows", text.replace('\\', "/").into_bytes()),
        (
            "without parameters",
            text.split('/')
                .map(|segment| segment.split(';').next().unwrap())
                .collect::<Vec<_>>()
                .join("/")
                .into_bytes(),
        ),
        ("as a URL", text.split(['?', '#']).next().unwrap().as_bytes().to_vec()),
        ("as a string of C", text.split('\0').next().unwrap().as_bytes().to_vec()),
        ("trimmed", text.trim_matches(|c: char| c.is_ascii_control()).as_bytes().to_vec()),
        ("with slashes merged", merged(text)),
        ("with dot segments resolved", resolved(text)),
    ];
    for (how, changed) in unchanged {
        assert_eq!(decoded, changed, "{how}: {text:?}");
    }
}

/// The same request to another path.
fn with_path<'a>(head: &RequestHead<'a>, path: &'a [u8]) -> RequestHead<'a> {
    RequestHead {
        method: head.method,
        path,
        query: b"",
        has_encoded_slash: false,
        bearer_token: None,
        is_preflight: false,
    }
}

fn merged(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    bytes.dedup_by(|a, b| *a == b'/' && *b == b'/');
    bytes
}

/// RFC 3986 section 5.2.4.
fn resolved(path: &str) -> Vec<u8> {
    let mut segments = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if parts.peek().is_none() {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    format!("/{}", segments.join("/")).into_bytes()
}

/// As most libraries encode a path: all but letters, digits and some marks.
fn encoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in path {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            byte if byte.is_ascii_alphanumeric() => out.push(byte),
            byte => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}

fn shown(route: &Route<'_>) -> String {
    let access = match route.access {
        Access::Public => "public".to_owned(),
        Access::Authenticated(scope) => scope.to_string(),
    };
    format!("{access} {} {:?}", route.mode.is_shadow(), route.bearer_prefixes)
}

/// The most specific rule, found by comparing all rules.
fn deciding_rule<'r>(rules: &'r Value, path: &str) -> Option<&'r Value> {
    let segments = segments(path);
    let matching = rules.as_array().unwrap().iter().filter_map(|rule| {
        Some((specificity(&self::segments(rule["path"].as_str().unwrap()), &segments)?, rule))
    });
    matching.max_by_key(|(specificity, _)| specificity.clone()).map(|(_, rule)| rule)
}

/// What a rule says of a request.
fn expected(rule: Option<&Value>, method: &[u8]) -> String {
    let Some(rule) = rule else { return "* false []".to_owned() };
    let action = if [&b"GET"[..], b"HEAD", b"OPTIONS"].contains(&method) { "read" } else { "write" };
    let access = match rule["scope"].as_str() {
        None => "public".to_owned(),
        Some(scope) if scope.contains(':') || scope == "*" => scope.to_owned(),
        Some(object) => format!("{object}:{action}"),
    };
    let prefixes: Vec<String> = serde_json::from_value(rule["bearer_prefixes"].clone()).unwrap_or_default();
    format!("{access} {} {prefixes:?}", rule["mode"] == "shadow")
}

fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap();
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() { Vec::new() } else { path.split('/').collect() }
}

/// How specific a template is for a path, segment by segment, to compare from the left; `None` if it does not match.
fn specificity(template: &[&str], path: &[&str]) -> Option<Vec<u8>> {
    let [rest, end, parameter, literal] = [0, 1, 2, 3];
    let mut marks = Vec::new();
    for (at, part) in template.iter().enumerate() {
        if part.starts_with("{*") {
            marks.push(rest);
            return Some(marks);
        }
        let segment = path.get(at)?;
        if part.starts_with('{') {
            marks.push(parameter);
        } else if part == segment {
            marks.push(literal);
        } else {
            return None;
        }
    }
    marks.push(end);
    (template.len() == path.len()).then_some(marks)
}
