//! A whole running stack: Envoys with the filter, the key service, and the echo upstream. The demo is one on
//! fixed ports; each integration test starts its own on free ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::echo::Echo;
use crate::envoy::Envoy;
use crate::envoy::configuration::{self, Setup};
use crate::key_service::KeyService;
use crate::paths;
use crate::ports::Addresses;
use crate::postgres::{Databases, TemporaryDatabase};
use crate::process::Process;

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many Envoys share the key service; none is fine.
    pub envoys: usize,
    /// Each Envoy's worker threads (`--concurrency`).
    pub workers: u32,
    /// Changes to the filter's settings, as a merge patch (RFC 7396).
    pub filter: Value,
    /// Changes to `envoy/envoy.yaml`: texts that it has exactly once, and what takes their place.
    pub envoy_config: &'static [(&'static str, &'static str)],
    /// What Envoy forwards to; `None` for the echo.
    pub upstream: Option<SocketAddr>,
    /// The Wasm module; `None` for the one that is built to be deployed.
    pub wasm: Option<PathBuf>,
    /// The PostgreSQL server on which the key service gets a database, dropped with the stack; `None` for a SQLite file.
    pub server: Option<Databases>,
    /// Whether there are several key services behind one address, as in `envoy/replicas.yaml`; it takes a `server`.
    pub replicated: bool,
    /// Whether the demo's user and keys are made; without them nobody has an account.
    pub seeded: bool,
    /// Added to the environment of the key service, and of its commands.
    pub key_service_env: Vec<(String, String)>,
    /// Added to the environment of the Envoys.
    pub envoy_env: Vec<(String, String)>,
}

impl Default for Options {
    /// One Envoy with two workers, everything as shipped.
    fn default() -> Self {
        Options {
            envoys: 1,
            workers: 2,
            filter: json!({}),
            envoy_config: &[],
            upstream: None,
            wasm: None,
            server: None,
            replicated: false,
            seeded: true,
            key_service_env: Vec::new(),
            envoy_env: Vec::new(),
        }
    }
}

/// A running stack. Everything stops when it is dropped.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: clients of the others first.
    envoys: Vec<Envoy>,
    key_service: KeyService,
    _database: Option<TemporaryDatabase>,
    echo: Echo,
    folder: Option<TempDir>,
}

impl Stack {
    /// Starts a stack on free ports and in a temporary folder, which stays when the test fails. The Envoy is
    /// the one that the variable `ENVOY` names; `cargo xtask test` sets it.
    ///
    /// # Errors
    /// `ENVOY` is not set though there are to be Envoys, something has not been built, or a part does not start; then with the end of its
    /// log.
    pub fn temporary(options: &Options) -> Result<Self> {
        let envoy = match options.envoys {
            0 => PathBuf::new(),
            _ => paths::tool(paths::ENVOY_VARIABLE)?,
        };
        let folder = TempDir::with_prefix("edge-key-auth-")?;
        let addresses = Addresses::free(options.envoys)?;
        let mut stack = Stack::start(&envoy, folder.path(), &addresses, options)?;
        stack.folder = Some(folder);
        Ok(stack)
    }

    /// Starts a stack: its database, logs and rendered configurations are in `folder`, which exists. Where the
    /// folder has a SQLite file already, its accounts and keys are kept.
    ///
    /// # Errors
    /// A port is taken, something has not been built, or a part does not start; then with the end of its log.
    pub fn start(envoy: &Path, folder: &Path, addresses: &Addresses, options: &Options) -> Result<Self> {
        addresses.require_free()?;
        let token = random_token()?;
        let echo = Echo::start(addresses.echo)?;
        let database = options.server.as_ref().map(|server| server.temporary(None)).transpose()?;
        let url = match &database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", folder.join("key-service.db").display()),
        };
        let balancer = options.replicated.then_some(envoy);
        let extra = &options.key_service_env;
        let key_service = KeyService::new(folder, addresses, &token, &url, extra, balancer)?;
        if options.seeded {
            key_service.seed()?;
        }
        key_service.start()?;
        let mut stack = Stack { envoys: Vec::new(), key_service, _database: database, echo, folder: None };
        let template = configuration::edit(&configuration::template()?, options.envoy_config)?;
        let mut env = vec![("EDGE_TOKEN".to_owned(), token)];
        env.extend_from_slice(&options.envoy_env);
        for (index, at) in addresses.envoys.iter().enumerate() {
            let name = if index == 0 { "envoy".to_owned() } else { format!("envoy-{}", index + 1) };
            let wasm = paths::require_built(options.wasm.clone().unwrap_or_else(paths::wasm))?;
            let setup = Setup {
                admin: at.admin,
                listener: at.listener,
                wasm: &wasm,
                edge: addresses.edge,
                upstream: options.upstream.unwrap_or(addresses.echo),
            };
            let config = configuration::render(&template, setup, &options.filter)?;
            stack.envoys.push(Envoy::new(&name, envoy, folder, *at, &config, options.workers, &env)?);
        }
        for envoy in &stack.envoys {
            envoy.process().start()?;
        }
        Ok(stack)
    }

    /// The Envoys, in the order of their addresses.
    pub fn envoys(&self) -> &[Envoy] {
        &self.envoys
    }

    /// The key service.
    pub fn key_service(&self) -> &KeyService {
        &self.key_service
    }

    /// The upstream.
    pub fn echo(&self) -> &Echo {
        &self.echo
    }

    /// A URL at the first Envoy; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        self.envoys[0].url(path)
    }

    /// What has ended by itself: one line on it and the end of its log.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn casualty(&self) -> Result<Option<String>> {
        for process in self.processes() {
            if let Some(status) = process.exited()? {
                return Ok(Some(process.obituary(status)));
            }
        }
        Ok(None)
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        let envoys = self.envoys.iter().map(Envoy::process);
        envoys.chain(self.key_service.processes())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the stack's logs and database are kept in {}", folder.keep().display());
        }
    }
}

/// A new edge token for each stack: 64 hexadecimal digits.
fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
