//! The Envoy of a variant. It has one worker and answers by itself, so no upstream adds to what is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use test_stack::ports;
use test_stack::process::Process;

use crate::variants::Filter;

/// What the Envoys of a run share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) envoy: PathBuf,
    /// The module of the empty filter, and ours.
    pub(crate) empty: PathBuf,
    pub(crate) ours: PathBuf,
    /// The servers that filters ask.
    pub(crate) key_service: SocketAddr,
    pub(crate) authorizer: SocketAddr,
    pub(crate) edge_token: String,
    /// Configurations and logs go here.
    pub(crate) folder: PathBuf,
}

/// A running Envoy.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Process,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts an Envoy with a filter, whose files get this name.
    ///
    /// # Errors
    /// It does not start; the message shows the end of its log.
    pub(crate) fn start(site: &Site, filter: Filter, workers: u32, name: &str) -> Result<Self> {
        let (address, admin) = (ports::free()?, ports::free()?);
        let file = site.folder.join(format!("{name}.json"));
        let config = bootstrap(filter, site, address, admin);
        fs::write(&file, config.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        let (path, workers) = (file.to_string_lossy(), workers.to_string());
        let args = ["--config-path", &path, "--concurrency", &workers, "--disable-hot-restart"];
        let args = args.iter().copied().chain(["--service-node", "bench", "--service-cluster", "bench"]);
        let env = [("EDGE_TOKEN".to_owned(), site.edge_token.clone())];
        let log = site.folder.join(format!("{name}.log"));
        let process = Process::new(name, &site.envoy, args, &env, log, format!("http://{admin}/ready"));
        process.start()?;
        Ok(Gateway { process, address, admin })
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.pid().with_context(|| format!("the Envoy {} has exited", self.process.name()))
    }

    /// How many lookups our filter has counted; 0 for other filters. The filter reports them once a second.
    pub(crate) fn lookups(&self) -> Result<u64> {
        let url = format!("http://{}/stats?filter=edge_key_auth_lookups$", self.admin);
        let text = ureq::get(url).call()?.body_mut().read_to_string()?;
        let number = text.lines().find_map(|line| line.strip_prefix(LOOKUPS));
        number.map_or(Ok(0), |number| Ok(number.parse()?))
    }
}

/// Envoy's line of the counter.
const LOOKUPS: &str = "wasmcustom.edge_key_auth_lookups: ";

/// Follows Envoy's advice on benchmarks: no request ids, no dynamic stats, no limit of a circuit breaker in reach.
fn bootstrap(filter: Filter, site: &Site, address: SocketAddr, admin: SocketAddr) -> Value {
    let module = if filter == Filter::Empty { &site.empty } else { &site.ours };
    let router = json!({
        "name": "router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "dynamic_stats": false,
        },
    });
    let http_filters: Vec<Value> =
        filter.config(&module.to_string_lossy()).into_iter().chain([router]).collect();
    json!({
        "admin": {"address": at(admin)},
        "static_resources": {
            "listeners": [{
                "name": "bench",
                "address": at(address),
                "filter_chains": [{"filters": [{
                    "name": "http",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "stat_prefix": "bench",
                        "generate_request_id": false,
                        "http_filters": http_filters,
                        "route_config": {"virtual_hosts": [{
                            "name": "all",
                            "domains": ["*"],
                            "routes": [{
                                "match": {"prefix": "/"},
                                "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
                            }],
                        }]},
                    },
                }]}],
            }],
            "clusters": [
                cluster("key_service", site.key_service, Some(json!({"http2_protocol_options": {}}))),
                cluster("authorizer", site.authorizer, None),
            ],
        },
    })
}

fn cluster(name: &str, server: SocketAddr, protocol: Option<Value>) -> Value {
    let names = ["max_connections", "max_pending_requests", "max_requests"];
    let limits: Map<String, Value> =
        names.map(|name| (name.to_owned(), json!(1_000_000))).into_iter().collect();
    let mut cluster = json!({
        "name": name,
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(server)}}]}],
        },
    });
    if let Some(protocol) = protocol {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        });
    }
    cluster
}

fn at(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
