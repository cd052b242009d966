//! Another user of the system, whom a program is run as that refuses to be run by root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::geteuid;

/// A user of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The user of that name if we are root, and nobody if we are not.
    ///
    /// # Errors
    /// There is no such user.
    pub(crate) fn instead_of_root(name: &str) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(User { uid: id("-u", name)?, gid: id("-g", name)? }))
    }

    /// Has a command run as this user, with no group but the user's first.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives this user a file or folder.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot chown {}", path.display()))
    }
}

fn id(which: &str, name: &str) -> Result<u32> {
    let output = Command::new("id").args([which, name]).output().context("cannot run id")?;
    let id = String::from_utf8_lossy(&output.stdout);
    id.trim().parse().with_context(|| format!("there is no user {name}, and root may not run this"))
}
