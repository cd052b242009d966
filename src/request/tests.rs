use super::*;
use crate::config::Config;
use crate::headers::serialise;

fn policy() -> HeaderPolicy {
    let json = r#"{"key_service":{"cluster":"k"},"request_overrides":{"refuse":["X-My-Path"],"allow":["x-http-method"]}}"#;
    Config::read(json.as_bytes()).unwrap().policy.header_policy
}

/// Reads a head with these headers, and with defaults for a missing method, path or authority.
fn read(headers: &[(&str, &str)]) -> Result<String, Ambiguity> {
    let mut all: Vec<(&str, &[u8])> = Vec::new();
    for (name, value) in [(":method", "GET"), (":path", "/"), (":authority", "api.example.com")] {
        if !headers.iter().any(|(given, _)| *given == name) {
            all.push((name, value.as_bytes()));
        }
    }
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    all.retain(|(_, value)| *value != b"(absent)");
    let block = serialise(&all);
    let reading = Reading::of(HeaderPairs::new(&block).unwrap(), &policy());
    let head = reading.head?;
    if head.has_encoded_slash {
        return Err(Ambiguity::PathEncoding); // as a table without an exception says
    }
    let token = head.bearer_token.map(String::from_utf8_lossy);
    let path = String::from_utf8_lossy(head.path);
    Ok(format!("{path} {} {:?} {:?}", token.as_deref().unwrap_or("-"), head.is_preflight, reading.removed))
}

fn path(path: &str) -> Result<String, Ambiguity> {
    read(&[(":path", path)]).map(|head| head.split(' ').next().unwrap().to_owned())
}

#[test]
fn the_query_is_not_part_of_the_path() {
    assert_eq!(path("/api/insights/?a=/../%zz//;").unwrap(), "/api/insights/");
    assert_eq!(path("/?").unwrap(), "/");
    assert_eq!(path("/a?b?c").unwrap(), "/a");
}

#[test]
fn ordinary_paths_pass() {
    for ordinary in
        ["/", "/decide", "/decide/", "/api/projects/7/insights/", "/a.b/..c/d..", "/a%20b/", "/x%40y"]
    {
        assert_eq!(path(ordinary).as_deref(), Ok(ordinary));
    }
    assert!(path("/caf%C3%A9%20au%20lait/a:b@c!$&'()*+,=~_-").is_ok());
    assert!(path("/100%25").is_ok() && path("/100%25/").is_ok() && path("/100%25x").is_ok());
}

#[test]
fn paths_that_two_hops_could_read_differently_are_refused() {
    use Ambiguity::*;
    for (ambiguous, why) in [
        ("", Path),
        ("decide", Path),
        ("*", Path),
        ("http://elsewhere/decide", Path),
        ("//decide", EmptySegment),
        ("/decide//", EmptySegment),
        ("//", EmptySegment),
        ("/decide//x", EmptySegment),
        ("/decide/.", DotSegment),
        ("/decide/../api/projects/", DotSegment),
        ("/..", DotSegment),
        ("/./decide", DotSegment),
        ("/decide/%2e%2e/api", PathEncoding),
        ("/decide/.%2E/api", PathEncoding),
        ("/decide%2fx", PathEncoding),
        ("/decide%5Cx", PathEncoding),
        ("/decide%00", PathEncoding),
        ("/decide%0a", PathEncoding),
        ("/decide%7f", PathEncoding),
        ("/%64ecide", PathEncoding),
        ("/decide%252e", PathEncoding),
        ("/decide%", PathEncoding),
        ("/decide%2", PathEncoding),
        ("/decide%zz", PathEncoding),
        ("/decide%+1", PathEncoding),
        ("/decide/..%3b/", PathEncoding),
        ("/decide%3Fx", PathEncoding),
        ("/decide%23x", PathEncoding),
        ("/%c0%ae%c0%ae/", PathEncoding),
        ("/a%ffb", PathEncoding),
        ("/a%c3b%a9", PathEncoding),
        ("/decide\\..\\api", PathCharacter),
        ("/api/insights;x=1/", PathCharacter),
        ("/decide/..;/api/", PathCharacter),
        ("/decide#x", PathCharacter),
        ("/decide x", PathCharacter),
        ("/decide\tx", PathCharacter),
        ("/café", PathCharacter),
        ("/decide\u{7f}", PathCharacter),
    ] {
        assert_eq!(path(ambiguous), Err(why), "{ambiguous:?}");
    }
}

/// All paths of up to seven of these bytes, which are all that the checks tell apart.
#[test]
fn the_quick_check_of_a_path_passes_only_what_the_full_one_passes() {
    let mut paths = vec![Vec::new()];
    for _ in 0..7 {
        let longer = paths
            .iter()
            .flat_map(|path: &Vec<u8>| b"a./%;\xff".iter().map(move |byte| [&path[..], &[*byte]].concat()));
        paths = longer.chain([Vec::new()]).collect();
        for path in &paths {
            let passes = path.split(|&byte| byte == b'/').all(|segment| check_segment(segment).is_ok());
            assert!(!is_plain(path) || passes, "{}", path.escape_ascii());
            assert!(is_plain(path) || !passes || path.contains(&b'%'), "{}", path.escape_ascii());
        }
    }
    for byte in 0..=255_u8 {
        let passes = byte != b'/' && check_segment(&[b'a', byte, b'a']).is_ok();
        assert_eq!(is_plain(&[b'a', byte, b'a']), passes || byte == b'/', "{byte}");
    }
}

#[test]
fn repeated_or_missing_pseudo_headers_are_refused() {
    assert_eq!(read(&[(":path", "/a"), (":path", "/a")]), Err(Ambiguity::Path));
    assert_eq!(read(&[(":path", "(absent)")]), Err(Ambiguity::Path));
    assert_eq!(read(&[(":method", "GET"), (":method", "POST")]), Err(Ambiguity::Method));
    assert_eq!(read(&[(":method", "")]), Err(Ambiguity::Method));
    assert_eq!(read(&[(":method", "(absent)")]), Err(Ambiguity::Method));
}

#[test]
fn the_authority_is_one_plain_host() {
    for plain in ["localhost", "127.0.0.1:10000", "[::1]", "[::1]:80", "a_b.example", "EXAMPLE.com."] {
        assert!(read(&[(":authority", plain)]).is_ok(), "{plain}");
    }
    for odd in [
        "",
        "user@host",
        "a,b",
        "a:1:2",
        ":80",
        "[::1",
        "::1",
        "[x]",
        "[::1]x",
        "ex%61mple.com",
        "a=b&c",
        "a:b",
        "a b",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "caf\u{e9}",
        "(absent)",
    ] {
        assert_eq!(read(&[(":authority", odd)]), Err(Ambiguity::Authority), "{odd}");
    }
    assert!(read(&[(":authority", "a"), ("host", "a")]).is_ok());
    assert!(read(&[(":authority", "(absent)"), ("host", "a")]).is_ok());
    assert_eq!(read(&[(":authority", "a"), ("host", "b")]), Err(Ambiguity::Authority));
    assert_eq!(read(&[("host", "api.example.com"), ("host", "api.example.com")]), Err(Ambiguity::Authority));
}

#[test]
fn headers_that_override_method_or_path_are_refused_or_removed() {
    for name in ["x-http-method-override", "X_HTTP.Method-Override", "x-method_override", "x-original-method"]
    {
        assert_eq!(read(&[(name, "DELETE")]), Err(Ambiguity::MethodOverride), "{name}");
    }
    for name in [
        "x-original-url",
        "X_Original_URL",
        "x-original-uri",
        "x_rewrite-url",
        "x-forwarded-uri",
        "x-override.url",
        "SCRIPT_NAME",
        "path_info",
        "Path-Info",
    ] {
        assert_eq!(read(&[(name, "/admin")]), Err(Ambiguity::PathOverride), "{name}");
    }
    for name in ["x_forwarded_prefix", "x-forwarded-path", "X-Envoy-Original-Path", "x-script-name"] {
        assert_eq!(read(&[(name, "/admin")]).unwrap(), format!("/ - false [{name:?}]"));
    }
    assert_eq!(read(&[("x.my.path", "/admin")]), Err(Ambiguity::Override));
    assert_eq!(read(&[("x-http-method", "GET")]).unwrap(), "/ - false []");
}

#[test]
fn duplicate_authorization_headers_are_refused() {
    let twice = [("authorization", "Bearer phx_a"), ("authorization", "Bearer phx_a")];
    assert_eq!(read(&twice), Err(Ambiguity::Credential));
    // As Envoy joins them.
    assert_eq!(read(&[("authorization", "Bearer phx_a,Bearer phx_b")]), Err(Ambiguity::Credential));
}

#[test]
fn a_preflight_is_options_with_both_headers() {
    let both = [("origin", "https://a"), ("access-control-request-method", "GET")];
    assert_eq!(read(&[(":method", "OPTIONS"), both[0], both[1]]).unwrap(), "/ - true []");
    assert_eq!(read(&[(":method", "OPTIONS"), both[0]]).unwrap(), "/ - false []");
    assert_eq!(read(&[(":method", "OPTIONS"), both[1]]).unwrap(), "/ - false []");
    assert_eq!(read(&[(":method", "GET"), both[0], both[1]]).unwrap(), "/ - false []");
}

#[test]
fn forged_identity_headers_are_found_in_every_spelling() {
    let forged =
        ["X-Auth-User-Id", "x_auth_user_id", "x-auth_KEY-id", "x.auth.scopes", "X-Auth.Restrictions"];
    let headers: Vec<_> = forged.iter().chain(&["x-auth-user-id2"]).map(|name| (*name, "1")).collect();
    assert_eq!(read(&headers).unwrap(), format!("/ - false {forged:?}"));
}

#[test]
fn forged_identity_headers_are_found_in_a_refused_request_too() {
    let block = serialise(&[
        (":path", b"/decide/../api"),
        ("x-auth-key-id", b"1"),
        ("x-original-url", b"/"),
        ("x.auth.user.id", b"1"),
    ]);
    let reading = Reading::of(HeaderPairs::new(&block).unwrap(), &policy());
    assert_eq!(reading.head, Err(Ambiguity::PathOverride));
    assert_eq!(reading.removed, ["x-auth-key-id", "x.auth.user.id"]);
}

#[test]
fn a_malformed_block_is_refused() {
    let block = serialise(&[(":method", b"GET")]);
    let pairs = HeaderPairs::new(&block[..block.len() - 1]).unwrap();
    assert_eq!(Reading::of(pairs, &policy()).head, Err(Ambiguity::Headers));
}

#[test]
fn a_length_that_is_not_a_number_is_refused() {
    let head = |length: &[u8]| {
        let fields: [(&str, &[u8]); 4] =
            [(":method", b"POST"), (":path", b"/decide/"), (":authority", b"a"), ("content-length", length)];
        Reading::of(HeaderPairs::new(&serialise(&fields)).unwrap(), &policy()).head.map(|_| ())
    };
    for length in [&b"0"[..], b"007", b"18446744073709551616"] {
        assert_eq!(head(length), Ok(()));
    }
    for length in [&b""[..], b"+3", b"-1", b" 3", b"3 ", b"0x3", b"3,3", b"3e1", b"\xd9\xa3"] {
        assert_eq!(head(length), Err(Ambiguity::Headers), "{length:?}");
    }
}

#[test]
fn trailers_with_identity_or_an_override_are_removed() {
    let remove = |block: &[u8]| {
        let names = trailers_to_remove(HeaderPairs::new(block).unwrap(), &policy())?;
        Ok(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let trailers =
        ["x-checksum", "x.auth.user.id", "X_HTTP_Method_Override", "x-forwarded-prefix", "grpc-status"];
    let block = serialise(&trailers.map(|name| (name, &b"1"[..])));
    assert_eq!(remove(&block), Ok(trailers[1..4].iter().map(|name| (*name).to_owned()).collect()));
    assert_eq!(remove(&block[..block.len() - 1]), Err(Ambiguity::Headers));
}
