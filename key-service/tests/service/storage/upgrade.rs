//! A database of an earlier release, brought up to date by the start.

use std::borrow::Cow;

use protocol::KeyDigest;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use crate::support::storage::Storage;
use crate::support::{Automation, Process, Site, TestApp, client};

/// Makes a database with the tables up to that migration, and rows in it.
async fn database_of(last: i64, site: &Site, rows: &str) {
    sqlx::any::install_default_drivers();
    let mut migrations: Vec<_> = sqlx::migrate!("./migrations").iter().cloned().collect();
    if let Storage::File(file) = &*site.storage {
        std::fs::write(file, "").unwrap();
    } else {
        migrations.extend(sqlx::migrate!("./migrations/postgresql").iter().cloned());
    }
    migrations.retain(|migration| migration.version <= last);
    migrations.sort_by_key(|migration| migration.version);
    let migrator = Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT };
    let mut connection = AnyConnection::connect(&site.storage.url()).await.unwrap();
    migrator.run(&mut connection).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(rows.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn user(id: &str, is_admin: bool, is_active: bool) -> String {
    format!(
        "INSERT INTO users (id, email, password_hash, permissions, is_admin, is_active, session_epoch, created_at)
            VALUES ('{id}', '{id}@example.com', 'a hash', '*', {}, {}, 0, 0);",
        i32::from(is_admin),
        i32::from(is_active)
    )
}

/// A token that an actor of that kind has created.
fn token(id: &str, by: &str, actor_kind: &str) -> String {
    let digest = KeyDigest::of_value(&format!("ekm_{id}")).to_hex();
    format!(
        "INSERT INTO management_tokens VALUES ('{id}', '{digest}', '{id}', 'ekm_...', 1, 0, '{by}', NULL, NULL);
        INSERT INTO audit_log VALUES ('of {id}', 0, 'token.created', '{actor_kind}', NULL, '{by}', NULL, NULL, NULL,
            NULL, '{id}', '{id}', 'null');"
    )
}

fn automation(app: &TestApp, id: &str) -> Automation {
    Automation { base: app.public.clone(), id: id.to_owned(), token: format!("ekm_{id}") }
}

#[tokio::test]
async fn tokens_of_an_earlier_release_can_do_what_they_could_while_their_makers_are_admins() {
    let site = Site::empty();
    let rows = [
        user("admin", true, true),
        user("member", false, true),
        user("disabled", true, false),
        user("new", false, true),
        token("of-admin", "admin@example.com", "user"),
        token("of-member", "member@example.com", "user"),
        token("of-disabled", "disabled@example.com", "user"),
        token("of-operator", "operator", "command_line"),
        // A system's account can have a user's address as its name.
        token("of-namesake", "member@example.com", "command_line"),
    ];
    database_of(6, &site, &rows.concat()).await;
    let app = Process::on(site);
    for (id, works) in [
        ("of-admin", true),
        ("of-member", false),
        ("of-disabled", false),
        ("of-operator", true),
        ("of-namesake", true),
    ] {
        let token = automation(&app, id);
        let calls = [
            (Method::GET, "/api/users/", Value::Null),
            (Method::PATCH, "/api/users/new/", json!({"is_active": false})),
            (Method::PATCH, "/api/users/new/", json!({"is_active": true})),
        ];
        for (method, path, body) in calls {
            let (status, answer) = token.call(method, path, body).await;
            assert_eq!(status.as_u16(), if works { 200 } else { 401 }, "{id}: {answer}");
        }
    }
    // The creator is known from the name alone.
    app.site.ok(&["user", "disable", "admin@example.com"], "");
    assert_eq!(automation(&app, "of-admin").call(Method::GET, "/api/users/", Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_password_that_a_token_of_an_earlier_release_may_have_set_is_removed() {
    let site = Site::empty();
    let entry = |user: &str, action: &str| {
        format!(
            "INSERT INTO audit_log VALUES ('{user}', 0, '{action}', 'management_token', NULL, '', NULL, NULL, '{user}',
                NULL, NULL, NULL, 'null');"
        )
    };
    let rows = [
        user("added", false, true),
        user("linked", false, true),
        user("own", false, true),
        entry("added", "user.added"),
        entry("linked", "link.created"),
        entry("own", "user.permissions_changed"),
    ];
    database_of(6, &site, &rows.concat()).await;
    for (name, is_removed) in [("added", true), ("linked", true), ("own", false)] {
        let output = site.run(&["user", "admin", &format!("{name}@example.com")], "");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.contains("it was removed"), is_removed, "{name}: {stderr}");
    }
}

#[tokio::test]
async fn a_link_of_an_earlier_release_ends_where_its_maker_has_lost_its_rights() {
    let site = Site::empty();
    let link = |user: &str, actor_kind: &str, actor_id: &str| {
        let digest = KeyDigest::of_value(&format!("of-{user}")).to_hex();
        format!(
            "INSERT INTO one_time_links VALUES ('{digest}', '{user}', 9000000000000);
            INSERT INTO audit_log VALUES ('{user}', 0, 'link.created', '{actor_kind}', {actor_id}, '', NULL, NULL,
                '{user}', NULL, NULL, NULL, 'null');"
        )
    };
    let rows = [
        user("admin", true, true),
        user("member", false, true),
        user("a", false, true),
        user("b", false, true),
        user("c", false, true),
        user("d", false, true),
        link("a", "user", "'admin'"),
        link("b", "user", "'member'"),
        link("c", "management_token", "'revoked'"),
        link("d", "command_line", "NULL"),
    ];
    database_of(6, &site, &rows.concat()).await;
    let app = Process::on(site);
    let works = async |user: &str| {
        let link = client().get(format!("{}/link/of-{user}", app.public));
        link.send().await.unwrap().status() == 200
    };
    assert!(works("a").await && works("d").await);
    assert!(!works("b").await && !works("c").await);
    app.site.ok(&["user", "disable", "admin@example.com"], "");
    assert!(!works("a").await, "the creator is known from the audit log");
}

#[tokio::test]
async fn a_session_of_an_earlier_release_lasts() {
    let site = Site::empty();
    let id = "AAAAAAAAAAAAAAAAAAAAAA";
    let digest = KeyDigest::of_value(id).to_hex();
    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let data =
        format!(r#"{{"login":{{"user_id":"member","epoch":0,"began_at":{now_ms},"renewed_at":{now_ms}}}}}"#);
    let session = format!("INSERT INTO sessions VALUES ('{digest}', '{data}', 9000000000000);");
    database_of(10, &site, &(user("member", false, true) + &session)).await;
    let app = Process::on(site);
    let me = client().get(format!("{}/api/users/@me/", app.public));
    assert_eq!(me.header("cookie", format!("session={id}")).send().await.unwrap().status(), 200);
}
