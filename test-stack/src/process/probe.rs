//! Readiness probes.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Tells whether a server is ready.
#[derive(Debug)]
pub enum Probe {
    /// Ready if GET of this URL returns status 200.
    Url(String),
    /// Ready if this program, with these arguments, exits with status 0.
    Program(PathBuf, Vec<String>),
}

impl From<String> for Probe {
    fn from(url: String) -> Self {
        Probe::Url(url)
    }
}

impl Probe {
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Probe::Url(url) => {
                let agent =
                    ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build();
                agent.new_agent().get(url).call().is_ok_and(|response| response.status() == 200)
            }
            Probe::Program(program, args) => {
                let output = Command::new(program).args(args).stdin(Stdio::null()).output();
                output.is_ok_and(|output| output.status.success())
            }
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Url(url) => write!(f, "GET {url}"),
            Probe::Program(program, args) => write!(f, "{} {}", program.display(), args.join(" ")),
        }
    }
}
