//! A running stack: Envoys with the filter, the key service and the echo upstream. The demo runs one on fixed ports; each
//! integration test runs its own on free ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::echo::Echo;
use crate::envoy::Envoy;
use crate::envoy::configuration::{self, Setup, Shape};
use crate::key_service::KeyService;
use crate::paths;
use crate::ports::Addresses;
use crate::postgres::{Databases, TemporaryDatabase};
use crate::process::Process;

/// The parts of a stack and their settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The addresses of a temporary stack; `None` for free ones.
    pub addresses: Option<Addresses>,
    /// How many Envoys share the key service; may be 0.
    pub envoys: usize,
    /// Each Envoy's worker threads (`--concurrency`).
    pub workers: u32,
    /// A JSON merge patch (RFC 7396) of the filter's settings.
    pub filter: Value,
    /// Where the Envoys' configuration comes from.
    pub shape: Shape,
    /// Replacements in the file of that shape: a text that occurs there exactly once, and its replacement.
    pub envoy_config: &'static [(&'static str, &'static str)],
    /// The upstream; `None` for the echo.
    pub upstream: Option<SocketAddr>,
    /// The Wasm module; `None` for [`paths::wasm`].
    pub wasm: Option<PathBuf>,
    /// The PostgreSQL server of the key service's database, which is dropped with the stack; `None` for a SQLite file.
    pub server: Option<Databases>,
    /// Whether replicas of the key service run behind a load balancer, as in `envoy/replicas.yaml`; needs `server`.
    pub replicated: bool,
    /// Whether the demo's user and keys are created; without them there is no account.
    pub seeded: bool,
    /// Additional environment variables of the key service and its commands.
    pub key_service_env: Vec<(String, String)>,
    /// Additional environment variables of the Envoys.
    pub envoy_env: Vec<(String, String)>,
}

impl Default for Options {
    /// One Envoy with two workers, and the shipped settings, in the selected shape.
    fn default() -> Self {
        Options {
            addresses: None,
            envoys: 1,
            workers: 2,
            filter: json!({}),
            shape: Shape::selected(),
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

/// A running stack. All its processes stop when it is dropped.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: clients before servers.
    envoys: Vec<Envoy>,
    key_service: KeyService,
    _database: Option<TemporaryDatabase>,
    echo: Echo,
    folder: Option<TempDir>,
}

impl Stack {
    /// Starts a stack, on free ports unless the options name addresses, in a temporary folder that is kept if the test fails. The variable `ENVOY` names the
    /// Envoy; `cargo xtask test` sets it.
    ///
    /// # Errors
    /// `ENVOY` is not set and there is an Envoy to start, something is not built, or a part does not start; then the message
    /// shows the end of its log.
    pub fn temporary(options: &Options) -> Result<Self> {
        let envoy = match options.envoys {
            0 => PathBuf::new(),
            _ => paths::tool(paths::ENVOY_VARIABLE)?,
        };
        let folder = TempDir::with_prefix("edge-key-auth-")?;
        let addresses = match &options.addresses {
            Some(addresses) => addresses.clone(),
            None => Addresses::free(options.envoys)?,
        };
        let mut stack = Stack::start(&envoy, folder.path(), &addresses, options)?;
        stack.folder = Some(folder);
        Ok(stack)
    }

    /// Starts a stack. Its SQLite database, logs and rendered configurations are in `folder`, which must exist. An existing
    /// database is kept.
    ///
    /// # Errors
    /// A port is in use, something is not built, or a part does not start; then the message shows the end of its log.
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
        let template = configuration::edit(&configuration::template(options.shape)?, options.envoy_config)?;
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
            let config = configuration::render(options.shape, &template, setup, &options.filter)?;
            let config = (options.shape, &*config);
            stack.envoys.push(Envoy::new(&name, envoy, folder, *at, config, options.workers, &env)?);
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

    /// A message on a process that has exited without being stopped, if there is one.
    ///
    /// # Errors
    /// The status of a process cannot be read.
    pub fn find_exited(&self) -> Result<Option<String>> {
        for process in self.processes() {
            if let Some(status) = process.exited()? {
                return Ok(Some(process.exit_report(status)));
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

/// A new edge token: 64 hexadecimal digits.
fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("cannot get random numbers from the system")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
