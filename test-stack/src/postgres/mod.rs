//! PostgreSQL: temporary clusters that tests start, stop and crash, and databases on them or on another server.

mod databases;
pub mod programs;
mod temporary;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

pub use self::databases::Databases;
pub use self::temporary::TemporaryDatabase;
use crate::ports;
use crate::process::{Probe, Process, User, last_lines};

/// The superuser, who needs no password on this machine.
const SUPERUSER: &str = "postgres";

/// `pg_hba.conf`: from this machine, the superuser connects without a password and every other role with one.
const ACCESS: &str = "\
local all postgres trust
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
";

/// Non-durable settings, for tests that do not crash the machine: faster, because no write waits for the disk.
pub const NON_DURABLE: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// How long the child processes of a killed server may block the next start.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(10);

/// How to stop a server; the names are those of `pg_ctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Disconnects the clients, rolls their transactions back, and writes everything to disk.
    Fast,
    /// Exits at once; the next start recovers as after a crash.
    Immediate,
}

/// A temporary cluster. When it is dropped, the server stops and its files are removed.
#[derive(Debug)]
pub struct Postgres {
    // Dropped in this order: the server before its files.
    process: Process,
    databases: Databases,
    address: SocketAddr,
    user: Option<User>,
    folder: TempDir,
}

impl Postgres {
    /// Creates a cluster and starts it with these settings on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// PostgreSQL is not found, or does not start; then the message shows the end of its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::create(initdb, settings)
    }

    /// Creates a standby of this server and starts it with these settings. It replicates until it is promoted.
    ///
    /// # Errors
    /// This server does not run, or the standby does not start; then the message shows the end of its log.
    pub fn standby(&self, settings: &[(&str, &str)]) -> Result<Self> {
        Self::create(|bin, data, user| base_backup(bin, data, user, &self.url("postgres")), settings)
    }

    fn create(
        create_files: impl FnOnce(&Path, &Path, Option<User>) -> Result<()>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let bin = programs::find()?;
        let folder = TempDir::with_prefix("edge-key-auth-pg-")?;
        let user = User::instead_of_root("postgres").context("root cannot run PostgreSQL")?;
        if let Some(user) = user {
            user.chown(folder.path())?;
        }
        let data = folder.path().join("data");
        create_files(&bin, &data, user)?;

        let address = ports::free()?;
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let sockets = folder.path().to_string_lossy();
        let fixed = [
            ("listen_addresses", host.as_str()),
            ("port", &port),
            ("unix_socket_directories", &sockets),
            // Each key service has about ten, and tests run in parallel.
            ("max_connections", "400"),
        ];
        let mut args = vec!["-D".to_owned(), data.to_string_lossy().into_owned()];
        for (name, value) in fixed.iter().chain(settings) {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let probe_args = ["-h", &host, "-p", &port, "-t", "1"].map(str::to_owned);
        let probe = Probe::Program(bin.join("pg_isready"), probe_args.to_vec());
        let log = folder.path().join("log");
        let process = Process::new("PostgreSQL", &bin.join("postgres"), args, &[], log, probe)
            .stopped_by(Signal::INT)
            .run_as(user);
        let url = format!("postgres://{SUPERUSER}@{address}/postgres");
        let postgres = Postgres { process, databases: Databases::new(&url), address, user, folder };
        postgres.start_again()?;
        Ok(postgres)
    }

    /// The address of its listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file into the data folder, readable only by the server's user.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.data().join(name);
        let context = || format!("cannot write {}", path.display());
        fs::write(&path, content).with_context(context)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).with_context(context)?;
        self.user.map_or(Ok(()), |user| user.chown(&path))
    }

    /// Its databases, with the superuser's rights.
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// The URL of a database for the superuser; the database need not exist.
    pub fn url(&self, database: &str) -> String {
        self.databases.url(database)
    }

    /// Starts it again after it was stopped or killed, and waits until it accepts connections.
    ///
    /// # Errors
    /// It is running already, or does not start.
    pub fn start_again(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = self.process.start() else { return Ok(()) };
            // The child processes of a killed server need a moment to notice and exit.
            let is_blocked = format!("{error:#}").contains("pre-existing shared memory block");
            if !is_blocked || began.elapsed() > LEFTOVER_LIMIT {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stop(&self, how: Shutdown) -> Result<()> {
        self.process.stop_with(match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        })
    }

    /// Stops it ([`Shutdown::Fast`]) and starts it again.
    ///
    /// # Errors
    /// The system refuses, or it does not start.
    pub fn restart(&self) -> Result<()> {
        self.stop(Shutdown::Fast)?;
        self.start_again()
    }

    /// Its process. [`Process::kill`] kills only the postmaster; the other processes exit when they notice.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Creates the files of a new cluster.
fn initdb(bin: &Path, data: &Path, user: Option<User>) -> Result<()> {
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(data).args(["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"]);
    initdb.args(["--locale", "C", "--no-sync"]);
    run("initdb", initdb, user)?;
    let access = data.join("pg_hba.conf");
    fs::write(&access, ACCESS).with_context(|| format!("cannot write {}", access.display()))
}

/// Copies the files of a running cluster, for a standby.
fn base_backup(bin: &Path, data: &Path, user: Option<User>, url: &str) -> Result<()> {
    let mut backup = Command::new(bin.join("pg_basebackup"));
    backup.arg("-D").arg(data).args(["--dbname", url, "--write-recovery-conf", "--no-sync"]);
    backup.args(["--checkpoint", "fast"]);
    run("pg_basebackup", backup, user)
}

fn run(name: &str, mut program: Command, user: Option<User>) -> Result<()> {
    if let Some(user) = user {
        user.apply(&mut program);
    }
    let output = program.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", last_lines(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}
