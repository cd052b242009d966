//! The command line.

use std::fs::File;
use std::path::PathBuf;

use clap::Parser;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;

use crate::connection::Protocol;

/// Names, in the environment, what edges authenticate with.
pub(crate) const EDGE_TOKEN: &str = "EDGE_TOKEN";

/// Names, in the environment, what keys are created and deleted with.
pub(crate) const MANAGEMENT_TOKEN: &str = "MANAGEMENT_TOKEN";

/// Measures what a key service holds: simulated edges with real connections, in this process.
///
/// Each edge does what the filter does in one Envoy worker, by the filter's own rules: it syncs without a cursor first,
/// then holds one sync at a time, backs off with full jitter after a failure, and asks for verdicts. The course of a run:
///
///   1. acquisition: all edges connect at once; over when each has been granted a lease
///   2. idle, for --seconds: leases are held, and nothing changes
///   3. deletes, with --deletes: keys are created and deleted, one after the other
///   4. herd, with --herd: all connections are dropped at once; over when each edge has been granted a lease again
///
/// Ctrl-C ends it early, with the report so far. Edges that fail in between, because the service restarts, say, are
/// reported as a recovery of their own.
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
                    The commit came at most `committed_within_ms` later: what the DELETE took altogether, less the
                    service's own `elapsed_ms`, which counts from the commit to the last acknowledgement.
  service's figures are those of the processes that --service-pid names. CPU is a percentage of one core; memory per
                    edge is what was added since before the fleet came.

The fleet runs on one thread. Where its own CPU comes near 100 %, it is the fleet that is slow, not the service."
)]
pub(crate) struct Arguments {
    /// How many edges: as many as there are Envoy workers in the fleet that is simulated
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) edges: u32,

    /// The key service's edge API, such as http://127.0.0.1:8081; may be repeated: connections go to each in turn
    #[arg(long = "service", value_name = "URL", required = true, value_parser = base_url)]
    pub(crate) services: Vec<Authority>,

    /// The key service's process, whose memory, CPU and sockets are reported (on Linux); may be repeated
    #[arg(long = "service-pid", value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) service_pids: Vec<u32>,

    /// Speak HTTP/1.1, with a connection for each outstanding request. Default: HTTP/2, as envoy/envoy.yaml does
    #[arg(long)]
    pub(crate) http1: bool,

    /// How long a sync may be held while there is nothing new, in milliseconds: the filter's sync_wait_ms
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) wait_ms: u64,

    /// How many questions about keys all edges ask together in a second; each about a key that nobody has
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) verifies_per_second: u32,

    /// How long leases are held while nothing changes
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=3_600))]
    pub(crate) seconds: u64,

    /// Where the key service's public API listens, such as http://127.0.0.1:8080; for --deletes
    #[arg(long, value_name = "URL", requires = "deletes", value_parser = base_url)]
    pub(crate) public: Option<Authority>,

    /// How many keys to create and delete, one after the other
    #[arg(long, value_name = "N", requires = "public", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) deletes: Option<u32>,

    /// How long to wait from one delete to the next, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    pub(crate) interval_ms: u64,

    /// At the end, drop all connections at once, and report how the edges come back
    #[arg(long)]
    pub(crate) herd: bool,

    /// Write the report there as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the times of the acknowledgements of each delete there, as SVG
    #[arg(long, value_name = "FILE", requires = "deletes")]
    pub(crate) chart: Option<PathBuf>,
}

impl Arguments {
    /// What edges speak.
    pub(crate) fn protocol(&self) -> Protocol {
        if self.http1 { Protocol::Http1 } else { Protocol::Http2 }
    }

    /// How many connections the edges may have at a time.
    pub(crate) fn connections(&self) -> u64 {
        let for_verifies = self.http1 && self.verifies_per_second > 0;
        u64::from(self.edges) * if for_verifies { 2 } else { 1 }
    }
}

/// `http://host:port` alone: the paths below it are known.
fn base_url(text: &str) -> Result<Authority, String> {
    let url: Uri =
        text.parse().map_err(|error| format!("{error}; it should look like http://127.0.0.1:8081"))?;
    let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
    match (url.scheme_str(), authority, url.path_and_query().map_or("/", |path| path.as_str())) {
        (Some("http"), Some(authority), "/") if authority.port().is_none() => {
            format!("{authority}:80").parse().map_err(|error| format!("{error}"))
        }
        (Some("http"), Some(authority), "/") => Ok(authority.clone()),
        (Some("http"), Some(_), path) => Err(format!("only scheme, host and port are wanted, not {path}")),
        _ => Err("it should look like http://127.0.0.1:8081".to_owned()),
    }
}

/// The token that a variable holds, as the value of an `Authorization` header.
///
/// # Errors
/// There is none, or it is no such value.
pub(crate) fn bearer(variable: &str) -> Result<HeaderValue, String> {
    let token = std::env::var(variable).unwrap_or_default();
    if token.is_empty() {
        return Err(format!("the environment variable {variable} is not set"));
    }
    let is_token = token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_token.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
    let mut value = value
        .ok_or_else(|| format!("the environment variable {variable} holds something that is no token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The file that a flag names, made now: a run must not find at its end that it cannot be written.
///
/// # Errors
/// It cannot be made.
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
    fn what_is_missing_or_out_of_range_is_named() {
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
