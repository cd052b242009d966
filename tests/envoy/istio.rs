//! The filter as Istio configures it: `istio.yaml` is what its control plane makes of `istio/gateway/`.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;
use test_stack::envoy::configuration::Shape;
use test_stack::{Envoy, Options, Stack, ports};

use crate::client::{get, send};
use crate::resources::{self, FAILING_MODULE, accepts_nothing, readiness, status, until, without_key};
use crate::{DOCUMENTED, INSIGHTS_ONLY, NOT_AUTHENTICATED, NOT_PERMITTED};

const FILTER: &str = "extensions.istio.io/trafficextension/istio-ingress.edge-key-auth";

/// What Istio's agent makes of the filter if it cannot pull the module: a filter that refuses every request.
const PULL_FAILED: &str = r#"
version_info: "failed"
resources:
  - "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
    name: extensions.istio.io/trafficextension/istio-ingress.edge-key-auth
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
      rules: {}
      rules_stat_prefix: wasm-default-deny
"#;

fn istio_with(options: Options) -> Stack {
    Stack::temporary(&Options { shape: Shape::Istio, ..options }).unwrap_or_else(|error| panic!("{error:#}"))
}

fn istio(envoy_config: &'static [(&'static str, &'static str)]) -> Stack {
    istio_with(Options { envoy_config, ..Options::default() })
}

/// The resource of the filter, as it was first.
fn resource(envoy: &Envoy) -> String {
    fs::read_to_string(envoy.resource("ecds")).unwrap()
}

/// Counts the updates of the filter that Envoy has refused.
fn refused_updates(envoy: &Envoy) -> usize {
    envoy.process().log().unwrap().matches("configuration refused").count()
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn requests_are_decided_as_with_the_shipped_file() {
    let stack = istio(&[]);
    let edge = stack.envoys()[0].address();
    let response = send(edge, "GET", "/api/projects/", &[], b"");
    assert_eq!((response.status, response.text()), (401, NOT_AUTHENTICATED));
    let response = get(edge, "/api/projects/", INSIGHTS_ONLY);
    assert_eq!((response.status, response.text()), (403, NOT_PERMITTED));
    let key = format!("Bearer {INSIGHTS_ONLY}");
    for headers in [&[("authorization", &*key), ("x-auth-user-id", "root")][..], &[("authorization", &key)]] {
        let response = send(edge, "GET", "/api/projects/7/insights", headers, b"");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.upstream_header("x-auth-scopes"), ["insight:read"]);
        assert_ne!(response.upstream_header("x-auth-user-id"), ["root"]);
    }
    let response = send(edge, "POST", "/capture/", &[("x-auth-user-id", "root")], b"event");
    assert_eq!(response.status, 200);
    assert_eq!(response.upstream_header("x-auth-user-id"), Vec::<String>::new());
}

/// Istio normalises paths before the filter judges them, and forwards what was judged.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_normalised_path_is_judged_as_the_upstream_gets_it() {
    const BASE: &str = "normalize_path: true\n";
    const MERGE_SLASHES: &[(&str, &str)] =
        &[(BASE, "normalize_path: true\n                merge_slashes: true\n")];
    const DECODE_AND_MERGE_SLASHES: &[(&str, &str)] = &[
        (BASE, "normalize_path: true\n                merge_slashes: true\n"),
        ("KEEP_UNCHANGED", "UNESCAPE_AND_FORWARD"),
    ];
    const NONE: &[(&str, &str)] = &[(BASE, "normalize_path: false\n")];
    const PUBLIC: Option<&str> = Some("/decide/");
    const KEYED: Option<&str> = Some("/api/projects/");
    const UNNAMED: Option<&str> = Some("/decide/api/projects/");
    // The path, and what the upstream gets with each setting; nothing if the filter answers 400.
    let cases = [
        ("/decide/", [PUBLIC; 4]),
        ("/decide/../api/projects/", [None, KEYED, KEYED, KEYED]),
        ("/decide/%2e%2e/api/projects/", [None, KEYED, KEYED, KEYED]),
        ("/decide/..\\api/projects/", [None, KEYED, KEYED, KEYED]),
        ("/api/../decide/", [None, PUBLIC, PUBLIC, PUBLIC]),
        ("//decide/", [None, None, PUBLIC, PUBLIC]),
        ("/decide//../api/projects/", [None, UNNAMED, UNNAMED, UNNAMED]),
        ("/decide/..%2fapi/projects/", [None, None, None, KEYED]),
        ("/decide/..%5capi/projects/", [None, None, None, KEYED]),
        ("/decide/%252e%252e/api/projects/", [None; 4]),
    ];
    for (n, settings) in [NONE, &[], MERGE_SLASHES, DECODE_AND_MERGE_SLASHES].into_iter().enumerate() {
        let stack = istio(settings);
        let edge = stack.envoys()[0].address();
        for (path, expected) in cases {
            let before = stack.echo().requests();
            let anonymous = send(edge, "GET", path, &[], b"");
            let keyed = get(edge, path, DOCUMENTED);
            let got = (anonymous.status, keyed.status);
            match expected[n] {
                None => {
                    let sent = (got, stack.echo().requests());
                    assert_eq!(sent, ((400, 400), before), "{path}: {n}: {}", keyed.text());
                }
                Some(upstream) => {
                    let public = upstream == "/decide/";
                    assert_eq!(got, (if public { 200 } else { 401 }, 200), "{path}: {n}");
                    assert_eq!(keyed.json()["path"], upstream, "{path}: {n}");
                    assert_eq!(keyed.upstream_header("x-auth-key-id").len(), usize::from(!public), "{path}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_failed_pull_refuses_every_request_until_a_pull_succeeds() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    let pulled = resource(envoy);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
    for _ in 0..2 {
        envoy.replace_resource("ecds", PULL_FAILED).unwrap();
        until("the public route is refused", || without_key(envoy, "/decide/").status == 403);
        let before = stack.echo().requests();
        for path in ["/decide/", "/api/projects/", "/"] {
            let response = get(envoy.address(), path, DOCUMENTED);
            assert_eq!((response.status, response.text()), (403, "RBAC: access denied"), "{path}");
        }
        assert_eq!(stack.echo().requests(), before);
        envoy.replace_resource("ecds", &pulled).unwrap();
        until("the public route is served", || without_key(envoy, "/decide/").status == 200);
        assert_eq!(without_key(envoy, "/api/projects/").status, 401);
        assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_refused_update_leaves_the_filter_that_runs() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    let pulled = resource(envoy);
    for (n, wrong) in [r#"{"key_servise":{},"#, r#"{"realms":"x","#].into_iter().enumerate() {
        let before = refused_updates(envoy);
        envoy.replace_resource("ecds", &pulled.replace("value: '{", &format!("value: '{wrong}"))).unwrap();
        until("Envoy refuses the update", || refused_updates(envoy) > before);
        assert_eq!(without_key(envoy, "/api/projects/").status, 401, "{n}");
        assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200, "{n}");
    }
    let better = pulled.replace("value: '{", r#"value: '{"realm":"better","#);
    envoy.replace_resource("ecds", &better).unwrap();
    until("the update is loaded", || {
        without_key(envoy, "/api/projects/").header("www-authenticate") == [r#"Bearer realm="better""#]
    });
}

/// As when the edge token is missing in the environment of the proxy.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_filter_that_never_loads_serves_nobody() {
    let stack = istio(&[("host_env_keys: [EDGE_TOKEN]", "host_env_keys: [OTHER]")]);
    let envoy = &stack.envoys()[0];
    assert!(refused_updates(envoy) > 0, "{}", envoy.process().log().unwrap());
    for path in ["/decide/", "/api/projects/"] {
        assert_eq!(get(envoy.address(), path, DOCUMENTED).status, 500, "{path}");
    }
    assert_eq!(stack.echo().requests(), 0);
}

/// The manifests set FAIL_RELOAD. Before Istio 1.27, only FAIL_CLOSE is as safe.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn what_a_failed_vm_does_depends_on_the_fail_strategy() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    let pulled = resource(envoy);
    let local = pulled.lines().find(|line| line.contains("local:")).unwrap();
    let failing = pulled.replace(local.trim(), &format!("local: {{ inline_bytes: {FAILING_MODULE} }}"));
    let (with_body, without_body) =
        (|| send(envoy.address(), "POST", "/", &[], b"body").status, || without_key(envoy, "/").status);
    // The status of a request with a body, and that of others while the VM has failed and later.
    for (policy, failing_status, later) in
        [("FAIL_RELOAD", 503, 200), ("FAIL_CLOSED", 503, 503), ("FAIL_OPEN", 200, 200)]
    {
        // Each policy has a VM of its own, so that none begins with a VM that has failed.
        let update =
            failing.replace("FAIL_RELOAD", policy).replace("name: istio-ingress", &format!("name: {policy}"));
        envoy.replace_resource("ecds", &update).unwrap();
        until("the module forwards requests without a body", || without_body() == 200);
        // Each worker has a VM of its own; a connection belongs to one of them.
        for _ in 0..40 {
            with_body();
        }
        let before = stack.echo().requests();
        let statuses: Vec<_> = (0..10).map(|_| with_body()).collect();
        let passed = stack.echo().requests() - before;
        let expected = if failing_status == 200 { 10 } else { 0 };
        // FAIL_OPEN: Envoy refuses the request at which the VM fails, and forwards all others unchecked.
        assert_eq!((statuses, passed), (vec![failing_status; 10], expected), "{policy}");
        match later {
            200 => until("requests without a body are forwarded", || without_body() == 200),
            _ => assert!((0..40).all(|_| without_body() == 503), "{policy}"),
        }
        envoy.replace_resource("ecds", &pulled).unwrap();
        until("the filter is back", || without_key(envoy, "/").status == 401);
    }
}

/// Envoy chooses the route anew when the filter has changed the headers.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_route_may_depend_on_the_identity_that_the_filter_has_set() {
    const ROUTE: &str = r#"- match: { prefix: "/" }"#;
    const FOR_ALL_SCOPES: &str = r#"- match: { prefix: "/", headers: [{ name: x-auth-scopes, string_match: { exact: "*" } }] }
                          direct_response: { status: 418 }
                        - match: { prefix: "/" }"#;
    let stack = istio(&[(ROUTE, FOR_ALL_SCOPES)]);
    let edge = stack.envoys()[0].address();
    let key = format!("Bearer {INSIGHTS_ONLY}");
    let forged = [("x-auth-scopes", "*"), ("authorization", &*key)];
    assert_eq!(send(edge, "GET", "/decide/", &forged[..1], b"").status, 200);
    assert_eq!(send(edge, "GET", "/api/insights/", &forged, b"").status, 200);
    assert_eq!(get(edge, "/api/insights/", DOCUMENTED).status, 418);
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn metrics_are_among_the_statistics_that_istio_includes() {
    let stack = istio(&[("        - prefix: cluster.\n        - prefix: http.\n", "")]);
    let envoy = &stack.envoys()[0];
    assert_eq!(without_key(envoy, "/api/projects/").status, 401);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
    let read = || {
        let mut response = ureq::get(envoy.admin_url("/stats/prometheus")).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    };
    // The names that docs/istio.md turns into labels.
    for name in [
        "edge_key_auth_requests_denied_key_missing{}",
        "edge_key_auth_requests_forwarded{}",
        "edge_key_auth_leases_held{}",
        "edge_key_auth_verify_ms_count{}",
    ] {
        until(name, || read().lines().any(|line| line.starts_with(name) && !line.ends_with(" 0")));
    }
    assert!(!read().contains("envoy_cluster_upstream_rq"), "Istio leaves these out");
}

/// The listener of the resource on another port.
fn on_port(envoy: &Envoy, listeners: &str, address: SocketAddr) -> String {
    resources::on_port(envoy, listeners, ("0.0.0.0_10000", "0.0.0.0_10001"), address)
}

/// A gateway has a listener for each port.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn the_listeners_of_a_gateway_share_their_leases() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    let second = ports::free().unwrap();
    let listeners = fs::read_to_string(envoy.resource("lds")).unwrap();
    envoy.replace_resource("lds", &format!("{listeners}\n{}", on_port(envoy, &listeners, second))).unwrap();
    until("the second listener accepts", || TcpStream::connect(second).is_ok());
    for _ in 0..20 {
        for edge in [envoy.address(), second] {
            assert_eq!(send(edge, "GET", "/api/projects/", &[], b"").status, 401);
            assert_eq!(get(edge, "/api/projects/", DOCUMENTED).status, 200);
        }
    }
    // The report with the last request has all leases.
    let stat = |name: &str| envoy.stats(name).unwrap().get(name).copied();
    let forwarded = "wasmcustom.edge_key_auth_requests_forwarded";
    until("all requests are counted", || stat(forwarded) == Some(40));
    assert_eq!(stat("wasmcustom.edge_key_auth_leases_held"), Some(2), "one of each worker");
}

/// An agent that is asked for the filter and does not answer, because it pulls the module.
struct Pulling {
    address: SocketAddr,
    _listener: TcpListener,
}

impl Pulling {
    fn start() -> Self {
        // The system accepts the connections, and nobody reads from them.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Pulling { address: listener.local_addr().unwrap(), _listener: listener }
    }

    /// The rendered files, with this agent as the source of the filter.
    fn instead_of_the_file(&self, envoy: &Envoy) -> (String, String) {
        let bootstrap = fs::read_to_string(envoy.config()).unwrap();
        let cluster = format!(
            "  clusters:\n    - {{ name: agent, type: STATIC, load_assignment: {{ cluster_name: agent, endpoints: [{{ \
             lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}] }}] }} }}\n",
            self.address.ip(),
            self.address.port()
        );
        let bootstrap = format!(
            "node: {{ id: istio, cluster: istio }}\n{}",
            bootstrap.replace("  clusters:\n", &cluster)
        );
        let listeners = fs::read_to_string(envoy.resource("lds")).unwrap();
        let file = format!("path_config_source: {{ path: {} }}", json!(envoy.resource("ecds")));
        assert_eq!(listeners.matches(&file).count(), 1, "{listeners}");
        let agent = "api_config_source: { api_type: REST, transport_api_version: V3, cluster_names: [agent], \
                     refresh_delay: 1s, request_timeout: 3600s }";
        (bootstrap, listeners.replace(&file, agent))
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_gateway_accepts_no_connection_while_the_module_is_pulled() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    envoy.process().stop().unwrap();
    let agent = Pulling::start();
    let (bootstrap, listeners) = agent.instead_of_the_file(envoy);
    fs::write(envoy.config(), bootstrap).unwrap();
    let from_file = fs::read_to_string(envoy.resource("lds")).unwrap();
    envoy.replace_resource("lds", &listeners).unwrap();
    envoy.process().spawn().unwrap();
    accepts_nothing(envoy);
    // The module has arrived.
    envoy.replace_resource("lds", &from_file).unwrap();
    until("Envoy is ready", || readiness(envoy).is_some_and(|state| state.starts_with("LIVE")));
    assert_eq!(without_key(envoy, "/api/projects/").status, 401);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
}

/// The only time at which requests are unchecked: the door was open before, and stays open until the module is there.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_running_gateway_checks_nothing_until_the_first_module_is_pulled() {
    let stack = istio(&[]);
    let envoy = &stack.envoys()[0];
    envoy.process().stop().unwrap();
    let agent = Pulling::start();
    let (bootstrap, pulling) = agent.instead_of_the_file(envoy);
    fs::write(envoy.config(), bootstrap).unwrap();
    let checked = fs::read_to_string(envoy.resource("lds")).unwrap();
    let begin = checked.find(&format!("- name: {FILTER}")).unwrap();
    let end = checked.find("- name: envoy.filters.http.grpc_stats").unwrap();
    // Another listener has the filter from the start: on processors with memory protection keys, Envoy 1.36.4 and 1.37.0
    // crash if they load their first module when their workers run already.
    let another = on_port(envoy, &checked, ports::free().unwrap());
    let unchecked = format!("{}{}\n{another}", &checked[..begin], &checked[end..]);
    let [checked, pulling] = [checked, pulling].map(|listeners| format!("{listeners}\n{another}"));
    envoy.replace_resource("lds", &unchecked).unwrap();
    envoy.process().start().unwrap();
    assert_eq!(without_key(envoy, "/api/projects/").status, 200);

    envoy.replace_resource("lds", &pulling).unwrap();
    let warming = "listener_manager.total_listeners_warming";
    until("the new listener waits for the filter", || envoy.stats(warming).unwrap()[warming] == 1);
    assert_eq!(without_key(envoy, "/api/projects/").status, 200, "the old listener serves");
    envoy.replace_resource("lds", &checked).unwrap();
    until("requests are checked", || status(envoy, "/api/projects/") == Some(401));

    // A pull that fails closes it too.
    envoy.replace_resource("lds", &unchecked).unwrap();
    until("requests are unchecked", || status(envoy, "/api/projects/") == Some(200));
    envoy.replace_resource("ecds", PULL_FAILED).unwrap();
    envoy.replace_resource("lds", &checked).unwrap();
    until("all requests are refused", || status(envoy, "/decide/") == Some(403));
}
