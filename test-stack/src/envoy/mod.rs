//! One Envoy of a stack.

pub mod configuration;
pub mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::configuration::{Setup, edit, render, template};
use crate::paths;
use crate::ports::{Addresses, EnvoyAddresses};
use crate::process::Process;
use crate::stack::{Options, built};

/// One Envoy of a stack.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    at: EnvoyAddresses,
    config: PathBuf,
}

impl Envoy {
    pub(crate) fn new(
        name: &str,
        program: &Path,
        folder: &Path,
        at: EnvoyAddresses,
        addresses: &Addresses,
        token: &str,
        options: &Options,
    ) -> Result<Self> {
        let wasm = built(options.wasm.clone().unwrap_or_else(paths::wasm))?;
        let setup = Setup {
            admin: at.admin,
            listener: at.listener,
            wasm: &wasm,
            edge: addresses.edge,
            upstream: options.upstream.unwrap_or(addresses.echo),
        };
        let config = folder.join(format!("{name}.yaml"));
        let template = edit(&template()?, options.envoy_config)?;
        fs::write(&config, render(&template, setup, &options.filter)?)?;
        let workers = options.workers.to_string();
        // Several Envoys on one machine would meet in the shared memory of hot restarts.
        let path = config.to_string_lossy();
        let args = ["--config-path", &path, "--concurrency", &workers, "--disable-hot-restart"];
        let mut env = vec![("EDGE_TOKEN".to_owned(), token.to_owned())];
        env.extend_from_slice(&options.envoy_env);
        let log = folder.join(format!("{name}.log"));
        let ready = format!("http://{}/ready", at.admin);
        Ok(Envoy { process: Process::new(name, program, args, &env, log, ready), at, config })
    }

    /// To stop, pause and start it, and to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its rendered configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        self.at.listener
    }

    /// A URL at this Envoy; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at.listener)
    }

    /// A URL at this Envoy's admin interface; `path` begins with a slash.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at.admin)
    }

    /// Its counters and gauges whose names begin with `prefix`, such as `cluster.key_service.`.
    ///
    /// # Errors
    /// The admin interface does not answer.
    pub fn stats(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let text = ureq::get(self.admin_url("/stats")).call()?.body_mut().read_to_string()?;
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(numbers.filter(|(name, _)| name.starts_with(prefix)).collect())
    }
}
