//! How the checks create and delete keys.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::{ApiKey, KeyDigest};

/// Creates and deletes keys of the service under test.
pub(super) trait Keys: Sync {
    /// Creates a key.
    fn create(&self) -> Result<TestKey>;

    /// Deletes a key. Returns how long that took.
    fn delete(&self, key: &TestKey) -> Result<Duration>;

    /// Deletes a key that is deleted, or about to be. The service may call that an error.
    fn delete_again(&self, key: &TestKey) -> Result<()>;
}

/// A key that the service created.
pub(super) struct TestKey(pub(super) ApiKey);

impl TestKey {
    pub(super) fn digest(&self) -> KeyDigest {
        self.0.digest()
    }
}

/// The user's shell commands.
pub(super) struct Commands {
    pub(super) create: String,
    pub(super) delete: String,
}

impl Keys for Commands {
    fn create(&self) -> Result<TestKey> {
        let output = shell(&self.create).stderr(Stdio::inherit()).output().context("--create")?;
        if !output.status.success() {
            bail!("--create failed: {}", output.status);
        }
        let text = String::from_utf8(output.stdout).context("--create printed bytes that are not UTF-8")?;
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let value = ApiKey::parse(last.trim().as_bytes());
        // The error must not show the value.
        let value = value.ok().context("the last line of --create is not a key, which begins with phx_")?;
        Ok(TestKey(value))
    }

    fn delete(&self, key: &TestKey) -> Result<Duration> {
        let began = Instant::now();
        let status = self.delete_command(key).status().context("--delete")?;
        if !status.success() {
            bail!("--delete failed: {status}");
        }
        Ok(began.elapsed())
    }

    fn delete_again(&self, key: &TestKey) -> Result<()> {
        self.delete_command(key).stderr(Stdio::null()).status().context("--delete")?;
        Ok(())
    }
}

impl Commands {
    fn delete_command(&self, key: &TestKey) -> Command {
        let mut delete = shell(&self.delete);
        delete.env("KEY", key.0.reveal()).stdout(Stdio::null());
        delete
    }
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    shell
}
