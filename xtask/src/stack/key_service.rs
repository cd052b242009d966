//! The key service of a stack.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::built;
use crate::paths;
use crate::ports::Addresses;
use crate::process::Process;
use crate::spawn::spawn;

/// The key service of a stack.
#[derive(Debug)]
pub struct KeyService {
    process: Process,
    env: Vec<(String, String)>,
    program: PathBuf,
    public: SocketAddr,
    edge: SocketAddr,
    token: String,
}

impl KeyService {
    pub(super) fn new(
        folder: &Path,
        addresses: &Addresses,
        token: &str,
        database_url: &str,
        extra: &[(String, String)],
    ) -> Result<Self> {
        let program = built(paths::key_service())?;
        let mut env = vec![
            ("DATABASE_URL".to_owned(), database_url.to_owned()),
            ("LISTEN".to_owned(), addresses.public.to_string()),
            ("EDGE_LISTEN".to_owned(), addresses.edge.to_string()),
            ("EDGE_TOKEN".to_owned(), token.to_owned()),
        ];
        env.extend(
            addresses
                .envoys
                .first()
                .map(|envoy| ("API_URL".to_owned(), format!("http://{}", envoy.listener))),
        );
        env.extend_from_slice(extra);
        let log = folder.join("key-service.log");
        let ready = format!("http://{}/readyz", addresses.edge);
        let process = Process::new("key-service", &program, ["serve"], &env, log, ready);
        let (public, edge) = (addresses.public, addresses.edge);
        Ok(KeyService { process, env, program, public, edge, token: token.to_owned() })
    }

    /// To stop, pause and start it, and to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its public listener is.
    pub fn address(&self) -> SocketAddr {
        self.public
    }

    /// A URL at the public listener; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    /// A URL at the edge listener; `path` begins with a slash.
    pub fn edge_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.edge)
    }

    /// The edge token that the stack's Envoys use.
    pub fn edge_token(&self) -> &str {
        &self.token
    }

    /// Runs one of the key service's commands on the stack's database, in a process of its own, and returns
    /// what it printed on standard output.
    ///
    /// # Errors
    /// It fails; the error shows what it printed on standard error.
    pub fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args);
        self.finish(command, input).with_context(|| format!("key-service {}", args.join(" ")))
    }

    /// Makes the demo's user and keys with the script that the containers run too.
    pub(super) fn seed(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command.arg(paths::workspace().join("demo/seed.sh")).env("KEY_SERVICE", &self.program);
        self.finish(command, "").context("cannot seed the database with demo/seed.sh")?;
        Ok(())
    }

    fn finish(&self, mut command: Command, input: &str) -> Result<String> {
        command.envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command, Signal::KILL)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends without reading its input says itself what is wrong.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
