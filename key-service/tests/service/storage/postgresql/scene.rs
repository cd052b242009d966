//! A service on a server that a test can do with as it likes.

use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use test_stack::postgres::{NON_DURABLE, Postgres};

use crate::storage::postgresql::server::role;
use crate::support::scripted_edge::{LASTS, short_leases};
use crate::support::{Automation, DEMO, Process, Site, key_path, text};

/// How long the service may take to notice that its database is there again.
pub(super) const BACK: Duration = Duration::from_secs(10);

/// A service on a PostgreSQL server of its own, a management token, and two keys.
pub(super) struct Scene {
    pub(super) service: Process,
    pub(super) automation: Automation,
    pub(super) keys: [Value; 2],
    pub(super) postgres: Postgres,
}

pub(super) async fn scene() -> Scene {
    scene_with(short_leases).await
}

pub(super) async fn scene_with(set: fn(&mut Command) -> &mut Command) -> Scene {
    tokio::task::spawn_blocking(move || {
        let postgres = Postgres::start(&NON_DURABLE).unwrap();
        let site = Site::at(&role(&postgres).url(&postgres, "127.0.0.1"));
        site.ok(&["user", "add", DEMO, "--without-password", "--permissions", "*"], "");
        let create = ["key", "create", "--user", DEMO, "--scopes", "*", "--json", "--label"];
        let keys = ["first", "second"].map(|label| site.json(&[&create[..], &[label]].concat()));
        let token =
            site.json(&["token", "create", "--label", "terraform", "--can", "read,revoke,create", "--json"]);
        let service = Process::on_with(site, set);
        let (base, id) = (service.public.clone(), text(&token, "id").to_owned());
        let automation = Automation { base, id, token: text(&token, "value").to_owned() };
        Scene { service, automation, keys, postgres }
    })
    .await
    .unwrap()
}

impl Scene {
    /// Does something to the server, which takes a while.
    pub(super) async fn server(self, what: impl FnOnce(&Postgres) + Send + 'static) -> Self {
        tokio::task::spawn_blocking(move || {
            what(&self.postgres);
            self
        })
        .await
        .unwrap()
    }

    /// Deletes a key, as soon as the database lets it; returns the output.
    pub(super) async fn delete(&self, key: &Value) -> Value {
        let deadline = Instant::now() + BACK + LASTS;
        loop {
            match self.automation.call(Method::DELETE, &key_path(key), Value::Null).await {
                (status, answer) if status == 200 => return answer,
                (status, answer) if status == 503 => assert!(Instant::now() < deadline, "{answer}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
