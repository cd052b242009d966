//! Where a test keeps its database: in a SQLite file, or, if the variable `POSTGRES_URL` names a PostgreSQL server, in a
//! database of its own on that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;
use xtask::paths::POSTGRES_URL_VARIABLE;
use xtask::postgres::Databases;

/// What the names of databases begin with that tests make; the time follows, in seconds since 1970.
const PREFIX: &str = "key_service_test_";

/// A database of this age was left behind by tests that were killed.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// The database of a site.
pub(crate) enum Storage {
    /// A file, which need not be there yet.
    File(PathBuf),
    /// A database on the server of the tests, dropped with this.
    OnServer(OnServer),
    /// A database that the test looks after.
    At(String),
}

pub(crate) struct OnServer {
    databases: Databases,
    name: String,
}

/// What new databases are copied from.
pub(crate) enum Template {
    File(Vec<u8>),
    OnServer(String),
}

impl Storage {
    /// Nothing yet, or a database that nobody has used. `folder` is the site's.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::make(folder, None)
    }

    pub(crate) fn copy_of(template: &Template, folder: &Path) -> Self {
        Self::make(folder, Some(template))
    }

    fn make(folder: &Path, template: Option<&Template>) -> Self {
        let Ok(server) = std::env::var(POSTGRES_URL_VARIABLE) else {
            let file = folder.join("keys.db");
            if let Some(Template::File(bytes)) = template {
                fs::write(&file, bytes).unwrap();
            }
            return Storage::File(file);
        };
        let databases = Databases::of(&server);
        let name = format!("{PREFIX}{}_{}", seconds(), Uuid::new_v4().simple());
        let template = match template {
            Some(Template::OnServer(template)) => Some(template.as_str()),
            _ => None,
        };
        databases.create(&name, template).unwrap();
        Storage::OnServer(OnServer { databases, name })
    }

    /// Keeps it for others to be copied from. Nobody uses it any more.
    pub(crate) fn into_template(self) -> Template {
        match self {
            Storage::File(file) => Template::File(fs::read(file).unwrap()),
            Storage::OnServer(mut database) => {
                drop_left_behind(&database.databases);
                // Nobody tells a test program that its last test is over: one of a later run drops it.
                Template::OnServer(std::mem::take(&mut database.name))
            }
            Storage::At(url) => panic!("not ours: {url}"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Storage::File(file) => format!("sqlite:{}", file.display()),
            Storage::OnServer(database) => database.databases.url(&database.name),
            Storage::At(url) => url.clone(),
        }
    }

    /// The file of a SQLite database, for the tests in `sqlite/`.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Storage::File(file) => file,
            _ => panic!(
                "this test is about SQLite's file; leave {POSTGRES_URL_VARIABLE} unset, or skip sqlite::"
            ),
        }
    }

    /// Whether there is nothing in it: no file, no table.
    pub(crate) fn is_untouched(&self) -> bool {
        match self {
            Storage::File(file) => !file.exists(),
            _ => self.query("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'") == "0",
        }
    }

    /// All that is in it: the bytes of the files, or the tables as text.
    pub(crate) fn content(&self) -> Vec<u8> {
        let Storage::File(file) = self else {
            return self.query("SELECT schema_to_xml('public', true, false, '')").into_bytes();
        };
        // SQLite's log is beside the file.
        let name = file.file_name().unwrap().to_str().unwrap();
        let files = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
            .flat_map(|path| fs::read(path).unwrap())
            .collect()
    }

    fn query(&self, sql: &str) -> String {
        match self {
            Storage::OnServer(database) => database.databases.query(&database.name, sql).unwrap(),
            _ => panic!("{sql}: only where POSTGRES_URL names the server"),
        }
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // A template has no name here. What cannot be dropped now, a later run drops.
        if !self.name.is_empty() {
            let _ = self.databases.drop(&self.name);
        }
    }
}

fn drop_left_behind(databases: &Databases) {
    let listed = format!("SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'");
    for name in databases.query("postgres", &listed).unwrap().lines() {
        let made = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse::<u64>().ok());
        if made.is_some_and(|made| made + LEFT_BEHIND_AFTER.as_secs() < seconds()) {
            // A run beside this one may have been faster.
            let _ = databases.drop(name);
        }
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
