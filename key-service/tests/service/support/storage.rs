//! Where a test keeps its database: in a SQLite file, or, if the variable `POSTGRES_URL` names a PostgreSQL server, in a
//! database of its own on that.

use std::fs;
use std::path::{Path, PathBuf};

use test_stack::postgres::{Databases, TemporaryDatabase};

/// The database of a site.
pub(crate) enum Storage {
    /// A file, which need not be there yet.
    File(PathBuf),
    /// A database on the server of the tests, dropped with this.
    OnServer(TemporaryDatabase),
    /// A database that the test looks after.
    At(String),
}

/// What new databases are copied from.
pub(crate) enum Template {
    /// The bytes of a file.
    File(Vec<u8>),
    /// The name of a database.
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
        let Some(databases) = Databases::from_env() else {
            let file = folder.join("keys.db");
            if let Some(Template::File(bytes)) = template {
                fs::write(&file, bytes).unwrap();
            }
            return Storage::File(file);
        };
        let template = match template {
            Some(Template::OnServer(name)) => Some(name.as_str()),
            _ => None,
        };
        Storage::OnServer(databases.temporary(template).unwrap())
    }

    /// Keeps it for others to be copied from. Nobody uses it any more.
    pub(crate) fn into_template(self) -> Template {
        match self {
            Storage::File(file) => Template::File(fs::read(file).unwrap()),
            Storage::OnServer(database) => {
                // A copy counts as restored, so its changes would wait for earlier leases. There were none.
                database.query("UPDATE revision_log SET longest_lease_ms = 0").unwrap();
                Template::OnServer(database.into_template().unwrap())
            }
            Storage::At(url) => panic!("not ours: {url}"),
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Storage::File(file) => format!("sqlite:{}", file.display()),
            Storage::OnServer(database) => database.url(),
            Storage::At(url) => url.clone(),
        }
    }

    /// The file of a SQLite database, for the tests in `sqlite/`.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Storage::File(file) => file,
            _ => panic!("this test is about SQLite's file: leave it out where POSTGRES_URL is set"),
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
            Storage::OnServer(database) => database.query(sql).unwrap(),
            _ => panic!("{sql}: the database is not on the server of the tests"),
        }
    }
}
