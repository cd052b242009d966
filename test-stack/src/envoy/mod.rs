//! Envoy: a running one, the program and the configuration.

pub mod configuration;
pub mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::ports::EnvoyAddresses;
use crate::process::Process;

use configuration::Shape;

/// One Envoy of a stack.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    at: EnvoyAddresses,
    config: PathBuf,
}

/// Writes the documents of a rendered configuration: the bootstrap into `file`, the dynamic resources beside it.
fn write(file: &Path, shape: Shape, config: &str) -> Result<()> {
    let mut config = config.to_owned();
    for name in shape.resources() {
        let path = json!(resource_of(file, name)).to_string();
        config = config.replace(&format!("/etc/envoy/{name}.yaml"), &path);
    }
    let mut documents = config.split("\n---\n");
    fs::write(file, documents.next().unwrap_or_default())?;
    for (name, document) in shape.resources().iter().zip(documents) {
        fs::write(resource_of(file, name), document)?;
    }
    Ok(())
}

fn resource_of(config: &Path, name: &str) -> PathBuf {
    config.with_extension(format!("{name}.yaml"))
}

impl Envoy {
    pub(crate) fn new(
        name: &str,
        program: &Path,
        folder: &Path,
        at: EnvoyAddresses,
        (shape, config): (Shape, &str),
        workers: u32,
        env: &[(String, String)],
    ) -> Result<Self> {
        let file = folder.join(format!("{name}.yaml"));
        write(&file, shape, config)?;
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

    /// The file of its rendered configuration; of its bootstrap, if the configuration has several files.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The file of a dynamic resource, of a shape that has them: `lds`, `ecds` or `rds`.
    pub fn resource(&self, name: &str) -> PathBuf {
        resource_of(&self.config, name)
    }

    /// Replaces the file of a dynamic resource in one step. Envoy loads it while it runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replace_resource(&self, name: &str, text: &str) -> Result<()> {
        let file = self.resource(name);
        let new = file.with_extension("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, file)?)
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
