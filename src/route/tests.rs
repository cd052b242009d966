use super::*;
use crate::config::Config;
use crate::restriction::RequestedId;

fn table(rules: &[(&str, &str)]) -> RouteTable {
    let mut table = RouteTable::default();
    for (template, scope) in rules {
        let requirement = match *scope {
            "public" => Requirement::Public,
            scope => Requirement::Fixed(scope.parse().unwrap()),
        };
        table
            .add(Rule { template: template.parse().unwrap(), methods: None, terms: Terms::of(requirement) })
            .unwrap();
    }
    table
}

fn classify(table: &RouteTable, method: &str, path: &str) -> String {
    let (method, path) = (method.as_bytes(), path.as_bytes());
    let head = RequestHead {
        method,
        path,
        query: b"",
        has_encoded_slash: false,
        bearer_token: None,
        is_preflight: false,
    };
    match table.classify(&head).unwrap().access {
        Access::Public => "public".to_owned(),
        Access::Authenticated(scope) => scope.to_string(),
    }
}

fn shipped() -> RouteTable {
    Config::read(br#"{"key_service":{"cluster":"k"}}"#).unwrap().policy.routes
}

#[test]
fn the_shipped_table_is_the_default() {
    let table = shipped();
    let get = |path: &str| classify(&table, "GET", path);
    for path in ["/decide", "/decide/", "/capture/", "/batch", "/batch/"] {
        assert_eq!(get(path), "public", "{path}");
        assert_eq!(classify(&table, "POST", path), "public", "{path}");
    }
    for path in
        ["/decidex", "/decide/x", "/", "/api", "/api/", "/api/projects/7/dashboards/", "/api/users/@me/"]
    {
        assert_eq!(get(path), "*", "{path}");
    }
    for (object, path) in [
        ("insight", "insights"),
        ("feature_flag", "feature_flags"),
        ("person", "persons"),
        ("cohort", "cohorts"),
    ] {
        for prefix in ["/api", "/api/projects/7"] {
            for path in
                [format!("{prefix}/{path}"), format!("{prefix}/{path}/"), format!("{prefix}/{path}/3/x/")]
            {
                assert_eq!(get(&path), format!("{object}:read"), "{path}");
                assert_eq!(classify(&table, "POST", &path), format!("{object}:write"), "{path}");
            }
        }
    }
    assert_eq!(get("/api/projects/"), "project:read");
    assert_eq!(get("/api/projects/7"), "project:read");
    assert_eq!(classify(&table, "PATCH", "/api/projects/7/"), "project:write");
    for method in ["GET", "POST"] {
        assert_eq!(classify(&table, method, "/api/query/"), "query:read");
        assert_eq!(classify(&table, method, "/api/projects/7/query/x"), "query:read");
    }
}

#[test]
fn read_is_enough_for_safe_methods_only() {
    let table = shipped();
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(classify(&table, method, "/api/insights/"), "insight:read");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "get", "PROPFIND"] {
        assert_eq!(classify(&table, method, "/api/insights/"), "insight:write");
    }
}

#[test]
fn the_most_specific_rule_wins_in_any_order() {
    let mut rules = [
        ("/a/{*rest}", "rest:read"),
        ("/a/{id}", "parameter:read"),
        ("/a/b", "literal:read"),
        ("/a/{id}/c", "deep:read"),
        ("/a/b/{*rest}", "literal_rest:read"),
        ("/a", "exact:read"),
    ];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let table = table(&rules);
        for (path, scope) in [
            ("/a", "exact:read"),
            ("/a/", "exact:read"),
            ("/a/b", "literal:read"),
            ("/a/x", "parameter:read"),
            ("/a/x/c", "deep:read"),
            ("/a/x/d", "rest:read"),
            ("/a/b/c", "literal_rest:read"),
            ("/a/b/c/d", "literal_rest:read"),
            ("/x", "*"),
        ] {
            assert_eq!(classify(&table, "GET", path), scope, "{path}");
        }
    }
}

#[test]
fn a_dead_end_under_a_literal_falls_back_to_the_parameter() {
    let table = table(&[("/a/b/c", "literal:read"), ("/a/{id}/d", "parameter:read")]);
    assert_eq!(classify(&table, "GET", "/a/b/d"), "parameter:read");
    assert_eq!(classify(&table, "GET", "/a/b/e"), "*");
}

#[test]
fn a_rest_may_be_empty_and_a_parameter_may_not() {
    let table = table(&[("/a/{*rest}", "public"), ("/b/{id}", "public"), ("/c/{id}/{*rest}", "public")]);
    assert_eq!(classify(&table, "GET", "/a"), "public");
    assert_eq!(classify(&table, "GET", "/b"), "*");
    assert_eq!(classify(&table, "GET", "/b/"), "*");
    assert_eq!(classify(&table, "GET", "/c/"), "*");
    assert_eq!(classify(&table, "GET", "/c/1"), "public");
}

#[test]
fn literals_are_compared_decoded() {
    let table =
        table(&[("/users/@me", "user:read"), ("/users/{id}", "user:write"), ("/caf\u{e9}", "public")]);
    assert_eq!(classify(&table, "GET", "/users/%40me"), "user:read");
    assert_eq!(classify(&table, "GET", "/users/%40You"), "user:write");
    assert_eq!(classify(&table, "GET", "/caf%C3%A9/"), "public");
}

#[test]
fn a_method_that_the_rule_does_not_list_needs_everything() {
    let mut table = table(&[("/a/{*rest}", "rest:read")]);
    let rule = |methods: &[&str], scope: &str| Rule {
        template: "/a/b".parse().unwrap(),
        methods: Some(methods.iter().map(|method| (*method).to_owned()).collect()),
        terms: Terms::of(Requirement::Fixed(scope.parse().unwrap())),
    };
    table.add(rule(&["GET", "HEAD"], "b:read")).unwrap();
    table.add(rule(&["POST"], "b:write")).unwrap();
    assert_eq!(classify(&table, "GET", "/a/b"), "b:read");
    assert_eq!(classify(&table, "POST", "/a/b"), "b:write");
    assert_eq!(classify(&table, "DELETE", "/a/b"), "*");
    assert_eq!(table.add(rule(&["PUT", "POST"], "b:write")), Err(Conflict));
}

#[test]
fn letter_case_counts_unless_it_is_ignored() {
    let rules = [("/Admin/{*rest}", "admin:read"), ("/{*rest}", "public"), ("/admin/keys", "key:read")];
    let table = |path_case| {
        let mut table = RouteTable::new(path_case);
        for (template, scope) in rules {
            let requirement = match scope {
                "public" => Requirement::Public,
                scope => Requirement::Fixed(scope.parse().unwrap()),
            };
            table
                .add(Rule {
                    template: template.parse().unwrap(),
                    methods: None,
                    terms: Terms::of(requirement),
                })
                .unwrap();
        }
        table
    };
    let (sensitive, insensitive) = (table(PathCase::Sensitive), table(PathCase::Insensitive));
    for (path, exactly, ignoring) in [
        ("/Admin/x", "admin:read", "admin:read"),
        ("/ADMIN/x", "public", "admin:read"),
        ("/aDMiN", "public", "admin:read"),
        ("/admin/KEYS", "public", "key:read"),
        ("/Admin/keys/", "admin:read", "key:read"),
        ("/administration", "public", "public"),
    ] {
        assert_eq!(classify(&sensitive, "GET", path), exactly, "{path}");
        assert_eq!(classify(&insensitive, "GET", path), ignoring, "{path}");
    }
    let twin = Rule {
        template: "/ADMIN/{*x}".parse().unwrap(),
        methods: None,
        terms: Terms::of(Requirement::Public),
    };
    assert_eq!(table(PathCase::Sensitive).add(twin.clone()), Ok(()));
    assert_eq!(table(PathCase::Insensitive).add(twin), Err(Conflict));
}

#[test]
fn two_rules_for_the_same_paths_conflict() {
    let mut table = table(&[("/a/{id}", "public")]);
    let twin = Rule {
        template: "/a/{other}/".parse().unwrap(),
        methods: None,
        terms: Terms::of(Requirement::Public),
    };
    assert_eq!(table.add(twin), Err(Conflict));
}

fn posthog() -> Config {
    Config::read(br#"{"key_service":{"cluster":"k"},"routes":"posthog"}"#).unwrap()
}

#[test]
fn the_documented_table_can_be_named() {
    let named = Config::read(br#"{"key_service":{"cluster":"k"},"routes":"documented"}"#).unwrap();
    assert_eq!(format!("{:?}", named.policy.routes), format!("{:?}", shipped()));
}

#[test]
fn the_posthog_table_loads_without_warnings() {
    assert_eq!(posthog().warnings, []);
}

#[test]
fn the_posthog_table_has_the_public_routes_of_today() {
    let table = posthog().policy.routes;
    for path in ["/batch", "/i/v0/e", "/e", "/track", "/engage", "/capture", "/s"] {
        for path in [path.to_owned(), format!("{path}/")] {
            for method in ["GET", "POST", "OPTIONS"] {
                assert_eq!(classify(&table, method, &path), "public", "{method} {path}");
            }
            assert_eq!(classify(&table, "DELETE", &path), "*", "{path}");
        }
        assert_eq!(classify(&table, "POST", &format!("{path}/x")), "*", "{path}");
    }
    for path in [
        "/flags",
        "/flags/",
        "/decide/",
        "/i/v0/ai",
        "/i/v0/ai/batch/",
        "/i/v0/ai/otel",
        "/i/v1/analytics/events",
        "/i/v1/logs",
        "/i/v1/metrics",
        "/i/v1/traces",
        "/array/phc_a/config.js",
        "/static/array.js",
        "/static/chunks/a.js",
    ] {
        assert_eq!(classify(&table, "PUT", path), "public", "{path}");
    }
    for path in
        ["/", "/flags/x", "/flags/definitions/x", "/i/v0/ai/x", "/i/v1", "/api/decide", "/array", "/login"]
    {
        assert_eq!(classify(&table, "GET", path), "*", "{path}");
    }
}

#[test]
fn the_posthog_table_has_the_scope_of_each_resource() {
    let table = posthog().policy.routes;
    let get = |path: &str| classify(&table, "GET", path);
    let post = |path: &str| classify(&table, "POST", path);
    for path in [
        "/flags/definitions",
        "/flags/definitions/",
        "/api/feature_flag/local_evaluation/",
        "/api/feature_flag/beta/remote_config",
        "/api/projects/@current/feature_flags/beta/remote_config",
        "/api/projects/7/feature_flags/local_evaluation/",
    ] {
        assert_eq!(get(path), "feature_flag:read", "{path}");
    }
    assert_eq!(post("/flags/definitions"), "feature_flag:read");
    for kind in ["projects", "environments"] {
        for (resource, object) in [
            ("insights", "insight"),
            ("feature_flags", "feature_flag"),
            ("cohorts", "cohort"),
            ("persons", "person"),
            ("dashboards", "dashboard"),
            ("annotations", "annotation"),
            ("actions", "action"),
            ("experiments", "experiment"),
            ("surveys", "survey"),
            ("notebooks", "notebook"),
            ("session_recordings", "session_recording"),
            ("event_definitions", "event_definition"),
            ("property_definitions", "property_definition"),
            ("early_access_feature", "early_access_feature"),
            ("groups", "group"),
            ("batch_exports", "batch_export"),
            ("hog_functions", "hog_function"),
            ("subscriptions", "subscription"),
            ("llm_prompts", "llm_prompt"),
            ("endpoints", "endpoint"),
        ] {
            for project in ["7", "@current"] {
                let path = format!("/api/{kind}/{project}/{resource}/");
                assert_eq!(get(&path), format!("{object}:read"), "{path}");
                assert_eq!(post(&path), format!("{object}:write"), "{path}");
            }
        }
        // PostHog has other scopes for some routes of a resource.
        for (path, scopes) in [
            ("dashboards/5/sharing/", "sharing_configuration:read sharing_configuration:write"),
            ("insights/5/sharing/passwords/", "sharing_configuration:read sharing_configuration:write"),
            ("notebooks/a/sharing/refresh", "sharing_configuration:read sharing_configuration:write"),
            ("session_recordings/a/sharing", "sharing_configuration:read sharing_configuration:write"),
            ("insights/activity/", "activity_log:read activity_log:read"),
            ("feature_flags/5/activity", "activity_log:read activity_log:read"),
            ("error_tracking/issues/5/activity/", "activity_log:read activity_log:read"),
            ("insights/5/thresholds/", "alert:read alert:write"),
            ("insights/5/", "insight:read insight:write"),
        ] {
            let path = format!("/api/{kind}/7/{path}");
            assert_eq!(format!("{} {}", get(&path), post(&path)), scopes, "{path}");
        }
        assert_eq!(post(&format!("/api/{kind}/7/query/")), "query:read");
        assert_eq!(post(&format!("/api/{kind}/7/endpoints/weekly/run/")), "endpoint:read");
        assert_eq!(get(&format!("/api/{kind}")), "project:read");
        assert_eq!(get(&format!("/api/{kind}/@current/")), "project:read");
        assert_eq!(get(&format!("/api/{kind}/7/instance_settings")), "*");
    }
    assert_eq!(get("/api/users/@me/"), "user:read");
    assert_eq!(get("/api/organizations/@current/"), "organization:read");
    assert_eq!(post("/api/organizations/1/invites/"), "organization_member:write");
    assert_eq!(get("/api/insights/"), "*", "the documented table has it");
}

#[test]
fn the_posthog_table_says_where_project_and_organization_are() {
    let table = posthog().policy.routes;
    let requested = |path: &str| {
        let head = RequestHead {
            method: b"GET",
            path: path.as_bytes(),
            query: b"",
            has_encoded_slash: path.contains("%2F"),
            bearer_token: None,
            is_preflight: false,
        };
        let requested = table.classify(&head).unwrap().requested(&head);
        [requested.project, requested.organization].map(|requested| match requested {
            RequestedId::Id(id) => id.to_string(),
            RequestedId::NoId(text) => format!("not {text}"),
            RequestedId::UpstreamJudges => "upstream".to_owned(),
            RequestedId::Unknown => "unknown".to_owned(),
        })
    };
    for (path, project, organization) in [
        ("/flags/definitions", "upstream", "upstream"),
        ("/api/feature_flag/local_evaluation", "upstream", "upstream"),
        ("/api/users/@me/", "upstream", "upstream"),
        ("/api/projects/7/insights/3", "7", "upstream"),
        ("/api/environments/7/query", "7", "upstream"),
        ("/api/projects/@current/feature_flags/beta/remote_config", "upstream", "upstream"),
        ("/api/environments/@current/llm_prompts/name/a%2Fb/", "upstream", "upstream"),
        ("/api/environments/7/llm_prompts/name/a%2Fb/duplicate", "7", "upstream"),
        ("/api/projects/", "unknown", "upstream"),
        ("/api/environments/", "unknown", "upstream"),
        ("/api/organizations/", "unknown", "upstream"),
        ("/api/organizations/acme/members", "unknown", "acme"),
        ("/api/organizations/@current/", "unknown", "upstream"),
        ("/api/dead_letter_queue/", "unknown", "unknown"),
    ] {
        assert_eq!(requested(path), [project, organization], "{path}");
    }
}

#[test]
fn the_posthog_table_leaves_tokens_of_other_kinds_to_posthog_where_it_takes_them() {
    let table = posthog().policy.routes;
    let left = |path: &str, token: &str| {
        let token = Some(token.as_bytes());
        let head = RequestHead {
            method: b"GET",
            path: path.as_bytes(),
            query: b"",
            has_encoded_slash: false,
            bearer_token: token,
            is_preflight: false,
        };
        table.classify(&head).unwrap().leaves_to_upstream(token).is_some()
    };
    for path in ["/flags/definitions", "/api/projects/@current/feature_flags/a/remote_config"] {
        assert!(left(path, "phs_secret") && left(path, "pha_oauth"), "{path}");
    }
    assert!(
        left("/api/projects/7/insights/", "pha_oauth") && !left("/api/projects/7/insights/", "phs_secret")
    );
    for token in ["phc_project", "phr_refresh", "phx_key"] {
        assert!(!left("/flags/definitions", token), "{token}");
    }
    assert!(!left("/api/dead_letter_queue/", "pha_oauth"), "a route that no rule names");
}

#[test]
fn a_query_that_replaces_the_project_of_the_path_makes_it_unknown() {
    let table = posthog().policy.routes;
    let project = |path: &'static str, query: &'static str| {
        let head = RequestHead {
            method: b"GET",
            path: path.as_bytes(),
            query: query.as_bytes(),
            has_encoded_slash: false,
            bearer_token: None,
            is_preflight: false,
        };
        table.classify(&head).unwrap().requested(&head).project
    };
    let insights = "/api/projects/7/insights/";
    for query in ["token=phc_a", "limit=1&token=phc_a", "api_key=phc_a&x", "t%6Fken=phc_a", "token"] {
        assert_eq!(project(insights, query), RequestedId::Unknown, "{query}");
        assert_eq!(project("/api/projects/x y/insights/", query), RequestedId::Unknown, "{query}");
        assert_eq!(
            project("/api/projects/@current/insights/", query),
            RequestedId::UpstreamJudges,
            "{query}"
        );
    }
    for query in ["", "limit=1", "tokens=a", "search=token=a", "x_token=a"] {
        assert_eq!(project(insights, query), RequestedId::Id(7.into()), "{query}");
    }
}
