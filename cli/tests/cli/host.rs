//! Each dangerous or wrong setting of Envoy, in the shipped file with one change.

use edge_key_auth_cli::document::{Document, Format};
use edge_key_auth_cli::finding::Severity::{self, Error, Hint};

use crate::{envoy_with, findings, findings_in};

const MANAGER: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";

const POLICY: &str = "failure_policy: FAIL_RELOAD";
const VARIABLES: &str = "environment_variables: { host_env_keys: [EDGE_TOKEN] }";
const ROUTE: &str = r#"- match: { prefix: "/" }"#;
const FILTER: &str = "- name: edge_key_auth\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
";

/// A filter that is put before ours.
fn before(filter: &str) -> String {
    format!("- {filter}\n                  {FILTER}")
}

/// Changes the shipped file, and expects one finding: this one. The path is inside the connection manager.
fn expect(changes: &[(&str, &str)], severity: Severity, path: &str, word: &str) {
    let found = findings(&envoy_with(changes), Format::Yaml);
    let [(found_severity, found_path, message)] = &found[..] else { panic!("{changes:?}: {found:?}") };
    assert_eq!((*found_severity, found_path.as_str()), (severity, format!("{MANAGER}.{path}").as_str()));
    assert!(message.contains(word), "{message}");
}

#[test]
fn the_failure_policy_is_checked() {
    let config = "http_filters[0].typed_config.config";
    let path = &format!("{config}.failure_policy");
    for (policy, severity) in
        [("FAIL_OPEN", Error), ("3", Error), ("FAIL_CLOSED", Hint), ("2", Hint), ("UNSPECIFIED", Hint)]
    {
        expect(&[(POLICY, &format!("failure_policy: {policy}"))], severity, path, "FAIL_RELOAD");
    }
    for missing in ["", "failure_policy: null"] {
        expect(&[(POLICY, missing)], Hint, path, "is missing");
    }
    expect(&[(POLICY, "fail_open: true")], Error, &format!("{config}.fail_open"), "unchecked");
    let camel_case = &[(POLICY, "failurePolicy: FAIL_OPEN")];
    expect(camel_case, Error, &format!("{config}.failurePolicy"), "unchecked");
}

#[test]
fn the_token_is_checked() {
    let variables = "http_filters[0].typed_config.config.vm_config.environment_variables";
    let keys = &format!("{variables}.host_env_keys");
    expect(&[(VARIABLES, "")], Error, keys, "EDGE_TOKEN");
    expect(&[(VARIABLES, "environment_variables: { host_env_keys: [TOKEN] }")], Error, keys, "EDGE_TOKEN");
    let renamed = r#"{ "key_service": { "cluster": "key_service", "token_env": "TOKEN" } }"#;
    let renamed = (r#"{ "key_service": { "cluster": "key_service" } }"#, renamed);
    expect(&[renamed], Error, keys, "does not name TOKEN");
    for inline in
        ["key_values: { EDGE_TOKEN: secret }", "host_env_keys: [EDGE_TOKEN], key_values: { EDGE_TOKEN: x }"]
    {
        let changed = format!("environment_variables: {{ {inline} }}");
        expect(&[(VARIABLES, &changed)], Error, &format!("{variables}.key_values.EDGE_TOKEN"), "config dump");
    }
}

#[test]
fn the_vm_is_checked() {
    let config = "http_filters[0].typed_config.config";
    let option = format!("{POLICY}\n                        allow_on_headers_stop_iteration: true");
    let path = format!("{config}.allow_on_headers_stop_iteration");
    expect(&[(POLICY, &option)], Hint, &path, "cargo xtask build");
    for (runtime, word) in [("runtime: envoy.wasm.runtime.wamr", "wamr"), ("", "is missing")] {
        let path = format!("{config}.vm_config.runtime");
        expect(&[("runtime: envoy.wasm.runtime.v8", runtime)], Error, &path, word);
    }
    let other_type = &[("google.protobuf.Struct", "google.protobuf.BytesValue")];
    expect(other_type, Error, &format!("{config}.configuration[\"@type\"]"), "StringValue");
}

#[test]
fn settings_that_hide_an_ambiguous_path_are_found() {
    expect(&[("normalize_path: false", "normalize_path: true")], Hint, "normalize_path", "cannot refuse");
    expect(&[("merge_slashes: false", "merge_slashes: on")], Hint, "merge_slashes", "cannot refuse");
    for (action, word) in
        [("UNESCAPE_AND_FORWARD", "FORWARD"), ("UNESCAPE_AND_REDIRECT", "REDIRECT"), ("4", "FORWARD")]
    {
        let action = format!("action: {action}");
        expect(&[("action: KEEP_UNCHANGED", &action)], Hint, "path_with_escaped_slashes_action", word);
    }
    let refuses = envoy_with(&[("action: KEEP_UNCHANGED", "action: REJECT_REQUEST")]);
    assert_eq!(findings(&refuses, Format::Yaml), []);
}

#[test]
fn the_client_address_is_checked() {
    for changed in ["use_remote_address: false", "", "xff_num_trusted_hops: 0"] {
        expect(&[("use_remote_address: true", changed)], Hint, "use_remote_address", "X-Forwarded-For");
    }
    let hops = envoy_with(&[("use_remote_address: true", "xff_num_trusted_hops: 1")]);
    assert_eq!(findings(&hops, Format::Yaml), []);
}

#[test]
fn the_cluster_is_checked() {
    let settings = (r#""cluster": "key_service""#, r#""cluster": "keys""#);
    let path = "http_filters[0].typed_config.config.configuration.value.key_service.cluster";
    expect(&[settings], Error, path, r#"no cluster "keys""#);
    let missing = (r#""cluster": "key_service""#, r#""cluster": null"#);
    expect(&[missing], Error, path, "is required");
    let empty = (r#""cluster": "key_service""#, "\"cluster\": \"\"");
    expect(&[empty], Error, path, "is required");
    let dynamic =
        ("static_resources:\n", "dynamic_resources: { cds_config: { ads: {} } }\nstatic_resources:\n");
    assert_eq!(findings(&envoy_with(&[settings, dynamic]), Format::Yaml), []);
}

#[test]
fn the_place_among_the_filters_is_checked() {
    let router_first = ROUTER.replacen("                  - ", "- ", 1) + "                  " + FILTER;
    expect(&[(ROUTER, ""), (FILTER, &router_first)], Error, "http_filters[1]", "after the router");

    let lua =
        before("{ name: lua, typed_config: { inline_code: 'request:headers():get(\"X-Auth-Key-Id\")' } }");
    expect(&[(FILTER, &lua)], Error, "http_filters[0]", "x-auth-key-id");
    let renamed =
        r#"{ "key_service": { "cluster": "key_service" }, "identity_headers": { "user_id": "X-User" } }"#;
    let renamed = (r#"{ "key_service": { "cluster": "key_service" } }"#, renamed);
    let reads = before("{ name: rbac, typed_config: { header: { name: x-user } } }");
    expect(&[renamed, (FILTER, &reads)], Error, "http_filters[0]", "x-user");

    let limit = before(
        "{ name: limit, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit } }",
    );
    let action = r#"rate_limits: [{ actions: [{ request_headers: { header_name: x-auth-key-id, descriptor_key: k } }] }]"#;
    let per_key = format!("{ROUTE}\n                          {action}");
    expect(&[(FILTER, &limit), (ROUTE, &per_key)], Error, "http_filters[0]", "x-auth-key-id");
    // A file to copy, with two filters that use the headers.
    let limits =
        std::fs::read_to_string(test_stack::paths::workspace().join("envoy/per-key-limits.yaml")).unwrap();
    let filters = limits.lines().map(|line| format!("                  {line}\n")).collect::<String>();
    let misplaced = format!("{}{FILTER}", filters.trim_start().to_owned() + "                  ");
    let found = findings(&envoy_with(&[(FILTER, &misplaced)]), Format::Yaml);
    let paths: Vec<_> = found.iter().map(|(_, path, _)| path.strip_prefix(MANAGER).unwrap()).collect();
    assert_eq!(paths, [".http_filters[0]", ".http_filters[1]"], "{found:?}");
    let behind = envoy_with(&[(ROUTER, &(filters + ROUTER))]);
    assert_eq!(findings(&behind, Format::Yaml), []);

    let removes = format!("{ROUTE}\n                          request_headers_to_remove: [x-auth-key-id]");
    assert_eq!(findings(&envoy_with(&[(FILTER, &limit), (ROUTE, &removes)]), Format::Yaml), []);
    let per_address = envoy_with(&[(FILTER, &limit)]);
    assert_eq!(findings(&per_address, Format::Yaml), []);
}

#[test]
fn a_filter_that_is_turned_off_is_found() {
    for option in ["disabled", "is_optional"] {
        let changed = format!("{FILTER}                    {option}: true\n");
        expect(&[(FILTER, &changed)], Error, &format!("http_filters[0].{option}"), "unchecked");
    }
    let off = r#"typed_per_filter_config: { edge_key_auth: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }"#;
    let route = format!("{ROUTE}\n                          {off}");
    let path = "route_config.virtual_hosts[0].routes[0].typed_per_filter_config.edge_key_auth.disabled";
    expect(&[(ROUTE, &route)], Error, path, "public: true");
}

#[test]
fn an_upgrade_without_the_filter_is_found() {
    let upgrades = |filters: &str| {
        let upgrade = format!("upgrade_configs: [{{ upgrade_type: websocket{filters} }}]");
        envoy_with(&[("normalize_path: false", &format!("normalize_path: false\n                {upgrade}"))])
    };
    let router = r#", filters: [{ name: router, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }]"#;
    let found = findings(&upgrades(router), Format::Yaml);
    let [(Error, path, message)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*path, format!("{MANAGER}.upgrade_configs[0].filters"));
    assert!(message.contains("unchecked"), "{message}");
    for harmless in ["", ", filters: []"] {
        assert_eq!(findings(&upgrades(harmless), Format::Yaml), [], "{harmless}");
    }
}

#[test]
fn a_filter_inside_another_message_is_found() {
    let wasm = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n";
    let template = envoy_with(&[]);
    let (before, rest) = template.split_once(wasm).unwrap();
    let lines =
        rest.lines().take_while(|line| !line.trim_start().starts_with("- name: envoy.filters.http.router"));
    let config: Vec<_> = lines.collect();
    let after = &rest[config.iter().map(|line| line.len() + 1).sum::<usize>()..];
    let inner: String = config.iter().map(|line| format!("    {line}\n")).collect();
    let indent = " ".repeat(22);
    let wrapped = format!(
        "{before}\"@type\": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher\n{indent}\
         extension_config:\n{indent}  typed_config:\n{indent}    {wasm}{inner}{after}"
    );
    let found = findings(&wrapped, Format::Yaml);
    let [(Error, path, message)] = &found[..] else { panic!("{found:?}\n{wrapped}") };
    assert_eq!(*path, format!("{MANAGER}.http_filters[0].typed_config"));
    assert!(message.contains("skip"), "{message}");
    // The rest of the chain is judged all the same.
    let paths: Vec<_> =
        findings(&wrapped.replace("normalize_path: false", "normalize_path: true"), Format::Yaml);
    assert_eq!(paths.len(), 2, "{paths:?}");
}

#[test]
fn capabilities_that_the_filter_lacks_are_found() {
    let restricted = |names: &str| {
        let config = format!("capability_restriction_config: {{ allowed_capabilities: {{ {names} }} }}");
        (POLICY, format!("{POLICY}\n                        {config}"))
    };
    let path = "http_filters[0].typed_config.config.capability_restriction_config.allowed_capabilities";
    let (policy, lacking) = restricted("proxy_on_configure: {}");
    expect(&[(policy, &lacking)], Error, path, "proxy_on_request_headers");
    let all = "proxy_on_request_headers: {}, proxy_on_request_trailers: {}, proxy_get_header_map_pairs: {}, \
               proxy_remove_header_map_value: {}, proxy_replace_header_map_value: {}, proxy_send_local_response: {}";
    for enough in ["", all] {
        let (policy, enough) = restricted(enough);
        assert_eq!(findings(&envoy_with(&[(policy, &enough)]), Format::Yaml), []);
    }
}

#[test]
fn one_variable_in_place_of_a_list_is_accepted() {
    let variables = "environment_variables: { host_env_keys: EDGE_TOKEN }";
    assert_eq!(findings(&envoy_with(&[(VARIABLES, variables)]), Format::Yaml), []);
}

#[test]
fn a_connection_manager_without_the_filter_is_found() {
    let other = |cluster: &str| {
        let manager = format!(
            r#"listeners: [{{ filter_chains: [{{ filters: [{{ typed_config: {{ http_filters: [{{ name: router }}], route_config: {{ virtual_hosts: [{{ routes: [{{ route: {{ cluster: {cluster} }} }}] }}] }} }} }}] }}] }}]"#
        );
        let document = |text: &str| Document::read(text, Format::Yaml).unwrap();
        findings_in(vec![("all".to_owned(), document(&two_managers(&manager)))])
    };
    let found = other("upstream");
    let [(Hint, path, message)] = &found[..] else { panic!("{found:?}") };
    assert!(path.ends_with("http_filters") && message.contains("upstream"), "{path}: {message}");
    assert_eq!(other("elsewhere"), []);
}

/// The shipped file, and a second list of listeners beside it.
fn two_managers(listeners: &str) -> String {
    envoy_with(&[]) + "other: { " + listeners + " }\n"
}

#[test]
fn several_files_are_checked_together() {
    let document = |text: &str| Document::read(text, Format::Yaml).unwrap();
    let routes = r#"
        resources:
          - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
            virtual_hosts:
              - routes: [{ typed_per_filter_config: { keys: { disabled: true } } }]
    "#;
    let listeners = envoy_with(&[(FILTER, "- name: keys\n")]);
    let files = |texts: &[&str]| {
        let files = texts.iter().map(|text| ("file".to_owned(), document(text))).collect();
        findings_in(files).into_iter().map(|(_, path, _)| path).collect::<Vec<_>>()
    };
    let disabled = "resources[0].virtual_hosts[0].routes[0].typed_per_filter_config.keys.disabled";
    assert_eq!(files(&[routes, &listeners]), [disabled]);
    assert_eq!(files(&[&listeners]), Vec::<String>::new());
    assert_eq!(files(&[routes]), [""], "no file configures the filter");
    let ours = routes.replace("keys:", "edge_key_auth:");
    assert_eq!(files(&[&ours]), [&disabled.replace("keys", "edge_key_auth"), ""]);
}

#[test]
fn other_files_of_envoy_are_checked() {
    let plugin = r#"
        "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
        config:
          vm_config: { runtime: envoy.wasm.runtime.v8, environment_variables: { host_env_keys: [EDGE_TOKEN] } }
          failure_policy: FAIL_OPEN
          configuration:
            "@type": type.googleapis.com/google.protobuf.Struct
            value: { key_service: { cluster: key_service } }
    "#;
    let ecds = format!(
        "resources:\n  - \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n    name: edge_key_auth\n    \
         typed_config:{plugin}"
    );
    let list = format!("- name: edge_key_auth\n  disabled: true\n  typed_config:{plugin}");
    let typed_struct = format!(
        "http_filters:\n  - name: edge_key_auth\n    typed_config:\n      \"@type\": type.googleapis.com/udpa.type.v1.TypedStruct\n      \
         type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n      value:{plugin}"
    );
    let wasm = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n";
    let typed_struct = typed_struct.replace(wasm, "\n");
    let paths =
        |text: &str| findings(text, Format::Yaml).into_iter().map(|(_, path, _)| path).collect::<Vec<_>>();
    let discovered = "http_filters:\n  - { name: lua, typed_config: { inline_code: x-auth-user-id } }\n  - name: edge-key-auth\n    \
                      disabled: true\n    config_discovery: { config_source: { ads: {} } }\nuse_remote_address: true\n";
    assert_eq!(paths(discovered), ["http_filters[0]", "http_filters[1].disabled"]);
    assert_eq!(paths(&discovered.replace("edge-key-auth", "other")), [""], "no filter of ours");
    assert_eq!(paths(&ecds), ["resources[0].typed_config.config.failure_policy"]);
    assert_eq!(paths(&list), ["[0].disabled", "[0].typed_config.config.failure_policy"]);
    assert_eq!(
        paths(&typed_struct),
        ["use_remote_address", "http_filters[0].typed_config.value.config.failure_policy"]
    );
    let of_others = ecds.replace("key_service: { cluster: key_service }", "");
    assert_eq!(paths(&of_others.replace("edge_key_auth", "other")), [""], "another filter is none of ours");
}
