use super::*;
use crate::ambiguity::Ambiguity;
use crate::header_policy::Treatment;
use crate::restriction::{Locator, Locators};

fn problems(json: &str) -> Vec<String> {
    Config::read(json.as_bytes()).unwrap_err().iter().map(Problem::to_string).collect()
}

const LEAST: &str = r#"{"key_service":{"cluster":"key_service"}}"#;

#[test]
fn only_the_cluster_is_required() {
    let config = Config::read(LEAST.as_bytes()).unwrap();
    assert_eq!(
        config.key_service,
        KeyService {
            cluster: "key_service".into(),
            authority: "key_service".into(),
            timeout_ms: 1_000,
            token_env: "EDGE_TOKEN".into()
        }
    );
    let defaults = CacheLimits {
        max_active: 100_000,
        max_inactive: 10_000,
        active_ttl_ms: 600_000,
        inactive_ttl_ms: 2_000,
    };
    assert_eq!(config.cache, defaults);
    assert_eq!(config.lookups, LookupLimits { max_digests: 2_000, max_waiters: 10_000 });
    let names = ["x-auth-user-id", "x-auth-key-id", "x-auth-scopes", "x-auth-restrictions"];
    let headers = names.map(|name| IdentityHeader { name: name.into(), is_sent: true });
    assert_eq!(config.policy.identity_headers, IdentityHeaders(headers));
    assert!(!config.policy.hide_credentials && !config.policy.forward_preflights);
    assert_eq!(config.policy.mode, Mode::Enforce);
    assert_eq!(
        problems("{}"),
        ["key_service.cluster: is required: the name of the Envoy cluster of the key service's edge API"]
    );
}

#[test]
fn the_authority_is_the_clusters_name_or_the_host_in_a_name_of_istio() {
    for (cluster, expected) in [
        ("key_service", "key_service"),
        ("outbound|8081||keys.edge.svc.cluster.local", "keys.edge.svc.cluster.local:8081"),
        ("outbound|443|v1|keys.example.com", "keys.example.com:443"),
        ("inbound|8081||", "inbound|8081||"),
    ] {
        let settings = serde_json::json!({"key_service": {"cluster": cluster}}).to_string();
        assert_eq!(Config::read(settings.as_bytes()).unwrap().key_service.authority, expected);
        let settings =
            serde_json::json!({"key_service": {"cluster": cluster, "authority": "other"}}).to_string();
        assert_eq!(Config::read(settings.as_bytes()).unwrap().key_service.authority, "other");
    }
}

#[test]
fn every_problem_is_reported_with_its_path() {
    let json = r#"{
        "key_service": {"cluster": 7, "timeout_ms": 0, "tokn_env": "X"},
        "routes": [
            {"path": "decide", "public": true},
            {"path": "/a", "scope": "insight:admin"},
            {"path": "/b", "scope": "insight", "public": true},
            {"path": "/c"},
            {"scope": "insight", "methods": ["get", 1]},
            "x",
            {"path": "/d/{id}", "public": true},
            {"path": "/d/{name}/", "scope": "*"}
        ],
        "realm": "a\"b",
        "error_bodies": "json",
        "identity_headers": {"user_id": "x-a", "key_id": "X-A", "scopes": "content-length", "restrictions": "x-a"},
        "request_overrides": {
            "allow": ["X-Forwarded-Prefix", "x-forwarded-prefx", 1],
            "remove": ["x a", "x_forwarded_prefix", "X_A", ":path", "Host"],
            "refuse": "x-my-path",
            "deny": []
        },
        "hide_credentials": "yes",
        "cache": {"max_active": 1.5},
        "lookups": {"max_waiters": -1},
        "extra": null
    }"#;
    assert_eq!(
        problems(json),
        [
            "key_service.cluster: must be a string, not a number",
            "key_service.cluster: is required: the name of the Envoy cluster of the key service's edge API",
            "key_service.timeout_ms: must be a whole number from 1 to 60000, not 0",
            "key_service.tokn_env: unknown field; known here: cluster, authority, timeout_ms, token_env",
            r#"routes[0].path: "decide" must begin with "/""#,
            r#"routes[1].scope: "insight:admin" is not a scope: write object, object:read, object:write or *"#,
            "routes[2].scope: exactly one of scope and public: true is required",
            "routes[3].scope: exactly one of scope and public: true is required",
            "routes[4].path: is required",
            r#"routes[4].methods[0]: must be a method in upper case, not "get""#,
            "routes[4].methods[1]: must be a string, not a number",
            "routes[5]: must be an object, not a string",
            "routes[5].path: is required",
            "routes[5].scope: exactly one of scope and public: true is required",
            "routes[7]: routes[6], which comes first, has the same path and method",
            "realm: must be printable ASCII without quotes and backslashes",
            r#"error_bodies: must be documented or posthog, not "json""#,
            r#"identity_headers.key_id: "x-a" is taken by another identity header"#,
            r#"identity_headers.scopes: must not be "content-length", which HTTP itself uses"#,
            r#"identity_headers.restrictions: "x-a" is taken by another identity header"#,
            r#"request_overrides.allow[1]: "x-forwarded-prefx" is allowed by default"#,
            "request_overrides.allow[2]: must be a string, not a number",
            r#"request_overrides.remove[0]: must be a header name, not "x a""#,
            r#"request_overrides.remove[1]: "x-forwarded-prefix" is listed already: request_overrides.allow[0]"#,
            r#"request_overrides.remove[2]: "x-a" is an identity header, which is always removed"#,
            r#"request_overrides.remove[3]: must be a header name, not ":path""#,
            r#"request_overrides.remove[4]: must not be "host", which HTTP itself uses"#,
            "request_overrides.refuse: must be a list, not a string",
            "request_overrides.deny: unknown field; known here: allow, remove, refuse",
            "hide_credentials: must be true or false, not a string",
            "cache.max_active: must be a whole number from 1 to 10000000, not 1.5",
            "lookups.max_waiters: must be a whole number from 1 to 1000000, not -1",
            "extra: unknown field; known here: key_service, mode, path_case, routes, realm, error_bodies, cors_preflight, identity_headers, request_overrides, hide_credentials, sync, on_unavailable, cache, lookups",
        ]
    );
}

#[test]
fn unknown_fields_are_reported_in_the_order_of_their_names() {
    let json = r#"{"key_service": {"cluster": "k", "z": 1, "b": 1, "a": 1}, "y": 1, "x": 1, "realm": "r"}"#;
    let problems = problems(json);
    let fields: Vec<_> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(fields, ["key_service.a", "key_service.b", "key_service.z", "x", "y"]);
}

#[test]
fn identity_is_not_carried_in_headers_that_override_the_request() {
    let json =
        r#"{"key_service":{"cluster":"k"},"identity_headers":{"user_id":"Script-Name","key_id":"-x"}}"#;
    assert_eq!(
        problems(json),
        [
            r#"identity_headers.user_id: must not be "script-name", which overrides a request's method or path"#,
            r#"identity_headers.key_id: must be a header name of letters, digits and hyphens, not "-x""#,
        ]
    );
}

#[test]
fn request_overrides_concern_only_the_names_that_they_list() {
    let treatments = |overrides: &str| {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}},"request_overrides":{overrides}}}"#);
        let policy = Config::read(json.as_bytes()).unwrap().policy.header_policy;
        ["X-HTTP-Method-Override", "x-forwarded-prefix", "x-custom", "X_Auth_Scopes", "script_name"]
            .map(|name| policy.treatment(name.as_bytes()))
    };
    let refused = |kind| Some(Treatment::Refuse(kind));
    let removed = Some(Treatment::Remove);
    let (method, path) = (refused(Ambiguity::MethodOverride), refused(Ambiguity::PathOverride));
    assert_eq!(treatments("{}"), [method, removed, None, removed, path]);
    assert_eq!(
        treatments(r#"{"allow":["X-Forwarded-Prefix"],"remove":["SCRIPT_NAME"],"refuse":["X_Custom"]}"#),
        [method, None, refused(Ambiguity::Override), removed, removed]
    );
    assert_eq!(
        treatments(r#"{"remove":["x-http-method-override","x-custom"],"refuse":["x-forwarded-prefix"]}"#),
        [removed, path, removed, removed, path]
    );
}

#[test]
fn an_allowed_header_keeps_its_default_in_every_other_spelling() {
    let json = r#"{"key_service":{"cluster":"k"},
        "request_overrides":{"allow":["X-Forwarded-Prefix","SCRIPT_NAME"]}}"#;
    let policy = Config::read(json.as_bytes()).unwrap().policy.header_policy;
    let treatments = |names: [&str; 3]| names.map(|name| policy.treatment(name.as_bytes()));
    let removed = Some(Treatment::Remove);
    let refused = Some(Treatment::Refuse(Ambiguity::PathOverride));
    let prefixes = ["x-forwarded-prefix", "x.forwarded.prefix", "x_forwarded_prefix"];
    assert_eq!(treatments(prefixes), [None, removed, removed]);
    assert_eq!(treatments(["script_name", "script-name", "script.name"]), [None, refused, refused]);
    assert!(prefixes.iter().all(|name| policy.removes_trailer(name.as_bytes())));
}

#[test]
fn shadow_mode_is_warned_of_and_no_rule_is_enforced_in_a_filter_in_shadow_mode() {
    let warnings = |settings: &str| {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}}{settings}}}"#);
        let config = Config::read(json.as_bytes()).unwrap();
        config.warnings.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warnings(r#","mode":"enforce""#), Vec::<String>::new());
    assert_eq!(
        warnings(r#","mode":"shadow""#),
        ["mode: shadow: nothing is enforced: the filter forwards requests that it would refuse"]
    );
    let rule = |mode: &str| format!(r#","routes":[{{"path":"/a","scope":"*","mode":"{mode}"}}]"#);
    assert_eq!(
        warnings(&rule("shadow")),
        [
            "routes[0].mode: shadow: this rule is not enforced: the filter forwards requests that it would refuse"
        ]
    );
    assert_eq!(warnings(&rule("enforce")), Vec::<String>::new());
    let bad = |settings: &str| problems(&format!(r#"{{"key_service":{{"cluster":"k"}}{settings}}}"#));
    assert_eq!(bad(r#","mode":"off""#), [r#"mode: must be enforce or shadow, not "off""#]);
    assert_eq!(bad(r#","mode":true"#), ["mode: must be a string, not true or false"]);
    assert_eq!(bad(&rule("Shadow")), [r#"routes[0].mode: must be enforce or shadow, not "Shadow""#]);
    assert_eq!(
        bad(&format!(r#","mode":"shadow"{}"#, rule("enforce"))),
        [
            "routes[0].mode: must not be enforce while the whole filter is in shadow mode: an ambiguous request would bypass the rule"
        ]
    );
}

#[test]
fn prefixes_of_bearer_tokens_are_words_that_no_personal_api_key_begins_with() {
    let with = |settings: &str| {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}},"routes":[{{"path":"/a",{settings}}}]}}"#);
        Config::read(json.as_bytes())
    };
    let longest = "a".repeat(32);
    assert!(with(&format!(r#""scope":"*","bearer_prefixes":["phs_","pha_","A-1","{longest}"]"#)).is_ok());
    assert!(with(r#""public":true,"bearer_prefixes":[]"#).is_ok());
    let problems =
        |settings: &str| with(settings).unwrap_err().iter().map(Problem::to_string).collect::<Vec<_>>();
    let form = |at: usize, text: &str| {
        format!(
            "routes[0].bearer_prefixes[{at}]: must be 1 to 32 letters, digits, hyphens or underscores, not {text:?}"
        )
    };
    let too_long = "a".repeat(33);
    assert_eq!(
        problems(&format!(r#""scope":"*","bearer_prefixes":["","{too_long}","a b","\u00e9","phs_",7]"#)),
        [
            form(0, ""),
            form(1, &too_long),
            form(2, "a b"),
            form(3, "é"),
            "routes[0].bearer_prefixes[5]: must be a string, not a number".to_owned()
        ]
    );
    for prefix in ["p", "ph", "phx", "phx_", "phx_a"] {
        assert_eq!(
            problems(&format!(r#""scope":"*","bearer_prefixes":["{prefix}"]"#)),
            [format!(
                r#"routes[0].bearer_prefixes[0]: must not be "{prefix}": personal API keys begin with "phx_""#
            )]
        );
    }
    assert_eq!(
        problems(r#""public":true,"bearer_prefixes":["phs_"]"#),
        ["routes[0].bearer_prefixes: must not be on a public rule, which forwards every token"]
    );
    assert_eq!(
        problems(r#""scope":"*","bearer_prefixes":"phs_""#),
        ["routes[0].bearer_prefixes: must be a list, not a string"]
    );
}

#[test]
fn without_syncs_verdicts_live_shortly_and_the_log_says_so() {
    let read = |settings: &str| {
        Config::read(format!(r#"{{"key_service":{{"cluster":"k"}},{settings}}}"#).as_bytes())
    };
    for off in [r#""sync":"off""#, r#""sync":false"#] {
        let config = read(off).unwrap();
        assert_eq!((config.policy.sync_wait_ms, config.cache.active_ttl_ms), (None, 5_000));
        assert_eq!(
            config.warnings.iter().map(Problem::to_string).collect::<Vec<_>>(),
            [
                "sync: off: edges receive no changes, so a deleted key works for up to 5000 ms more (cache.active_ttl_ms)"
            ]
        );
    }
    assert_eq!(read(r#""sync":"off","cache":{"active_ttl_ms":60000}"#).unwrap().cache.active_ttl_ms, 60_000);
    let problems =
        |settings: &str| read(settings).unwrap_err().iter().map(Problem::to_string).collect::<Vec<_>>();
    assert_eq!(
        problems(r#""sync":"off","cache":{"active_ttl_ms":60001},"on_unavailable":{"serve_stale_s":1}"#),
        [
            "on_unavailable.serve_stale_s: must not be set with sync: off, because it counts from the end of a lease",
            "cache.active_ttl_ms: must be a whole number from 0 to 60000, not 60001",
        ]
    );
    for (value, kind) in [("true", "true or false"), (r#""on""#, "a string"), ("0", "a number")] {
        assert_eq!(problems(&format!(r#""sync":{value}"#)), [format!("sync: must be an object, not {kind}")]);
    }
}

#[test]
fn encoded_slashes_name_segments_of_the_path() {
    let problems = |names: &str| {
        problems(&format!(
            r#"{{"key_service":{{"cluster":"k"}},"routes":[{{"path":"/a/{{id}}/{{*rest}}","scope":"*","encoded_slashes":{names}}}]}}"#
        ))
    };
    for (names, what) in [
        (r#"["id","other"]"#, r#"[1]: must be the name of a {name} in the path, not "other""#),
        (r#"["rest"]"#, r#"[0]: must be the name of a {name} in the path, not "rest""#),
        (r#"["*rest"]"#, r#"[0]: must be the name of a {name} in the path, not "*rest""#),
        (r#"["a"]"#, r#"[0]: must be the name of a {name} in the path, not "a""#),
        ("[7]", "[0]: must be the name of a {name} in the path, not 7"),
        (r#""id""#, ": must be a list, not a string"),
    ] {
        assert_eq!(problems(names), [format!("routes[0].encoded_slashes{what}")]);
    }
}

#[test]
fn error_bodies_may_be_those_of_posthog() {
    for (bodies, expected) in [("documented", ErrorBodies::Documented), ("posthog", ErrorBodies::Posthog)] {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}},"error_bodies":"{bodies}"}}"#);
        assert_eq!(Config::read(json.as_bytes()).unwrap().policy.error_bodies, expected);
    }
}

#[test]
fn a_verdict_may_live_for_a_day() {
    for (ttl_ms, is_accepted) in [(86_400_000_u64, true), (86_400_001, false)] {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}},"cache":{{"active_ttl_ms":{ttl_ms}}}}}"#);
        assert_eq!(Config::read(json.as_bytes()).is_ok(), is_accepted, "{ttl_ms}");
    }
}

#[test]
fn an_id_must_not_follow_a_segment_with_encoded_slashes() {
    for (field, path, is_accepted) in [
        ("project", "/files/{file}/projects/{id}", false),
        ("organization", "/files/{file}/projects/{id}", false),
        ("project", "/projects/{id}/files/{file}", true),
    ] {
        let json = format!(
            r#"{{"key_service":{{"cluster":"k"}},"routes":[{{"path":"{path}","scope":"*","encoded_slashes":["file"],"{field}":"id"}}]}}"#
        );
        let found = Config::read(json.as_bytes()).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        let problem = format!(
            "routes[0].{field}: must not follow a segment of encoded_slashes, whose slashes could move another \
             segment to its place"
        );
        assert_eq!(found, if is_accepted { vec![] } else { vec![problem] }, "{path}");
    }
}

#[test]
fn a_rule_names_the_segments_of_project_and_organization() {
    let with = |settings: &str| {
        let path = "/o/{org}/p/{id}/{id}/{*rest}";
        let json =
            format!(r#"{{"key_service":{{"cluster":"k"}},"routes":[{{"path":"{path}",{settings}}}]}}"#);
        (Config::read(json.as_bytes()), Config::rules(serde_json::from_str(&json).unwrap()))
    };
    let locators = |settings: &str| {
        let (config, rules) = with(&format!(r#""scope":"*",{settings}"#));
        config.unwrap();
        rules[0].rule.terms.locators
    };
    let of = |segment, upstream_judges| Locator { segment, upstream_judges };
    assert_eq!(locators(r#""mode":"enforce""#), Locators::NONE);
    assert_eq!(
        locators(r#""project":"org","organization":"org""#),
        Locators { project: of(Some(1), false), organization: of(Some(1), false) }
    );
    assert_eq!(
        locators(r#""project":"org","upstream_judges":["organization","project"]"#),
        Locators { project: of(Some(1), true), organization: of(None, true) }
    );
    let problems =
        |settings: &str| with(settings).0.unwrap_err().iter().map(Problem::to_string).collect::<Vec<_>>();
    for (settings, problem) in [
        (r#""project":"id""#, r#"project: "id" names several segments of the path"#),
        (r#""organization":"o""#, r#"organization: must be the name of a {name} in the path, not "o""#),
        (r#""project":"rest""#, r#"project: must be the name of a {name} in the path, not "rest""#),
        (r#""project":"*rest""#, r#"project: must be the name of a {name} in the path, not "*rest""#),
        (r#""project":["org"]"#, "project: must be a string, not a list"),
        (r#""upstream_judges":"project""#, "upstream_judges: must be a list, not a string"),
        (
            r#""upstream_judges":["user"]"#,
            r#"upstream_judges[0]: must be project or organization, not "user""#,
        ),
        (r#""upstream_judges":["project",7]"#, "upstream_judges[1]: must be project or organization, not 7"),
    ] {
        assert_eq!(problems(&format!(r#""scope":"*",{settings}"#)), [format!("routes[0].{problem}")]);
    }
    for (settings, problem) in [
        (r#""project":"org","project_query":"token""#, "project_query: must be a list, not a string"),
        (
            r#""project":"org","project_query":[""]"#,
            r#"project_query[0]: must be the name of a query field, not """#,
        ),
        (
            r#""organization":"org","project_query":["token"]"#,
            "project_query: is about the project of the path, so the rule needs project too",
        ),
    ] {
        assert_eq!(problems(&format!(r#""scope":"*",{settings}"#)), [format!("routes[0].{problem}")]);
    }
    for settings in [r#""project":"org""#, r#""organization":"org""#, r#""upstream_judges":["project"]"#] {
        assert_eq!(
            problems(&format!(r#""public":true,{settings}"#)),
            [
                "routes[0].public: a public rule needs no key, so it has no project, organization or upstream_judges"
            ]
        );
    }
}

#[test]
fn a_rule_that_admits_more_than_another_is_a_case_gap() {
    let warnings = |first: &str, second: &str| {
        let json = format!(
            r#"{{"key_service":{{"cluster":"k"}},"routes":[
                {{"path":"/admin","scope":"*"{first}}},{{"path":"/{{*rest}}","scope":"*"{second}}}]}}"#
        );
        let config = Config::read(json.as_bytes()).unwrap();
        config.warnings.iter().filter(|warning| warning.message.contains("letter case")).count()
    };
    let shadow = r#","mode":"shadow""#;
    assert_eq!(warnings("", ""), 0);
    assert_eq!(warnings("", shadow), 1);
    assert_eq!(warnings(shadow, ""), 0);
    assert_eq!(warnings(shadow, shadow), 0);
    let prefixes = r#","bearer_prefixes":["phs_"]"#;
    assert_eq!(warnings("", prefixes), 1, "a token that /admin refuses");
    assert_eq!(warnings(prefixes, prefixes), 0);
    let judged = r#","upstream_judges":["project"]"#;
    assert_eq!(warnings("", judged), 1, "a restricted key that /admin refuses");
    assert_eq!(warnings(judged, judged) + warnings(judged, ""), 0);
}

#[test]
fn rules_that_letter_case_leads_around_are_warned_of() {
    let warnings = |settings: &str| {
        let json = format!(r#"{{"key_service":{{"cluster":"k"}}{settings}}}"#);
        let config = Config::read(json.as_bytes()).unwrap();
        config.warnings.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let routes = r#","routes":[{"path":"/admin","scope":"*"},{"path":"/{*rest}","public":true}]"#;
    assert_eq!(
        warnings(routes),
        [
            r#"routes[1]: "/{*rest}" admits "/Admin" for less than routes[0] ("/admin") requires: if the upstream ignores letter case, set path_case: insensitive"#
        ]
    );
    assert_eq!(warnings(&format!(r#"{routes},"path_case":"insensitive""#)), Vec::<String>::new());
    assert_eq!(warnings(""), Vec::<String>::new(), "the shipped table");
    let json = r#"{"key_service":{"cluster":"k"},"path_case":"insensitive","routes":[{"path":"/caf\u00e9","public":true}]}"#;
    assert_eq!(
        problems(json),
        [r#"routes[0].path: has "café": path_case: insensitive ignores the case of A to Z only"#]
    );
}

#[test]
fn a_value_that_is_not_an_object_is_refused() {
    let nothing = "key_service.cluster: is required";
    assert!(problems("")[0].starts_with(nothing), "an empty Struct has no bytes");
    assert!(problems("{")[0].starts_with("configuration: is neither JSON (EOF"));
    assert_eq!(problems("[]")[0], "configuration: must be an object, not a list");
}

#[test]
fn numbers_may_be_written_as_doubles() {
    let json = r#"{"key_service":{"cluster":"k","timeout_ms":2.5e3},"cache":{"max_active":1e+06}}"#;
    let config = Config::read(json.as_bytes()).unwrap();
    assert_eq!((config.key_service.timeout_ms, config.cache.max_active), (2_500, 1_000_000));
}

#[test]
fn rules_are_listed_with_their_templates_as_written() {
    let templates = |json: &str| {
        Config::rules(serde_json::from_str(json).unwrap())
            .into_iter()
            .map(|written| written.template)
            .collect::<Vec<_>>()
    };
    let routes = r#"{"routes":[{"path":"/b/{id}/","scope":"*"},{"path":"x","scope":"*"},{"path":"/a","public":true}]}"#;
    assert_eq!(templates(routes), ["/b/{id}/", "/a"]);
    assert_eq!(templates("{}").len(), 15);
    assert_eq!(templates(r#"{"routes":"documented"}"#).len(), 15);
    assert!(templates(r#"{"routes":"posthog"}"#).len() > 100);
}

#[test]
fn routes_are_a_list_or_the_name_of_a_shipped_table() {
    for (routes, given) in
        [(r#""Posthog""#, r#""Posthog""#), (r#""""#, r#""""#), ("7", "a number"), ("{}", "an object")]
    {
        assert_eq!(
            problems(&format!(r#"{{"key_service":{{"cluster":"k"}},"routes":{routes}}}"#)),
            [format!("routes: must be a list of rules, documented or posthog, not {given}")]
        );
    }
}

#[test]
fn an_identity_header_that_is_null_is_removed_and_not_sent() {
    let json = r#"{"key_service":{"cluster":"k"},"identity_headers":{"scopes":null,"key_id":"x-key"}}"#;
    let policy = Config::read(json.as_bytes()).unwrap().policy;
    let sent = policy.identity_headers.0.each_ref().map(|header| (&*header.name, header.is_sent));
    let expected =
        [("x-auth-user-id", true), ("x-key", true), ("x-auth-scopes", false), ("x-auth-restrictions", true)];
    assert_eq!(sent, expected);
    for (name, _) in expected {
        assert_eq!(policy.header_policy.treatment(name.as_bytes()), Some(Treatment::Remove), "{name}");
    }
}

#[test]
fn the_upstream_gets_the_restrictions_that_it_judges() {
    let with = |routes: &str| {
        format!(
            r#"{{"key_service":{{"cluster":"k"}},"identity_headers":{{"restrictions":null}},"routes":{routes}}}"#
        )
    };
    for judged in [
        r#""posthog""#,
        r#"[{"path":"/a/{*rest}","scope":"a","methods":["GET"],"upstream_judges":["project"]}]"#,
        r#"[{"path":"/{b}/a","scope":"a","upstream_judges":["organization"]}]"#,
    ] {
        assert_eq!(
            problems(&with(judged)),
            [
                "identity_headers.restrictions: must not be null: a rule has upstream_judges, so the upstream needs this header"
            ]
        );
    }
    assert!(Config::read(with(r#"[{"path":"/a/{id}","scope":"a","project":"id"}]"#).as_bytes()).is_ok());
}
