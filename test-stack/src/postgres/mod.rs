//! A PostgreSQL server of our own, for tests: a temporary cluster that is started, stopped and crashed at will.

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

/// The role that may do everything, and that needs no password from this machine.
const SUPERUSER: &str = "postgres";

/// Who may connect, all from this machine: the superuser, and with a password every other role.
const ACCESS: &str = "\
local all postgres trust
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
";

/// Settings for tests that are not about crashes of the machine: what is written need not reach the disk.
pub const FORGETFUL: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// How long the remains of a killed server may be in the way of the next.
const REMAINS_LIMIT: Duration = Duration::from_secs(10);

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Its clients are cut off, what they had not committed is undone, and all is written.
    Fast,
    /// At once; the next start recovers as after a crash.
    Immediate,
}

/// A temporary cluster. It stops when it is dropped, and its files are removed.
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
    /// Makes a cluster, with these settings beside PostgreSQL's own, and starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// PostgreSQL is not to be found, or does not start; then with the end of its log.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        Self::made_by(make, settings)
    }

    /// Makes a standby of this server, which follows it until it is promoted, and starts it with these settings.
    ///
    /// # Errors
    /// This server does not run, or the standby does not start; then with the end of its log.
    pub fn standby(&self, settings: &[(&str, &str)]) -> Result<Self> {
        Self::made_by(|bin, data, user| copy(bin, data, user, &self.url("postgres")), settings)
    }

    fn made_by(
        make: impl FnOnce(&Path, &Path, Option<User>) -> Result<()>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let bin = programs::find()?;
        let folder = TempDir::with_prefix("edge-key-auth-pg-")?;
        let user = User::instead_of_root("postgres").context("PostgreSQL refuses to be run by root")?;
        if let Some(user) = user {
            user.own(folder.path())?;
        }
        let data = folder.path().join("data");
        make(&bin, &data, user)?;

        let address = ports::free()?;
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let sockets = folder.path().to_string_lossy();
        let places = [
            ("listen_addresses", host.as_str()),
            ("port", &port),
            ("unix_socket_directories", &sockets),
            // Each service of each test that runs at the time has about ten.
            ("max_connections", "400"),
        ];
        let mut args = vec!["-D".to_owned(), data.to_string_lossy().into_owned()];
        for (name, value) in places.iter().chain(settings) {
            args.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let asks = ["-h", &host, "-p", &port, "-t", "1"].map(str::to_owned);
        let probe = Probe::Program(bin.join("pg_isready"), asks.to_vec());
        let log = folder.path().join("log");
        let process = Process::new("PostgreSQL", &bin.join("postgres"), args, &[], log, probe)
            .stopped_by(Signal::INT)
            .run_as(user);
        let url = format!("postgres://{SUPERUSER}@{address}/postgres");
        let postgres = Postgres { process, databases: Databases::of(&url), address, user, folder };
        postgres.start_again()?;
        Ok(postgres)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cluster's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file into the data folder, which the server's user alone can read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.data().join(name);
        let context = || format!("cannot write {}", path.display());
        fs::write(&path, content).with_context(context)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).with_context(context)?;
        self.user.map_or(Ok(()), |user| user.own(&path))
    }

    /// Its databases, as the superuser sees them.
    pub fn databases(&self) -> &Databases {
        &self.databases
    }

    /// The superuser's URL of a database, whether it is there or not.
    pub fn url(&self, database: &str) -> String {
        self.databases.url(database)
    }

    /// Starts it again after it was stopped or killed, and waits until it takes connections.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub fn start_again(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = self.process.start() else { return Ok(()) };
            // Clients' processes of a killed server need a moment to notice that it is gone.
            let is_in_the_way = format!("{error:#}").contains("pre-existing shared memory block");
            if !is_in_the_way || began.elapsed() > REMAINS_LIMIT {
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

    /// Stops it, cutting its clients off, and starts it again.
    ///
    /// # Errors
    /// The system refuses, or it does not start.
    pub fn restart(&self) -> Result<()> {
        self.stop(Shutdown::Fast)?;
        self.start_again()
    }

    /// To kill and pause it, and to read its log. Where it is killed (SIGKILL), so is its first process alone; the
    /// others end when they notice.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Makes the files of a new cluster.
fn make(bin: &Path, data: &Path, user: Option<User>) -> Result<()> {
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("-D").arg(data).args(["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"]);
    initdb.args(["--locale", "C", "--no-sync"]);
    run("initdb", initdb, user)?;
    let access = data.join("pg_hba.conf");
    fs::write(&access, ACCESS).with_context(|| format!("cannot write {}", access.display()))
}

/// Copies the files of a running cluster, for a server that follows it.
fn copy(bin: &Path, data: &Path, user: Option<User>, url: &str) -> Result<()> {
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
