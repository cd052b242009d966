//! The filter as Envoy Gateway configures it: `envoy-gateway.yaml` is what its control plane makes of `envoy-gateway/`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::json;
use sha2::{Digest, Sha256};
use test_stack::envoy::configuration::{Shape, edit};
use test_stack::{Envoy, Options, Stack, paths, ports};

use crate::client::{get, send};
use crate::resources::{self, FAILING_MODULE, accepts_nothing, readiness, status, until, without_key};
use crate::{DOCUMENTED, INSIGHTS_ONLY};

const LOCAL: &str = "local: { filename:";

fn gateway() -> Stack {
    let options = Options { shape: Shape::EnvoyGateway, ..Options::default() };
    Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

/// The rendered bootstrap and the resource of the listener.
fn files(envoy: &Envoy) -> (String, String) {
    (fs::read_to_string(envoy.config()).unwrap(), fs::read_to_string(envoy.resource("lds")).unwrap())
}

/// How often Envoy has replaced the listener, as a whole or in place: what it has replaced drains for minutes.
fn replaced(envoy: &Envoy) -> u64 {
    let stats = envoy.stats("listener_manager.total_").unwrap();
    let draining = ["listeners_draining", "filter_chains_draining"];
    draining.iter().filter_map(|name| stats.get(&format!("listener_manager.total_{name}"))).sum()
}

/// Envoy Gateway lets Envoy normalise paths before the filter judges them, and Envoy forwards what was judged.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_normalised_path_is_judged_as_the_upstream_gets_it() {
    const REDIRECT: &str = "UNESCAPE_AND_REDIRECT";
    // As in client-traffic-policy.yaml.
    const LEFT: &[(&str, &str)] =
        &[("merge_slashes: true", "merge_slashes: false"), (REDIRECT, "KEEP_UNCHANGED")];
    const REJECTED: &[(&str, &str)] = &[(REDIRECT, "REJECT_REQUEST")];
    const FORWARDED: &[(&str, &str)] = &[(REDIRECT, "UNESCAPE_AND_FORWARD")];
    const PUBLIC: (u16, &str) = (200, "/decide/");
    const KEYED: (u16, &str) = (401, "/api/projects/");
    const REFUSED: (u16, &str) = (400, "");
    const TO_KEYED: (u16, &str) = (307, "/api/projects/");
    // The path; and with each setting, the status without a key, and the path that the upstream gets or the client is
    // redirected to.
    let cases = [
        ("/decide/", [PUBLIC; 4]),
        ("/decide/../api/projects/", [KEYED; 4]),
        ("/api/../decide/", [PUBLIC; 4]),
        ("//decide/", [PUBLIC, REFUSED, PUBLIC, PUBLIC]),
        ("/decide/..%2fapi/projects/", [TO_KEYED, REFUSED, REFUSED, KEYED]),
        ("/decide/..%5capi/projects/", [TO_KEYED, REFUSED, REFUSED, KEYED]),
        ("/decide/%252e%252e/api/projects/", [REFUSED; 4]),
    ];
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let edge = envoy.address();
    let (_, shipped) = files(envoy);
    for (n, settings) in [&[], LEFT, REJECTED, FORWARDED].into_iter().enumerate() {
        if n > 0 {
            envoy.replace_resource("lds", &edit(&shipped, settings).unwrap()).unwrap();
            until("Envoy has replaced the listener", || replaced(envoy) == n as u64);
        }
        for (path, expected) in cases {
            let before = stack.echo().requests();
            let anonymous = send(edge, "GET", path, &[], b"");
            let keyed = get(edge, path, DOCUMENTED);
            let (expected_status, reached) = expected[n];
            assert_eq!(anonymous.status, expected_status, "{path}: {n}: {}", anonymous.text());
            match expected_status {
                307 => assert!(
                    keyed.header("location")[0].ends_with(reached),
                    "{path}: {:?}",
                    keyed.header("location")
                ),
                400 => assert_eq!(keyed.status, 400, "{path}: {n}"),
                _ => {
                    assert_eq!(keyed.status, 200, "{path}: {n}");
                    assert_eq!(keyed.json()["path"], reached, "{path}: {n}");
                    let identity = keyed.upstream_header("x-auth-key-id").len();
                    assert_eq!(identity, usize::from(reached != "/decide/"), "{path}: {n}");
                }
            }
            if [307, 400].contains(&expected_status) {
                assert_eq!(stack.echo().requests(), before, "{path}: {n}");
            }
        }
    }
}

/// Why the policy targets the Gateway.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_route_without_the_policy_passes_unchecked_with_forged_identity() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let forged = [("x-auth-user-id", "root"), ("x-auth-scopes", "*")];
    let open = |path| send(envoy.address(), "GET", path, &forged, b"");
    assert_eq!(open("/api/projects/").status, 401);
    let routes = fs::read_to_string(envoy.resource("rds")).unwrap();
    let begin = routes.find("          - name: httproute/api/api/rule/0").unwrap();
    let enabled = routes.find("            typed_per_filter_config:").unwrap();
    let other = routes[begin..enabled].replace(r#"prefix: "/""#, r#"prefix: "/api/""#);
    envoy.replace_resource("rds", &format!("{}{other}{}", &routes[..begin], &routes[begin..])).unwrap();
    until("the route without the policy is there", || open("/api/projects/").status == 200);
    assert_eq!(open("/api/projects/").upstream_header("x-auth-user-id"), ["root"]);
    assert_eq!(open("/other/").status, 401);
    // A request without a route is answered before the filter.
    let none = routes.replace(r#"prefix: "/""#, r#"prefix: "/api/""#);
    envoy.replace_resource("rds", &none).unwrap();
    until("a path without a route is unknown", || open("/other/").status == 404);
    assert_eq!(open("/api/projects/").status, 401);
}

/// Envoy chooses the route anew when the filter has changed the headers.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_route_may_depend_on_the_identity_that_the_filter_has_set() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let routes = fs::read_to_string(envoy.resource("rds")).unwrap();
    let begin = routes.find("          - name: httproute/api/api/rule/0").unwrap();
    let special = routes[begin..].replace(
        r#"prefix: "/""#,
        r#"prefix: "/", headers: [{ name: x-auth-scopes, string_match: { exact: "*" } }]"#,
    );
    let special = special.replace("            route:\n", "            direct_response: { status: 418 }\n").replace(
        "              cluster: httproute/api/api/rule/0\n              upgrade_configs: [{ upgrade_type: websocket }]\n",
        "",
    );
    envoy.replace_resource("rds", &format!("{}{special}{}", &routes[..begin], &routes[begin..])).unwrap();
    until("the new route is there", || get(envoy.address(), "/api/projects/", DOCUMENTED).status == 418);
    let key = format!("Bearer {INSIGHTS_ONLY}");
    let forged = [("x-auth-scopes", "*"), ("authorization", &*key)];
    assert_eq!(send(envoy.address(), "GET", "/decide/", &forged[..1], b"").status, 200);
    assert_eq!(send(envoy.address(), "GET", "/api/insights/", &forged, b"").status, 200);
}

/// Without patch-policy.yaml, a VM that has failed stays as it is.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_failed_vm_is_restarted_only_with_the_patch() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let (_, shipped) = files(envoy);
    let local = shipped.lines().find(|line| line.contains(LOCAL)).unwrap().trim();
    let failing = shipped.replace(local, &format!("local: {{ inline_bytes: {FAILING_MODULE} }}"));
    let with_body = || send(envoy.address(), "POST", "/", &[], b"body").status;
    let without_body = || status(envoy, "/");
    for (option, later) in [("fail_open: false", 503), ("failure_policy: FAIL_RELOAD", 200)] {
        let name = "name: edge_key_auth\n";
        let update = failing.replace(name, &format!("{name}                    {option}\n"));
        // Each option has a VM of its own, so that none begins with a VM that has failed.
        let update = update.replace("vm_id: envoy", &format!("vm_id: {}", &option[..6]));
        envoy.replace_resource("lds", &update).unwrap();
        until("the module forwards requests without a body", || without_body() == Some(200));
        // Each worker has a VM of its own; a connection belongs to one of them.
        for _ in 0..40 {
            with_body();
        }
        let before = stack.echo().requests();
        assert!((0..10).all(|_| with_body() == 503), "{option}");
        assert_eq!(stack.echo().requests(), before, "{option}");
        match later {
            200 => until("requests without a body are forwarded", || without_body() == Some(200)),
            _ => assert!((0..40).all(|_| without_body() == Some(503)), "{option}"),
        }
        envoy.replace_resource("lds", &shipped).unwrap();
        until("the filter is back", || without_body() == Some(401));
    }
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn results_and_reasons_are_labels_in_prometheus() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    assert_eq!(without_key(envoy, "/api/projects/").status, 401);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
    let read = || {
        let mut response = ureq::get(envoy.admin_url("/stats/prometheus")).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    };
    for name in [
        r#"edge_key_auth_requests{result="denied",reason="key_missing"} 1"#,
        r#"edge_key_auth_requests{result="forwarded"} 1"#,
        r#"edge_key_auth_lease_age_ms_bucket{le="2500"} "#,
        r#"edge_key_auth_cursor_lag_bucket{le="20"} "#,
    ] {
        until(name, || read().lines().any(|line| line.starts_with(name)));
    }
}

/// An authority of nobody, as the file that proxy-outside.yaml names may be missing here.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdjCCARugAwIBAgIUD+qksjhl6fwGFBBeHs9p0h1DmIkwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjEyMDExNjEyNTJaGA8yMTI2MTEwNzE2MTI1\n\
MlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABC5z\n\
PGpNhtTdT/1aK7o9N02PLg2SNWYDujgU0M3srRWdV5LDmVp+nvsKUrVRg7vfAt0Q\n\
OPd86mnSqPk/R33qVSCjUzBRMB0GA1UdDgQWBBQw4i3kua3hm5ihADQVWQSx2iSr\n\
FzAfBgNVHSMEGDAWgBQw4i3kua3hm5ihADQVWQSx2iSrFzAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQC72VeiNOW5VJHKOKG+tjkuQzJCqNCIg71S\n\
UUAXIHs9xwIhAK1PjMHZGumNQrFNfYGAZYpHmh1QSVwGdiNczSH8xqJu\n\
-----END CERTIFICATE-----";

/// The bootstraps in the manifests are Envoy's: it refuses unknown fields.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn envoy_accepts_the_bootstraps_of_the_manifests() {
    let envoy = paths::tool(paths::ENVOY_VARIABLE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    fs::write(&bundle, CERTIFICATE).unwrap();
    for name in ["proxy.yaml", "proxy-outside.yaml"] {
        let manifest = fs::read_to_string(paths::workspace().join("envoy-gateway").join(name)).unwrap();
        let (_, text) = manifest.split_once("    value: |\n").unwrap();
        let lines = text.lines().map(|line| line.strip_prefix("      ").unwrap());
        let bootstrap = lines.collect::<Vec<_>>().join("\n");
        let bootstrap = bootstrap.replace("/etc/ssl/certs/ca-certificates.crt", &bundle.to_string_lossy());
        let validate = |text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            Command::new(&envoy).args(["--mode", "validate", "--config-path"]).arg(&file).output().unwrap()
        };
        let output = validate(&bootstrap);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let output = validate(&bootstrap.replace("connect_timeout", "conect_timeout"));
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains("conect_timeout"), "{log}");
    }
}

/// What the module server answers.
#[derive(Clone)]
enum Answer {
    Nothing,
    Status(u16),
    Module(Vec<u8>),
}

/// Envoy Gateway's server of modules.
struct Modules {
    address: SocketAddr,
    answer: Arc<(Mutex<Answer>, Condvar)>,
}

impl Modules {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new((Mutex::new(answer), Condvar::new()));
        let shared = Arc::clone(&answer);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let shared = Arc::clone(&shared);
                // Envoy may have closed the connection, which is no fault of the test.
                thread::spawn(move || connection.and_then(|connection| serve(connection, &shared)));
            }
        });
        Modules { address, answer }
    }

    fn set(&self, answer: Answer) {
        *self.answer.0.lock().unwrap() = answer;
        self.answer.1.notify_all();
    }

    /// The rendered files, with the module from this server.
    fn instead_of_the_file(&self, envoy: &Envoy, digest: &str, retries: u32) -> (String, String) {
        let (bootstrap, listeners) = files(envoy);
        let cluster = format!(
            "  clusters:\n    - {{ name: wasm_cluster, type: STATIC, load_assignment: {{ cluster_name: wasm_cluster, endpoints: [{{ \
             lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }}] }}] }} }}\n",
            self.address.ip(),
            self.address.port()
        );
        let local = listeners.lines().find(|line| line.contains(LOCAL)).unwrap().trim();
        let remote = json!({
            "http_uri": {"uri": format!("http://{}/module.wasm", self.address), "cluster": "wasm_cluster", "timeout": "10s"},
            "sha256": digest,
            "retry_policy": {"num_retries": retries, "retry_back_off": {"base_interval": "0.1s", "max_interval": "30s"}},
        });
        (bootstrap.replace("  clusters:\n", &cluster), listeners.replace(local, &format!("remote: {remote}")))
    }
}

fn serve(mut connection: TcpStream, answer: &(Mutex<Answer>, Condvar)) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let read = connection.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let guard = answer.0.lock().unwrap();
    let answer = answer.1.wait_while(guard, |answer| matches!(answer, Answer::Nothing)).unwrap().clone();
    let (status, body) = match answer {
        Answer::Module(module) => (200, module),
        Answer::Status(status) => (status, Vec::new()),
        Answer::Nothing => return Ok(()),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    connection.write_all(head.as_bytes())?;
    connection.write_all(&body)
}

fn module() -> (Vec<u8>, String) {
    let module = fs::read(paths::wasm()).unwrap();
    let digest = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
    (module, digest)
}

/// Starts the Envoy anew with these files.
fn restart(envoy: &Envoy, (bootstrap, listeners): &(String, String)) {
    envoy.process().stop().unwrap();
    fs::write(envoy.config(), bootstrap).unwrap();
    envoy.replace_resource("lds", listeners).unwrap();
    envoy.process().spawn().unwrap();
}

fn until_live(envoy: &Envoy) {
    until("Envoy is ready", || readiness(envoy).is_some_and(|state| state.starts_with("LIVE")));
}

#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_gateway_accepts_no_connection_while_the_module_is_fetched() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let (module, digest) = module();
    let modules = Modules::start(Answer::Nothing);
    restart(envoy, &modules.instead_of_the_file(envoy, &digest, 10));
    accepts_nothing(envoy);
    modules.set(Answer::Module(module));
    until_live(envoy);
    assert_eq!(without_key(envoy, "/api/projects/").status, 401);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);
}

/// When the last retry has failed, and when the filter refuses to load.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_filter_that_never_loads_serves_nobody() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let (module, digest) = module();
    let modules = Modules::start(Answer::Status(404));
    let files = modules.instead_of_the_file(envoy, &digest, 1);
    let (bootstrap, listeners) = &files;
    let no_token = (bootstrap.clone(), listeners.replace("[EDGE_TOKEN]", "[OTHER]"));
    let refused = (bootstrap.clone(), listeners.replace("value: '{", r#"value: '{"realms":"x","#));
    for (what, answer, files) in [
        ("no module", Answer::Status(404), &files),
        ("no token", Answer::Module(module.clone()), &no_token),
        ("wrong settings", Answer::Module(module), &refused),
    ] {
        modules.set(answer);
        restart(envoy, files);
        until_live(envoy);
        for path in ["/decide/", "/api/projects/"] {
            assert_eq!(get(envoy.address(), path, DOCUMENTED).status, 503, "{what}: {path}");
        }
        assert_eq!(stack.echo().requests(), 0, "{what}");
    }
}

/// A change of the settings needs no new module, so Envoy knows at once that the filter refuses it.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_refused_change_leaves_the_filter_that_runs_and_another_module_does_not() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let (module, digest) = module();
    let modules = Modules::start(Answer::Module(module.clone()));
    let files = modules.instead_of_the_file(envoy, &digest, 1);
    restart(envoy, &files);
    until_live(envoy);
    envoy.replace_resource("lds", &files.1.replace("value: '{", r#"value: '{"realms":"x","#)).unwrap();
    let logged = |text| envoy.process().log().unwrap().contains(text);
    until("Envoy refuses the change", || logged("listener 'tcp-80' config rejected"));
    assert!(logged("configuration refused: realms"));
    assert_eq!(without_key(envoy, "/api/projects/").status, 401);
    assert_eq!(get(envoy.address(), "/api/projects/", DOCUMENTED).status, 200);

    modules.set(Answer::Nothing);
    envoy.replace_resource("lds", &files.1.replace(&digest, &"1".repeat(64))).unwrap();
    let warming = "listener_manager.total_listeners_warming";
    until("the new listener waits for the module", || envoy.stats(warming).unwrap()[warming] == 1);
    assert_eq!(status(envoy, "/api/projects/"), Some(401), "the old filter checks");
    modules.set(Answer::Module(module));
    until("all requests are refused", || status(envoy, "/decide/") == Some(503));
    assert_eq!(status(envoy, "/api/projects/"), Some(503));
}

/// The only time at which requests are unchecked: the door was open before, and stays open until the module is there.
#[test]
#[ignore = "needs an Envoy: cargo xtask test"]
fn a_running_gateway_checks_nothing_until_the_first_module_is_fetched() {
    let stack = gateway();
    let envoy = &stack.envoys()[0];
    let (module, digest) = module();
    let modules = Modules::start(Answer::Nothing);
    let (_, shipped) = files(envoy);
    let (bootstrap, fetching) = modules.instead_of_the_file(envoy, &digest, 10);
    let begin = shipped.find("              # It runs for the routes").unwrap();
    let end = shipped.find("              - name: envoy.filters.http.router").unwrap();
    // Another listener has the filter from the start: on processors with memory protection keys, Envoy 1.36.4 and 1.37.0
    // crash if they load their first module when their workers run already.
    let another = resources::on_port(envoy, &shipped, ("tcp-80", "tcp-81"), ports::free().unwrap());
    let unchecked = format!("{}{}\n{another}", &shipped[..begin], &shipped[end..]);
    let routes = fs::read_to_string(envoy.resource("rds")).unwrap();
    let (without, _) = routes.split_once("            typed_per_filter_config:").unwrap();
    envoy.replace_resource("rds", without).unwrap();
    restart(envoy, &(bootstrap, unchecked));
    until_live(envoy);
    assert_eq!(without_key(envoy, "/api/projects/").status, 200);

    envoy.replace_resource("lds", &format!("{fetching}\n{another}")).unwrap();
    envoy.replace_resource("rds", &routes).unwrap();
    let warming = "listener_manager.total_listeners_warming";
    until("the new listener waits for the filter", || envoy.stats(warming).unwrap()[warming] == 1);
    assert_eq!(status(envoy, "/api/projects/"), Some(200), "the old listener serves");
    modules.set(Answer::Module(module));
    until("requests are checked", || status(envoy, "/api/projects/") == Some(401));
}
