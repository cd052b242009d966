//! A database, and the command line that works on it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::prepared::prepared;
use super::storage::Storage;

/// A database, the program's way to it, and a folder.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) storage: Arc<Storage>,
}

impl Site {
    pub(crate) fn empty() -> Self {
        Self::on(Storage::new)
    }

    /// A site with the users [`DEMO`](super::DEMO) and [`OTHER`](super::OTHER).
    ///
    /// Hashing a password takes long, on purpose, so this is done once and the database copied.
    pub(crate) fn with_users() -> Self {
        Self::on(|folder| Storage::copy_of(&prepared().users, folder))
    }

    /// The same with [`ADMIN`](super::ADMIN), and all three are signed in.
    pub(crate) fn with_sessions() -> Self {
        Self::on(|folder| Storage::copy_of(&prepared().sessions, folder))
    }

    /// A site on a database that the test looks after.
    pub(crate) fn at(url: &str) -> Self {
        Self::on(|_| Storage::At(url.to_owned()))
    }

    pub(super) fn on(storage: impl FnOnce(&Path) -> Storage) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let storage = storage(dir.path());
        Site { dir: Arc::new(dir), storage: Arc::new(storage) }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_key-service"));
        command.args(args).env_clear().env("DATABASE_URL", self.storage.url()).current_dir(self.dir.path());
        command
    }

    /// Runs a command to its end, with `input` as its standard input.
    pub(crate) fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that needs no input may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a command that has to succeed, and returns its standard output.
    pub(crate) fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to fail, and returns the one line that it prints.
    pub(crate) fn fails(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args, "")).unwrap()
    }
}
