//! Envoy: a running one, the program and the configuration.

pub mod configuration;
pub mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::ports::EnvoyAddresses;
use crate::process::Process;

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
        config: &str,
        workers: u32,
        env: &[(String, String)],
    ) -> Result<Self> {
        let file = folder.join(format!("{name}.yaml"));
        fs::write(&file, config)?;
        let workers = workers.to_string();
        // Hot restart uses shared memory, which several Envoys on one machine would share.
        let path = file.to_string_lossy();
        let mut args = vec!["--config-path", &path, "--concurrency", &workers, "--disable-hot-restart"];
        args.extend(["--service-node", name, "--service-cluster", "edge-key-auth"]);
        let log = folder.join(format!("{name}.log"));
        let ready = format!("http://{}/ready", at.admin);
        Ok(Envoy { process: Process::new(name, program, args, env, log, ready), at, config: file })
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The file of its rendered configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The address of its listener.
    pub fn address(&self) -> SocketAddr {
        self.at.listener
    }

    /// A URL of its listener; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at.listener)
    }

    /// A URL of its admin interface; `path` begins with a slash.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at.admin)
    }

    /// Its counters and gauges with names that begin with `prefix`, such as `cluster.key_service.`.
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
