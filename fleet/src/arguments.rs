//! The command line.

use std::fs::File;
use std::path::PathBuf;

use clap::Parser;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;

use crate::connection::Protocol;

/// The environment variable with the edge token.
pub(crate) const EDGE_TOKEN: &str = "EDGE_TOKEN";

/// The environment variable with the management token that creates and deletes keys.
pub(crate) const MANAGEMENT_TOKEN: &str = "MANAGEMENT_TOKEN";

/// Measures a key service under load: simulated edges with real connections, in this process.
///
/// Each edge follows the rules of the filter in one Envoy worker: it syncs, first without a cursor, one sync at a time; it
/// backs off with full jitter after a failure; it sends verifies. The phases of a run:
///
///   1. acquisition: all edges connect at once; ends when each has got a lease
///   2. idle, for --seconds: edges renew their leases, and nothing changes
///   3. deletes, with --deletes: keys are created and deleted, one after the other
///   4. herd, with --herd: all connections are dropped at once; ends when each edge has a lease again
///
/// Ctrl-C ends the run early, with the report so far. If edges fail in between, for example because the service restarts, the
/// report has a recovery for that.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask fleet",
    bin_name = "cargo xtask fleet",
    verbatim_doc_comment,
    after_help = "Environment:
  EDGE_TOKEN        the token that the edges authenticate with (required)
  MANAGEMENT_TOKEN  a management token for all users (`key-service token create
                    --can read,revoke,create`), for --deletes",
    after_long_help = "Environment:
  EDGE_TOKEN        the token that the edges authenticate with (required)
  MANAGEMENT_TOKEN  a management token for all users (`key-service token create
                    --can read,revoke,create`), for --deletes

What the figures mean:
  lease lost        an edge's lease ran out before the next was granted. A lease runs from when the edge sent the
                    sync that brought it; the filter's own code decides.
  acknowledgement   the first sync that an edge sends with a cursor at or beyond the delete's revision. Its time counts
                    from when the DELETE was sent, just before the commit: never less than the time since the commit.
                    The commit came at most `committed_within_ms` later: the whole time of the DELETE minus the
                    service's `elapsed_ms`, which counts from the commit to the last acknowledgement.
  service           the processes that --service-pid names. CPU is a percentage of one core; memory per edge is the
                    memory added since before the first edge connected, divided by the number of edges.

The fleet runs on one thread. If its own CPU is near 100 %, the fleet is the bottleneck, not the service."
)]
pub(crate) struct Arguments {
    /// The number of edges: one for each Envoy worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) edges: u32,

    /// The key service's edge listener, such as http://127.0.0.1:8081; if repeated, connections go to each in turn
    #[arg(long = "service", value_name = "URL", required = true, value_parser = base_url)]
    pub(crate) services: Vec<Authority>,

    /// A process of the key service, to report its memory, CPU and sockets (on Linux); may be repeated
    #[arg(long = "service-pid", value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) service_pids: Vec<u32>,

    /// Use HTTP/1.1, with a connection for each outstanding request. Default: HTTP/2, as in envoy/envoy.yaml
    #[arg(long)]
    pub(crate) http1: bool,

    /// How long the service may hold a sync while nothing changes, in milliseconds: the filter's sync.wait_ms
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) wait_ms: u64,

    /// The number of verifies in a second of all edges together, each for an invented key
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) verifies_per_second: u32,

    /// The length of the idle phase, in seconds
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) seconds: u64,

    /// The key service's public listener, such as http://127.0.0.1:8080; for --deletes
    #[arg(long, value_name = "URL", requires = "deletes", value_parser = base_url)]
    pub(crate) public: Option<Authority>,

    /// The number of keys to create and delete, one after the other
    #[arg(long, value_name = "N", requires = "public", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) deletes: Option<u32>,

    /// The pause between two deletes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub(crate) interval_ms: u64,

    /// At the end, drop all connections at once, and report how long each edge takes to get a lease again
    #[arg(long)]
    pub(crate) herd: bool,

    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the acknowledgement times of each delete as SVG to this file
    #[arg(long, value_name = "FILE", requires = "deletes")]
    pub(crate) chart: Option<PathBuf>,
}

impl Arguments {
    /// The protocol of the edges.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.http1 { Protocol::Http1 } else { Protocol::Http2 }
    }

    /// The most connections that the edges may have at a time.
    pub(crate) fn connections(&self) -> u64 {
        let for_verifies = self.http1 && self.verifies_per_second > 0;
        u64::from(self.edges) * if for_verifies { 2 } else { 1 }
    }
}

/// Parses `http://host:port`, without a path.
fn base_url(text: &str) -> Result<Authority, String> {
    let url: Uri =
        text.parse().map_err(|error| format!("{error}; it should look like http://127.0.0.1:8081"))?;
    let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
    match (url.scheme_str(), authority, url.path_and_query().map_or("/", |path| path.as_str())) {
        (Some("http"), Some(authority), "/") if authority.port().is_none() => {
            format!("{authority}:80").parse().map_err(|error| format!("{error}"))
        }
        (Some("http"), Some(authority), "/") => Ok(authority.clone()),
        (Some("http"), Some(_), path) => Err(format!("expected scheme, host and port only, not {path}")),
        _ => Err("it should look like http://127.0.0.1:8081".to_owned()),
    }
}

/// The `Authorization` header with the token of an environment variable.
///
/// # Errors
/// The variable is not set, or its value is not a valid header.
pub(crate) fn bearer(variable: &str) -> Result<HeaderValue, String> {
    let token = std::env::var(variable).unwrap_or_default();
    if token.is_empty() {
        return Err(format!("the environment variable {variable} is not set"));
    }
    let is_token = token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_token.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
    let mut value =
        value.ok_or_else(|| format!("the environment variable {variable} does not contain a token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Creates the file of a flag before the run, so that a run does not fail at its end.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn create(flag: &str, path: &Option<PathBuf>) -> Result<Option<File>, String> {
    let create = |path: &PathBuf| {
        File::create(path).map_err(|error| format!("{flag}: cannot write {}: {error}", path.display()))
    };
    path.as_ref().map(create).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Arguments, String> {
        let arguments = ["fleet"].into_iter().chain(arguments.split(' '));
        Arguments::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let services = |arguments: &str| {
            let services = parse(&format!("--edges 5 {arguments}")).unwrap().services;
            services.iter().map(Authority::to_string).collect::<Vec<_>>()
        };
        assert_eq!(services("--service http://a:81/ --service http://[::1]:82"), ["a:81", "[::1]:82"]);
        assert_eq!(services("--service http://keys.example"), ["keys.example:80"]);
        for refused in
            ["a:81", "https://a:81", "http://a:81/edge", "http://a:81/?b", "http://u@a:81", "http://"]
        {
            let error = parse(&format!("--edges 5 --service {refused}")).unwrap_err();
            assert!(error.contains("--service"), "{refused}: {error}");
        }
    }

    #[test]
    fn a_missing_or_out_of_range_field_is_named() {
        for (arguments, named) in [
            ("--edges 5", "--service"),
            ("--service http://a:81", "--edges"),
            ("--edges 0 --service http://a:81", "--edges"),
            ("--edges 5 --service http://a:81 --deletes 2", "--public"),
            ("--edges 5 --service http://a:81 --public http://a:80", "--deletes"),
            ("--edges 5 --service http://a:81 --chart c.svg", "--deletes"),
            ("--edges 5 --service http://a:81 --seconds 3601", "--seconds"),
            ("--edges 5 --service http://a:81 --service-pid 0", "--service-pid"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_with_its_flag() {
        let error = create("--json", &Some("/nowhere/at/all".into())).unwrap_err();
        assert!(error.starts_with("--json: cannot write /nowhere/at/all: "), "{error}");
    }
}
