//! The databases that tests begin with, made once.

use std::sync::OnceLock;

use super::storage::Template;
use super::{ADMIN, DEMO, OTHER, PASSWORD, Process, Site, session_cookie, text};

/// The signed-in users, in the order of [`Prepared::cookies`].
pub(super) const SIGNED_IN: [&str; 3] = [DEMO, OTHER, ADMIN];

pub(super) struct Prepared {
    /// A database with [`DEMO`] and [`OTHER`].
    pub(super) users: Template,
    /// The same with [`ADMIN`], and a session of each.
    pub(super) sessions: Template,
    /// The values of their session cookies.
    pub(super) cookies: [String; 3],
    /// The ids of these users.
    pub(super) ids: [String; 3],
}

pub(super) fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(prepare)
}

fn prepare() -> Prepared {
    let site = Site::empty();
    site.ok(&["user", "add", DEMO, "--password-stdin"], PASSWORD);
    let permissions = ["--permissions", "insight:read,cohort:write"];
    site.ok(&[&["user", "add", OTHER, "--password-stdin"], &permissions[..]].concat(), PASSWORD);
    // A command may leave SQLite's log behind; the end of a service writes it back into the database file.
    assert_eq!(Process::on(site.clone()).stop(), Some(0));
    let users = template(site);

    let site = Site::on(|folder| super::storage::Storage::copy_of(&users, folder));
    site.ok(&["user", "add", ADMIN, "--password-stdin", "--admin", "--permissions", "*"], PASSWORD);
    let known = site.json(&["user", "list", "--json"]);
    let ids = SIGNED_IN.map(|email| {
        let user = known.as_array().unwrap().iter().find(|user| user["email"] == email).unwrap();
        text(user, "id").to_owned()
    });
    let mut process = Process::on(site.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cookies = SIGNED_IN.map(|email| {
        let response = runtime.block_on(process.log_in(email, PASSWORD));
        session_cookie(&response).unwrap()
    });
    assert_eq!(process.stop(), Some(0));
    drop(process);
    Prepared { users, sessions: template(site), cookies, ids }
}

/// A template of a site that nothing else uses.
fn template(site: Site) -> Template {
    let Site { storage, dir } = site;
    let template = std::sync::Arc::into_inner(storage).unwrap().into_template();
    drop(dir);
    template
}
