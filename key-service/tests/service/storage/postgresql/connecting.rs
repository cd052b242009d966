//! Databases that cannot be used, and say so in one line.

use crate::server::startup::{assert_one_line, refused};
use crate::storage::postgresql::server::{ENCODED_PASSWORD, PASSWORD, role, shared};
use crate::support::Site;

const SETTING: &str = "--database-url (DATABASE_URL)";

/// The error of a start on this database.
#[track_caller]
fn assert_refused(url: &str, parts: &[&str]) {
    let error = refused(&Site::at(url), &[], |command| command);
    assert_one_line(&error, &[&[SETTING], parts].concat());
    for secret in [PASSWORD, ENCODED_PASSWORD, "hunter"] {
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn an_error_names_what_is_wrong_in_the_url_and_not_the_password() {
    let postgres = shared();
    let role = role(&postgres);
    let url = role.url(&postgres, "127.0.0.1");
    Site::at(&url).ok(&["user", "add", "demo@example.com", "--without-password"], "");

    assert_refused(
        &url.replace(ENCODED_PASSWORD, "hunter3"),
        &["password authentication failed", &role.name],
    );
    assert_refused(&url.replace(&role.name, "nobody"), &["password authentication failed", "nobody"]);
    assert_refused(&url.replace(&role.database, "nowhere"), &[r#"database "nowhere" does not exist"#]);
    let free = test_stack::ports::free().unwrap().port().to_string();
    assert_refused(&url.replace(&postgres.address().port().to_string(), &free), &["onnection refused"]);
    assert_refused(&url.replace("127.0.0.1", "nowhere.invalid"), &["nowhere.invalid"]);
    assert_refused(&format!("{url}?sslmode=perhaps"), &["not a PostgreSQL URL: unknown value", "perhaps"]);
    assert_refused("postgres://hunter:hunter2@host:port/keys", &["not a PostgreSQL URL: invalid port"]);
}

#[test]
#[ignore = "needs PostgreSQL: cargo xtask test"]
fn a_role_that_may_not_create_tables_gets_an_error_that_says_so() {
    let postgres = shared();
    let [role, owner] = [role(&postgres), role(&postgres)];
    let url = role.url(&postgres, "127.0.0.1").replace(&role.database, &owner.database);
    let revoke = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    postgres.databases().query(&owner.database, revoke).unwrap();
    assert_refused(&url, &["permission denied for schema public"]);
    assert!(Site::at(&url).fails(&["user", "list"], "").contains(SETTING));
}
