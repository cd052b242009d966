//! A server that tests share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use test_stack::postgres::{NON_DURABLE, Postgres};
use uuid::Uuid;

/// A server that stops when the last test has dropped it. The superuser needs no password.
pub(super) fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let postgres = Arc::new(Postgres::start(&NON_DURABLE).unwrap());
        *shared = Arc::downgrade(&postgres);
        postgres
    })
}

/// A role, and the database that it owns.
pub(super) struct Role {
    pub(super) name: String,
    pub(super) database: String,
}

/// The password of every [`Role`].
pub(super) const PASSWORD: &str = "hunter/2";

/// [`PASSWORD`], percent-encoded for a URL.
pub(super) const ENCODED_PASSWORD: &str = "hunter%2F2";

/// Creates a role, and a database that it owns.
pub(super) fn role(postgres: &Postgres) -> Role {
    let [name, database] = ["role", "keys"].map(|kind| format!("{kind}_{}", Uuid::new_v4().simple()));
    let databases = postgres.databases();
    databases.query("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    databases.create(&database, None).unwrap();
    databases.query("postgres", &format!("ALTER DATABASE {database} OWNER TO {name}")).unwrap();
    Role { name, database }
}

impl Role {
    /// The URL of the role's database at `host`, which may be another name of the server's address.
    pub(super) fn url(&self, postgres: &Postgres, host: &str) -> String {
        let port = postgres.address().port();
        format!("postgres://{}:{ENCODED_PASSWORD}@{host}:{port}/{}", self.name, self.database)
    }
}
