//! The key service of a stack.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::envoy::configuration::{self, BalancerAddresses, REPLICAS};
use crate::paths;
use crate::ports::{self, Addresses};
use crate::process::{Process, spawn};

/// The key service of a stack: one process, or replicas behind an Envoy that is their load balancer.
#[derive(Debug)]
pub struct KeyService {
    // Dropped in this order: the client before the servers.
    balancer: Option<Process>,
    replicas: Vec<Process>,
    env: Vec<(String, String)>,
    program: PathBuf,
    public: SocketAddr,
    edge: SocketAddr,
    token: String,
}

impl KeyService {
    /// Creates replicas if `balancer`, the program of an Envoy, is given.
    pub(crate) fn new(
        folder: &Path,
        addresses: &Addresses,
        token: &str,
        database_url: &str,
        extra_env: &[(String, String)],
        balancer: Option<&Path>,
    ) -> Result<Self> {
        let program = paths::require_built(paths::key_service())?;
        let mut env = vec![
            ("DATABASE_URL".to_owned(), database_url.to_owned()),
            ("EDGE_TOKEN".to_owned(), token.to_owned()),
        ];
        env.extend(
            addresses
                .envoys
                .first()
                .map(|envoy| ("API_URL".to_owned(), format!("http://{}", envoy.listener))),
        );
        env.extend(balancer.map(|_| ("TRUSTED_PROXIES".to_owned(), addresses.public.ip().to_string())));
        env.extend_from_slice(extra_env);
        let (public, edge) = (addresses.public, addresses.edge);
        let replica = |name: &str, (public, edge): (SocketAddr, SocketAddr)| {
            let listen = [("LISTEN", public), ("EDGE_LISTEN", edge)];
            let mut env = env.clone();
            env.extend(listen.map(|(variable, address)| (variable.to_owned(), address.to_string())));
            let log = folder.join(format!("{name}.log"));
            let ready = format!("http://{edge}/readyz");
            Process::new(name, &program, ["serve"], &env, log, ready)
        };
        let (replicas, balancer) = match balancer {
            None => (vec![replica("key-service", (public, edge))], None),
            Some(envoy) => {
                let mut at = [(public, edge); REPLICAS];
                for listeners in &mut at {
                    *listeners = (ports::free()?, ports::free()?);
                }
                let names = (1..).map(|n| format!("key-service-{n}"));
                let replicas = names.zip(at).map(|(name, at)| replica(&name, at)).collect();
                let addresses = BalancerAddresses { admin: ports::free()?, public, edge, replicas: at };
                (replicas, Some(balancer_process(folder, envoy, &addresses)?))
            }
        };
        Ok(KeyService { balancer, replicas, env, program, public, edge, token: token.to_owned() })
    }

    pub(crate) fn start(&self) -> Result<()> {
        self.processes().try_for_each(Process::start)
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.replicas.iter().chain(&self.balancer)
    }

    /// Its process; the first one of replicas.
    pub fn process(&self) -> &Process {
        &self.replicas[0]
    }

    /// Its processes without the load balancer.
    pub fn replicas(&self) -> &[Process] {
        &self.replicas
    }

    /// The address of its public listener.
    pub fn address(&self) -> SocketAddr {
        self.public
    }

    /// A URL of the public listener; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    /// A URL of the edge listener; `path` begins with a slash.
    pub fn edge_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.edge)
    }

    /// The variables of its environment: the database, the edge token and the settings of the test.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The edge token that the stack's Envoys use.
    pub fn edge_token(&self) -> &str {
        &self.token
    }

    /// Runs a command of the key service on the stack's database, in its own process, and returns its standard output.
    ///
    /// # Errors
    /// The command fails; the message shows its standard error.
    pub fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args);
        self.run_command(command, input).with_context(|| format!("key-service {}", args.join(" ")))
    }

    /// Creates the demo's user and keys, with the script that the containers run too.
    pub(crate) fn seed(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command.arg(paths::workspace().join("demo/seed.sh")).env("KEY_SERVICE", &self.program);
        self.run_command(command, "").context("cannot seed the database with demo/seed.sh")?;
        Ok(())
    }

    fn run_command(&self, mut command: Command, input: &str) -> Result<String> {
        command.envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command, Signal::KILL)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that exits without reading its input reports its own error.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The Envoy that is the load balancer.
fn balancer_process(folder: &Path, envoy: &Path, addresses: &BalancerAddresses) -> Result<Process> {
    let config = folder.join("balancer.yaml");
    fs::write(&config, configuration::balancer(addresses)?)?;
    let path = config.to_string_lossy();
    let args = ["--config-path", &path, "--concurrency", "1", "--disable-hot-restart"];
    let ready = format!("http://{}/ready", addresses.admin);
    Ok(Process::new("balancer", envoy, args, &[], folder.join("balancer.log"), ready))
}
